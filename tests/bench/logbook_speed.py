"""`python -m tests.bench.logbook_speed --out tests/system/results`: how long `fer-edge log` takes over a month of one camera.

The month is generated (`tests/generated_month.py`), about 50 MB, with the journal, episodes and tallies of `fer-edge run`.
Each command runs in fresh processes, the files warm in the kernel's cache; the best of a few counts, since others' work only
ever adds to it. Where this may (root), the measured process goes before all others: `chrt --rr 1`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fer_edge.argument_types import whole_number
from fer_edge.journal.segments import segments
from tests.generated_month import simulate_days
from tests.simulated_device import SimulatedDevice, utc_s
from tests.system.dated_result import ROOT, stamped, write

LIMIT_S, LIMIT_MB = 3.0, 100.0  # of the summary
COMMANDS = {
    "summary": ["summary"],
    "summary by hour": ["summary", "--by", "hour", "--json"],
    "check": ["check"],
    "blind": ["query", "blind"],
    "tail": ["tail"],
    "export": ["export", "episodes", "--out", "{}/episodes.csv"],
}
_BUSY = 1.4  # times the visits of a household: that makes 50 MB a month


# The most that a process held is asked of itself at its end: what its parent is told counts the parent's own pages too.
ONE = """import sys
from fer_edge.cli import main
code = main(sys.argv[1:])
sys.stderr.write(open("/proc/self/status").read())
sys.exit(code)"""


def before_all_others() -> list[str]:
    """The words before a command by which it goes before all other processes; none where this may not."""
    first = shutil.which("chrt") if os.geteuid() == 0 else None
    return [first, "--rr", "1"] if first else []


def measured(arguments: list[str], folder: Path, code: str = ONE) -> tuple[float, float]:
    """Seconds that a command took over the journal, or `code` with its arguments, and the most memory it held, in MB."""
    words = ["log", *arguments, str(folder)] if code == ONE else arguments
    command = [*before_all_others(), sys.executable, "-c", code, *words]
    began_s = time.perf_counter()
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    seconds = time.perf_counter() - began_s
    assert ran.returncode in (0, 7), ran.stderr
    return seconds, int(ran.stderr.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def main(argv: list[str] | None = None) -> int:
    """Prints what was measured as JSON; 1 where the summary takes more than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--times", type=whole_number(1), default=3, help="each command; default: 3")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="the month is made there, unless it was before")
    parser.add_argument("--out", type=Path, help="folder for logbook-DATE.json")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as fresh:
        folder = args.keep or Path(fresh) / "kitchen"
        if not folder.exists():
            simulate_days(SimulatedDevice(folder, utc_s("2026-03-01T00:00:00"), "kitchen", seed=1), args.days, _BUSY)
        every = segments(folder)
        result: dict[str, Any] = {
            "journal": f"{args.days:g} days of one camera, generated",
            "bytes": sum(path.stat().st_size for path in every),
            "lines": sum(path.read_bytes().count(b"\n") for path in every),
            "segments": len(every),
        }
        runs = {}
        for name, arguments in COMMANDS.items():
            took = [measured([word.format(fresh) for word in arguments], folder) for _ in range(args.times)]
            runs[name] = {
                "seconds": round(min(s for s, _ in took), 2),
                "seconds_each": [round(s, 2) for s, _ in took],
                "rss_mb": round(max(mb for _, mb in took), 1),
            }
    first = runs["summary"]
    wrong = [f"the summary takes {first['seconds']} s, not {LIMIT_S:g}"] if first["seconds"] > LIMIT_S else []
    wrong += [f"the summary holds {first['rss_mb']} MB, not {LIMIT_MB:g}"] if first["rss_mb"] > LIMIT_MB else []
    result = stamped({**result, "runs": runs, "wrong": wrong})
    if args.out:
        write("logbook", result, args.out)
    print(json.dumps(result, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
