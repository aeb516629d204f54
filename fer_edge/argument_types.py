"""Types of command line arguments that every command uses."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from fer_edge.text_cleaning import clean

LARGEST_WHOLE_NUMBER = 2**32 - 1  # numpy takes no larger seed


def file_path(text: str) -> Path:
    """The argparse type of a file or folder. An empty text, which a shell makes of an unset variable, is refused.

    `Path("")` is the current folder.
    """
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; name a file or folder, or . for the current folder")
    return Path(text)


def whole_number(low: int, high: int = LARGEST_WHOLE_NUMBER) -> Callable[[str], int]:
    """The argparse type of a whole number from `low` to `high`; another one ends the command with a message and exit code 2."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            expected = f"{low} or more" if value < low else f"{low} to {high}"
            raise argparse.ArgumentTypeError(f"“{clean(text, 60)}” is not a whole number of {expected}")
        return value

    return read
