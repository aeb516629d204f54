"""Types of command line arguments that every command uses."""

from __future__ import annotations

import argparse
from pathlib import Path


def file_path(text: str) -> Path:
    """The argparse type of a file or folder. An empty text, which a shell makes of an unset variable, is refused.

    `Path("")` is the current folder.
    """
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; name a file or folder, or . for the current folder")
    return Path(text)
