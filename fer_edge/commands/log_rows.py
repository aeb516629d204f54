"""`fer-edge log query` and `export`: rows of journals, printed or as a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING, Any

from fer_edge.argument_types import file_path
from fer_edge.commands.log_options import (
    ROW_KINDS,
    add_row_parsers,
    report_damage,
    report_zone,
    row_filter,
    selected_archive,
    selected_devices,
)
from fer_edge.console import message
from fer_edge.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    from fer_edge.log.devices import Device
    from fer_edge.log.items import LogItem
    from fer_edge.log.rows import Row, RowFilter

_TERMINAL_COLUMNS = {  # fewer than a file has
    "episodes": ("from", "dwell_s", "label", "p", "quality", "track", "frames", "ended", "run"),
    "tallies": ("from", "observed_s", "unavailable_s", "paused_s", "face_s", "faces_max", "unsure_by", "drops", "run"),
    "readings": ("at", "label", "p", "quality", "why", "track", "frame_label", "age_ms", "run"),
    "events": ("at", "kind", "what"),
    "blind": ("from", "to", "seconds", "state", "time_known", "why"),
}


PARTITION = "device,day"


def register(actions: Any) -> None:
    """Adds the two actions."""
    query = actions.add_parser("query", help=f"print rows: {', '.join(ROW_KINDS)}")
    for parser in add_row_parsers(query, _query):
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print one JSON object for each row")
        form.add_argument("--csv", action="store_true", help="print CSV")
    export = actions.add_parser(
        "export",
        help="write rows to a file: .csv, .jsonl, or .parquet (extra `parquet`); or to an archive of many devices",
    )
    for parser in add_row_parsers(export, _export, {"all": "all of these kinds, to an archive (--partition)"}):
        parser.add_argument(
            "--out",
            type=file_path,
            required=True,
            metavar="FILE",
            help="output file (.csv, .jsonl or .parquet); an error leaves no partial file; with --partition a folder",
        )
        parser.add_argument(
            "--partition",
            choices=[PARTITION],
            metavar=PARTITION,
            help="write an archive: Hive-partitioned Parquet that `log query` reads (extra `duckdb`); replaces these devices' "
            "rows in it, except those that the journal no longer has; default: one file",
        )


def _query(args: argparse.Namespace) -> int:
    from fer_edge.log.tables import write_csv, write_json, write_text

    with ExitStack() as stack:
        rows, names, several = _rows(args, stack)
        zone = row_filter(args).window.zone
        write = write_json if args.json else write_csv if args.csv else write_text
        if not args.json and not args.csv:
            names = [*(["device"] if several else []), *_TERMINAL_COLUMNS[args.what]]
        report_zone(args)
        write(_reported_if_none(rows), names, zone, sys.stdout)
    return EXIT_DONE


def _export(args: argparse.Namespace) -> int:
    from fer_edge.log.tables import write_rows_file

    if args.partition:
        return _export_archive(args)
    if args.what == "all":
        raise UsageError(f"“all” needs --partition {PARTITION}; a file holds one kind of rows")
    with ExitStack() as stack:
        rows, names, _ = _rows(args, stack)
        write_rows_file(_reported_if_none(rows), names, row_filter(args).window.zone, args.out)
    message(f"{args.out} is written, {args.out.stat().st_size:,} bytes")
    return EXIT_DONE


def _reported_if_none(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows; a message where there are none."""
    if (first := next(rows, None)) is None:
        message("no rows of that kind in the selection")
        return iter(())
    return chain((first,), rows)


def _export_archive(args: argparse.Namespace) -> int:
    from fer_edge.journal.clock_correction import ClockCorrection
    from fer_edge.log.archive_kept import JournalStart
    from fer_edge.log.archive_origin import origins_for
    from fer_edge.log.archive_writer import write_device
    from fer_edge.log.rows import RowFilter, labels_of
    from fer_edge.log.time_window import TimeWindow

    wanted = row_filter(args)
    if wanted != RowFilter(TimeWindow(zone=wanted.window.zone)):
        raise UsageError("an archive has every row: leave out the filters; `log query` takes them")
    if args.out.exists() and not args.out.is_dir():
        raise UsageError(f"{args.out} is a file; an archive is a folder: name another")
    devices, kinds = selected_devices(args), list(ROW_KINDS) if args.what == "all" else [args.what]
    every = selected_devices(args, every=True) if args.device is not None else devices
    origins = origins_for(
        args.out, devices, every
    )  # of all, before the first is written: nothing is where one is refused
    for device, origin in zip(devices, origins, strict=True):
        counts = []
        for what in kinds:
            start = JournalStart.of(device.folder, ClockCorrection(device.folder))
            rows, labels = _journal_rows([device], what, wanted), labels_of([device])
            count = write_device(args.out, what, device.name, rows, labels, start, origin)
            counts.append(f"{count:,} {what}")
        message(f"{device.name}: {', '.join(counts)}")
    return EXIT_DONE


def _rows(args: argparse.Namespace, stack: ExitStack) -> tuple[Iterator[Row], list[str], bool]:
    """The rows of all devices, one device after the other; the names of their fields; whether there are several devices.

    `stack` holds an archive open.
    """
    from fer_edge.log.rows import column_names, labels_of

    wanted = row_filter(args)
    if (archive := selected_archive(args)) is not None:
        stack.enter_context(archive)
        labels = archive.labels(args.what)
        wanted.require_labels(labels)
        names = column_names(args.what, labels)
        return archive.rows(args.what, wanted), names, len(archive.names) > 1
    devices = selected_devices(args)
    labels = labels_of(devices)
    wanted.require_labels(labels)
    return _journal_rows(devices, args.what, wanted), column_names(args.what, labels), len(devices) > 1


def _journal_rows(devices: Sequence[Device], what: str, wanted: RowFilter) -> Iterator[Row]:
    from fer_edge.journal.clock_correction import ClockCorrection
    from fer_edge.log.rows import rows_of
    from fer_edge.log.runs import read_runs

    readings = what in ("readings", "events")
    for device in devices:
        items = read_runs(device.folder, ClockCorrection(device.folder), readings)
        yield from rows_of(_without_damage(device, items), device, what, wanted)


def _without_damage(device: Device, items: Iterator[LogItem]) -> Iterator[LogItem]:
    """The items without damaged lines, which are reported."""
    from fer_edge.journal.segments import DamagedLine

    for item in items:
        if isinstance(item, DamagedLine):
            report_damage(device, item)
        else:
            yield item
