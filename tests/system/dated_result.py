"""The result of a long measurement: a dated file that names the software and the machine.

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


def stamped(result: dict[str, Any]) -> dict[str, Any]:
    """`told` preceded by the date, the commit and the machine of the measurement."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "software": f"fer-edge {__version__}",
        "commit": _commit(),
        "python": platform.python_version(),
        "host": board_name()[0],
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": round(
            os.getloadavg()[0], 2
        ),  # average of the last minute; above `cores`, other processes were running too
        **result,
    }


def write(name: str, result: dict[str, Any], folder: Path) -> Path:
    """Writes the stamped result `told` atomically and returns the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{result['date']}.json"
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, text)
    return path


def reported(name: str, result: dict[str, Any], text: Callable[[dict[str, Any]], str], args: argparse.Namespace) -> int:
    """Stamps and prints the result, writes it to the folder `args.out` if given, and returns exit code 0.

    Prints JSON with `args.json`, else `text` of the result.
    """
    result = stamped(result)
    if args.out:
        write(name, result, args.out)
    print(json.dumps(result) if args.json else text(result))
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
