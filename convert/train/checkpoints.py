"""The checkpoint that a training run writes between epochs, so that it can be killed at any time and resumed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.train.history import TrainingHistory, TrainingSetup
from fer_edge.array_file import read_arrays
from fer_edge.errors import UsageError
from fer_edge.json_fields import json_text, parse_json, to_json
from fer_edge.limits import CHECKPOINT_ARRAYS, CHECKPOINT_BYTES
from fer_edge.text_cleaning import clean

MOST_DIFFERENCES = 6  # that a message names
CHANGEABLE_ON_RESUME = ("early_stopping",)  # on resume; and the epochs, where no schedule runs over them


def save_checkpoint(history: TrainingHistory, state: list[np.ndarray], path: str) -> None:
    """Writes a run's history and arrays to `path`, an .npz."""
    arrays: dict[str, Any] = {f"v{i}": array for i, array in enumerate(state)}
    np.savez(path, history=np.array(json.dumps(history.to_json(), allow_nan=False)), **arrays)


def load_checkpoint(
    path: Path, setup: TrainingSetup, state: Sequence[np.ndarray]
) -> tuple[TrainingHistory, list[np.ndarray]]:
    """The history, with this run's setup, and the arrays that `save` wrote. `state` are those of this run as it begins.

    Raises UsageError where there is no file, where it is damaged, or where it belongs to a run with another setup.
    """
    require_checkpoint(path)
    try:
        with path.open("rb") as file:
            saved = read_arrays(file, CHECKPOINT_BYTES, CHECKPOINT_ARRAYS)
        if "history" not in saved:
            raise ValueError("it holds no history")
        history = TrainingHistory.from_json(parse_json(str(saved["history"])))
        arrays = [saved[f"v{i}"] for i in range(len(saved) - 1) if f"v{i}" in saved]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is damaged ({error}); leave out --resume and begin in another folder") from error
    _require_same_setup(path, history, setup)
    if [array.shape for array in arrays] != [array.shape for array in state]:
        raise UsageError(
            f"{path} is damaged (its {len(arrays)} arrays are not the {len(state)} of this run);"
            " leave out --resume and begin in another folder"
        )
    return replace(history, recipe=setup.recipe), arrays


def require_checkpoint(path: Path) -> None:
    """Raises UsageError where there is no checkpoint to resume from."""
    if not path.exists():
        raise UsageError(f"nothing to resume: {path} does not exist; leave out --resume to begin")


def _require_same_setup(path: Path, history: TrainingHistory, setup: TrainingSetup) -> None:
    """Raises UsageError, which names what differs, where a checkpoint's history is of a run with another setup."""
    differences: list[str] = []
    for field in fields(TrainingSetup):
        saved_value, value = (to_json(getattr(run, field.name)) for run in (history, setup))
        if field.name == "recipe":
            free = CHANGEABLE_ON_RESUME if value["schedule"] == "cosine" else ("epochs", *CHANGEABLE_ON_RESUME)
            saved_value = {**saved_value, **{name: value[name] for name in free}}
        if field.name == "votes" and saved_value is None:
            continue  # of an older checkpoint; one without votes differs in its recipe too
        differences += _differences(field.name, saved_value, value)
    if differences:
        named = "; ".join(differences[:MOST_DIFFERENCES])
        more = len(differences) - MOST_DIFFERENCES
        raise UsageError(
            f"{path} belongs to another run: {named}{f'; and {more} more' if more > 0 else ''};"
            " resume with the settings of that run, or name another --out"
        )


def _differences(name: str, saved: Any, own: Any) -> list[str]:
    """The innermost fields whose values differ, each with both."""
    if isinstance(saved, list) and isinstance(own, list):
        saved, own = (dict(enumerate(values, 1)) for values in (saved, own))
    if isinstance(saved, dict) and isinstance(own, dict):
        keys = dict.fromkeys([*saved, *own])
        return [line for key in keys for line in _differences(f"{name}.{key}", saved.get(key), own.get(key))]
    if saved == own:
        return []
    texts = ("not set" if value is None else clean(json_text(value), 60) for value in (saved, own))
    return [clean(name) + " is {}, and this run's {}".format(*texts)]
