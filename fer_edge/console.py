"""Messages for people: on stderr, for stdout is data."""

from __future__ import annotations

import sys


def message(sentence: str) -> None:
    """Writes a sentence to stderr, with the program's name before it."""
    sys.stderr.write(f"fer-edge: {sentence}\n")
    sys.stderr.flush()
