"""The folder of a training run: its float model."""

from __future__ import annotations

import json
from pathlib import Path

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
    """The labels of a float model's outputs, in order, from the history.json or bundle.json beside it; None without one."""
    for name in ("history.json", "bundle.json"):
        path = model.with_name(name)
        if path.is_file():
            try:
                labels = json.loads(path.read_text())["labels"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise UsageError(f"{path} names no labels ({error!r}); is it of a training run or a bundle?") from error
            if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
                raise UsageError(f"the labels in {path} are no list of names")
            return tuple(labels)
    return None
