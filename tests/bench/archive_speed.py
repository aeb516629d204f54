"""`python -m tests.bench.archive_speed --out tests/system/results`: `fer-edge log` over an archive of 200 device-months.

Two months of one camera are generated (`tests/generated_month.py`) and exported with `log export all --partition device,day`;
copies of the two under other names make 200 devices. Each command runs in fresh processes, as in `tests.bench.logbook_speed`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fer_edge.argument_types import whole_number
from fer_edge.commands.log_options import ROW_KINDS
from fer_edge.log.archive import device_folder
from tests.bench.logbook_speed import before_all_others, measured
from tests.generated_month import simulate_days
from tests.simulated_device import SimulatedDevice, utc_s
from tests.system.dated_result import ROOT, stamped, write

LIMIT_S, LIMIT_MB, LIMIT_MONTH_S = 20.0, 500.0, 2.5
MONTHS = ("month-0", "month-1")
_BUSY = 1.4  # as in tests.bench.logbook_speed
_NIGHT = ["--since", "2026-03-15T18:00", "--until", "2026-03-15T22:00"]
_DAY = ["--since", "2026-03-15", "--until", "2026-03-16"]
ONE = {
    "blind of the month": ["blind"],
    "episodes of a day": ["episodes", *_DAY],
    "tallies of a day": ["tallies", *_DAY],
    "camera events of the month": ["events", "--kind", "camera"],
    "every tally of the month": ["tallies"],
}
EVERY = {
    "blind of the month": ["blind"],
    "fear of the month, quality ≥ 0.9": ["episodes", "--expression", "fear", "--min-quality", "0.9"],
    "episodes of an evening": ["episodes", *_NIGHT],
    "tallies of an evening": ["tallies", *_NIGHT],
    "camera events of the month": ["events", "--kind", "camera"],
}
SQL = """SELECT device, day, sum(observed_s), sum(face_s), sum(s_happy), sum(s_unsure)
FROM read_parquet('{archive}/tallies/*/*/*.parquet', hive_partitioning = true) GROUP BY ALL ORDER BY ALL"""
_RUN_SQL = """import sys, duckdb
duckdb.connect(config={"memory_limit": "256MB", "threads": "2"}).sql(sys.argv[1]).fetchall()
sys.stderr.write(open("/proc/self/status").read())"""


def answers_equal(journals: Path, archive: Path) -> dict[str, int]:
    """The number of rows of each kind. Raises AssertionError where journals and archive give different ones."""
    counts = {}
    for what in ROW_KINDS:
        texts = []
        for folder in (journals, archive):
            command = [
                *before_all_others(),
                sys.executable,
                "-m",
                "fer_edge",
                "log",
                "query",
                what,
                "--csv",
                str(folder),
            ]
            texts.append(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
        assert texts[0] == texts[1], f"{what}: the archive gives another answer"
        counts[what] = texts[0].count(b"\n") - 1
    return counts


def copied(archive: Path, out: Path, devices: int) -> int:
    """Copies the archive's months as so many devices; the bytes of all."""
    for what in ROW_KINDS:
        for number in range(devices):
            source = device_folder(archive, what, MONTHS[number % len(MONTHS)])
            target = device_folder(out, what, f"device-{number:03d}")
            if source.exists() and not target.exists():
                shutil.copytree(source, target)
    return sum(path.stat().st_size for path in out.rglob("*.parquet"))


def timed(arguments: list[str], folder: Path, times: int, code: str | None = None) -> dict[str, Any]:
    """The best of so many runs of a command, and the most memory of any."""
    took = [measured(arguments, folder, *([code] if code else [])) for _ in range(times)]
    return {"seconds": round(min(s for s, _ in took), 2), "rss_mb": round(max(mb for _, mb in took), 1)}


def main(argv: list[str] | None = None) -> int:
    """Prints what was measured as JSON; 1 where a command takes more than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--times", type=whole_number(1), default=2, help="each command; default: 2")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="months and archives are made there, unless they were before"
    )
    parser.add_argument("--out", type=Path, help="folder for archive-DATE.json")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as fresh:
        place = args.keep or Path(fresh)
        journals, small, large = place / "journals", place / "two", place / "all"
        for seed, name in enumerate(MONTHS):
            if not (journals / name).exists():
                simulate_days(SimulatedDevice(journals / name, utc_s("2026-03-01"), name, seed=seed), args.days, _BUSY)
        export = ["export", "all", "--partition", "device,day", "--out", str(small), "--device", MONTHS[0]]
        exported = timed(export, journals, 1)
        measured([*export[:-1], MONTHS[1]], journals)
        result: dict[str, Any] = {
            "devices": args.devices,
            "generated": len(MONTHS),
            "months": f"{args.days:g} days of one camera, {len(MONTHS)} generated ones, copied",
            "rows": answers_equal(journals, small),
            "journal_bytes": sum(path.stat().st_size for path in journals.rglob("*.jsonl")),
            "archive_bytes": sum(path.stat().st_size for path in small.rglob("*.parquet")),
            "bytes": copied(small, large, args.devices),
            "export": exported,
            "one": {
                name: timed(["query", *words, "--utc", "--json", "--device", "device-007"], large, args.times)
                for name, words in ONE.items()
            },
            "all": {
                name: timed(["query", *words, "--utc", "--json"], large, args.times) for name, words in EVERY.items()
            },
        }
        result["all"]["sums by device and day, SQL"] = timed([SQL.format(archive=large)], large, args.times, _RUN_SQL)
    wrong = [
        f"{name} takes {run['seconds']} s and {run['rss_mb']} MB"
        for runs, limit_s in ((result["one"], LIMIT_MONTH_S), (result["all"], LIMIT_S))
        for name, run in runs.items()
        if run["seconds"] > limit_s or run["rss_mb"] > LIMIT_MB
    ]
    result = stamped(
        {**result, "limits": {"seconds": LIMIT_S, "rss_mb": LIMIT_MB, "month_s": LIMIT_MONTH_S}, "wrong": wrong}
    )
    if args.out:
        write("archive", result, args.out)
    print(json.dumps(result, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
