"""The folder of a training run: its float model."""

from __future__ import annotations

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
