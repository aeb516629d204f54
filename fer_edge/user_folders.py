"""The folders of the user who runs a command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def home_folder() -> Path:
    """The user's home; `/` for a user without an entry in the system's list or $HOME, as in a container.

    Writing below `/` is then reported where it fails.
    """
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def data_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of fer-edge's data of this user: below $XDG_DATA_HOME, else below ~/.local/share."""
    data = environ.get("XDG_DATA_HOME")
    return (Path(data) if data else home_folder() / ".local" / "share") / "fer-edge"
