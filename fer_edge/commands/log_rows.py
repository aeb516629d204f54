"""`fer-edge log query` and `export`: rows of journals, printed or as a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.commands.log_options import (
    ROW_KINDS,
    add_row_parsers,
    report_damage,
    report_zone,
    row_filter,
    selected_devices,
)
from fer_edge.console import message
from fer_edge.errors import EXIT_DONE

if TYPE_CHECKING:
    from fer_edge.log.devices import Device
    from fer_edge.log.rows import Row, RowFilter
    from fer_edge.log.runs import LogItem

_TERMINAL_COLUMNS = {  # fewer than a file has
    "episodes": ("from", "dwell_s", "label", "p", "quality", "track", "frames", "ended", "run"),
    "tallies": ("from", "observed_s", "unavailable_s", "paused_s", "face_s", "faces_max", "unsure_by", "drops", "run"),
    "readings": ("at", "label", "p", "quality", "why", "track", "frame_label", "age_ms", "run"),
    "events": ("at", "kind", "what"),
    "blind": ("from", "to", "seconds", "state", "time_known", "why"),
}


def register(actions: Any) -> None:
    """Adds the two actions."""
    query = actions.add_parser("query", help=f"print rows: {', '.join(ROW_KINDS)}")
    for parser in add_row_parsers(query, _query):
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print one JSON object for each row")
        form.add_argument("--csv", action="store_true", help="print CSV")
    export = actions.add_parser("export", help="write rows to a file: .csv, .jsonl, or .parquet (extra `parquet`)")
    for parser in add_row_parsers(export, _export):
        parser.add_argument(
            "--out",
            type=Path,
            required=True,
            metavar="FILE",
            help="output file (.csv, .jsonl or .parquet); an error leaves no partial file",
        )


def _query(args: argparse.Namespace) -> int:
    from fer_edge.log.tables import write_csv, write_json, write_text

    rows, names, wanted = _rows(args)
    write = write_json if args.json else write_csv if args.csv else write_text
    if not args.json and not args.csv:
        several = len(selected_devices(args)) > 1
        names = [*(["device"] if several else []), *_TERMINAL_COLUMNS[args.what]]
    report_zone(args)
    if (first := next(rows, None)) is None:
        message("no rows of that kind in the selection")
    else:
        rows = chain((first,), rows)
    write(rows, names, wanted.window.zone, sys.stdout)
    return EXIT_DONE


def _export(args: argparse.Namespace) -> int:
    from fer_edge.log.tables import write_rows_file

    rows, names, wanted = _rows(args)
    write_rows_file(rows, names, wanted.window.zone, args.out)
    message(f"{args.out} is written, {args.out.stat().st_size:,} bytes")
    return EXIT_DONE


def _rows(args: argparse.Namespace) -> tuple[Iterator[Row], list[str], RowFilter]:
    """The rows of all devices, one device after the other; the names of their fields; the filter."""
    from fer_edge.journal.clock_correction import ClockCorrection
    from fer_edge.log.rows import column_names, labels_of, rows_of
    from fer_edge.log.runs import read_runs

    devices, wanted = selected_devices(args), row_filter(args)
    readings = args.what in ("readings", "events")

    def every() -> Iterator[Row]:
        for device in devices:
            items = read_runs(device.folder, ClockCorrection(device.folder), readings)
            yield from rows_of(_without_damage(device, items), device, args.what, wanted)

    return every(), column_names(args.what, labels_of(devices)), wanted


def _without_damage(device: Device, items: Iterator[LogItem]) -> Iterator[LogItem]:
    """The items without damaged lines, which are reported."""
    from fer_edge.journal.segments import DamagedLine

    for item in items:
        if isinstance(item, DamagedLine):
            report_damage(device, item)
        else:
            yield item
