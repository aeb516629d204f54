"""A temporary folder of one process: for the socket of its connection, or for links to the files that it sends."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def private_folder(kind: str) -> Iterator[Path]:
    """A folder that is deleted at the end. Folders left by killed processes are deleted too."""
    parent = Path("/tmp")  # a socket's path must be short
    for folder in parent.glob(f"fer-edge-{kind}-*"):
        with suppress(OSError, ValueError):
            try:
                os.kill(int(folder.name.split("-")[3]), 0)
            except ProcessLookupError:
                if folder.stat(follow_symlinks=False).st_uid == os.getuid():
                    shutil.rmtree(folder)
    with tempfile.TemporaryDirectory(prefix=f"fer-edge-{kind}-{os.getpid()}-", dir=parent) as name:
        yield Path(name)
