"""Commands of the project as a user types them: in a process of their own, and without the settings of whoever runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "frozen"


def environment(folder: Path) -> dict[str, str]:
    """What a command finds around itself: settings, journals and runtime files below `folder`, detectors as installed."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("FER_EDGE", "STATE_", "RUNTIME_"))
    }
    mine = {
        "XDG_CONFIG_HOME": "config",
        "XDG_STATE_HOME": "state",
        "RUNTIME_DIRECTORY": "run",
        "XDG_RUNTIME_DIR": "run",
        "FER_EDGE_RUNTIME": "run",
        "FER_EDGE_BUNDLES": "bundles",
    }
    return (
        kept
        | {name: str(folder / value) for name, value in mine.items()}
        | {"PYTHONHASHSEED": "0", "COLUMNS": "120", "FER_EDGE_OFFLINE": "1"}
    )


def ran(words: list[str], folder: Path, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
    """A command at its end: `fer-edge …` or `python -m convert.…`, started from the checkout."""
    command = [sys.executable, "-m", "fer_edge", *words[1:]] if words[0] == "fer-edge" else [sys.executable, *words[1:]]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )
