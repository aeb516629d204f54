"""Checkpoints that are damaged or of another run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from convert.train.checkpoints import load_checkpoint, save_checkpoint
from convert.train.history import TrainingHistory
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    pass


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
