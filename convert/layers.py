"""`python -m convert.layers BUNDLE [--data PATH]`: reports the error of an int8 model, layer by layer."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from convert.argument_types import add_votes_argument, refuse_given
from convert.quantize.layer_report import IMAGES, layer_errors_of_bundle, table
from convert.report.plots import layer_error_plot
from fer_edge.argument_types import file_path, whole_number
from fer_edge.atomic_file import write_atomically
from fer_edge.bundle import Bundle
from fer_edge.command_parser import CommandParser
from fer_edge.commands.vision_arguments import BUNDLE_HELP
from fer_edge.console import output
from fer_edge.errors import exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Prints the table; 0 done, 2 bad input, 5 bundle refused, 6 no images."""
    parser = CommandParser(prog="python -m convert.layers", description=__doc__)
    parser.add_argument("bundle", type=file_path, nargs="?", help=BUNDLE_HELP)
    parser.add_argument("--data", type=file_path, help="data set, in any form that `python -m convert.data` reads")
    add_votes_argument(parser)
    parser.add_argument(
        "--images", type=whole_number(1), default=IMAGES, help="largest number of images; default: %(default)s"
    )
    parser.add_argument("--out", type=file_path, metavar="DIR", help="folder for layers.md, layers.json and layers.png")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    args = parser.parse_args(argv)

    def run() -> int:
        if args.data is None:
            refuse_given(args, ("votes",), "labels the images of a data set; name the set with --data")
        rows = layer_errors_of_bundle(Bundle.load(args.bundle), args.data, args.images, args.votes)
        as_json = json.dumps([asdict(row) for row in rows], indent=1)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            files = {"layers.md": (table(rows) + "\n").encode(), "layers.json": (as_json + "\n").encode()}
            for name, content in {**files, "layers.png": layer_error_plot(rows)}.items():
                write_atomically(args.out / name, content)
        output(as_json if args.json else table(rows))
        return 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
