"""`fer-edge service`: the systemd unit of the camera loop."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.argument_types import file_path
from fer_edge.console import message, output
from fer_edge.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    from device.service.systemd_units import Unit


def register(commands: Any) -> None:
    """Adds the command."""
    actions = commands.add_parser(
        "service", help="print or install the systemd unit of the camera loop"
    ).add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser("show", help="print the unit")
    show.set_defaults(command=_show)
    install = actions.add_parser("install", help="write the unit to systemd's folder, and print the next commands")
    install.add_argument(
        "--root",
        type=file_path,
        default=Path("/"),
        metavar="DIR",
        help="root folder of the system to install into; default: /",
    )
    install.set_defaults(command=_install)
    for parser in (show, install):
        parser.add_argument("--user", action="store_true", help="a unit for the user's own systemd, without root")
        parser.add_argument(
            "--template", action="store_true", help="a template unit for several cameras: fer-edge@NAME"
        )
        parser.add_argument(
            "--network",
            action="store_true",
            help="allow access to the local networks, for a network camera, a broker, metrics or the live page",
        )
        parser.add_argument(
            "--program", type=file_path, metavar="FILE", help="path of the `fer-edge` to start; default: this one"
        )


def _show(args: argparse.Namespace) -> int:
    output(_unit(args).text().rstrip())
    return EXIT_DONE


def _install(args: argparse.Namespace) -> int:
    from device.service.systemd_units import install_unit, next_commands

    if args.root.resolve() != Path("/"):
        if args.user:
            raise UsageError(
                "--root is for the units of a system, and --user for this login's own; leave out one of the two"
            )
        if not args.root.is_dir():
            raise UsageError(f"{args.root} is not a folder; name the root folder of a system with --root")
        if args.program is None:
            raise UsageError("--root needs --program FILE: the path of `fer-edge` in that system")
    unit = _unit(args)
    for path in install_unit(unit, args.root):
        output(str(path))
    message("now: " + " && ".join(next_commands(unit, args.root)))
    return EXIT_DONE


def _unit(args: argparse.Namespace) -> Unit:
    from device.service.systemd_units import Unit, installed_program

    return Unit(args.program or installed_program(), args.template, args.user, args.network)
