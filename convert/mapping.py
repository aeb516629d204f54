"""`python -m convert.mapping --data PATH`: fits the mapping from a detector's box to the crop that models are trained on."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from convert.crops.mapping_fit import FACES, MIN_FOUND, SIZES_PX, fit_mapping
from convert.crops.synthetic_scenes import SCENE
from convert.data.loader import load
from fer_edge.argument_types import file_path, whole_number
from fer_edge.command_parser import CommandParser
from fer_edge.console import output
from fer_edge.detection.registry import DETECTORS, find_detector
from fer_edge.errors import UsageError, exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Fits the mapping and prints it."""
    parser = CommandParser(prog="python -m convert.mapping", description=__doc__)
    parser.add_argument(
        "--data", type=file_path, required=True, help="data set, in any form that `python -m convert.data` reads"
    )
    parser.add_argument("--detector", choices=DETECTORS, help="face detector; default: the best one installed")
    parser.add_argument(
        "--n", type=whole_number(1), default=FACES, help="number of training faces; default: %(default)s"
    )
    parser.add_argument(
        "--sizes",
        type=whole_number(24),
        nargs=2,
        default=SIZES_PX,
        metavar=("LOW", "HIGH"),
        help="range of the faces' sides in px; default: {} {}".format(*SIZES_PX),
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of random numbers; default: 0")
    parser.add_argument("--json", action="store_true", help="print the mapping as JSON")
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.n < MIN_FOUND:
        raise UsageError(f"--n {args.n} is too few; a mapping needs {MIN_FOUND} faces or more")
    low, high = args.sizes
    if not 2 * low <= high <= min(SCENE):
        raise UsageError(
            f"--sizes {low} {high} cannot be fitted; give a HIGH of at least twice LOW and at most {min(SCENE)} px, "
            f"the height of the {SCENE[1]}×{SCENE[0]} scene"
        )
    detector = find_detector(args.detector)
    fitted = fit_mapping(load(args.data), detector, args.seed, args.n, (low, high))
    if args.json:
        output(json.dumps(asdict(fitted)))
        return 0
    mapping = fitted.mapping
    output(
        f"{fitted.detector}: scale {mapping.scale:.3f}, dx {mapping.dx:+.3f}, dy {mapping.dy:+.3f}, "
        f"grow {mapping.grow:+.4f}, level {mapping.level}"
    )
    output(
        f"{fitted.found} of {fitted.n} training faces of {low} to {high} px found; jitter (sd): "
        f"scale {fitted.jitter_scale:.3f}, dx {fitted.jitter_dx:.3f}, dy {fitted.jitter_dy:.3f}"
    )
    if fitted.tilt:
        output("the eyes' line is tilted by {:+.1f}° on average, sd {:.1f}°".format(*fitted.tilt))
    return 0


if __name__ == "__main__":
    sys.exit(main())
