"""Settings refuse what makes no sense, and the journal's folder is where the system wants it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device.config import Settings, default_log
from fer_edge.errors import UsageError


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"STATE_DIRECTORY": "/var/lib/fer-edge"}, "/var/lib/fer-edge"),
        ({"STATE_DIRECTORY": "/var/lib/fer-edge:/var/lib/other"}, "/var/lib/fer-edge"),
        ({"STATE_DIRECTORY": "/var/lib/a", "XDG_STATE_HOME": "/x"}, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/x/state"}, "/x/state/fer-edge"),
        ({"XDG_STATE_HOME": "relative"}, "~/.local/state/fer-edge"),
        ({"STATE_DIRECTORY": ""}, "~/.local/state/fer-edge"),
        ({}, "~/.local/state/fer-edge"),
    ],
)
def test_default_log(environ: dict[str, str], folder: str) -> None:
    assert default_log(environ) == Path(folder).expanduser()


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"camera": "  "}, "no name"),
        ({"duration_s": 0.0}, "duration"),
        ({"duration_s": -1.0}, "duration"),
        ({"duration_s": float("nan")}, "duration"),
        ({"duration_s": float("inf")}, "duration"),
        ({"width_px": 0}, "width"),
        ({"height_px": -5}, "height"),
        ({"fps": 0.0}, "frame rate"),
        ({"threads": 0}, "threads"),
    ],
)
def test_a_value_without_sense_is_refused(values: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Settings(**values)
