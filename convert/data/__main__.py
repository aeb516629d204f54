"""`python -m convert.data PATH`: summarizes a data set; `--crop` cuts faces out of whole pictures."""

from __future__ import annotations

import argparse
import json
import sys

from convert.argument_types import add_votes_argument
from convert.data.class_selection import EXPRESSIONS, TAKE_OWN_CLASSES, classes_argument
from convert.data.loader import load, remarks
from fer_edge.argument_types import file_path, whole_number
from fer_edge.command_parser import CommandParser
from fer_edge.console import message, result_output
from fer_edge.detection.registry import DETECTORS
from fer_edge.errors import UsageError, exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Prints a summary of the data set, or writes its face crops and prints how many were found."""
    parser = CommandParser(prog="python -m convert.data", description=__doc__)
    parser.add_argument("path", type=file_path, help="data set: a folder, a zip, a CSV, or a compressed CSV")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument(
        "--classes",
        type=classes_argument,
        default=EXPRESSIONS,
        metavar="NAME,NAME…|own",
        help="classes to read; own: every class of the set under its own name; default: the seven expressions, in any spelling",
    )
    add_votes_argument(parser)
    parser.add_argument(
        "--sheet", type=file_path, metavar="FILE.png", help="picture to write, with samples of each class"
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0),
        default=0,
        help="seed of the split, where the set has none, and of the sheet; default: 0",
    )
    crop = parser.add_argument_group(
        "face crops", "cuts faces out of whole pictures, with the code that runs on the device"
    )
    crop.add_argument(
        "--crop",
        type=file_path,
        metavar="OUT",
        help="folder to write the largest face of each picture to, in class folders",
    )
    crop.add_argument("--detector", choices=DETECTORS, help="face detector; default: the best one installed")
    crop.add_argument(
        "--bundle", type=file_path, help="bundle whose mapping and side are used; default: those of new bundles"
    )
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from convert.data.summary import summarize, summary_table, write_sheet

    if args.crop:
        if args.votes:
            raise UsageError(
                "--votes is for a data set that is read; --crop writes faces into the set's own class folders"
            )
        return _crop(args)
    if args.detector or args.bundle:
        raise UsageError("--detector and --bundle need --crop, the folder for the faces that are cut out")
    if args.sheet and args.sheet.suffix.lower() != ".png":
        raise UsageError(f"--sheet writes PNG; {args.sheet} does not end in .png")
    samples = load(args.path, seed=args.seed, classes=args.classes, votes=args.votes, remedy=TAKE_OWN_CLASSES)
    for remark in remarks(samples):
        message(remark)
    summary = summarize(samples)
    result_output(json.dumps(summary.to_json(), indent=1) if args.json else summary_table(summary))
    if args.sheet:
        write_sheet(samples, args.sheet, seed=args.seed)
        message(f"samples in {args.sheet}")
    return 0


def _crop(args: argparse.Namespace) -> int:
    from convert.data.face_cropping import FaceCropper, cropping_table, write_crops

    if args.sheet:
        raise UsageError(
            f"--sheet shows a data set as it is read; write the crops, then `python -m convert.data {args.crop}`"
        )
    cropped = write_crops(args.path, args.crop, FaceCropper.of(args.detector, args.bundle), args.classes)
    for remark in cropped.remarks():
        message(remark)
    result_output(json.dumps(cropped.to_json(), indent=1) if args.json else cropping_table(cropped))
    message(f"{cropped.total('found'):,} face crops in {args.crop}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
