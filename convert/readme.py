"""`python -m convert.readme`: writes the measured figures and the presets into the documents.

The figures are in README.md, models/README.md and the page of what a label is worth, the presets in models/README.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from convert.report import accelerator_table, preset_table, readme_table, summary_table
from convert.report.readme_table import with_block
from fer_edge.argument_types import file_path
from fer_edge.atomic_file import write_atomically
from fer_edge.command_parser import CommandParser
from fer_edge.errors import exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Writes the measured figures into the README, and the presets without a release into the page of the models."""
    parser = CommandParser(prog="python -m convert.readme", description=__doc__)
    parser.add_argument(
        "--models",
        type=file_path,
        default=Path("models"),
        help="folder of the bundles and their README.md; default: models",
    )
    parser.add_argument(
        "--readme", type=file_path, default=Path("README.md"), help="file to change; default: README.md"
    )
    args = parser.parse_args(argv)

    def run() -> int:
        readme = with_block(args.readme.read_text(), summary_table.block(args.models), summary_table.BEGIN)
        write_atomically(args.readme, readme)
        privacy = args.models.parent / "docs/pages/privacy.md"
        worth = summary_table.default_accuracy(args.models)
        write_atomically(privacy, with_block(privacy.read_text(), worth, summary_table.BEGIN))
        page = args.models / "README.md"
        text = with_block(page.read_text(), readme_table.block(args.models))
        text = with_block(text, preset_table.block(), preset_table.BEGIN)
        write_atomically(page, with_block(text, accelerator_table.block(args.models), accelerator_table.BEGIN))
        return 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
