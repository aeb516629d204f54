"""`python -m convert.data PATH`: what a data set holds; `--crop` cuts faces out of whole pictures."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from convert.argument_types import whole_number
from convert.data.class_selection import EXPRESSIONS, classes_argument
from convert.data.loader import load, remarks
from fer_edge.console import message
from fer_edge.detection.registry import DETECTORS
from fer_edge.errors import UsageError, guarded


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments and describes the set on stdout, or writes its face crops and says what became of it."""
    parser = argparse.ArgumentParser(prog="python -m convert.data", description=__doc__)
    parser.add_argument("path", type=Path, help="a zip, a folder, a CSV, or one of them packed")
    parser.add_argument("--json", action="store_true", help="everything counted, as JSON")
    parser.add_argument(
        "--classes",
        type=classes_argument,
        default=EXPRESSIONS,
        metavar="NAME,NAME…|own",
        help="own: every class of the set under its own name; default: the seven expressions in all their spellings",
    )
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="write samples of each class as a picture")
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="draws parts that the set does not name, and the sheet"
    )
    crop = parser.add_argument_group("own pictures", "faces cut out by the code that runs on the device")
    crop.add_argument("--crop", type=Path, metavar="OUT", help="write the largest face of each picture as a class tree")
    crop.add_argument("--detector", choices=DETECTORS, help="default: the best that is installed")
    crop.add_argument("--bundle", type=Path, help="whose crop and side to take; default: those of every new bundle")
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from convert.data.summary import describe, text, write_sheet

    if args.crop:
        return _crop(args)
    if args.detector or args.bundle:
        raise UsageError("--detector and --bundle say how faces are cut out; name a folder for them with --crop")
    if args.sheet and args.sheet.suffix.lower() != ".png":
        raise UsageError(f"--sheet writes PNG; {args.sheet} does not end in .png")
    samples = load(args.path, seed=args.seed, classes=args.classes)
    for remark in remarks(samples):
        message(remark)
    description = describe(samples)
    print(json.dumps(description, indent=1) if args.json else text(description))
    if args.sheet:
        write_sheet(samples, args.sheet, seed=args.seed)
        message(f"samples in {args.sheet}")
    return 0


def _crop(args: argparse.Namespace) -> int:
    from convert.data.face_cropping import Cutter, text, write_crops

    if args.sheet:
        raise UsageError(
            f"--sheet shows a set that is read; write the crops, then `python -m convert.data {args.crop}`"
        )
    cropped = write_crops(args.path, args.crop, Cutter.of(args.detector, args.bundle), args.classes)
    for remark in cropped.remarks():
        message(remark)
    print(json.dumps(cropped.to_json(), indent=1) if args.json else text(cropped))
    message(f"{cropped.total('found'):,} face crops in {args.crop}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
