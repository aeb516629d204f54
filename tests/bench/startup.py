"""`python -m tests.bench.startup --out tests/system/results`: time to the first line and memory of a run.

    first line      from the start of the process to its first line of the journal, on stdout (`--json`)
    first reading   the same, to the first line that tells what a face shows
    memory          the most that the process held (VmHWM) when it had logged for a few seconds
    import          of `device.run`, in a process of its own

Each several times in fresh processes, files warm in the kernel's cache, before a drawn face.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fer_edge.argument_types import whole_number
from tests.system.dated_result import ROOT, stamped, write

LIMITS = {"first_line_s": 1.0, "rss_mb": 110.0, "import_s": 0.4}
READINGS = 50
IMPORT = "import time; t = time.perf_counter(); import device.run; print(time.perf_counter() - t)"


def one_run(folder: Path) -> dict[str, float]:
    """Seconds to the first line and the first reading of a fresh process, and its memory after `READINGS` of them."""
    command = [sys.executable, "-m", "fer_edge", "run", "--camera", "synthetic", "--json", "--log", str(folder / "log")]
    environ = {**os.environ, "RUNTIME_DIRECTORY": str(folder / "run"), "XDG_CONFIG_HOME": "/nonexistent"}
    began_s, times, readings_left = time.monotonic(), {}, READINGS
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            at_s = time.monotonic() - began_s
            times.setdefault("first_line_s", at_s)
            if b'"kind":"reading"' in line:
                times.setdefault("first_reading_s", at_s)
                readings_left -= 1
            if not readings_left:
                break
        status = Path(f"/proc/{process.pid}/status").read_text()
        times["rss_mb"] = int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        spoken = process.stderr.read().decode()
    assert process.returncode == 0 and not readings_left, spoken
    return times


def import_s() -> float:
    """Seconds that `import device.run` takes in a fresh process."""
    done = subprocess.run([sys.executable, "-c", IMPORT], cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout)


def measure(times: int) -> dict[str, Any]:
    """Median, least and most of each figure over so many fresh processes, after one that warms the cache."""
    rows = []
    for _ in range(times + 1):
        with tempfile.TemporaryDirectory() as folder:
            rows.append({**one_run(Path(folder)), "import_s": import_s()})
    del rows[0]
    result: dict[str, Any] = {}
    for name in rows[0]:
        values = sorted(row[name] for row in rows)
        digits = 1 if name.endswith("_mb") else 3
        shown = (round(value, digits) for value in (statistics.median(values), values[0], values[-1]))
        result[name] = dict(zip(("median", "least", "most"), shown, strict=True))
    return result


def verdict(result: dict[str, Any]) -> list[str]:
    """What is over its limit, in sentences."""
    over = {name: limit for name, limit in LIMITS.items() if result[name]["median"] > limit}
    return [f"{name} is {result[name]['median']}, over {limit}" for name, limit in over.items()]


def main(argv: list[str] | None = None) -> int:
    """Measures, prints and, with --out, writes; 1 where a limit does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=whole_number(1), default=7)
    parser.add_argument("--out", type=Path, help="folder for startup-DATE.json")
    args = parser.parse_args(argv)
    result = measure(args.times)
    result = stamped({"times": args.times, **result, "limits": LIMITS, "wrong": verdict(result)})
    print(json.dumps(result, indent=1))
    if args.out:
        write("startup", result, args.out)
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
