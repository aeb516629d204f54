"""`python -m convert.report REPORT.json|BUNDLE`: renders a stored evaluation, or a bundle's parity page."""

from __future__ import annotations

import sys
from pathlib import Path

from convert.evaluate.evaluation_report import EvaluationReport
from convert.report.evaluation_files import write
from convert.report.evaluation_markdown import markdown
from fer_edge.argument_types import file_path
from fer_edge.atomic_file import write_atomically
from fer_edge.bundle import Bundle
from fer_edge.command_parser import CommandParser
from fer_edge.console import message, output, result_output
from fer_edge.errors import UsageError, exit_code_of
from fer_edge.shipped_bundles import IN_CHECKOUT, SHIPPED


def make_parser(prog: str) -> CommandParser:
    """The parser of the command's arguments, under the name `prog`."""
    parser = CommandParser(prog=prog, description=main.__doc__)
    parser.add_argument(
        "report", type=file_path, help="report.json of `python -m convert.evaluate`, or folder of a bundle"
    )
    parser.add_argument(
        "--out",
        type=file_path,
        metavar="PATH",
        help="folder for an evaluation's files, default: none; or file of the page, default: NAME.html",
    )
    return parser


def main(argv: list[str] | None = None, prog: str = "python -m convert.report") -> int:
    """Prints a stored evaluation as Markdown, or writes a bundle's parity page as HTML, without a new evaluation."""
    args = make_parser(prog).parse_args(argv)

    def run() -> int:
        if args.report.is_dir() or str(args.report) in (*SHIPPED, *IN_CHECKOUT):
            return _page(args.report, args.out)
        report = EvaluationReport.load(args.report)
        result_output(markdown(report))
        for path in write(report, args.out) if args.out else ():
            message(str(path))
        return 0

    return exit_code_of(run)


def _page(folder: Path, out: Path | None) -> int:
    from convert.report.parity_page import page

    bundle = Bundle.load(folder)
    path = out or Path(f"{bundle.name}.html")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file for the page with --out")
    text = page(bundle)
    write_atomically(path, text)
    output(str(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
