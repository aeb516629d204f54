"""Messages for people: on stderr, for stdout is data; and an end of stdout."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def message(sentence: str) -> None:
    """Writes a sentence to stderr, with the program's name before it. Where stderr is full or closed, it is dropped."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"fer-edge: {sentence}\n")
        sys.stderr.flush()


def discard_stdout() -> None:
    """Directs stdout to nowhere, after it could not be written: Python would try again at its end, and fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
