"""Interpolated weights lie between those before and after a training; the share is chosen by both kinds of labels."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.data.ferplus import COLUMNS
from convert.data.samples import Samples
from convert.interpolate import main
from convert.logit_adjustment import main as logit_adjustment
from convert.tflite.keras_export import load_keras
from convert.train.history import InitialModel, TrainingHistory
from convert.train.weight_interpolation import balanced_accuracy, choose_share
from fer_edge.bundle_files import sha256_of
from fer_edge.errors import UsageError
from fer_edge.labels import LABELS

ROOT = Path(__file__).parents[2]
VOTED = {"angry": "anger", "happy": "happiness", "sad": "sadness"}  # the columns' own names


@pytest.fixture
def votes(bars: Samples, tmp_path: Path) -> Path:
    """A table in which ten people call the images of the class sad neutral, and agree with the labels of the others."""
    path = tmp_path / "votes" / "fer2013new.csv"
    path.parent.mkdir()
    rows = [",".join(("Usage", "Image name", *(c.replace("nf", "NF") for c in COLUMNS)))]
    for i, (k, part) in enumerate(zip(bars.y, bars.split, strict=True)):
        label = "neutral" if LABELS[k] == "sad" else LABELS[k]
        usage = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}[part]
        rows.append(
            ",".join((usage, f"fer{i:07d}.png", *("10" if c == VOTED.get(label, label) else "0" for c in COLUMNS)))
        )
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A run that seems to have started from `trained`: its last layer answers neutral more often."""
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    model = load_keras(run / "model.keras")
    weights = model.get_weights()
    weights[-1][LABELS.index("neutral")] += 8
    model.set_weights(weights)
    model.save(run / "model.keras")
    history = TrainingHistory.read(run / "history.json")
    replace(history, init=InitialModel(sha256_of(trained / "model.keras"), None)).write(run / "history.json")
    return run


def test_a_bundle_is_refused(
    trained: Path, data: Path, votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its int8 model would be that of other weights."""
    bundle = Path(shutil.copytree(ROOT / "models" / "nano", tmp_path / "bundle"))
    before = {path: path.read_bytes() for path in bundle.iterdir() if path.is_file()}
    more = ["--data", str(data)]
    assert main([str(bundle), "--init", str(trained), *more, "--votes", str(votes)]) == UsageError.exit_code
    assert logit_adjustment([str(bundle), *more]) == UsageError.exit_code
    assert capsys.readouterr().err.count("is a bundle; name the training run that it was made from") == 2
    assert {path: path.read_bytes() for path in bundle.iterdir() if path.is_file()} == before


def test_the_share_is_the_best_on_the_new_labels_that_costs_the_old_ones_no_more_than_allowed() -> None:
    scores = {0.0: (0.72, 0.5), 0.5: (0.70, 0.6), 0.6: (0.6901, 0.7), 1.0: (0.68, 0.8)}
    assert choose_share(scores, 0.03) == 0.6 and choose_share(scores, 0.01) == 0.0 and choose_share(scores, 0.1) == 1.0


def test_the_balanced_accuracy_is_the_mean_recall_of_the_classes_that_occur() -> None:
    assert balanced_accuracy(np.array([0, 0, 2, 2]), np.array([0, 0, 0, 2])) == pytest.approx((2 / 3 + 1) / 2)


def test_the_command_writes_weights_between_both_and_records_the_choice(
    trained: Path, run: Path, data: Path, votes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = (load_keras(folder / "model.keras").get_weights() for folder in (trained, run))
    command = [str(run), "--init", str(trained), "--data", str(data), "--votes", str(votes), "--allowed", "0.05"]
    assert main(command) == 0
    assert "share 0." in capsys.readouterr().out
    record = TrainingHistory.read(run / "history.json").interpolation
    assert record is not None and 0 < record.share < 1
    (old_initial, old_trained, old_chosen), (new_initial, _, new_chosen) = (
        record.val_accuracy,
        record.val_balanced_accuracy_on_votes,
    )
    assert old_trained < old_initial - 0.05 <= old_chosen and new_chosen > new_initial
    for a, b, written in zip(before, after, load_keras(run / "model.keras").get_weights(), strict=True):
        np.testing.assert_allclose(written, (1 - record.share) * a + record.share * b, atol=1e-5)
    assert main(command) == UsageError.exit_code
    assert "were changed after the training already" in capsys.readouterr().err


def test_a_run_that_started_elsewhere_is_refused(
    trained: Path, run: Path, data: Path, votes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--data", str(data), "--votes", str(votes)]
    assert main([str(trained), "--init", str(trained), *more]) == UsageError.exit_code
    assert "was not started from" in capsys.readouterr().err
