"""Files that are written beside their place and then renamed: a reader sees the old file or the new one, never a part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(path: Path, mode: int = 0o644, durable: bool = False, fresh_name: str | None = None) -> Iterator[Path]:
    """A fresh, empty file in the folder of `path`, with the same suffix, to write to; renamed to `path` at the block's end.

    When the block fails, the fresh file is removed and `path` stays as it was. `durable` forces the content to the disk
    before the rename. With `fresh_name` the fresh file has that name, by which a leftover of a killed process is found; else
    it has a name that no other process uses. Raises OSError, with `path` as its file where the fresh one cannot be made.
    """
    try:
        fresh = _fresh_file(path, fresh_name)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    try:
        yield fresh
        fresh.chmod(mode)
        if durable:
            sync_to_disk(fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def sync_to_disk(path: Path) -> None:
    """Forces a file or a folder to the disk: without the folder a power cut may lose the name of a file that was forced."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fresh_file(path: Path, name: str | None) -> Path:
    if name is None:
        import tempfile

        descriptor, made = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
        fresh = Path(made)
    else:
        fresh = path.with_name(name)
        fresh.unlink(missing_ok=True)  # a leftover, or a link that somebody put there
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.close(descriptor)
    return fresh


def write_atomically(path: Path, content: bytes | str, mode: int = 0o644, durable: bool = False) -> None:
    """Writes bytes, or text as UTF-8, to `path` as `atomic_file` does."""
    with atomic_file(path, mode, durable) as fresh:
        fresh.write_bytes(content.encode() if isinstance(content, str) else content)
