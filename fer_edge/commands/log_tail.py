"""`fer-edge log tail`: the last lines of journals, and new ones."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fer_edge.commands.log_options import (
    add_face_arguments,
    add_kind_argument,
    add_window_arguments,
    report_damage,
    report_zone,
    row_filter,
    selected_devices,
)
from fer_edge.console import output
from fer_edge.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    from fer_edge.journal.segments import DamagedLine
    from fer_edge.log.devices import Device
    from fer_edge.log.follow import Follower
    from fer_edge.log.items import LoggedEvent

_POLL_S = 0.5


def register(actions: Any) -> None:
    """Adds the action."""
    tail = actions.add_parser("tail", help="print the last lines as text; -f continues with each new line")
    add_window_arguments(tail)
    add_face_arguments(tail)
    add_kind_argument(tail)
    tail.add_argument("-n", type=int, default=10, metavar="N", help="number of lines; default: 10")
    tail.add_argument("-f", "--follow", action="store_true", help="print new lines until Ctrl-C")
    tail.add_argument("--json", action="store_true", help="print one JSON object for each line")
    tail.set_defaults(command=_tail)


def _tail(args: argparse.Namespace) -> int:
    from fer_edge.journal.clock_correction import ClockCorrection
    from fer_edge.journal.segments import DamagedLine
    from fer_edge.log.follow import last_events
    from fer_edge.log.rows import column_names, event_row
    from fer_edge.log.tables import write_json

    if args.n < 0:
        raise UsageError(f"-n {args.n} is not a number of lines; give 0 or more")
    wanted, devices = row_filter(args), selected_devices(args)
    zone = wanted.window.zone
    report_zone(args)

    def show(device: Device, item: LoggedEvent | DamagedLine) -> None:
        if isinstance(item, DamagedLine):
            report_damage(device, item)
            return
        row = event_row(device, item)
        if not wanted.takes(row):
            return
        if args.json:
            write_json([row], column_names("events", ()), zone, sys.stdout)
        else:
            name = f"{device.name}  " if len(devices) > 1 else ""
            output(f"{zone.short(row['at'])}{' ' if item.known else '?'} {name}{row['kind']:<8} {row['what']}")
        sys.stdout.flush()

    followers: list[tuple[Device, Follower]] = []
    items: list[tuple[float, Device, LoggedEvent | DamagedLine]] = []
    for device in devices:

        def is_wanted(event: LoggedEvent, device: Device = device) -> bool:
            return wanted.takes(event_row(device, event))

        calendar = ClockCorrection(device.folder)
        last, follower = last_events(device.folder, calendar, args.n, is_wanted, wanted.window.since_s)
        followers.append((device, follower))
        at_s = float("-inf")  # a damaged line stands after the line before it
        for item in last:
            at_s = at_s if isinstance(item, DamagedLine) else item.at_s
            items.append((at_s, device, item))
    for _, device, item in sorted(items, key=lambda each: each[0])[-args.n :] if args.n else []:
        show(device, item)
    with suppress(KeyboardInterrupt):  # the only way to end it
        while args.follow:
            for device, follower in followers:
                for item in follower.poll():
                    show(device, item)
            time.sleep(_POLL_S)
    return EXIT_DONE
