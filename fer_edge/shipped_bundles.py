"""The bundles that come with the package."""

from __future__ import annotations

from pathlib import Path

SHIPPED = ("edge", "nano")  # in the wheel; the first is the default


def default_path() -> Path:
    """The folder of the default bundle."""
    return shipped_path(SHIPPED[0])


def shipped_path(name: str) -> Path:
    """The folder of a bundle that comes with the package: in the installed package, or models/ of a checkout."""
    inside = Path(__file__).parent / "models" / name
    return inside if inside.is_dir() else Path(__file__).parents[1] / "models" / name
