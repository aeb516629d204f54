"""`python -m convert.export_float BUNDLE --out FILE`: writes a bundle's float model as TFLite, for `fer-edge bench --float`."""

from __future__ import annotations

import sys

from convert.sources.opened_model import open_float_of_bundle
from fer_edge.argument_types import file_path
from fer_edge.atomic_file import write_atomically
from fer_edge.bundle import Bundle
from fer_edge.command_parser import CommandParser
from fer_edge.console import output
from fer_edge.errors import EXIT_DONE, UsageError, exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Writes the float model of a bundle as a TFLite file; 0 done, 2 bad input, 5 bundle refused."""
    parser = CommandParser(prog="python -m convert.export_float", description=__doc__)
    parser.add_argument("bundle", type=file_path, metavar="BUNDLE", help="folder of a bundle that has its float model")
    parser.add_argument(
        "--out", type=file_path, required=True, metavar="FILE", help="file to write, for example float.tflite"
    )
    args = parser.parse_args(argv)

    def run() -> int:
        content = open_float_of_bundle(Bundle.load(args.bundle)).content
        try:
            write_atomically(args.out, content)
        except OSError as error:
            raise UsageError(f"{args.out} cannot be written ({error.strerror})") from error
        output(f"{args.out}: {len(content):,} bytes")
        return EXIT_DONE

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
