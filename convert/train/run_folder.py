"""The folder of a training run: its float model."""

from __future__ import annotations

from pathlib import Path

from convert.train.history import TrainingHistory
from fer_edge.bundle import Bundle
from fer_edge.errors import UsageError
from fer_edge.shipped_bundles import SHIPPED, shipped_path


def find_float_model(path: Path) -> Path:
    """The .keras file in the folder of a training run or of a bundle, or `path` itself. Raises UsageError when there is none.

    "edge" and "nano" name the bundles that come with the package, unless a path of that name exists here.
    """
    if str(path) in SHIPPED and not path.exists():
        path = shipped_path(str(path))
    for file in (path / "model.keras", path / "float.keras", path):
        if file.is_file() and file.suffix == ".keras":
            return file
    raise UsageError(
        f"{path} holds no float model (model.keras or float.keras); name the folder of a training run or of a bundle"
    )


def labels_beside(model: Path) -> tuple[str, ...] | None:
    """The labels of a model's outputs, in order: those of the bundle or the training run in whose folder it is, else None."""
    if model.with_name("bundle.json").is_file():
        return Bundle.load(model.parent).labels
    history = model.with_name("history.json")
    return TrainingHistory.read(history).labels if history.is_file() else None
