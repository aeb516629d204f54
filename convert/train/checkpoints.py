"""What a training run leaves behind after each epoch, so that it can be killed at any time, and how it goes on from there."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.errors import UsageError

MAY_CHANGE = ("early_stopping",)  # on resume; and the epochs, where no schedule runs over them


def save(history: dict[str, Any], state: list[np.ndarray], path: str) -> None:
    """Writes a run's history and arrays to `path`, an .npz."""
    arrays: dict[str, Any] = {f"v{i}": array for i, array in enumerate(state)}
    np.savez(path, history=np.array(json.dumps(history)), **arrays)


def restore(path: Path, run: dict[str, Any]) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The history and the arrays that `save` wrote. Raises UsageError for no file, a damaged one, or one of another run."""
    if not path.exists():
        raise UsageError(f"nothing to resume: {path} does not exist; leave out --resume to begin")
    try:
        with np.load(path) as saved:
            history: dict[str, Any] = json.loads(str(saved["history"]))
            arrays = [saved[f"v{i}"] for i in range(len(saved.files) - 1)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is damaged ({error}); leave out --resume and begin in another folder") from error
    for key, value in run.items():
        told: Any = history.get(key)
        if key == "recipe" and told:
            free = MAY_CHANGE if value["schedule"] == "cosine" else ("epochs", *MAY_CHANGE)
            told = {**told, **{name: value[name] for name in free}}
        if told != value:
            raise UsageError(f"{path} is of another run: its {key} is {told}, this run's {value}")
    return {**history, **run}, arrays
