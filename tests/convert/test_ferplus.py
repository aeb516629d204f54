"""FER+ votes: the rule of the labels, both tables, and what does not belong together."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import pixel_rows, pixel_text, write_image, write_pixel_csv

from convert.data.__main__ import main
from convert.data.ferplus import (
    COLUMNS,
    FERPLUS_LABELS,
    IN_SEVEN_CLASSES,
    LABEL_RULE,
    OTHER_IN_FER2013,
    VoteTable,
    majority_labels,
)
from convert.data.loader import load, remarks
from convert.data.pixel_csv import CSV_LABELS
from convert.data.samples import fingerprint
from convert.evaluate.evaluator import evaluate
from convert.parity.comparison import ConversionOptions
from convert.report.evaluation_markdown import markdown
from convert.sources.opened_model import open_named
from convert.train.history import TrainingHistory
from fer_edge.errors import DataError, UsageError
from fer_edge.labels import LABELS

ROOT = Path(__file__).parents[2]
EDGE = ROOT / "models" / "edge"
RELEASED = ("edge", "edge-mixed", "edge-votes", "large", "nano", "paper")
SHARED_VOTES = "ferplus_by_file.csv.gz"
USAGES = ("Training", "PublicTest", "PrivateTest")
HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def votes(**counts: int) -> list[int]:
    """Ten counts, in the order of COLUMNS."""
    return [counts.get(name, 0) for name in COLUMNS]


# one for each of 21 images, three of each of the seven classes: their own class, but for some
OTHERS = {
    0: votes(contempt=6, anger=4),
    1: votes(anger=4, unknown=5, fear=1),
    2: votes(anger=3, neutral=1, fear=1),
    3: votes(nf=10),
    4: votes(disgust=5, neutral=5),
    5: votes(),
}


def vote_rows() -> list[list[int]]:
    names = dict(zip(LABELS, ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"), strict=True))
    return [OTHERS.get(i) or votes(**{"neutral": 1, names[LABELS[i // 3]]: 9}) for i in range(21)]


@pytest.fixture
def pixel_csv(tmp_path: Path) -> Path:
    """fer2013.csv of 21 bars, three of each class: one to train, one to validate, one to test."""
    rows = [
        (str(CSV_LABELS.index(LABELS[label])), pixel_text(gray), USAGES[i % 3])
        for i, (label, gray) in enumerate(pixel_rows(3))
    ]
    return write_pixel_csv(tmp_path / "fer2013.csv", rows)


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """fer2013new.csv of the same."""
    lines = [",".join([USAGES[i % 3], f"fer{i:07d}.png", *map(str, row)]) for i, row in enumerate(vote_rows())]
    (tmp_path / "fer2013new.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    return tmp_path / "fer2013new.csv"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The same bars as a tree of images."""
    for i, (label, gray) in enumerate(pixel_rows(3)):
        folder = tmp_path / "set" / ("train" if i % 3 == 0 else "test") / LABELS[label]
        folder.mkdir(parents=True, exist_ok=True)
        write_image(folder / f"{USAGES[i % 3]}_{i}.png", gray)
    return tmp_path / "set"


def by_file(tree: Path, path: Path, header: bool = True) -> Path:
    """A gzipped table of the tree's files; the last one has no row."""
    files = sorted(tree.rglob("*.png"), key=lambda file: int(file.stem.split("_")[1]))
    lines = [
        ",".join([f.relative_to(tree).as_posix(), *map(str, row)]) for f, row in zip(files, vote_rows(), strict=True)
    ]
    top = ["file," + ",".join(COLUMNS).replace("nf", "NF")] if header else []
    path.write_bytes(gzip.compress("\n".join([*top, *lines[:-1]]).encode()))
    return path


def test_the_rule_of_the_labels() -> None:
    found = majority_labels(np.array(vote_rows()[:6]))
    assert [FERPLUS_LABELS[i] if i >= 0 else None for i in found.label] == [
        *("contempt", None, None, None, "neutral", None)  # a tie: the class that comes first in the table
    ]
    assert found.shares.dtype == np.float32 and found.shares.shape == (6, 8)
    assert found.shares[0].tolist() == pytest.approx([0.4, 0.6, 0, 0, 0, 0, 0, 0])
    assert found.shares[[1, 2, 3, 5]].sum() == 0 and found.shares[4, 2] == 0.5
    assert found.unusable == {
        **{"without FER+ votes": 1, "no face to FER+": 1, "unknown to FER+": 1, "too few FER+ votes": 1}
    }


@pytest.mark.parametrize(("no_face", "unusable"), [(4, {}), (5, {"no face to FER+": 1})])
def test_five_raters_of_ten_who_see_no_face_are_enough(no_face: int, unusable: dict[str, int]) -> None:
    assert majority_labels(np.array([votes(happiness=10 - no_face, nf=no_face)])).unusable == unusable


def test_the_official_table_gives_the_labels_of_a_pixel_csv(pixel_csv: Path, official: Path) -> None:
    samples = load(pixel_csv, votes=official)
    assert samples.labels == FERPLUS_LABELS and samples.labels_from == LABEL_RULE
    assert [samples.labels[i] for i in samples.y][:3] == ["contempt", "neutral", "fear"]
    assert len(samples.y) == 17 and samples.source[:2] == ("fer2013.csv:2", "fer2013.csv:6")
    assert samples.left_out == {
        **{"without FER+ votes": 1, "no face to FER+": 1, "unknown to FER+": 1, "too few FER+ votes": 1}
    }
    said = " ".join(remarks(samples))
    assert (
        "labels: majority of FER+ votes" in said
        and "too few FER+ votes 1" in said
        and "no image of angry, disgust" in said
    )
    assert samples.votes is not None and samples.votes.sum() == 17
    assert samples.part("test").votes is not None and load(pixel_csv).votes is None
    assert load(pixel_csv, votes=official.parent).source == samples.source, "the folder of the table"


def test_a_table_by_file_gives_the_labels_of_images(tree: Path, tmp_path: Path) -> None:
    for header in (True, False):
        samples = load(tree, votes=by_file(tree, tmp_path / "votes.csv.gz", header))
        assert len(samples.y) == 16 and samples.left_out["without FER+ votes"] == 2
        where = samples.source.index("train/angry/Training_0.png")
        assert samples.labels[samples.y[where]] == "contempt"


def test_votes_beside_the_labels_of_the_set(tree: Path, tmp_path: Path) -> None:
    samples = load(tree, votes=by_file(tree, tmp_path / "votes.csv.gz"), vote_labels=False)
    assert samples.labels == LABELS and len(samples.y) == 21 and samples.labels_from is None
    assert samples.votes is not None and samples.votes.shape == (21, 8)
    assert np.count_nonzero(samples.votes.sum(1)) == 16


def test_a_model_of_the_seven_expressions_can_be_judged_by_votes(pixel_csv: Path, official: Path) -> None:
    samples = load(pixel_csv, classes=LABELS, votes=official)
    assert samples.labels == LABELS and samples.left_out["contempt"] == 1 and len(samples.y) == 16


def changed(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


def test_what_does_not_belong_together_is_refused(pixel_csv: Path, official: Path, tree: Path, tmp_path: Path) -> None:
    table = by_file(tree, tmp_path / "votes.csv.gz")
    with pytest.raises(DataError, match=r"no file name of .*votes.csv.gz is one of .*fer2013.csv"):
        load(pixel_csv, votes=table)
    lines = official.read_text().splitlines(keepends=True)
    with pytest.raises(DataError, match=r"its rows are those of fer2013.csv"):
        load(tree, votes=changed(official, lines[1], lines[2]))
    official.write_text("".join(lines[:-1]))
    with pytest.raises(DataError, match=r"20 rows of votes and .*fer2013.csv 21 images"):
        load(pixel_csv, votes=official)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("emotion,pixels\n0,1 2 3\n", "is not a table of FER. votes: its first row has the columns emotion, pixels"),
        ("", r"has the columns \(none\)"),
        ("a.png,1,2,3\n", "has the columns a.png, 1, 2, 3"),
        ("a.png,1,2,3,4,5,6,7,8,9,10\nb.png,1\n", "row 2 of .* has 2 columns, not 11"),
        ("a.png,1,2,3,4,5,6,7,8,9,ten\n", "row 1 of .* has a count of votes that is none: .*'ten'"),
        ("a.png,1,2,3,4,5,6,7,8,9,-1\n", "-1 is below 0"),
    ],
)
def test_a_file_that_is_no_table_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        VoteTable.read(tmp_path / "votes.csv")
    with pytest.raises(DataError, match=r"cannot be read as a table of FER. votes: No such file"):
        VoteTable.read(tmp_path / "none.csv")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"a" * 1000)[:-5])
    with pytest.raises(DataError, match="cannot be read as a table"):
        VoteTable.read(tmp_path / "cut.csv.gz")


def test_the_command_counts_the_eight_classes(
    pixel_csv: Path, official: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(pixel_csv), "--votes", str(official), "--json"]) == 0
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert summary["labels"] == list(FERPLUS_LABELS) and summary["counts"]["train"]["contempt"] == 1
    assert "majority of FER+ votes" in err
    assert main([str(pixel_csv), "--votes", str(official), "--crop", "out"]) == 2


def test_parity_and_evaluation_take_the_labels_of_the_votes(pixel_csv: Path, official: Path) -> None:
    samples = ConversionOptions(pixel_csv, votes=official).samples(48, FERPLUS_LABELS)
    assert samples is not None and samples.labels_from == LABEL_RULE and len(samples.y) == 17
    with pytest.raises(UsageError, match="name the set with --data"):
        ConversionOptions(votes=official).samples(48, FERPLUS_LABELS)
    report, evaluated = evaluate(open_named(EDGE), pixel_csv, "train", votes=official)
    assert report.data.labels_from == LABEL_RULE and report.data.left_out["contempt"] == 1
    assert len(evaluated.y) == 5 and f"- Labels: {LABEL_RULE}." in markdown(report)


def test_votes_do_not_make_it_another_set_than_the_one_of_the_training(
    pixel_csv: Path, official: Path, tmp_path: Path
) -> None:
    history = TrainingHistory.read(EDGE / "history.json")
    for trained_on, expected in (
        (load(pixel_csv), False),
        (load(pixel_csv, classes=LABELS, votes=official), False),
        (load(pixel_csv).take(np.arange(20)), True),
    ):
        replace(history, data=fingerprint(trained_on)).write(tmp_path / "history.json")
        report, _ = evaluate(open_named(EDGE), pixel_csv, "test", votes=official, history=tmp_path / "history.json")
        assert report.unseen_why is not None and ("trained on another set" in report.unseen_why) == expected


@pytest.fixture
def real_votes(fer2013: Path) -> Path:
    """The table of votes beside the real data set."""
    table = fer2013.parent / SHARED_VOTES
    if not table.is_file():
        pytest.skip("no FER+ votes beside FER2013")
    return table


def test_the_raters_majority_differs_from_the_labels_of_fer2013_as_often_as_the_pages_say(real_votes: Path) -> None:
    """The table's paths, train/happy/NAME.jpg, have the set's own label."""
    table = VoteTable.read(real_votes)
    found = [FERPLUS_LABELS[i] if i >= 0 else None for i in majority_labels(table.counts).label]
    both = [(file.split("/")[-2], label) for file, label in zip(table.files, found, strict=True) if label in LABELS]
    assert {own for own, _ in both} == set(LABELS)
    assert (len(both), sum(own != label for own, label in both)) == (IN_SEVEN_CLASSES, OTHER_IN_FER2013)
    for page in (*(f"models/{name}/CARD.md" for name in RELEASED), "docs/pages/privacy.md"):
        text = (ROOT / page).read_text()
        assert re.search(r"another label than FER2013's for 36 ?% of", text) and "about a quarter" not in text, page


def test_a_tie_for_the_majority_decides_as_many_test_images_as_the_page_says(real_votes: Path) -> None:
    table = VoteTable.read(real_votes)
    found = majority_labels(table.counts)
    in_test = np.array([Path(file).name.startswith("PrivateTest") for file in table.files])
    judged = in_test & (found.label >= 0) & (found.label != FERPLUS_LABELS.index("contempt"))
    second, first = np.sort(found.shares, 1)[:, -2:].T
    tie = judged & (first == second)
    neutral = tie & (found.label == FERPLUS_LABELS.index("neutral"))
    text = " ".join((ROOT / "docs/pages/privacy.md").read_text().split())
    assert (int(judged.sum()), int(tie.sum()), int(neutral.sum())) == (3_477, 145, 88)
    assert "That decides 145 of the 3,477 test images, of which 88 become neutral." in text
    assert "[how votes are counted](docs/pages/privacy.md)" in (ROOT / "README.md").read_text()


def test_the_labels_of_the_real_set(fer2013: Path, real_votes: Path) -> None:
    samples = load(fer2013, votes=real_votes)
    counts = {part: int(np.sum(samples.split == part)) for part in ("train", "validation", "test")}
    assert counts == {"train": 28_071, "validation": 3_519, "test": 3_502}
    assert samples.left_out == {
        **{"without FER+ votes": 175, "no face to FER+": 3, "unknown to FER+": 512, "too few FER+ votes": 105}
    }
