"""The result of a measurement that takes long: a dated file that names the software and the machine it stands for.

All are in tests/system/results/ as NAME-DATE.json; tests/bench/README.md lists the commands that write them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fer_edge import __version__
from fer_edge.atomic_file import write_atomically
from fer_edge.hardware import board_name

ROOT = Path(__file__).parents[2]


def stamped(told: dict[str, Any]) -> dict[str, Any]:
    """What was seen, with when, by which commit and on which machine it was seen before it."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "software": f"fer-edge {__version__}",
        "commit": _commit(),
        "python": platform.python_version(),
        "host": board_name()[0],
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 2),  # of the last minute; over `cores`, others were at work too
        **told,
    }


def write(name: str, told: dict[str, Any], folder: Path) -> Path:
    """The file, whole or as it was, after `told`, which is stamped, was put into it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{told['date']}.json"
    text = json.dumps(told, indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, text)
    return path


def reported(name: str, told: dict[str, Any], text: Callable[[dict[str, Any]], str], args: argparse.Namespace) -> int:
    """Exit code 0, after what was seen was stamped, left in the folder `args.out` if one is named, and printed.

    As JSON with `args.json`, else as `text` has it.
    """
    told = stamped(told)
    if args.out:
        write(name, told, args.out)
    print(json.dumps(told) if args.json else text(told))
    return 0


def _commit() -> str:
    """The commit, with a + where the tree has other changes; "unknown" outside a checkout."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
