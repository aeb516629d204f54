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
from fer_edge.argument_types import whole_number
from fer_edge.atomic_file import write_atomically
from fer_edge.bundle import Bundle
from fer_edge.hardware import board_name

ROOT = Path(__file__).parents[2]


def stamped(result: dict[str, Any]) -> dict[str, Any]:
    """`result` preceded by the date, the commit and the machine of the measurement."""
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
    """Writes the stamped `result` atomically and returns the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{result['date']}.json"
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, text)
    return path


def bench_parser(name: str, description: str | None, with_data: bool = False) -> argparse.ArgumentParser:
    """The parser of `python -m tests.bench.NAME` with the arguments of all benches of a bundle, which `reported` reads.

    `with_data` adds those of a bench that draws from a data set: --data and --seed.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.bench.{name}", description=description)
    if with_data:
        parser.add_argument("--data", type=Path, required=True)
        parser.add_argument("--seed", type=whole_number(0), default=0)
    parser.add_argument("--bundle", type=Path, help="default: the one that came with the package")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="leave the result there too, dated")
    return parser


def bundle_facts(bundle: Bundle) -> dict[str, str]:
    """The name and the SHA-256 of the measured bundle, as every result has them."""
    return {"bundle": bundle.name, "bundle_sha256": bundle.sha256}


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
