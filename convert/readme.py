"""`python -m convert.readme`: writes the README's table of measured figures, from the committed reports."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from convert.report.readme_table import block, with_block
from fer_edge.atomic_file import write_atomically
from fer_edge.errors import exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Writes the measured figures into the README."""
    parser = argparse.ArgumentParser(prog="python -m convert.readme", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the bundles; default: models")
    parser.add_argument("--readme", type=Path, default=Path("README.md"), help="file to change; default: README.md")
    args = parser.parse_args(argv)

    def run() -> int:
        text = with_block(args.readme.read_text(), block(args.models))
        write_atomically(args.readme, text)
        return 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
