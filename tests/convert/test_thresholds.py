"""`python -m convert.thresholds`: thresholds fitted again on the model as it is, in bundle.json, parity.json and the card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import samples_csv

from convert.data.ferplus import LABEL_RULE
from convert.data.samples import Samples
from convert.golden import main as golden_main
from convert.parity.__main__ import main as parity_main
from convert.parity.parity_report import read_parity
from convert.quantize.__main__ import main as quantize_main
from convert.thresholds import main
from fer_edge.bundle import Bundle
from fer_edge.shipped_bundles import shipped_path
from fer_edge.thresholds import StatedPrior


@pytest.fixture
def nano(tmp_path: Path) -> Path:
    shutil.copytree(shipped_path("nano"), tmp_path / "nano", ignore=shutil.ignore_patterns("report"))
    return tmp_path / "nano"


def test_the_thresholds_are_those_with_which_the_bundle_was_released(
    nano: Path, fer2013: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(nano), "--data", str(fer2013), "--threshold-prior", "data"]) == 0
    capsys.readouterr()
    before = Bundle.load(nano)
    assert main([str(nano), "--data", str(fer2013), "--threshold-prior", "neutral=0.7"]) == 0
    assert "neutral always" in capsys.readouterr().out
    after = Bundle.load(nano)
    released = Bundle.load(shipped_path("nano")).spec
    assert after.spec.thresholds == released.thresholds and before.spec.thresholds != released.thresholds
    assert after.spec.provenance.train_counts == released.provenance.train_counts
    changed = {name for name, entry in after.spec.files.items() if entry != before.spec.files[name]}
    assert changed == {"parity.json", "CARD.md"} and after.spec.runtimes == before.spec.runtimes
    assert "| happy | 0.89 |" in (nano / "CARD.md").read_text()
    assert read_parity(nano).parts == read_parity(shipped_path("nano")).parts


@pytest.mark.parametrize("command", [main, parity_main, golden_main])
def test_a_bundle_of_the_package_is_not_changed(
    command: Callable[[list[str]], int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its name alone; a folder of a checkout is changed when its path is given."""
    monkeypatch.chdir(tmp_path)
    arguments = {main: ["nano", "--data", "nowhere"], parity_main: ["nano", "--write"], golden_main: ["nano"]}
    before = (shipped_path("nano") / "bundle.json").read_bytes()
    assert command(arguments[command]) == 2
    assert (
        "nano is a bundle that comes with fer-edge, and this command would change it: copy " in capsys.readouterr().err
    )
    assert (shipped_path("nano") / "bundle.json").read_bytes() == before


def test_thresholds_fitted_to_votes_stay_when_parity_is_measured_on_other_labels(
    fer2013: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    votes = fer2013.parent / "ferplus_by_file.csv.gz"
    if not votes.is_file():
        pytest.skip("no FER+ votes beside FER2013")
    released, path = Bundle.load(shipped_path("edge-mixed")).spec, tmp_path / "edge-mixed"
    shutil.copytree(shipped_path("edge-mixed"), path, ignore=shutil.ignore_patterns("report"))
    assert main([str(path), "--data", str(fer2013), "--threshold-prior", "neutral=0.7"]) == 0
    on_labels = Bundle.load(path).spec.thresholds
    assert on_labels.labels_from is None and on_labels != released.thresholds
    assert main([str(path), "--data", str(fer2013), "--votes", str(votes)]) == 0
    fitted = Bundle.load(path).spec
    assert fitted.thresholds == released.thresholds and fitted.thresholds.labels_from == LABEL_RULE
    assert fitted.provenance == released.provenance, "the images of Training are counted by FER2013's labels"
    confidence, rule = read_parity(path).confidence, f"are right by the {LABEL_RULE}, if 70% of the faces are neutral"
    assert confidence is not None and confidence.errors["validation"].n < 3_589
    assert rule in (path / "CARD.md").read_text()
    capsys.readouterr()

    assert parity_main([str(path), "--data", str(fer2013), "--write"]) == 0
    out, err = capsys.readouterr()
    assert rule in out and f"they were fitted to the {LABEL_RULE}; `python -m convert.thresholds` fits" in err
    assert Bundle.load(path).spec.thresholds == fitted.thresholds
    assert read_parity(path).confidence == confidence and read_parity(path).parts["validation"].n == 3_589


def test_a_stated_prior_is_kept_until_another_is_stated(
    nano: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def prior_after(*words: str) -> StatedPrior | None:
        assert main([str(nano), "--data", str(data), "--json", *words]) == 0
        assert "below" in json.loads(capsys.readouterr().out)["labels"]
        labels = Bundle.load(nano).spec.thresholds.labels
        assert labels is not None
        return labels.prior

    stated = StatedPrior("neutral", 0.5)
    assert prior_after("--threshold-prior", "neutral=0.5") == stated
    assert prior_after() == stated
    assert prior_after("--threshold-prior", "data") is None
    counts = Bundle.load(shipped_path("nano")).spec.provenance.train_counts
    assert counts and Bundle.load(nano).spec.provenance.train_counts == counts, "those of the bundle's own data set"


def test_a_prior_that_cannot_hold_is_left_out_with_a_notice_and_refused_where_it_was_given(
    nano: Path, bars: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = bars.take(np.flatnonzero((bars.y != bars.labels.index("neutral")) | (bars.split != "validation")))
    data, before = str(samples_csv(others, tmp_path)), (nano / "bundle.json").read_bytes()
    for command, words in (
        (main, [str(nano)]),
        (parity_main, [str(nano), "--write"]),
        (quantize_main, ["--model", str(nano)]),
    ):
        for prior in ("neutral=0.5", "neutral=0.7"):
            given = ["--data", data, "--threshold-prior", prior]
            assert command([*words, *given, *(["--out", str(tmp_path / "o")] if command is quantize_main else [])]) == 2
            assert (
                f"the prior {prior} cannot hold, because the validation part has no image of “neutral”; state that of another"
                in capsys.readouterr().err
            )
    assert (nano / "bundle.json").read_bytes() == before and not (tmp_path / "o").exists()
    assert main([str(nano), "--data", data]) == 0
    assert "thresholds: classes count as in the data, not by the prior neutral=0.7, for the" in capsys.readouterr().err
    labels = Bundle.load(nano).spec.thresholds.labels
    assert labels is not None and labels.prior is None
    assert "if classes occur as in the data" in (nano / "CARD.md").read_text()


def test_a_set_with_few_validation_images_changes_nothing(
    nano: Path, bars: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (nano / "bundle.json").read_bytes()
    few = replace(bars, split=np.repeat(["train", "validation", "test"], [450, 40, 140]))
    assert main([str(nano), "--data", str(samples_csv(few, tmp_path))]) == 6
    assert "thresholds need 100 validation images" in capsys.readouterr().err
    assert (nano / "bundle.json").read_bytes() == before
