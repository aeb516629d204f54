"""The bundles that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


SHIPPED = ("edge", "nano")  # what the wheel carries; the first is the default


def default_path() -> Path:
    """Where the default bundle is."""
    return shipped_path(SHIPPED[0])


def shipped_path(name: str) -> Path:
    """Where a bundle that comes with the package is: inside the installed package, or in the checkout's models/."""
    inside = Path(__file__).parent / "models" / name
    return inside if inside.is_dir() else Path(__file__).parents[1] / "models" / name
