"""`python -m convert.layers BUNDLE [--data PATH]`: where an int8 model's error comes from, layer by layer."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from convert.argument_types import whole_number
from convert.quantize.layer_report import IMAGES, of_bundle, table
from convert.report.plots import by_layer
from fer_edge.atomic_file import write_atomically
from fer_edge.bundle import Bundle
from fer_edge.errors import exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Prints the table; 0 done, 2 bad input, 5 no bundle, 6 nothing to run on."""
    parser = argparse.ArgumentParser(prog="python -m convert.layers", description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="?", help="default: the one that came with the package")
    parser.add_argument("--data", type=Path, help="any data set that `python -m convert.data` reads")
    parser.add_argument("--images", type=whole_number(1), default=IMAGES, help="at most; default: %(default)s")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="also write layers.md, layers.json and layers.png there"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)

    def run() -> int:
        told = of_bundle(Bundle.load(args.bundle), args.data, args.images)
        as_json = json.dumps([asdict(row) for row in told], indent=1)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            files = {"layers.md": (table(told) + "\n").encode(), "layers.json": (as_json + "\n").encode()}
            for name, content in {**files, "layers.png": by_layer(told)}.items():
                write_atomically(args.out / name, content)
        print(as_json if args.json else table(told))
        return 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
