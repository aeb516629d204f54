"""`fer-edge collect`: stores pictures of faces for one's own training, on request; `collect review` labels them."""

from __future__ import annotations

import argparse
from typing import Any

from fer_edge.argument_types import file_path
from fer_edge.commands.vision_arguments import (
    CONFIG_HELP,
    add_detail_arguments,
    add_picture_arguments,
    add_reading_arguments,
    size_argument,
)
from fer_edge.console import output, reporter
from fer_edge.errors import EXIT_DONE, UsageError

_CONSENT = "--store-pictures-of-faces"
_REVIEW_PORT = 8781


def register(commands: Any) -> None:
    """Adds the command. No flag may be shortened, and no settings file turns it on."""
    parser = commands.add_parser(
        "collect",
        help="store pictures of the faces in view for your own training, and label them",
        usage="fer-edge collect --faces DIR --store-pictures-of-faces [options]\n       fer-edge collect review DIR",
        allow_abbrev=False,
        epilog="Logs as `fer-edge run` does, too. Exit codes: those of `fer-edge run`.",
    )
    parser.add_argument(
        "--faces", type=file_path, metavar="DIR", help="folder for the pictures; only its owner can read it"
    )
    parser.add_argument(
        _CONSENT,
        action="store_true",
        dest="consent",
        help="required to store pictures; by giving it you confirm that everybody in view knows of it and agrees",
    )
    for flag, dest, kind, metavar, help_text in (
        ("--every", "every_s", float, "S", "time in s between two pictures of one face; default: 3"),
        ("--expire-days", "expire_days", float, "N", "delete pictures without a label after N days; default: 14"),
        ("--max-pictures", "max_pictures", int, "N", "store no more than N pictures; default: 2000"),
        (
            "--max-size",
            "max_size",
            size_argument,
            "SIZE",
            "largest size of all pictures, in bytes or as 20MB; default: 20MB",
        ),
    ):
        parser.add_argument(flag, dest=dest, type=kind, metavar=metavar, help=help_text)
    parser.add_argument("--config", type=file_path, metavar="FILE", help=CONFIG_HELP)
    parser.add_argument("--camera", metavar="C", help="as of `fer-edge run`; default: 0")
    parser.add_argument("--name", help="name of this instance, if there are several cameras; default: camera")
    parser.add_argument("--log", type=file_path, metavar="DIR", help="folder of the journal, as of `fer-edge run`")
    parser.add_argument("--duration", type=float, dest="duration_s", metavar="S", help="stop after S seconds")
    parser.add_argument("--fps", type=float, metavar="N", help="requested frame rate in frames/s; default: 10")
    parser.add_argument(
        "--live",
        nargs="?",
        const="127.0.0.1:8780",
        metavar="HOST:PORT",
        help="serve the live page of `fer-edge run`, which says that faces are stored; default: no page",
    )
    add_detail_arguments(parser)
    add_picture_arguments(parser.add_argument_group("picture"))
    add_reading_arguments(parser.add_argument_group("reading", "how faces are found and labelled"))
    parser.add_argument(
        "--explain-privacy", action="store_true", help="print what this run would store and send, and exit"
    )
    parser.set_defaults(command=_collect)
    review = parser.add_subparsers(metavar="ACTION", prog="fer-edge collect").add_parser(
        "review", help="label the pictures by keyboard, on a page for this machine only", allow_abbrev=False
    )
    review.add_argument("folder", type=file_path, metavar="DIR", help="the folder that --faces named")
    review.add_argument(
        "--classes",
        metavar="A,B",
        help="your own classes, with commas between; default: those that have a folder, else the seven expressions; "
        "`none` is always among them",
    )
    review.add_argument(
        "--port", type=int, default=_REVIEW_PORT, metavar="N", help="port on 127.0.0.1; default: %(default)s"
    )
    review.set_defaults(command=_review)


def _collect(args: argparse.Namespace) -> int:
    from device.config_sources import load_settings
    from device.output.collected.face_limits import FaceLimits
    from device.output.collected.face_store import FaceCollection

    if args.faces is None:
        raise UsageError(
            "name a folder for the pictures with --faces DIR, or `fer-edge collect review DIR` to label them"
        )
    names = ("every_s", "max_pictures", "max_size", "expire_days")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    collection = FaceCollection(args.faces, FaceLimits(**given))
    arguments = vars(args)
    settings = load_settings(arguments, args.config).settings
    if args.explain_privacy:
        from device.privacy import explain_run

        output(explain_run(settings, collection=collection))
        return EXIT_DONE
    if not args.consent:
        raise UsageError(
            f"this stores pictures of the faces in view in {args.faces}; if the people in view know of it and agree, add "
            f"{_CONSENT} (--explain-privacy says what is stored)"
        )
    from device.collect import collect
    from fer_edge.detection.download import fetch_missing_detectors

    fetch_missing_detectors(settings.detector, reporter(settings.detail == "none"))
    return collect(settings, collection, lambda: load_settings(arguments, args.config).settings)


def _review(args: argparse.Namespace) -> int:
    from device.review import review

    if args.faces is not None or args.consent:
        raise UsageError("`fer-edge collect review DIR` stores no new pictures; leave out --faces and " + _CONSENT)
    if not 0 <= args.port < 1 << 16:
        raise UsageError(f"--port must be from 0 to 65535, not {args.port}")
    classes = [name.strip() for name in args.classes.split(",")] if args.classes is not None else []
    return review(args.folder, classes, args.port)
