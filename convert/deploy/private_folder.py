"""A folder for one process alone: its connection's socket, or links to what it ships."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def private_folder(kind: str) -> Iterator[Path]:
    """A folder for this process alone, gone at the end; those of processes that were killed go too."""
    top = Path("/tmp")  # the path of a socket must be short
    for left in top.glob(f"fer-edge-{kind}-*"):
        with suppress(OSError, ValueError):
            try:
                os.kill(int(left.name.split("-")[3]), 0)
            except ProcessLookupError:
                if left.stat(follow_symlinks=False).st_uid == os.getuid():
                    shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=f"fer-edge-{kind}-{os.getpid()}-", dir=top) as folder:
        yield Path(folder)
