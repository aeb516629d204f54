"""`fer-edge doctor`: checks of this machine."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from fer_edge.argument_types import file_path
from fer_edge.console import message, output
from fer_edge.json_fields import json_text

if TYPE_CHECKING:
    from device.doctor.findings import Finding


def register(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "doctor",
        help="check this machine, and print the command that fixes each failure",
        epilog="The exit code is that of the first failure: 2 packages, settings or folders; 4 the camera; 5 a bundle or a "
        "detector; 7 the machine; 8 the service. It is 0 when no check fails.",
    )
    parser.add_argument(
        "--config", type=file_path, metavar="FILE", help="settings file to check; default: that of `run`"
    )
    parser.add_argument("--camera", metavar="C", help="camera to check, as for `run`; default: that of the settings")
    parser.add_argument("--name", help="name of the instance, if there are several cameras; default: camera")
    parser.add_argument(
        "--first-run",
        action="store_true",
        help="before the first run: a missing service is not a failure, and the camera is opened for some seconds",
    )
    parser.add_argument("--json", action="store_true", dest="as_json", help="print the report as JSON")
    parser.set_defaults(command=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    from device.doctor.doctor import run_doctor

    def report_finding(finding: Finding) -> None:
        if not args.as_json:
            output(finding.lines())

    report = run_doctor(vars(args), args.config, args.first_run, message, report_finding)
    if args.as_json:
        output(json_text(report.to_json()))
    message(report.verdict)
    return report.exit_code
