"""`python -m tests.bench.figures`: the table of what the device's side was asked and what was measured, in device/README.md.

Every figure is of the newest dated file of its name in tests/system/results; tests/bench/README.md lists the commands that
write those. One that is missing is told, and the table stays as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from convert.report.readme_table import with_block
from fer_edge.atomic_file import write_atomically
from fer_edge.errors import UsageError, exit_code_of

BEGIN = "<!-- written by `python -m tests.bench.figures`; do not edit by hand -->"
RESULTS = Path(__file__).parents[1] / "system" / "results"
README = Path(__file__).parents[2] / "device" / "README.md"

Told = dict[str, Any]
Row = tuple[str, str, str]  # what, what was asked, what was measured


def newest(name: str, folder: Path = RESULTS) -> Told:
    """What the newest result of that name says. Raises UsageError where there is none."""
    found = sorted(folder.glob(f"{name}-????-??-??.json"))
    if not found:
        raise UsageError(f"{folder} has no {name}-DATE.json; tests/bench/README.md says which command writes it")
    told: Told = json.loads(found[-1].read_text())
    return told


def _work(told: Told) -> Iterator[Row]:
    ratios = told["ratios"]
    for what, asked, key in (
        ("all but the networks, over one short-range `invoke`, a frame", "≤ 0.5", "beside the networks"),
        ("both detectors, over one short-range `invoke`, a frame", "≤ 2", "both detectors"),
        ("frames a second, over PyPI `fer` on the same video", "≥ 10", "frames a second"),
        ("eight faces, over one", "≤ 4", "eight faces"),
        ("a frame of 4K, over one of 640×480", "≤ 1.5", "4K"),
        ("nobody there, over one face", "≤ 0.15", "nobody"),
    ):
        (value,) = (value for name, value in ratios.items() if name.startswith(key))
        yield what, asked, f"{value:.2f} ×"


def _live(told: Told) -> Iterator[Row]:
    for row in told["ages"]:
        held = f", each held up {row['held_ms']:.0f} ms" if row["held_ms"] else ""
        what = f"age of a frame when it is read, p95, {row['fps']:g} a second{held}"
        yield what, f"≤ {row['bound_ms']:.0f} ms", f"{row['p95_ms']:.0f} ms"
    for row in told["budgets"]:
        if row["budget"]:
            low, high = 0.9 * row["budget"], 1.1 * row["budget"]
            yield f"`--cpu-budget {row['budget']:g}%`", f"{low:g} to {high:g} %", f"{row['took']:.1f} %"


def _viewers(told: Told) -> Iterator[Row]:
    before, with_them = told["fps"]
    yield (
        f"frames a second lost while {told['viewers']} look at the live page",
        "≤ 5 %",
        f"{told['cost'] * 100:.1f} %: {before:.0f} → {with_them:.0f}, the median of {told['pairs']} pairs",
    )


def _sighted(told: Told) -> Iterator[Row]:
    for row in told["rows"]:
        yield (
            f"faces of {row['size_px']} px found by `fer-edge run`, n = {row['n']}",
            f"≥ {row['network_found'] * 100:.0f} % (256² network)",
            f"{row['at_once'] * 100:.0f} % at once, {row['at_all'] * 100:.0f} % in {told['frames'] / told['fps']:g} s",
        )
    far = [row for row in told["rows"] if row["size_px"] >= 90]
    both = sum(row["both"] for row in far)
    own, loop = (sum(row[key] * row["both"] for row in far) / both for key in ("own", "loop"))
    yield (
        f"accuracy through `fer-edge run`, 90 px and up, n = {both}",
        f"{own * 100:.1f} % (their own crops)",
        f"{loop * 100:.1f} %",
    )


def _steady(told: Told) -> Iterator[Row]:
    found = told["steady"]
    mean, _, p95 = found["late_s"]
    yield (
        f"flips of a label a minute, n = {told['faces']} faces",
        "80 % fewer",
        f"{found['fewer'] * 100:.0f} % fewer: {found['flips_alone']:.0f} → {found['flips_steady']:.1f}",
    )
    yield "a change is told later by", "≤ 0.5 s", f"{mean:.2f} s on average, p95 {p95:.2f} s"


def _start(told: Told) -> Iterator[Row]:
    line, rss = told["first_line_s"], told["rss_mb"]
    yield (
        "from the start of the process to the first line",
        f"≤ {told['limits']['first_line_s']:g} s",
        f"{line['median']:.2f} s",
    )
    yield "memory with one face (RSS)", f"≤ {told['limits']['rss_mb']:.0f} MB", f"{rss['median']:.0f} MB"


def _endurance(told: Told) -> Iterator[Row]:
    frames = told["frames"]["read"]
    grown = told["rss_max_mb"] - told["rss_settled_mb"]
    yield f"memory gained over {frames:,} frames", "none", f"{grown:.1f} MB, {told['descriptors'][-1]} descriptors"


def _soak(told: Told) -> Iterator[Row]:
    faults = sum(told["faults"].values())
    yield (
        f"seconds of {told['minutes']:g} minutes with {faults} faults that the journal cannot explain",
        "none",
        f"{told['unexplained_s']:.1f} s; {told['lines_lost']} lines lost",
    )


def _wear(told: Told) -> Iterator[Row]:
    for run in told["runs"]:
        if not run["per_frame"]:
            what = f"written to the card, {run['scene']} there, over the bytes of the lines"
            yield (
                what,
                "≤ 2" if run["scene"] == "somebody" else "",
                f"{run['times']:.2f} ×, {run['mb_a_day']:.1f} MB a day",
            )


def _logbook(told: Told) -> Iterator[Row]:
    found = told["runs"]["summary"]
    what = f"a month of one camera, {told['bytes'] / 1e6:.0f} MB, summarised"
    yield what, "≤ 3 s, ≤ 100 MB", f"{found['seconds']:.1f} s, {found['rss_mb']:.0f} MB"


def _mqtt(told: Told) -> Iterator[Row]:
    what = f"of {told['acknowledged']:,} messages that a broker acknowledged to {told['devices']} devices, not heard"
    yield what, "none", f"{told['missing']}"


PARTS: dict[str, Callable[[Told], Iterator[Row]]] = {
    "work": _work,
    "live": _live,
    "viewers": _viewers,
    "sighted": _sighted,
    "steady": _steady,
    "start": _start,
    "endurance": _endurance,
    "soak": _soak,
    "wear": _wear,
    "logbook": _logbook,
    "mqtt": _mqtt,
}


def block(folder: Path = RESULTS) -> str:
    """The table, a section a result, each with the processor, the commit and the load that it was measured under."""
    lines = ["| what | asked | measured |", "|---|---|---|"]
    told = {name: newest(name, folder) for name in PARTS}
    for name, part in PARTS.items():
        lines += [f"| {' | '.join(row)} |" for row in part(told[name])]
    hosts = sorted({t["host"] for t in told.values()})
    of = "; ".join(f"{name} {t['date']}, {t['commit']}, load {t['load']:g} of {t['cores']}" for name, t in told.items())
    return "\n".join(
        [*lines, "", f"On {', '.join(hosts)}, not a Pi; one thread; milliseconds do not travel, ratios do. {of}."]
    )


def main(argv: list[str] | None = None) -> int:
    """Writes the table into device/README.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.figures", description=__doc__)
    parser.parse_args(argv)
    text = with_block(README.read_text(), block(), BEGIN)
    write_atomically(README, text)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
