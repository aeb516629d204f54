"""`fer-edge health`, `pause`, `resume` and `reload`: a running instance."""

from __future__ import annotations

import argparse
from typing import Any

from fer_edge.argument_types import file_path
from fer_edge.console import output
from fer_edge.errors import EXIT_DONE, NotRunning, Unhealthy
from fer_edge.instance_name import DEFAULT
from fer_edge.json_fields import json_text

_NAME_HELP = f"name of the instance; default: the `name` of the settings file, else {DEFAULT}"


def register(commands: Any) -> None:
    """Adds the commands."""
    health = commands.add_parser("health", help="check whether a running instance is healthy")
    health.add_argument("--name", help=_NAME_HELP)
    health.add_argument("--json", action="store_true", help="print the status as JSON")
    health.set_defaults(command=_health)
    for name, command, help_text in (
        ("pause", _pause, "close the camera until `resume`; a restart does not end the pause"),
        ("resume", _resume, "end a pause and open the camera again"),
    ):
        parser = commands.add_parser(name, help=help_text)
        parser.add_argument("--name", help=_NAME_HELP)
        parser.add_argument(
            "--log",
            type=file_path,
            metavar="DIR",
            help="folder of the instance's journal, if the instance is not running",
        )
        parser.set_defaults(command=command)
    reload = commands.add_parser("reload", help="make a running instance read its settings again")
    reload.add_argument("--name", help=_NAME_HELP)
    reload.set_defaults(command=_reload)


def _health(args: argparse.Namespace) -> int:
    from device.clock import SystemClock
    from device.selected_instance import searched_runtime_folders, selected_name
    from device.system.status import read_instance

    status = read_instance(selected_name(args.name), searched_runtime_folders(), SystemClock())
    output(json_text(status.to_json()) if args.json else status.text())
    if not status.running:
        raise NotRunning("; ".join(status.problems))
    if status.problems:
        raise Unhealthy("; ".join(status.problems))
    return EXIT_DONE


def _pause(args: argparse.Namespace) -> int:
    from device.clock import SystemClock
    from device.selected_instance import searched_runtime_folders, selected_name
    from device.system.control import pause

    output(pause(selected_name(args.name), searched_runtime_folders(), SystemClock(), args.log))
    return EXIT_DONE


def _resume(args: argparse.Namespace) -> int:
    from device.clock import SystemClock
    from device.selected_instance import searched_runtime_folders, selected_name
    from device.system.control import resume

    output(resume(selected_name(args.name), searched_runtime_folders(), SystemClock(), args.log))
    return EXIT_DONE


def _reload(args: argparse.Namespace) -> int:
    from device.clock import SystemClock
    from device.selected_instance import searched_runtime_folders, selected_name
    from device.system.control import reload

    output(reload(selected_name(args.name), searched_runtime_folders(), SystemClock()))
    return EXIT_DONE
