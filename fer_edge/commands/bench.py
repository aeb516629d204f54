"""`fer-edge bench`: the time of each stage and network on this machine."""

from __future__ import annotations

import argparse
from typing import Any

from fer_edge.argument_types import file_path, whole_number
from fer_edge.commands.vision_arguments import BUNDLE_HELP, add_quiet_argument
from fer_edge.console import message, output, reporter
from fer_edge.detection.tiles import MIN_FAR_PX
from fer_edge.errors import EXIT_DONE
from fer_edge.json_fields import json_text


def register(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "bench",
        help="measure the time of each stage and each network on this machine",
        epilog="Stop other work first, including a running instance (`fer-edge pause`). A line that begins with MARKED gives a"
        " reason why the figures do not represent this machine. Figures under ESTIMATE are not measured. Exit codes: 0 done;"
        " 2 usage; 5 file refused.",
    )
    parser.add_argument("--bundle", type=file_path, metavar="DIR", help=BUNDLE_HELP)
    parser.add_argument(
        "--float",
        type=file_path,
        metavar="FILE",
        help="float .tflite of the bundle's network, measured in addition to int8",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="measure with 1 to N threads; default: the number of cores, at most 4"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=20.0,
        metavar="S",
        help="approximate duration of the measurement in s; default: 20",
    )
    parser.add_argument(
        "--far",
        type=whole_number(MIN_FAR_PX),
        dest="far_px",
        metavar="PX",
        help="also measure frames of 1920×1080 that are searched for faces of PX px and more; default: no",
    )
    add_quiet_argument(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the report as JSON")
    form.add_argument(
        "--paste",
        action="store_true",
        help="print one block of text to share, without host name, user name and serial number",
    )
    parser.set_defaults(command=_bench)


def _bench(args: argparse.Namespace) -> int:
    from device.bench.benchmark import run_bench
    from device.bench.text import paste_block, report_text
    from device.clock import SystemClock
    from fer_edge.bundle import Bundle

    bundle, report_progress = Bundle.load(args.bundle), reporter(args.quiet)
    report = run_bench(
        bundle, SystemClock(), args.threads, args.seconds, args.float, report_progress, far_px=args.far_px
    )
    for mark in report.conditions.marks:
        message(mark)
    if args.json:
        output(json_text(report.to_json()))
    else:
        output(paste_block(report) if args.paste else report_text(report))
    return EXIT_DONE
