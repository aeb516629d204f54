"""Checked number types for argparse; an invalid number ends the command with a message and exit code 2."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def whole_number(low: int) -> Callable[[str], int]:
    """The argparse type of a whole number of at least `low`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"“{text}” is not a whole number of {low} or more")
        return value

    return read
