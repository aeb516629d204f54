"""`fer-edge label`: recorded videos to tables."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.commands.vision_arguments import (
    CONFIG_HELP,
    add_picture_arguments,
    add_quiet_argument,
    add_reading_arguments,
)
from fer_edge.console import message, output, reporter
from fer_edge.errors import EXIT_DONE, UsageError
from fer_edge.json_fields import json_text

if TYPE_CHECKING:
    from device.label import LabelResult


def register(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "label",
        help="label recorded videos: write a table with a row for each face of each frame",
        epilog="A video that was already labelled with the same bundle, settings and versions is skipped. Exit codes: 0 all"
        " videos are labelled; 2 a video could not be read to its end (the message names it; the others are labelled), or"
        " the output cannot be written; 5 bundle refused; 130 interrupted (the same command resumes).",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a video, or a folder of videos")
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="output folder: for each video a table, and a record of the bundle, settings and versions",
    )
    parser.add_argument(
        "--format",
        dest="form",
        choices=("csv", "parquet"),
        default="csv",
        help="format of the tables; parquet needs the extra `parquet`; default: csv",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="number of videos labelled at a time, each in its own process; default: 1",
    )
    parser.add_argument(
        "--annotate",
        action="store_true",
        help="also write a video with boxes and labels, faces pixelated; this takes several times as long",
    )
    parser.add_argument("--show-faces", action="store_true", help="with --annotate: do not pixelate the faces")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object for each video")
    parser.add_argument(
        "--explain-privacy", action="store_true", help="print what this command would store and send, and exit"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help=CONFIG_HELP)
    add_quiet_argument(parser)
    add_picture_arguments(parser.add_argument_group("picture"))
    add_reading_arguments(parser.add_argument_group("reading", "how faces are found and labelled"))
    parser.set_defaults(command=_label)


def _label(args: argparse.Namespace) -> int:
    from device.config_sources import load_settings
    from device.label import label
    from device.recorded.files import LabelOptions
    from fer_edge.detection.download import fetch_missing_detectors

    if args.show_faces and not args.annotate:
        raise UsageError("--show-faces needs --annotate, whose video it changes; give both")
    if args.explain_privacy:
        from device.privacy import explain_label

        output(explain_label(args.out, args.form, args.annotate, args.show_faces, args.detector))
        return EXIT_DONE
    settings = load_settings(vars(args), args.config).settings

    def report(result: LabelResult) -> None:
        if args.as_json:
            output(json_text(result.to_json()))
        elif result.summary is not None:
            output(str(result.rows))

    fetch_missing_detectors(settings.detector, message)
    options = LabelOptions(args.form, args.annotate, args.show_faces)
    results = label(args.paths, args.out, settings, options, args.jobs, report, quiet=args.quiet)
    if failed := [str(result.source) for result in results if result.problem]:
        raise UsageError(f"{len(failed)} of {len(results)} could not be read to the end: {', '.join(failed)}")
    frames = sum(result.summary.frames for result in results if result.summary)
    reporter(args.quiet)(f"{len(results)} labelled, {frames} frames, in {args.out}")
    return EXIT_DONE
