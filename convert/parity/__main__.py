"""`python -m convert.parity BUNDLE --data PATH`: compares int8 with float, class by class, and gives a verdict."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from convert.argument_types import add_votes_argument
from convert.bundle.bundle_update import require_own_copy, write_report_into
from convert.data.loader import load
from convert.data.samples import held_out
from convert.evaluate.confidence_calibration import MIN_IMAGES
from convert.evaluate.prior_argument import add_prior_argument, is_prior_given, prior_of
from convert.parity.comparison import ConversionOptions, compare_bundle
from convert.parity.parity_report import ParityReport
from convert.parity.reports import read_report
from convert.parity.runtime_logits import SETS
from convert.parity.tolerances import Margins
from convert.report.parity_table import parity_table
from fer_edge.argument_types import file_path, whole_number
from fer_edge.bundle import Bundle
from fer_edge.command_parser import CommandParser
from fer_edge.commands.vision_arguments import BUNDLE_HELP
from fer_edge.console import message, output, result_output
from fer_edge.errors import UsageError, exit_code_of
from fer_edge.limits import THREADS
from fer_edge.record_logits import write_images


def make_parser(prog: str) -> CommandParser:
    """The parser of the command's arguments, under the name `prog`."""
    parser = CommandParser(prog=prog, description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("bundle", type=file_path, nargs="?", help=BUNDLE_HELP)
    which.add_argument("--bundle", type=file_path, dest="named", metavar="DIR", help="the same, as in other commands")
    parser.add_argument(
        "--data",
        type=file_path,
        help="data set, in any form that `python -m convert.data` reads; default: the bundle's synthetic images",
    )
    add_votes_argument(parser)
    add_prior_argument(parser, "that of the bundle, else neutral=0.7")
    parser.add_argument(
        "--compare",
        choices=sorted(SETS),
        default="usual",
        help="runtimes to compare on, if installed. one: litert with default kernels; usual: also builtin kernels; "
        "all: also reference kernels (25 times as slow), tensorflow and tflite-runtime; default: usual",
    )
    parser.add_argument(
        "--recorded",
        type=file_path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="logits of other runtimes, written by `python -m fer_edge.record_logits`",
    )
    parser.add_argument(
        "--margins", type=file_path, metavar="TOML", help="file of margins; default: convert/parity/margins.toml"
    )
    parser.add_argument(
        "--images",
        type=file_path,
        metavar="NPY",
        help="only write the held-out images to this file, for `python -m fer_edge.record_logits`",
    )
    parser.add_argument("--write", action="store_true", help="write the report into the bundle, unless parity failed")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--threads", type=whole_number(1, THREADS), default=1, help="threads of the comparison; default: 1"
    )
    return parser


def main(argv: list[str] | None = None, prog: str = "python -m convert.parity") -> int:
    """Prints the report; exit code 0 within the margins, 3 outside, 6 when there are too few images to decide.

    With --write the report is what was asked for: too few images are a warning then, and the exit code is 0.
    """
    args = make_parser(prog).parse_args(argv)

    def run() -> int:
        bundle = Bundle.load(args.named or args.bundle)
        if args.images:
            return _write_images(bundle, args.data, args.votes, args.images)
        if args.write:
            require_own_copy(args.named or args.bundle or bundle.path)
            if args.data is None:
                _require_no_loss(bundle)
        margins, recorded = Margins.load(args.margins), tuple(args.recorded)
        options = ConversionOptions(
            args.data,
            runtimes=args.compare,
            margins=margins,
            threads=args.threads,
            recorded=recorded,
            votes=args.votes,
            prior=prior_of(args, bundle),
            is_prior_given=is_prior_given(args),
        )
        report = compare_bundle(bundle, options)
        if args.write and report.passed:
            if report.confidence is None:
                _require_no_loss(bundle)
            report = _with_thresholds_kept(report, bundle)
            write_report_into(bundle, report)
        result_output(json.dumps(report.to_json(), indent=1) if args.json else parity_table(report))
        if args.write and report.open_reason:
            message(f"warning: {report.open_reason}; the report was written all the same")
            return 0
        report.require_pass()
        return 0

    return exit_code_of(run)


def _require_no_loss(bundle: Bundle) -> None:
    """Raises UsageError where a bundle has thresholds that were chosen on data: they belong to the report that has them."""
    if read_report(bundle.path).confidence is not None:
        raise UsageError(
            f"the thresholds of {bundle.path} were chosen on data, and --write would replace their report by one without them;"
            f" name a data set with {MIN_IMAGES} validation images or more with --data, or leave out --write"
        )


def _with_thresholds_kept(report: ParityReport, bundle: Bundle) -> ParityReport:
    """The report with the bundle's own thresholds, where these were fitted to other labels than those of the report."""
    labels_from = bundle.spec.thresholds.labels_from
    if labels_from is None or report.confidence is None or report.confidence.labels_from == labels_from:
        return report
    message(
        f"the thresholds stay as they are, because they were fitted to the {labels_from}; `python -m convert.thresholds` fits"
        " them again"
    )
    return replace(report, confidence=read_report(bundle.path).confidence)


def _write_images(bundle: Bundle, data: Path | None, votes: Path | None, path: Path) -> int:
    if data is None:
        raise UsageError("--images writes the held-out images of a data set; name the set with --data")
    images, _, _ = held_out(load(data, bundle.side, classes=bundle.labels, votes=votes))
    write_images(path, images)
    output(f"{path}: {len(images):,} images")
    return 0


if __name__ == "__main__":
    sys.exit(main())
