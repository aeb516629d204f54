"""Checkpoints that are damaged or of another run, and runs that diverge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from builders import SMALL_NETWORK

from convert.data.samples import Samples
from convert.tflite.keras_export import load_keras
from convert.train import trainer
from convert.train.__main__ import main
from convert.train.checkpoints import load_checkpoint, save_checkpoint
from convert.train.history import TrainingHistory
from convert.train.loops import HostLoop
from convert.train.presets import PRESETS
from convert.train.trainer import train
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    import keras


@pytest.mark.parametrize("fault", ["empty", "npy", "pickled", "no history", "arrays", "shapes"])
def test_a_checkpoint_that_is_none_is_refused(fault: str, trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    history = TrainingHistory.read(trained / "history.json")
    state = [np.zeros(3), np.zeros((2, 2))]
    save_checkpoint(history, state, str(path))
    assert len(load_checkpoint(path, history, state)[1]) == 2
    match fault:
        case "empty":
            path.write_bytes(b"")
        case "npy" | "pickled":
            with path.open("wb") as file:
                np.save(file, np.array([{}]) if fault == "pickled" else np.zeros(3), allow_pickle=True)
        case "no history":
            np.savez(path, v0=state[0], v1=state[1])
        case "arrays":
            save_checkpoint(history, state[:1], str(path))
        case "shapes":
            save_checkpoint(history, state[::-1], str(path))
    with pytest.raises(UsageError, match=r"checkpoint\.npz is damaged \(.*begin in another folder") as refused:
        load_checkpoint(path, history, state)
    assert len(str(refused.value)) < 400


def test_a_checkpoint_of_another_run_is_refused_with_the_fields_that_differ(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    history = TrainingHistory.read(trained / "history.json")
    save_checkpoint(history, [], str(path))
    other = replace(history, policy="mixed", recipe={**history.recipe, "learning_rate": 0.5})
    with pytest.raises(UsageError) as refused:
        load_checkpoint(path, other, [])
    assert str(refused.value) == (
        f"{path} belongs to another run: recipe.learning_rate is 0.002, and this run's 0.5; policy is "
        '"float32", and this run\'s "mixed"; resume with the settings of that run, or name another --out'
    )


def test_another_number_of_teachers_is_named(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    history = replace(TrainingHistory.read(trained / "history.json"), teachers=("a" * 64,), teachers_policy="float32")
    save_checkpoint(history, [], str(path))
    with pytest.raises(UsageError, match=r"another run: teachers\.2 is not set, and this run's \"bbb"):
        load_checkpoint(path, replace(history, teachers=("a" * 64, "b" * 64)), [])


def test_a_run_that_diverges_ends_with_a_sentence_and_keeps_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(data), "--preset", "nano-short", "--epochs", "3", "--learning-rate", "1e30"]
    assert main([*arguments, "--precision", "float32", "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "the training diverged in epoch 1: its loss is" in err and "no model was kept" in err
    assert "a lower --learning-rate than 1e+30" in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("of", ["loss", "validation loss"])
def test_a_run_that_diverges_later_keeps_the_best_epoch_before(
    of: str, bars: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, recipe = bars.take(np.r_[0:42, 350:378]), replace(PRESETS["paper"], epochs=4, batch=14, learning_rate=1e-3)
    train(few, tmp_path / "whole", SMALL_NETWORK, replace(recipe, epochs=2))

    class Diverging(HostLoop):
        def train_epoch(self, epoch: int, callbacks: Sequence[keras.callbacks.Callback]) -> tuple[float, float]:
            loss, accuracy = super().train_epoch(epoch, callbacks)
            if epoch == 2:
                self.model.set_weights([np.full_like(w, np.nan) for w in self.model.get_weights()])
            return (np.inf if epoch == 2 and of == "loss" else loss), accuracy

    monkeypatch.setattr(trainer, "HostLoop", Diverging)
    monkeypatch.setattr(trainer, "CHECKPOINT_EVERY_S", 3600.0)
    out = tmp_path / "out"
    with pytest.raises(
        UsageError, match=r"diverged in epoch 3: .*model\.keras stays that of epoch [12]; .*another --out"
    ):
        train(few, out, SMALL_NETWORK, recipe)
    history = TrainingHistory.read(out / "history.json")
    assert history.last_epoch == 2 and "NaN" not in (out / "history.json").read_text()
    whole = TrainingHistory.read(tmp_path / "whole" / "history.json")
    assert history.best_epoch == whole.best_epoch
    for a, b in zip(*(load_keras(p / "model.keras").get_weights() for p in (out, tmp_path / "whole")), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
