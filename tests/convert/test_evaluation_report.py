"""The evaluation report: as JSON and back, as Markdown beside the published figures, as figures, and in a folder."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from builders import external_history, training_history

from convert.evaluate import paper_baseline
from convert.evaluate.evaluation_report import EvaluationData, EvaluationReport, Subject
from convert.evaluate.inference_cost import InferenceCost
from convert.evaluate.metrics import roc_curves, score
from convert.evaluate.reported_labels import ReportingRule, clear_majority, reported_by_class
from convert.parity.paired_comparison import curves_of_both
from convert.report import plots
from convert.report.__main__ import main
from convert.report.evaluation_files import files, write
from convert.report.evaluation_markdown import markdown
from fer_edge.errors import UsageError
from fer_edge.hardware import board_name
from fer_edge.labels import LABELS
from fer_edge.shipped_bundles import shipped_path

RULE = ReportingRule(1.0, (0.5,) * 7)


def votes(y: np.ndarray) -> np.ndarray:
    """Shares (N, 8) as if the raters agreed on every second image."""
    shares = np.full((len(y), 8), 0.05, np.float32)
    shares[np.arange(len(y)), y] = 0.65
    shares[::2] = np.eye(8, dtype=np.float32)[y[::2]]
    return shares


def report(present: tuple[int, ...] = tuple(range(7)), **changes: Any) -> EvaluationReport:
    """A report of random logits with some skill on 400 images, as if of FER2013's validation part."""
    rng = np.random.default_rng(0)
    y = rng.choice(present, 400)
    logits = (rng.normal(size=(400, 7)) + 1.5 * np.eye(7)[y]).astype(np.float32)
    evaluation = EvaluationReport(
        subject=Subject("net", "tflite", "net.tflite", 1234, "ab" * 32, ("int8",), "litert 2.3.0", "default", "gray/1"),
        data=EvaluationData(
            "set.zip", "zip", "validation", "parts as the set names them", paper_baseline.FER2013, "cd", 0, {}, 0
        ),
        scores=score(logits, y, LABELS, draws=100),
        unseen=score(logits[30:], y[30:], LABELS, draws=100),
        unseen_why="30 of these images also stand in the training part of the same set, pixel for pixel.",
        curves=roc_curves(logits, y, LABELS),
        cost=InferenceCost(1000, 2_500_000, 1234, 1.5, 1.4, 1.9, 100, "Some Processor", False, 0.3),
        history=training_history(epochs=15, best_epoch=13).summary(),
        bootstrap={"draws": 100, "seed": 0},
        versions={"python": "3.11"},
        reported=reported_by_class(RULE.reported(logits), y, LABELS),
        clear=clear_majority(logits, y, votes(y), LABELS, RULE),
    )
    return replace(evaluation, **changes)


def rows(text: str) -> dict[str, list[str]]:
    """The cells of every Markdown table row by the row's first cell; the first of a name counts."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("|"):
            first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            found.setdefault(first, cells)
    return found


@pytest.mark.parametrize(
    "changes",
    [{}, {"unseen": None, "history": None}, {"clear": None, "reported": None}, {"present": (3, 5)}],
)
def test_it_is_read_back_from_json_unchanged(changes: dict[str, Any], tmp_path: Path) -> None:
    evaluation = report(**changes)
    write(evaluation, tmp_path)
    again = EvaluationReport.load(tmp_path / "report.json")
    assert again.to_json() == evaluation.to_json()
    assert files(again) == files(evaluation)
    assert "NaN" not in (tmp_path / "report.json").read_text()


def test_the_training_figure_draws_the_score_too() -> None:
    history = training_history(epochs=15, best_epoch=13).summary()
    scored = replace(history, epochs=tuple(replace(row, val_score=0.4) for row in history.epochs))
    stored = report(history=scored).as_stored().history
    assert stored and {row.val_score for row in stored.epochs} == {0.4}
    png, without = (files(report(history=each))["figure-2-training.png"] for each in (scored, history))
    assert png != without


def test_the_training_figure_draws_only_what_a_history_knows(tmp_path: Path) -> None:
    whole, partial = report(), report(history=external_history().summary())
    write(partial, tmp_path)
    assert EvaluationReport.load(tmp_path / "report.json").history == partial.history
    shapes = []
    for evaluation in (whole, partial):
        png = files(evaluation)["figure-2-training.png"]
        shapes.append(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape)
    assert shapes[1][1] < 0.6 * shapes[0][1], "one panel, accuracy, instead of two"


def test_a_report_of_other_classes_has_no_published_figures() -> None:
    labels = (*LABELS, "contempt")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 8, 200)
    logits = (rng.normal(size=(200, 8)) + 2 * np.eye(8)[y]).astype(np.float32)
    data = replace(report().data, counts={"train": 2, "validation": 200, "test": 2}, labels_from="votes")
    scores = score(logits, y, labels, draws=20)
    text = markdown(report(data=data, scores=scores, unseen=None, curves=roc_curves(logits, y, labels)))
    assert "contempt" in rows(text) and "published" not in text.split("## How")[0] and "- Labels: votes." in text


def test_a_report_of_own_classes_on_parts_of_fer2013s_sizes_has_no_published_figures() -> None:
    """Classes that the paper does not have, and signs that Markdown and matplotlib give a meaning."""
    labels = ("calm", "a|b", "$x$", "_y")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 200)
    logits = (rng.normal(size=(200, 4)) + 2 * np.eye(4)[y]).astype(np.float32)
    scores = score(logits, y, labels, draws=20)
    own = report(scores=scores, unseen=None, curves=roc_curves(logits, y, labels))
    text = markdown(own)
    assert "published" not in text.split("## How")[0] and "No published figures" in text
    assert "| a\\|b | " in text and len({line.replace("\\|", "").count("|") for line in _class_rows(text)}) == 1
    assert {"figure-3-confusion.png", "figure-4-roc.png"} <= set(files(own))


def _class_rows(text: str) -> list[str]:
    return [line for line in text.split("## Each class")[1].split("##")[0].splitlines() if line.startswith("|")]


def test_the_averages_of_the_published_table_follow_from_its_rows() -> None:
    """To the rounding of the rows, so no number was copied wrongly."""
    table = paper_baseline.CLASSES
    assert tuple(table) == LABELS and paper_baseline.N == 7066
    for i, name in enumerate(("precision", "recall", "f1")):
        values = [getattr(row, name) for row in table.values()]
        assert np.mean(values) == pytest.approx(paper_baseline.MACRO[i], abs=0.01)
        supports = [row.support for row in table.values()]
        assert np.average(values, weights=supports) == pytest.approx(paper_baseline.WEIGHTED[i], abs=0.01)
    for row in table.values():
        if row.precision:
            assert row.f1 == pytest.approx(2 * row.precision * row.recall / (row.precision + row.recall), abs=0.011)
    assert np.mean([sum(row.auc) / 2 for row in table.values()]) == pytest.approx(paper_baseline.MACRO_AUC, abs=0.01)


def test_scores_stand_beside_the_published_ones() -> None:
    evaluation = report()
    table = rows(markdown(evaluation))
    s = evaluation.scores
    assert table["accuracy"][0] == f"{s.accuracy.value:.3f}" and table["accuracy"][-1] == "0.48"
    assert evaluation.unseen is not None and table["accuracy"][2] == f"{evaluation.unseen.accuracy.value:.3f}"
    assert table["macro AUC"][-1] == "0.82"
    sad = s.classes[LABELS.index("sad")]
    assert sad.auc is not None and sad.recall is not None
    assert table["sad"][2:4] == [f"{sad.recall:.3f}", "0.68"] and table["sad"][6:8] == [f"{sad.auc:.3f}", "0.78–0.80"]
    assert table["sad"][8:] == [str(sad.support), "1,139"]
    assert table["weighted"][3] == "0.48" and table["macro"][7] == "0.82"
    text = markdown(evaluation)
    assert "7,066 images" in text and paper_baseline.DOI in text and "disagree" not in text, "of another network"
    named = markdown(replace(evaluation, subject=replace(evaluation.subject, name="paper")))
    assert "7,066 images" in named and "disagree" in named, "its own table's caveats"
    assert "this host (Some Processor), not a Raspberry Pi" in text


def test_scores_on_another_set_have_no_published_ones_beside_them() -> None:
    other = replace(
        report().data, counts={"train": 10, "validation": 400, "test": 0}, left_out={"contempt": 12}, skipped=2
    )
    text = markdown(report(data=other))
    assert "published" not in text.split("## How it was measured")[0]
    assert "No published figures" in text and "contempt 12" in text and "Skipped" in text


def test_absent_classes_are_dashes_and_named() -> None:
    evaluation = report(present=(3, 5))
    table = rows(markdown(evaluation))
    assert table["angry"][0::2] == ["–", "–", "–", "–", "0"]
    assert "No image of angry, disgust, fear, neutral, surprise" in markdown(evaluation)


@pytest.mark.parametrize("present", [tuple(range(7)), (3, 5), (3,)])
def test_figures_are_reproducible_and_hold_no_date(present: tuple[int, ...]) -> None:
    first, second = files(report(present)), files(report(present))
    assert first == second
    for name in ("figure-2-training.png", "figure-3-confusion.png", "figure-4-roc.png"):
        png = first[name]
        assert b"tEXt" not in png and b"tIME" not in png and b"iTXt" not in png
        image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape[0] > 400 and image.shape[1] > 700
        edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        assert (edge == 255).all(), f"{name} is cut at its edge"


def test_a_users_matplotlib_style_has_no_effect() -> None:
    import matplotlib

    plain = plots.confusion(report().scores)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.dpi": 20}):
        assert plots.confusion(report().scores) == plain
        assert matplotlib.rcParams["font.size"] == 30


def test_correct_answers_are_dark_on_the_diagonal_of_the_confusion_matrix() -> None:
    """More dark pixels than where the answers are spread evenly."""
    y = np.repeat(np.arange(7), 10)
    right = score(np.eye(7, dtype=np.float32)[y], y, LABELS, draws=10)
    spread = score(np.eye(7, dtype=np.float32)[np.tile(np.arange(7), 10)], y, LABELS, draws=10)
    dark = [
        (cv2.imdecode(np.frombuffer(plots.confusion(s), np.uint8), cv2.IMREAD_GRAYSCALE) < 60).sum()
        for s in (right, spread)
    ]
    assert dark[0] > 2 * dark[1]


def test_figures_escape_the_characters_of_a_class_that_cannot_be_printed() -> None:
    """matplotlib would warn with the character itself, and an SVG with it is not XML."""
    bad, escaped = "\x1b]0;x\x07", r"\x1b]0;x\x07"
    labels = (bad, *LABELS[1:])
    rng = np.random.default_rng(0)
    y = rng.integers(0, 7, 100)
    logits = (rng.normal(size=(100, 7)) + 2 * np.eye(7)[y]).astype(np.float32)
    scores = score(logits, y, labels, draws=10)
    both = curves_of_both(logits, logits, y, labels)
    difference = plots.Difference(bad, 70.0, 69.0, -1.0, -2.0, 0.0, 2.0, "open")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert plots.confusion(scores) and plots.roc(scores, roc_curves(logits, y, labels))
        svgs = [plots.roc_pair(both), plots.confusion_change(both, list(labels)), plots.class_differences([difference])]
    assert not [str(one.message) for one in caught]
    for svg in svgs:
        assert escaped in "".join(ElementTree.fromstring(svg).itertext())


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"model")
    (tmp_path / "report.json").write_text("old")
    names = [path.name for path in write(report(), tmp_path)]
    assert sorted([*names, "model.tflite"]) == sorted(p.name for p in tmp_path.iterdir())
    assert (tmp_path / "model.tflite").read_bytes() == b"model"
    assert json.loads((tmp_path / "report.json").read_text())["format"] == 1


@pytest.mark.parametrize("name", ["{here}/abs", "../../evil"])
def test_a_bundle_whose_name_is_a_path_writes_no_page(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(shutil.copytree(shipped_path("nano"), tmp_path / "in" / "work" / "nano"))
    monkeypatch.chdir(bundle.parent)
    spec = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(spec | {"name": name.format(here=tmp_path)}))
    before = sorted(tmp_path.rglob("*"))
    assert main([str(bundle)]) == 5
    assert "not a name that a file can have" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_refused_without_leftovers(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be written"):
        write(report(), tmp_path / "file" / "in")
    (tmp_path / "report.md").mkdir()  # in the way of one of them
    (tmp_path / "report.md" / "x").write_text("x")
    with pytest.raises(UsageError, match="cannot be written"):
        write(report(), tmp_path)
    assert not list(tmp_path.glob(".*partial*"))


def test_the_command_renders_the_same_files_from_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = report()
    write(evaluation, tmp_path / "a")
    assert main([str(tmp_path / "a/report.json"), "--out", str(tmp_path / "b")]) == 0
    assert capsys.readouterr().out.strip() == markdown(evaluation).strip()
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "is not a report"),
        ("[]", "is not a report"),
        ('{"format": 1}', "is not a report"),
        ('{"format": 2}', "report format 2; this version reads 1"),
    ],
)
def test_a_file_that_is_no_report_is_refused(
    content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    assert main([str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0"}, ("Raspberry Pi 4 Model B Rev 1.4", True)),
        ({"proc/device-tree/model": "Radxa ROCK 5B\0"}, ("Radxa ROCK 5B", False)),
        (
            {"proc/cpuinfo": "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: Some CPU\n"},
            ("Some CPU @ 2 GHz", False),
        ),
    ],
)
def test_the_host_is_named_by_its_board_or_its_processor(
    files: dict[str, str], expected: tuple[str, bool], tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert board_name(tmp_path) == expected


def test_markdown_says_what_a_device_reports_and_scores_the_clear_majority() -> None:
    evaluation = report()
    text = markdown(evaluation)
    assert evaluation.reported and evaluation.clear
    happy = evaluation.reported[3]
    assert happy.right is not None
    reported = text.split("## What a device reports")[1]
    assert rows(reported)["happy"][:2] == [f"{happy.n:,}", f"{happy.right * 100:.1f}"]
    assert f"{evaluation.clear.scores.n:,} images" in text and evaluation.clear.scores.n == 200
    assert (
        "## Images whose label has at least 70 % of the votes that count\n\nOf an image's votes, single votes and "
        in text
    )
    without = markdown(report(reported=None, clear=None))
    assert "What a device reports" not in without and "of the votes" not in without
