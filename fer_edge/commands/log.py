"""The commands of `fer-edge log`; `cli` adds them to its own. stdout is data, stderr is speech."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.commands import log_arguments
from fer_edge.console import message
from fer_edge.errors import EXIT_DONE, NotEnoughData, Unhealthy, UsageError

if TYPE_CHECKING:
    from fer_edge.journal.segments import DamagedLine
    from fer_edge.log.devices import Device
    from fer_edge.log.follow import Follower
    from fer_edge.log.rows import Row, RowFilter
    from fer_edge.log.runs import LoggedEvent, LogItem
    from fer_edge.log.summary import Summary
    from fer_edge.log.time_window import TimeWindow

_SERVICE = Path("/var/lib/fer-edge")
_LOOK_S = 0.5  # between two looks for new lines
_BRIEF = {  # the columns of a table that is read on a terminal
    "episodes": ("from", "dwell_s", "label", "p", "quality", "track", "frames", "ended", "run"),
    "tallies": ("from", "observed_s", "unavailable_s", "paused_s", "face_s", "faces_max", "unsure_by", "drops", "run"),
    "readings": ("at", "label", "p", "quality", "why", "track", "frame_label", "age_ms", "run"),
    "events": ("at", "kind", "what"),
    "blind": ("from", "to", "seconds", "state", "time_known", "why"),
}


def add(commands: Any) -> None:
    """Adds them to the parsers of `fer-edge`."""
    log = commands.add_parser("log", help="read a journal: what was seen, when nobody looked, how far to trust it")
    actions = {"tail": _tail, "query": _query, "summary": _summary, "plot": _plot, "export": _export, "check": _check}
    log_arguments.add(log.add_subparsers(metavar="ACTION", required=True), {**actions, "purge": _purge})


def _window(args: argparse.Namespace) -> TimeWindow:
    from fer_edge.log.time_window import TimeWindow, TimeZone

    return TimeWindow.of(args.since, args.until, args.between, TimeZone(args.utc))


def _filter(args: argparse.Namespace) -> RowFilter:
    from fer_edge.log.rows import RowFilter

    return RowFilter(
        _window(args),
        frozenset(args.expression or ()),
        args.track,
        args.min_quality,
        frozenset(args.kind or ()),
    )


def _devices(args: argparse.Namespace) -> list[Device]:
    from fer_edge.log.devices import devices

    return devices(args.folders or [_own(args.name)], args.device)


def _own(name: str) -> Path:
    """Where `run` writes. Raises UsageError where there is no journal, and says where the service's is."""
    from device.default_folders import default_journal_folder
    from fer_edge.journal.segments import segments

    folder = default_journal_folder(name=name)
    if folder.is_dir() and segments(folder):
        return folder
    hint = f"; the service writes to {_SERVICE}: sudo fer-edge log … {_SERVICE}" if _SERVICE.is_dir() else "; name one"
    raise UsageError(f"there is no journal in {folder}{hint}")


def _tail(args: argparse.Namespace) -> int:
    from fer_edge.journal.clock_correction import ClockCorrection
    from fer_edge.journal.segments import DamagedLine
    from fer_edge.log.follow import last_events
    from fer_edge.log.rows import column_names, event_row
    from fer_edge.log.tables import write_json

    if args.n < 0:
        raise UsageError(f"-n {args.n} is no number of lines; give 0 or more")
    wanted, found = _filter(args), _devices(args)
    zone = wanted.window.zone
    _zone_said(args)

    def show(device: Device, told: LoggedEvent | DamagedLine) -> None:
        if isinstance(told, DamagedLine):
            _damaged(device, told)
            return
        row = event_row(device, told)
        if not wanted.takes(row):
            return
        if args.json:
            write_json([row], column_names("events", ()), zone, sys.stdout)
        else:
            name = f"{device.name}  " if len(found) > 1 else ""
            print(f"{zone.short(row['at'])}{' ' if told.known else '?'} {name}{row['kind']:<8} {row['what']}")
        sys.stdout.flush()

    followers: list[tuple[Device, Follower]] = []
    shown: list[tuple[float, Device, LoggedEvent | DamagedLine]] = []
    for device in found:

        def takes(told: LoggedEvent, on: Device = device) -> bool:
            return wanted.takes(event_row(on, told))

        kept, follower = last_events(device.folder, ClockCorrection(device.folder), args.n, takes)
        followers.append((device, follower))
        at_s = float("-inf")
        for told in kept:
            at_s = at_s if isinstance(told, DamagedLine) else told.at_s
            shown.append((at_s, device, told))
    rows_before = sorted(shown, key=lambda one: one[0])[-args.n :] if args.n else []
    for _, device, told in rows_before:
        show(device, told)
    try:
        while args.follow:
            for device, follower in followers:
                for told in follower.poll():
                    show(device, told)
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        pass  # the only way to end it
    return EXIT_DONE


def _query(args: argparse.Namespace) -> int:
    from fer_edge.log.tables import write_csv, write_json, write_text

    every, names, wanted = _rows(args)
    write = write_json if args.json else write_csv if args.csv else write_text
    if not args.json and not args.csv:
        brief = _BRIEF[args.what]
        names = [*(["device"] if len(_devices(args)) > 1 else []), *brief]
    _zone_said(args)
    if (first := next(every, None)) is None:
        message("no rows: nothing of that kind was asked for and is there")
    else:
        every = chain((first,), every)
    write(every, names, wanted.window.zone, sys.stdout)
    return EXIT_DONE


def _export(args: argparse.Namespace) -> int:
    from fer_edge.log.tables import write_rows_file

    every, names, wanted = _rows(args)
    write_rows_file(every, names, wanted.window.zone, args.out)
    message(f"{args.out} is written, {args.out.stat().st_size:,} bytes")
    return EXIT_DONE


def _rows(args: argparse.Namespace) -> tuple[Iterator[Row], list[str], RowFilter]:
    """The rows of all devices, one device after the other, the names of their fields, and what was asked for."""
    from fer_edge.journal.clock_correction import ClockCorrection
    from fer_edge.log.rows import column_names, labels_of, rows_of
    from fer_edge.log.runs import read_runs

    found, wanted = _devices(args), _filter(args)
    readings = args.what in ("readings", "events")

    def every() -> Iterator[Row]:
        for device in found:
            told = read_runs(device.folder, ClockCorrection(device.folder), readings)
            yield from rows_of(_sound(device, told), device, args.what, wanted)

    return every(), column_names(args.what, labels_of(found)), wanted


def _sound(device: Device, every: Iterator[LogItem]) -> Iterator[LogItem]:
    """What is told without what is damaged, which is said."""
    from fer_edge.journal.segments import DamagedLine

    for told in every:
        if isinstance(told, DamagedLine):
            _damaged(device, told)
        else:
            yield told


def _summary(args: argparse.Namespace) -> int:
    from fer_edge.log.tables import write_csv, write_text
    from fer_edge.log.text_report import flat_columns, flat_rows, part_columns, part_rows, summary_text

    summaries = _summaries(args, args.by)
    zone = summaries[0].window.zone
    if args.json:
        for summary in summaries:
            print(json.dumps(summary.to_json(), ensure_ascii=False))
    elif args.csv:
        write_csv(flat_rows(summaries), flat_columns(summaries), zone, sys.stdout)
    elif args.by == "whole":
        print("\n\n".join(map(summary_text, summaries)))
    else:
        names = part_columns(summaries)[0 if len(summaries) > 1 else 1 :]
        _zone_said(args)
        message("there: of the observed time; each expression: of the seconds of faces, unsure among them")
        write_text(part_rows(summaries), names, zone, sys.stdout)
    return EXIT_DONE


def _plot(args: argparse.Namespace) -> int:
    from fer_edge.log.terminal_bars import bar_lines
    from fer_edge.log.timeline import draw_timeline

    by = {None: None, "5min": 300.0, "15min": 900.0}.get(args.by, args.by)
    if by is None:
        wholes = _summaries(args, "whole")
        longest_s = max(one.whole.to_s - one.whole.from_s for one in wholes)
        few = 300.0 if longest_s <= 3 * 3600 else 900.0 if args.out and longest_s <= 1.6 * 86_400 else "hour"
        by = few if longest_s <= 8 * 86_400 else "day"
    summaries = _summaries(args, by)
    if args.out:
        draw_timeline(summaries, args.out)
        message(f"{args.out} is written, {args.out.stat().st_size:,} bytes")
    else:
        print("\n\n".join("\n".join(bar_lines(summary)) for summary in summaries))
    return EXIT_DONE


def _summaries(args: argparse.Namespace, by: str | float) -> list[Summary]:
    """The summaries of the devices that tell of the time. Raises NotEnoughData when none does."""
    from fer_edge.log.summary import summarise

    window, found = _window(args), _devices(args)
    made = []
    for device in found:
        summary = summarise(device, window, by, partial(_damaged, device))
        if summary is None:
            message(f"{device.name}: no line tells of the time that was asked about")
        else:
            made.append(summary)
    if not made:
        raise NotEnoughData(f"no journal tells of that time ({', '.join(device.name for device in found)})")
    return made


def _check(args: argparse.Namespace) -> int:
    from fer_edge.log.audit import audit_journal
    from fer_edge.log.time_window import TimeZone

    audits = [audit_journal(device, TimeZone(args.utc)) for device in _devices(args)]
    for number, found in enumerate(audits):
        if args.json:
            print(json.dumps(found.to_json(), ensure_ascii=False))
        else:
            print(("\n" if number else "") + found.text())
    if torn := [found for found in audits if not found.whole]:
        told = "; ".join(f"{found.device.name} is not whole, missing: {found.missing}" for found in torn)
        raise Unhealthy(f"{told}. Everything else can be read")
    return EXIT_DONE


def _purge(args: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from device.default_folders import default_journal_folder
    from fer_edge.journal.purge import purge
    from fer_edge.log.time_window import parse_moment

    print(purge(args.log or default_journal_folder(name=args.name), parse_moment(args.before, datetime.now(UTC))))
    return EXIT_DONE


def _damaged(device: Device, damage: DamagedLine) -> None:
    message(f"{device.name}: {damage}; passed over")


def _zone_said(args: argparse.Namespace) -> None:
    from fer_edge.log.time_window import TimeZone

    if not getattr(args, "json", False) and not getattr(args, "csv", False):
        message(f"times are {TimeZone(args.utc)}{'' if args.utc else '; --utc for UTC'}")
