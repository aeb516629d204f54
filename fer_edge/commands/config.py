"""`fer-edge config show`: the settings."""

from __future__ import annotations

import argparse
from typing import Any

from fer_edge.argument_types import file_path
from fer_edge.commands.vision_arguments import CONFIG_HELP
from fer_edge.console import output
from fer_edge.errors import EXIT_DONE
from fer_edge.json_fields import json_text


def register(commands: Any) -> None:
    """Adds the command."""
    actions = commands.add_parser("config", help="print the settings").add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser("show", help="print each setting, its value and the origin of the value")
    show.add_argument("--config", type=file_path, metavar="FILE", help=CONFIG_HELP)
    show.add_argument("--json", action="store_true", dest="as_json", help="print the settings as JSON")
    show.add_argument(
        "--commented", action="store_true", help="with a description of each setting, as a settings file to start from"
    )
    show.set_defaults(command=_config_show)


def _config_show(args: argparse.Namespace) -> int:
    from device.config_sources import load_settings, settings_report, settings_text

    configured = load_settings({}, args.config)
    if args.as_json:
        output(json_text(settings_report(configured).to_json(), indent=1))
    else:
        output(settings_text(configured, args.commented))
    return EXIT_DONE
