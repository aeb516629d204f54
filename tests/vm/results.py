"""Runs the tests in the virtual machine and writes what came of them: a dated result, and the table in tests/vm/README.md.

    python -m tests.vm.results [--quick] [--out FOLDER] [PYTEST'S WORDS …]
    python -m tests.vm.results --reports FILE … [--out FOLDER]

--quick runs the part that takes a few minutes. Without --out only stdout gets the result. VM_SUITE names Debian's suite.
The table is written only after the whole run of trixie passed. --reports runs nothing: it reads the reports of runs in parts
(`pytest -o junit_family=xunit1 --junitxml=FILE tests/vm/…`), of which the later one counts where two have the same test.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convert.report.readme_table import with_block
from fer_edge.atomic_file import write_atomically
from fer_edge.errors import exit_code_of
from tests.arm64.sysroot import ROOT, done
from tests.system.dated_result import stamped, write
from tests.vm.image import image, tool

README = ROOT / "tests" / "vm" / "README.md"
# Two machines run at a time, each with a file's tests: in this order both end at about the same time
FILES = [f"tests/vm/test_{name}.py" for name in ("service", "power_cut", "cameras", "libcamera")]
BEGIN = "<!-- written by `python -m tests.vm.results`; do not edit by hand -->"


def main(argv: list[str] | None = None) -> int:
    """Exit code of the tests."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm.results", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the tests marked `quick`")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="write the result there, and the table of tests/vm/README.md too",
    )
    parser.add_argument("--reports", type=Path, nargs="+", metavar="FILE", help="pytest's reports of runs in parts")
    args, more = parser.parse_known_args(argv)
    suite = os.environ.get("VM_SUITE", "trixie")
    if args.reports:
        parts = in_parts(args.reports)
        result = stamped({"suite": suite, "versions": versions(suite), **parts})
        print(table(result))
        if args.out:
            write(f"vm-{suite}", result, args.out)
        return int(any(row["outcome"] != "passed" for row in parts["tests"]))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        words = [
            "-m",
            "pytest",
            "-q",
            *FILES,
            f"--junitxml={report}",
            *("-o", "junit_family=xunit1"),  # other families hold nothing that a test records
            *("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"),
            *(["-m", "quick"] if args.quick else []),
            *more,
        ]
        code = subprocess.run([sys.executable, *words], cwd=ROOT, check=False).returncode
        if not report.exists():
            return code
        rows = read_report(report)
    result = stamped({"suite": suite, "versions": versions(suite), "tests": rows})
    print(table(result))
    if args.out:
        write(f"vm-{suite}", result, args.out)
        if code == 0 and suite == "trixie" and not (args.quick or more):
            write_atomically(README, with_block(README.read_text(), block(result), BEGIN))
    return code


def versions(suite: str) -> dict[str, str]:
    """The versions of what the machine consists of."""
    made = image(suite)
    qemu = done(tool("qemu-system-aarch64", "--version")).splitlines()[0]
    return {"kernel": made.release, "qemu": re.sub(r".*version (\S+).*", r"\1", qemu), **made.versions}


def in_parts(reports: Sequence[Path]) -> dict[str, Any]:
    """`runs`, the time of each report's start, and `tests`, the rows of all; of a test that several have, the last."""
    starts = [next(ElementTree.parse(path).getroot().iter("testsuite")).attrib["timestamp"] for path in reports]
    by_time = sorted(zip(starts, reports, strict=True))
    rows = {(row["file"], row["test"]): row for _, path in by_time for row in read_report(path)}
    return {"runs": [start for start, _ in by_time], "tests": list(rows.values())}


def read_report(report: Path) -> list[dict[str, Any]]:
    """A row for each test of pytest's JUnit report, by file: name, outcome, seconds, and what the test recorded."""
    rows = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        failed = next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), None)
        recorded = {item.attrib["name"]: item.attrib["value"] for item in case.iter("property")}
        rows.append(
            {
                "file": case.attrib["classname"].rsplit(".", 1)[-1],
                "test": case.attrib["name"],
                "outcome": failed or "passed",
                "seconds": round(float(case.attrib["time"]), 1),
                **recorded,
            }
        )
    return sorted(rows, key=lambda row: row["file"])


def block(result: dict[str, Any]) -> str:
    """What tests/vm/README.md has of the result."""
    return f"The results of a whole run:\n\n{table(result)}"


def table(result: dict[str, Any]) -> str:
    """The result as a table, with the versions below it."""
    lines = ["| test | result | the journal or the command says |", "|---|---|---|"]
    for row in result["tests"]:
        name, _, case = row["test"].removeprefix("test_").partition("[")
        title = name.replace("_s_", "'s ").replace("_", " ") + (f" ({case.rstrip(']')})" if case else "")
        lines.append(f"| {title} | {row['outcome']} | {row.get('says', '').replace('|', '/')} |")
    known = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    runs = f"{result['date']}, in {len(result['runs'])} parts" if "runs" in result else result["date"]
    below = f"{runs}, {result['commit']}, Debian {result['suite']}, arm64 emulated by QEMU's TCG: {known}."
    return "\n".join([*lines, "", below])


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
