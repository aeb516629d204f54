"""`fer-edge label`: recorded videos to tables."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.argument_types import file_path
from fer_edge.commands.vision_arguments import (
    CONFIG_HELP,
    add_picture_arguments,
    add_quiet_argument,
    add_reading_arguments,
)
from fer_edge.console import output, reporter, result_output
from fer_edge.errors import EXIT_DONE, UsageError
from fer_edge.json_fields import json_text

if TYPE_CHECKING:
    from device.recorded.results import LabelResult

# the arguments that `label merge` takes, and what is not typed
_OF_MERGE = ("paths", "out", "as_json", "quiet", "command", "whole_parser")


def register(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "label",
        help="label recorded videos: write a table with a row for each face of each frame",
        epilog="A video that was already labelled with the same bundle, settings and versions is skipped. Exit codes: 0 all"
        " videos are labelled; 2 a video could not be read to its end (the message names it; the others are labelled), or"
        " the output cannot be written; 5 bundle refused; 130 interrupted (the same command resumes).",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a video, a folder of videos, or an address of either: s3://, gs://, http:// or https:// (extra `remote`); "
        "`merge OUT…` joins output folders of --shard or --engine in --out instead (./merge is a path)",
    )
    parser.add_argument(
        "--out",
        required=True,
        type=file_path,
        metavar="DIR",
        help="output folder: for each video a table, and a record of the bundle, settings and versions",
    )
    parser.add_argument(
        "--format",
        dest="form",
        choices=("csv", "parquet"),
        help="format of the tables; parquet needs the extra `parquet`; default: csv, with --engine parquet",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="number of videos labelled at a time, each in its own process; default: 1, with --engine the cluster's processors",
    )
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="label part I of N only, by a hash of each video's name, and write index-I-of-N; `label merge` joins the parts",
    )
    parser.add_argument(
        "--engine",
        metavar="ray[://HOST:PORT]",
        help="label on a Ray cluster, and write an index. ray: the cluster of RAY_ADDRESS, else one that runs on this machine, "
        "else a new one; ray://HOST:PORT: the cluster at that address. Needs the extra `ray`",
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
    parser.add_argument("--config", type=file_path, metavar="FILE", help=CONFIG_HELP)
    add_quiet_argument(parser)
    add_picture_arguments(parser.add_argument_group("picture"))
    add_reading_arguments(parser.add_argument_group("reading", "how faces are found and labelled"))
    parser.set_defaults(command=_label)


def _label(args: argparse.Namespace) -> int:
    from device.config_sources import load_settings
    from device.label import label
    from device.recorded.files import LabelOptions
    from device.recorded.shards import Shard
    from fer_edge.detection.download import fetch_missing_detectors

    if args.paths[0] == "merge":
        return _merge(args)
    if args.show_faces and not args.annotate:
        raise UsageError("--show-faces needs --annotate, whose video it changes; give both")
    form = args.form or ("parquet" if args.engine else "csv")
    settings = load_settings(vars(args), args.config).settings
    if args.explain_privacy:
        from device.privacy import explain_label
        from device.recorded.remote_address import is_remote

        on_cluster, reads_addresses = args.engine is not None, any(map(is_remote, args.paths))
        output(
            explain_label(
                args.out,
                form,
                args.annotate,
                args.show_faces,
                settings.detector,
                reads_addresses=reads_addresses,
                on_cluster=on_cluster,
            )
        )
        return EXIT_DONE

    def report(result: LabelResult) -> None:
        if args.as_json:
            result_output(json_text(result.to_json()))
        elif result.summary is not None:
            result_output(str(result.rows))

    fetch_missing_detectors(settings.detector, reporter(args.quiet))
    options = LabelOptions(form, args.annotate, args.show_faces)
    shard = Shard.parse(args.shard) if args.shard else None
    results = label(
        args.paths,
        args.out,
        settings,
        options,
        args.jobs,
        report,
        shard=shard,
        engine=args.engine,
        quiet=args.quiet,
    )
    if failed := [str(result.source) for result in results if result.problem]:
        raise UsageError(f"{len(failed)} of {len(results)} could not be read to the end: {', '.join(failed)}")
    frames = sum(result.summary.frames for result in results if result.summary)
    reporter(args.quiet)(f"{len(results)} labelled, {frames} frames, in {args.out}")
    return EXIT_DONE


def _merge(args: argparse.Namespace) -> int:
    from device.config_sources import flag_name
    from device.default_folders import expand_user
    from device.recorded.merge import merge

    given = [name for name, value in vars(args).items() if name not in _OF_MERGE and value not in (None, False)]
    if given:
        flags = ", ".join("--format" if name == "form" else flag_name(name) for name in given)
        raise UsageError(f"`label merge` takes --out, --json and --quiet only; leave out {flags}")
    folders = [expand_user(Path(path)) for path in args.paths[1:]]
    if not folders:
        raise UsageError("`label merge` needs the output folders of the parts; name at least one")
    joined = merge(folders, args.out)
    for entry in joined.entries:
        if args.as_json:
            result_output(json_text(asdict(entry)))
        elif entry.table is not None:
            result_output(str(args.out / entry.table))
    if failed := [entry.path for entry in joined.entries if entry.error]:
        raise UsageError(f"{len(failed)} of {len(joined.entries)} could not be read to the end: {', '.join(failed)}")
    reporter(args.quiet)(
        f"{len(joined.entries)} labelled, {sum(entry.frames or 0 for entry in joined.entries)} frames, in {args.out}"
    )
    return EXIT_DONE
