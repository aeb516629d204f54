"""`python -m tests.bench.figures`: writes the table of requirements and measurements into device/README.md.

Each figure comes from the newest dated file of its name in tests/system/results; tests/bench/README.md lists the commands
that write these files. If one is missing the command fails and the table is unchanged.
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
ARCHIVES = Path(__file__).parents[2] / "docs" / "pages" / "archives.md"

Result = dict[str, Any]  # the content of a results file
Row = tuple[str, str, str]  # quantity, requirement, measurement


def newest(name: str, folder: Path = RESULTS) -> Result:
    """The newest result of that name. Raises UsageError when there is none."""
    files = sorted(folder.glob(f"{name}-????-??-??.json"))
    if not files:
        raise UsageError(f"{folder} has no {name}-DATE.json; tests/bench/README.md says which command writes it")
    result: Result = json.loads(files[-1].read_text())
    return result


def _frame_cost(result: Result) -> Iterator[Row]:
    ratios = result["ratios"]
    for quantity, requirement, key in (
        ("time of a frame without its networks, relative to one short-range `invoke`", "≤ 0.5", "beside the networks"),
        ("time of both detectors in a frame, relative to one short-range `invoke`", "≤ 2", "both detectors"),
        ("frames per second, relative to PyPI `fer` on the same video", "≥ 10", "frames a second"),
        ("time of a frame with eight faces, relative to one face", "≤ 4", "eight faces"),
        ("time of a 4K frame, relative to 640×480", "≤ 1.5", "4K"),
        ("time of a frame without a face, relative to one face", "≤ 0.15", "nobody"),
    ):
        (value,) = (value for name, value in ratios.items() if name.startswith(key))
        yield quantity, requirement, f"{value:.2f} ×"


def _frame_age(result: Result) -> Iterator[Row]:
    for row in result["ages"]:
        delay = f", processing delayed by {row['held_ms']:.0f} ms" if row["held_ms"] else ""
        quantity = f"age of a frame when it is read, p95, {row['fps']:g} frames per second{delay}"
        yield quantity, f"≤ {row['bound_ms']:.0f} ms", f"{row['p95_ms']:.0f} ms"
    for row in result["budgets"]:
        if row["budget"]:
            low, high = 0.9 * row["budget"], 1.1 * row["budget"]
            yield f"`--cpu-budget {row['budget']:g}%`", f"{low:g} to {high:g} %", f"{row['took']:.1f} %"


def _live_viewers(result: Result) -> Iterator[Row]:
    without, with_viewers = result["fps"]
    yield (
        f"frames per second lost while {result['viewers']} view the live page",
        "≤ 5 %",
        f"{result['cost'] * 100:.1f} %, median of {result['pairs']} pairs; median rates {without:.0f} without viewers, "
        f"{with_viewers:.0f} with",
    )


def _faces_by_size(result: Result) -> Iterator[Row]:
    for row in result["rows"]:
        yield (
            f"faces of {row['size_px']} px found by `fer-edge run`, n = {row['n']}",
            f"≥ {row['network_found'] * 100:.0f} % (256² network)",
            f"{row['at_once'] * 100:.0f} % at once, {row['at_all'] * 100:.0f} % in {result['frames'] / result['fps']:g} s",
        )
    large = [row for row in result["rows"] if row["size_px"] >= 90]
    both = sum(row["both"] for row in large)
    own_crop, loop = (sum(row[key] * row["both"] for row in large) / both for key in ("own", "loop"))
    yield (
        f"accuracy through `fer-edge run`, faces of 90 px or more: {result['n']:,} faces at {len(large)} sizes, {both:,} pairs"
        " of face and size that are found",
        f"{own_crop * 100:.1f} % (with their own crops)",
        f"{loop * 100:.1f} %",
    )


def _smoothing(result: Result) -> Iterator[Row]:
    smoothed = result["steady"]
    mean, _, p95 = smoothed["late_s"]
    yield (
        f"label flips per minute, n = {result['faces']} faces",
        "80 % fewer",
        f"{smoothed['fewer'] * 100:.0f} % fewer: {smoothed['flips_alone']:.0f} → {smoothed['flips_steady']:.1f}",
    )
    yield "delay of a change by smoothing", "≤ 0.5 s", f"{mean:.2f} s on average, p95 {p95:.2f} s"


def _steadiness(result: Result) -> Iterator[Row]:
    own = [row for row in result["rows"] if row["thresholds"] == "a threshold for each label"]
    for row in own:
        faces = f"{row['clips']} clips of a face of 120 px, {row['faces'].replace('%', ' %')}"
        (share, low, high), (flips, *_), (right, *_) = row["unsure"], row["flips_a_minute"], row["right"]
        yield f"share of time unsure, {faces}", "≤ 35 %", f"{share * 100:.1f} % ({low * 100:.1f} to {high * 100:.1f})"
        yield (
            f"label flips per minute, {faces}",
            "",
            f"{flips:.1f}; a reported label is right {right * 100:.0f} % of the time",
        )


def _prior(result: Result) -> Iterator[Row]:
    for row in result["rows"]:
        if row["training"] == "counts":
            (before, after), (balanced, balanced_after) = row["accuracy"], row["balanced_accuracy"]
            yield (
                f"accuracy before and after `--estimate-prior`, {row['share'] * 100:.0f} % {row['label']}",
                "",
                f"{before * 100:.0f} → {after * 100:.0f} %; mean recall {balanced * 100:.0f} → {balanced_after * 100:.0f} %",
            )


def _startup(result: Result) -> Iterator[Row]:
    line, rss = result["first_line_s"], result["rss_mb"]
    yield (
        "time from process start to the first line",
        f"≤ {result['limits']['first_line_s']:g} s",
        f"{line['median']:.2f} s",
    )
    yield "memory with one face (RSS)", f"≤ {result['limits']['rss_mb']:.0f} MB", f"{rss['median']:.0f} MB"


def _endurance(result: Result) -> Iterator[Row]:
    frames = result["frames"]["read"]
    growth_mb = result["rss_max_mb"] - result["rss_settled_mb"]
    yield (
        f"memory growth over {frames:,} frames",
        "none",
        f"{growth_mb:.1f} MB, {result['descriptors'][-1]} descriptors",
    )


def _soak(result: Result) -> Iterator[Row]:
    faults = sum(result["faults"].values())
    yield (
        f"seconds that the journal does not account for, in {result['minutes']:g} minutes with {faults} faults",
        "none",
        f"{result['unexplained_s']:.1f} s; {result['lines_lost']} lines lost",
    )


def _card_wear(result: Result) -> Iterator[Row]:
    for run in result["runs"]:
        if not run["per_frame"]:
            scene = {"somebody": "a person", "nobody": "nobody", "a crowd": "a crowd"}[run["scene"]]
            yield (
                f"bytes written to the card, relative to the lines, {scene} in view",
                "≤ 2" if run["scene"] == "somebody" else "",
                f"{run['times']:.2f} ×, {run['mb_a_day']:.1f} MB per day",
            )


def _logbook(result: Result) -> Iterator[Row]:
    summary = result["runs"]["summary"]
    quantity = f"`fer-edge log` summary of a month of one camera, {result['bytes'] / 1e6:.0f} MB"
    each = summary["seconds_each"]
    took = f"{min(each):.1f} s, best of {len(each)} (to {max(each):.1f} s)"
    yield quantity, "≤ 3 s, ≤ 100 MB", f"{took}; {summary['rss_mb']:.0f} MB"


def _mqtt(result: Result) -> Iterator[Row]:
    acknowledged, devices = result["acknowledged"], result["devices"]
    quantity = f"lost messages, of {acknowledged:,} that a broker acknowledged to {devices} devices"
    yield quantity, "none", f"{result['missing']}"


PARTS: dict[str, Callable[[Result], Iterator[Row]]] = {
    "frame-cost": _frame_cost,
    "frame-age": _frame_age,
    "live-viewers": _live_viewers,
    "faces-by-size": _faces_by_size,
    "smoothing": _smoothing,
    "steadiness": _steadiness,
    "prior": _prior,
    "startup": _startup,
    "endurance": _endurance,
    "soak": _soak,
    "card-wear": _card_wear,
    "logbook": _logbook,
    "mqtt": _mqtt,
}


def block(folder: Path = RESULTS) -> str:
    """The table with rows from each result, and below it the processors, commits and loads of the measurements."""
    lines = ["| quantity | required | measured |", "|---|---|---|"]
    results = {name: newest(name, folder) for name in PARTS}
    for name, part in PARTS.items():
        lines += [f"| {' | '.join(row)} |" for row in part(results[name])]
    hosts = sorted({result["host"] for result in results.values()})
    runs = "; ".join(
        f"{name} {result['date']}, {result['commit']}{_bundle(result)}, load {result['load']:g} of {result['cores']}"
        for name, result in results.items()
    )
    return "\n".join(
        [
            *lines,
            "",
            f"On {', '.join(hosts)}, not a Pi; one thread. Milliseconds depend on the machine, ratios less so. "
            "Commit, and bundle with the beginning of its SHA-256 (`sha256sum models/NAME/bundle.json`; one with another was "
            f"replaced since): {runs}.",
        ]
    )


def _bundle(result: Result) -> str:
    return f", {result['bundle']} {result['bundle_sha256'][:8]}" if "bundle" in result else ""


def archives_block(folder: Path = RESULTS) -> str:
    """The cost of an archive from the newest result, for docs/pages/archives.md, and an estimate from it."""
    result = newest("archive-cost", folder)
    cost, wall, start = (result[key] for key in ("processor_s_a_video_minute", "wall_s_a_video_minute", "start_s"))
    workers, guess = result["workers"], result["estimate"]
    pairs, limit = result["overhead_of_each_pair"], result["limit"]
    overhead = f"single pairs of runs {min(pairs):+.1%} to {max(pairs):+.1%}"
    if max(pairs) <= limit or min(pairs) > limit or max(pairs) - min(pairs) <= limit:
        overhead = f"{result['overhead']:+.1%}; {overhead}"
    else:
        overhead = f"not known: {overhead}, too far apart to tell"
    pace = guess["cores"] * 60 / cost["ray"]  # hours of video an hour
    rows = [
        (f"processor time of a minute of video, `--jobs {workers}`", "", f"{cost['jobs']:.1f} s"),
        (f"the same, {workers} workers of Ray", "", f"{cost['ray']:.1f} s"),
        ("overhead of Ray in processor time, its start not counted", f"≤ {limit:.0%}", overhead),
        (f"time of a minute of video, {workers} at a time", "", f"{wall['jobs']:.1f} s; Ray {wall['ray']:.1f} s"),
        (
            "start and end of the command",
            "",
            f"{start['jobs']:.0f} s; with a Ray of its own {start['ray']:.0f} s",
        ),
        ("Parquet table of an hour of video", "", f"{result['table_mb_a_video_hour']:.1f} MB"),
        (f"**estimate**: {guess['hours']:,} hours on {guess['cores']} such cores", "", f"{guess['days']:.1f} days"),
        (
            f"**estimate**: tables that {guess['cores']} such cores send",
            "",
            f"{pace * result['table_mb_a_video_hour'] / 3600:.2f} MB/s",
        ),
    ]
    return "\n".join(
        [
            "| quantity | required | measured |",
            "|---|---|---|",
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
            f"{result['video_minutes']:g} minutes of video, {result['picture']}; medians of {result['pairs']} pairs of runs; "
            f"bundle {result['bundle']}. On {result['host']}, {result['cores']} cores, load {result['load']:g} "
            f"(processes, its own and others); times suffer from it, processor time less; "
            f"{result['date']}, {result['commit']}.",
            "",
            f"The estimates were not run: {guess['hours']:,} h × 60 × {cost['ray']:.1f} s / {guess['cores']} cores. They "
            "assume cores of that speed that do nothing else, and a store that keeps up. Larger pictures cost more to decode.",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Writes the tables into device/README.md and docs/pages/archives.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.figures", description=__doc__)
    parser.parse_args(argv)
    text = with_block(README.read_text(), block(), BEGIN)
    page = with_block(ARCHIVES.read_text(), archives_block(), BEGIN)
    write_atomically(README, text)
    write_atomically(ARCHIVES, page)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
