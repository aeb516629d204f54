"""`fer-edge log check` and `purge`: whether journals are complete, and the removal of old lines."""

from __future__ import annotations

import argparse
from typing import Any

from fer_edge.argument_types import file_path
from fer_edge.commands.log_options import add_folder_arguments, selected_devices
from fer_edge.console import message, output
from fer_edge.errors import EXIT_DONE, Unhealthy
from fer_edge.instance_name import DEFAULT
from fer_edge.json_fields import json_text


def register(actions: Any) -> None:
    """Adds the two actions."""
    check = actions.add_parser("check", help="list missing lines and the reasons; exit code 0: complete, 7: incomplete")
    add_folder_arguments(check)
    check.add_argument("--json", action="store_true", help="print one JSON object for each journal")
    check.set_defaults(command=_check)

    purge = actions.add_parser("purge", help="remove every line from before a given time")
    purge.add_argument(
        "--before", required=True, metavar="WHEN", help="2026-01-31, 2026-01-31T12:00, or 30d, 12h, 15min (ago)"
    )
    purge.add_argument(
        "--log",
        type=file_path,
        metavar="DIR",
        help="folder of the one journal, without its subfolders; default: where `run` writes",
    )
    purge.add_argument(
        "--name",
        help=f"name of the instance, if --log is absent; default: the `name` of the settings file, else {DEFAULT}",
    )
    purge.set_defaults(command=_purge)


def _check(args: argparse.Namespace) -> int:
    from fer_edge.log.audit import audit_journal
    from fer_edge.log.time_window import TimeZone

    audits = [audit_journal(device, TimeZone(args.utc)) for device in selected_devices(args)]
    for number, audit in enumerate(audits):
        if args.json:
            output(json_text(audit.to_json()))
        else:
            output(("\n" if number else "") + audit.text())
    if incomplete := [audit for audit in audits if not audit.whole]:
        reasons = "; ".join(f"{audit.device.name} is not whole, missing: {audit.missing}" for audit in incomplete)
        raise Unhealthy(f"{reasons}. Everything else can be read")
    return EXIT_DONE


def _purge(args: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from device.selected_instance import journal_folder_of
    from fer_edge.file_owner import acting_as_owner
    from fer_edge.journal.purge import purge
    from fer_edge.log.devices import journals_below
    from fer_edge.log.time_window import parse_moment

    folder, before = args.log or journal_folder_of(args.name), parse_moment(args.before, datetime.now(UTC))
    with acting_as_owner(folder):  # root in a folder of the service
        result = purge(folder, before)
        others = [journal for journal in journals_below(folder) if journal != folder]
    output(str(result))
    if others:
        message(f"not purged, name each with --log: {', '.join(map(str, others))}")
    return EXIT_DONE
