"""`python -m tests.bench.many_devices_figures`: writes the tables of docs/pages/many-devices.md from the committed results.

They are the newest archive-DATE.json (tests/bench/archive_speed.py) and fleet-DATE.json (tests/system/many_devices.py) in
tests/system/results.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from convert.report.readme_table import with_block
from fer_edge.atomic_file import write_atomically
from fer_edge.errors import exit_code_of
from tests.bench.figures import RESULTS, newest

PAGE = Path(__file__).parents[2] / "docs/pages/many-devices.md"
ARCHIVE = "<!-- written by `python -m tests.bench.many_devices_figures`: archive; do not edit by hand -->"
FLEET = "<!-- written by `python -m tests.bench.many_devices_figures`: fleet; do not edit by hand -->"


def archive_block(result: dict[str, Any]) -> str:
    """The table of the archive's queries."""
    limits, devices = result["limits"], result["devices"]
    rows = [
        f"| {name} | {which} | {run['seconds']:.1f} s | {run['rss_mb']:.0f} MB |"
        for which, runs in (("one device-month", result["one"]), (f"{devices} device-months", result["all"]))
        for name, run in runs.items()
    ]
    counts, export = result["rows"], result["export"]
    month_mb, archived_mb = result["journal_bytes"] / result["generated"] / 1e6, result["bytes"] / devices / 1e6
    rows_a_second = counts["tallies"] / result["generated"] / result["one"]["every tally of the month"]["seconds"]
    note = [
        f"Required: one device-month in {limits['month_s']:g} s, {devices}: {limits['seconds']:g} s, {limits['rss_mb']:g} MB.",
        f"A month of one camera is {month_mb:.0f} MB of journal and {archived_mb:.1f} MB of archive.",
        f"Exporting it takes {export['seconds']:.0f} s and {export['rss_mb']:.0f} MB. Measured: {result['months']}.",
        f"Every tally of a month is printed at {rows_a_second:,.0f} rows a second.",
        f"Journals and archive gave the same {counts['episodes']:,} episodes, {counts['tallies']:,} tallies,",
        f"{counts['events']:,} events and {counts['blind']} blind periods of the generated ones. {_origin(result)}",
    ]
    return "\n".join(["| query | over | time | memory |", "|---|---|---|---|", *rows, "", " ".join(note)])


def fleet_block(result: dict[str, Any]) -> str:
    """The table of the devices at one broker."""
    per_s = result["messages_received"] / result["seconds"]
    rows = [
        ("devices, at one Mosquitto on loopback", "1,000", f"{result['devices']:,}"),
        ("minutes acknowledged by the broker, which was killed once", "", f"{result['minutes']:,}"),
        ("of these never received by the subscriber", "none", f"{result['missing']}"),
        ("minutes that a device dropped", "none", f"{result['lost']}"),
        ("until all were connected again, after the broker's restart", "", f"{result['connected_again_s']:g} s"),
        ("memory of a device's publisher", "", f"{result['device_kb']:,} kB"),
        ("processor of a device's publisher, one core = 100 %", "", f"{result['device_cpu_percent']:.2f} %"),
        ("the broker", "", f"{result['broker_mb']:.1f} MB, {result['broker_cpu_percent']:.1f} % of a core"),
        ("messages a second that the subscriber received", "", f"{per_s:.0f}"),
    ]
    lines = [f"| {name} | {required} | {measured} |" for name, required, measured in rows]
    times = 60 / result["pace_s"]
    note = (
        f"{result['seconds']:g} s; a minute of each device every {result['pace_s']:g} s, {times:g} times as often as a run "
        f"sends one; {result['processes']} processes. By these figures a core of the broker carries about "
        f"{per_s / result['broker_cpu_percent'] * 100:,.0f} messages a second. {_origin(result)}"
    )
    return "\n".join(["| quantity | required | measured |", "|---|---|---|", *lines, "", note])


def page(text: str, folder: Path = RESULTS) -> str:
    """The page with both tables. Raises UsageError where a result is missing."""
    text = with_block(text, archive_block(newest("archive", folder)), ARCHIVE)
    return with_block(text, fleet_block(newest("fleet", folder)), FLEET)


def _origin(result: dict[str, Any]) -> str:
    cores = f"load {result['load']:g} of {result['cores']} cores"
    return f"{result['host']}, not a Pi; {result['date']}, {result['commit']}, {cores}."


def main(argv: list[str] | None = None) -> int:
    """Writes both tables into the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.many_devices_figures", description=__doc__)
    parser.parse_args(argv)
    write_atomically(PAGE, page(PAGE.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
