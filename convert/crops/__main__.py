"""`python -m convert.crops --data PATH --bundle BUNDLE`: measures the accuracy on detected crops, by size of the face."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from convert.argument_types import add_votes_argument, refuse_given
from convert.crops.crop_table import FAR_SIZES_PX, SIZES_PX, crop_table_text, installed_detectors, measure_crops
from convert.crops.detected_crops import FACES, CropExperiment
from convert.crops.detection_error_table import PICTURES, detection_error_text, measure_detection_errors
from convert.crops.synthetic_scenes import SCENE
from convert.data.loader import load, remarks
from fer_edge.argument_types import file_path, whole_number
from fer_edge.atomic_file import write_atomically
from fer_edge.bundle import Bundle
from fer_edge.command_parser import CommandParser
from fer_edge.commands.vision_arguments import BUNDLE_HELP
from fer_edge.console import message, output
from fer_edge.detection.registry import DETECTORS, find_detector, require_far_search
from fer_edge.detection.tiles import MIN_FAR_PX
from fer_edge.detection.two_stage import FarDetector, TwoStageDetector
from fer_edge.errors import UsageError, exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Prints the table, and writes it with --out."""
    parser = CommandParser(prog="python -m convert.crops", description=__doc__)
    parser.add_argument(
        "--data", type=file_path, required=True, help="data set, in any form that `python -m convert.data` reads"
    )
    add_votes_argument(parser)
    parser.add_argument("--bundle", type=file_path, help=BUNDLE_HELP)
    parser.add_argument(
        "--detector",
        choices=(*DETECTORS, "all"),
        help="detector to measure; default: all, i.e. all installed ones; with --detection-errors the best one installed",
    )
    parser.add_argument("--n", type=whole_number(1), default=FACES, help="number of faces; default: %(default)s")
    parser.add_argument(
        "--sizes",
        type=whole_number(24),
        nargs="+",
        action="extend",
        metavar="PX",
        help="sides of the faces in px; default: 60 to 460, with --far 30 to 90, those that fit into the scenes",
    )
    parser.add_argument(
        "--frame",
        type=_frame_px,
        metavar="WxH",
        help="width and height of the scenes in px; default: 640x480",
    )
    parser.add_argument(
        "--far",
        type=whole_number(MIN_FAR_PX),
        metavar="PX",
        help="with blazeface-zoomed: also search tiles of the scenes for faces of PX px and more; default: no",
    )
    parser.add_argument(
        "--sweep", action="store_true", help="also measure the accuracy with wrong mappings: scaled, shifted, rotated"
    )
    parser.add_argument(
        "--detection-errors",
        action="store_true",
        help="instead: false positives on pictures without a face, and missed faces, by detection threshold",
    )
    parser.add_argument(
        "--negatives",
        type=whole_number(1),
        help=f"number of pictures without a face, for --detection-errors; default: {PICTURES}",
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of random numbers; default: 0")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.add_argument("--out", type=file_path, metavar="FILE.json", help="also write the JSON to this file")
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.detection_errors:
        refuse_given(args, ("sizes", "frame", "far", "sweep"), "no effect with --detection-errors; leave out")
        if args.detector == "all":
            raise UsageError("--detection-errors measures one detector; name it with --detector")
    else:
        refuse_given(args, ("negatives",), "only with --detection-errors; leave out otherwise")
    frame = args.frame or SCENE
    usual_px = FAR_SIZES_PX if args.far else SIZES_PX
    sizes_px = args.sizes or [size for size in usual_px if size <= min(frame)] or usual_px[:1]
    if max(sizes_px) > min(frame):
        height, width = frame
        raise UsageError(
            f"--sizes {max(sizes_px)} does not fit into a {width}×{height} scene; give {min(frame)} or less"
        )
    if args.out and (args.out.is_dir() or not args.out.absolute().parent.is_dir()):
        raise UsageError(f"{args.out} cannot be written: name a file in an existing folder")
    bundle = Bundle.load(args.bundle)
    if args.detection_errors:
        return _print_detection_errors(args, bundle)
    detectors = list(installed_detectors(args.detector or "all"))
    if args.far:
        able = [found for found in detectors if isinstance(found, TwoStageDetector)] or detectors[:1]
        detectors = [FarDetector(require_far_search(found), args.far) for found in able]
    samples = load(args.data, bundle.side, classes=bundle.labels, votes=args.votes)
    for remark in remarks(samples):
        message(remark)
    table = measure_crops(CropExperiment.of(samples, bundle, args.n, args.seed, frame), detectors, sizes_px, args.sweep)
    return _print(args, table.to_json(), crop_table_text(table))


def _frame_px(text: str) -> tuple[int, int]:
    """Height and width of “640x480”. Raises ArgumentTypeError for anything else."""
    words = text.lower().split("x")
    if len(words) != 2 or not all(word.isdecimal() and int(word) >= 24 for word in words):
        raise argparse.ArgumentTypeError(f"“{text}” is not a width and a height in px such as 1920x1080")
    return int(words[1]), int(words[0])


def _print_detection_errors(args: argparse.Namespace, bundle: Bundle) -> int:
    """Prints the table of `--detection-errors`."""
    samples = load(args.data, bundle.side, classes=bundle.labels, votes=args.votes)
    detector = find_detector(args.detector)
    table = measure_detection_errors(samples, detector, args.n, args.negatives or PICTURES, args.seed)
    return _print(args, table.to_json(), detection_error_text(table))


def _print(args: argparse.Namespace, values: dict[str, Any], text: str) -> int:
    """Prints a table, and writes it with --out."""
    if args.out:
        write_atomically(args.out, json.dumps(values, indent=1) + "\n")
    output(json.dumps(values) if args.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
