"""Arguments that the actions of `fer-edge log` share, and what they select: journals, a time, rows."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.argument_types import file_path
from fer_edge.console import message
from fer_edge.errors import UsageError
from fer_edge.instance_name import DEFAULT

if TYPE_CHECKING:
    from fer_edge.journal.segments import DamagedLine
    from fer_edge.log.archive import Archive
    from fer_edge.log.devices import Device
    from fer_edge.log.rows import RowFilter
    from fer_edge.log.time_window import TimeWindow

ROW_KINDS = {
    "episodes": "periods in which a face showed one label",
    "tallies": "one row a minute: observed time, and seconds of each label",
    "readings": "each face of each frame, if logged with `run --per-frame`",
    "events": "every line, as text",
    "blind": "periods without observation, with duration and reason",
}
_SERVICE_FOLDER = Path("/var/lib/fer-edge")


def add_folder_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that select journals."""
    parser.add_argument(
        "folders",
        nargs="*",
        type=file_path,
        metavar="DIR",
        help="folder of a journal, or of several; those up to four levels below are read too; default: where `run` writes",
    )
    parser.add_argument(
        "--name",
        help="name of the instance whose journal is read if no DIR is given; default: the `name` of the settings file, else "
        f"{DEFAULT}",
    )
    parser.add_argument("--device", metavar="NAME", help="only the journal of this device; default: all")
    parser.add_argument("--utc", action="store_true", help="times in arguments and output are UTC; default: local time")


def add_window_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that select journals and a time."""
    add_folder_arguments(parser)
    parser.add_argument(
        "--since",
        metavar="WHEN",
        help="start: 2h, 30d or 15min (ago), 2026-01-31 or 2026-01-31T12:00; default: the first line",
    )
    parser.add_argument("--until", metavar="WHEN", help="end, in the same forms; default: the last line")
    parser.add_argument("--between", metavar="HH:MM-HH:MM", help="only this part of each day; default: the whole day")
    parser.set_defaults(expression=None, track=None, min_quality=None, kind=None)


def add_face_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that select faces."""
    parser.add_argument(
        "--expression", action="append", metavar="L", help="only this label, or unsure; may be repeated; default: all"
    )
    parser.add_argument(
        "--track", type=int, metavar="N", help="only this track; track numbers start again in each run; default: all"
    )
    parser.add_argument("--min-quality", type=float, metavar="Q", help="lowest quality of a face, 0 to 1; default: all")


def add_kind_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the argument that selects kinds of lines."""
    parser.add_argument(
        "--kind",
        action="append",
        metavar="K",
        help="only lines of this kind: episode, camera, clock, …; may be repeated; default: all",
    )


def add_row_parsers(
    parser: argparse.ArgumentParser, command: Any, more: Mapping[str, str] | None = None
) -> list[argparse.ArgumentParser]:
    """A subparser for each kind of rows, and `more` with their help, so that folders may stand after options."""
    parsers = []
    kinds = parser.add_subparsers(metavar="WHAT", dest="what", required=True)
    for what, help_text in {**ROW_KINDS, **(more or {})}.items():
        kind = kinds.add_parser(what, help=help_text)
        add_window_arguments(kind)
        if what in ("episodes", "readings", "events"):
            add_face_arguments(kind)
        if what == "events":
            add_kind_argument(kind)
        kind.set_defaults(command=command)
        parsers.append(kind)
    return parsers


def time_window(args: argparse.Namespace) -> TimeWindow:
    """The selected time."""
    from fer_edge.log.time_window import TimeWindow, TimeZone

    return TimeWindow.of(args.since, args.until, args.between, TimeZone(args.utc))


def row_filter(args: argparse.Namespace) -> RowFilter:
    """The filter of the selected rows."""
    from fer_edge.log.rows import RowFilter

    expressions, kinds = frozenset(args.expression or ()), frozenset(args.kind or ())
    return RowFilter(time_window(args), expressions, args.track, args.min_quality, kinds)


def selected_devices(args: argparse.Namespace, every: bool = False) -> list[Device]:
    """The selected journals: those in and below each DIR, without DIR the one that `run` writes for `--name`, alone.

    `every`: whatever `--device` selects of them.

    Raises UsageError, also for an archive; OSError.
    """
    from fer_edge.log.archive import is_archive
    from fer_edge.log.devices import devices

    for folder in args.folders:
        if folder.is_dir() and is_archive(folder):
            raise UsageError(
                f"{folder} is an archive: `log query`, and `log export` without --partition, read it, alone; name journals"
            )
    only = None if every else args.device
    if args.folders:
        return devices(args.folders, only)
    return devices([_own_journal(args.name)], only, subfolders=False)


def selected_archive(args: argparse.Namespace) -> Archive | None:
    """The selected archive, if the one DIR is one."""
    from fer_edge.log.archive import Archive, is_archive

    if len(args.folders) == 1 and args.folders[0].is_dir() and is_archive(args.folders[0]):
        return Archive(args.folders[0], args.device)
    return None


def _own_journal(name: str | None) -> Path:
    """The folder that `run` writes to. Raises UsageError, with the service's folder, where there is no journal."""
    from device.selected_instance import journal_folder_of
    from fer_edge.journal.segments import segments

    folder = journal_folder_of(name)
    if folder.is_dir() and segments(folder):
        return folder
    service = _SERVICE_FOLDER
    hint = f"; the service writes to {service}: sudo fer-edge log … {service}" if service.is_dir() else "; name one"
    raise UsageError(f"there is no journal in {folder}{hint}")


def report_damage(device: Device, damage: DamagedLine) -> None:
    """Reports a line that cannot be read."""
    message(f"{device.name}: {damage}; skipped")


def report_zone(args: argparse.Namespace) -> None:
    """Reports the time zone of a table for people."""
    from fer_edge.log.time_window import TimeZone

    if not getattr(args, "json", False) and not getattr(args, "csv", False):
        message(f"times are {TimeZone(args.utc)}{'' if args.utc else '; --utc for UTC'}")
