"""Numbers on the command line that make sense, or a sentence and exit code 2 before anything is done."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def whole_number(low: int) -> Callable[[str], int]:
    """What argparse makes of a whole number of at least `low`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"“{text}” is no whole number of {low} or more")
        return value

    return read
