"""`make fuzz MINUTES=60`: repeats the tests of hostile inputs with new inputs until the time is over, or one fails.

Exit code: 0 without a failure, else that of pytest. The largest memory of a process is printed at the end.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    """Runs the tests repeatedly and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long; default: 60")
    parser.add_argument("--examples", type=int, default=500, help="inputs of each test in a round; default: 500")
    args = parser.parse_args()
    end_s, rounds = time.monotonic() + args.minutes * 60, 0
    environ = {**os.environ, "FUZZ_EXAMPLES": str(args.examples)}
    while not rounds or time.monotonic() < end_s:
        rounds += 1
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(Path(__file__).parent)]
        code = subprocess.run(command, env=environ, check=False).returncode
        if code:
            return code
    largest_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"{rounds} rounds of {args.examples} inputs a test without a failure; at most {largest_mb} MB in a process")
    return 0


if __name__ == "__main__":
    sys.exit(main())
