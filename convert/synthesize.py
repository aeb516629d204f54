"""`python -m convert.synthesize MODEL`: synthesizes calibration images from the batch-norm statistics of a float model."""

from __future__ import annotations

import sys

from convert.quantize.synthetic_images import FILE_NAME, STEPS, make_synthetic_images
from fer_edge.argument_types import file_path, whole_number
from fer_edge.command_parser import CommandParser
from fer_edge.console import output
from fer_edge.errors import UsageError, exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Synthesizes images from a float model and writes them beside it."""
    parser = CommandParser(prog="python -m convert.synthesize", description=__doc__)
    parser.add_argument("model", type=file_path, help="float model, a .keras file")
    parser.add_argument("--out", type=file_path, help=f"file to write; default: {FILE_NAME} beside the model")
    parser.add_argument("--steps", type=whole_number(1), default=STEPS, help="optimization steps; default: %(default)s")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of random numbers; default: 0")
    args = parser.parse_args(argv)

    def run() -> int:
        out = args.out or args.model.with_name(FILE_NAME)
        if not out.parent.is_dir():
            raise UsageError(f"{out.parent} does not exist; create the folder, or name another file with --out")
        images = make_synthetic_images(args.model, steps=args.steps, seed=args.seed)
        images.save(out)
        output(f"{out}: {len(images.calibrate)} images to calibrate on and {len(images.check)} to check with")
        return 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
