"""A file written beside its place and then renamed, so that a reader sees the old file or the new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_beside(path: Path, write: Any) -> None:
    """Lets `write` make a file beside `path` and renames it into place, so that `path` is whole or as it was."""
    beside = path.with_name(f".{path.stem}.partial{path.suffix}")
    write(str(beside))
    beside.replace(path)
