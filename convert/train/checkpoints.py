"""The checkpoint that a training run writes between epochs, so that it can be killed at any time and resumed."""

from __future__ import annotations

import json
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.train.history import TrainingHistory, TrainingSetup
from fer_edge.errors import UsageError
from fer_edge.json_fields import to_json

CHANGEABLE_ON_RESUME = ("early_stopping",)  # on resume; and the epochs, where no schedule runs over them


def save_checkpoint(history: TrainingHistory, state: list[np.ndarray], path: str) -> None:
    """Writes a run's history and arrays to `path`, an .npz."""
    arrays: dict[str, Any] = {f"v{i}": array for i, array in enumerate(state)}
    np.savez(path, history=np.array(json.dumps(history.to_json())), **arrays)


def load_checkpoint(path: Path, setup: TrainingSetup) -> tuple[TrainingHistory, list[np.ndarray]]:
    """The history, with this run's setup, and the arrays that `save` wrote.

    Raises UsageError where there is no file, where it is damaged, or where it belongs to a run with another setup.
    """
    if not path.exists():
        raise UsageError(f"nothing to resume: {path} does not exist; leave out --resume to begin")
    try:
        with np.load(path) as saved:
            history = TrainingHistory.from_json(json.loads(str(saved["history"])))
            arrays = [saved[f"v{i}"] for i in range(len(saved.files) - 1)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is damaged ({error}); leave out --resume and begin in another folder") from error
    for field in fields(TrainingSetup):
        saved_value, value = (to_json(getattr(run, field.name)) for run in (history, setup))
        if field.name == "recipe":
            free = CHANGEABLE_ON_RESUME if value["schedule"] == "cosine" else ("epochs", *CHANGEABLE_ON_RESUME)
            saved_value = {**saved_value, **{name: value[name] for name in free}}
        if saved_value != value:
            raise UsageError(
                f"{path} belongs to another run: its {field.name} is {saved_value}, and this run's is {value}"
            )
    return replace(history, recipe=setup.recipe), arrays
