"""The folder of a training run: its float model and its history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fer_edge.errors import UsageError
from fer_edge.shipped_bundles import SHIPPED, shipped_path


def float_model(path: Path) -> Path:
    """The .keras file in a training's or a bundle's folder, or `path` itself if it is one. Raises UsageError for none.

    "edge" or "nano", where nothing here is called so, is that of the bundle that comes with the package.
    """
    if str(path) in SHIPPED and not path.exists():
        path = shipped_path(str(path))
    for file in (path / "model.keras", path / "float.keras", path):
        if file.is_file() and file.suffix == ".keras":
            return file
    raise UsageError(
        f"{path} holds no float model (model.keras or float.keras); name a training's or a bundle's folder"
    )


def read_history(path: Path | None) -> dict[str, Any] | None:
    """The epochs, the best one and the data of a training's history.json; None for no file or no epoch. Raises UsageError."""
    if path is None:
        return None
    try:
        values = json.loads(path.read_text())
        names = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
        epochs = [{name: row[name] for name in names} for row in values["epochs"]]
        kept = {"epochs": epochs, "best_epoch": values["best_epoch"], "data": values.get("data")}
        return kept if epochs else None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no history of `python -m convert.train`: {error!r}") from error
