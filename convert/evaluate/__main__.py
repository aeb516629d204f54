"""`python -m convert.evaluate MODEL --data PATH`: evaluates a model with the device's code, and measures its cost.

`--pictures FOLDER` evaluates it on whole pictures instead: the device's detector finds the face, and the bundle's thresholds
decide what is reported.
"""

from __future__ import annotations

import argparse
import json
import sys

from convert.argument_types import (
    add_labels_argument,
    add_trust_argument,
    add_votes_argument,
    refuse_given,
)
from convert.data.picture import PARTS
from convert.evaluate.evaluator import evaluate
from convert.evaluate.pictures import FaceReader, evaluate_pictures
from convert.evaluate.prior_argument import device_prior
from convert.report.evaluation_files import write
from convert.report.evaluation_markdown import markdown
from convert.report.pictures_markdown import pictures_markdown, write_pictures_report
from convert.sources.model_source import add_input_range_argument, joined
from convert.sources.opened_model import open_named
from fer_edge.argument_types import file_path, whole_number
from fer_edge.classifier import KERNELS, Runtime, find_runtime
from fer_edge.command_parser import CommandParser, RawUsageFormatter
from fer_edge.console import message, result_output
from fer_edge.errors import UsageError, exit_code_of
from fer_edge.json_fields import json_text
from fer_edge.limits import THREADS

SHEET = "figure-1-samples.png"
_OPTIONS_OF_DATA = ("votes", "split", "samples", "history", "kernels", "threads", "seed")


def make_parser(prog: str) -> CommandParser:
    """The parser of the command's arguments, under the name `prog`."""
    parser = CommandParser(prog=prog, description=__doc__, formatter_class=RawUsageFormatter)
    parser.add_argument(
        "model",
        type=file_path,
        nargs="?",
        help="a model file, or the folder of a training run or a bundle; default: the bundle in use",
    )
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--data", type=file_path, help="data set, in any form that `python -m convert.data` reads")
    images.add_argument(
        "--pictures",
        type=file_path,
        metavar="FOLDER",
        help="whole pictures in class folders, named like the labels; pictures without a face in a folder `none`; names "
        "like Anna_Smith_0003.jpg give intervals by person",
    )
    parser.add_argument(
        "--detector", metavar="NAME", help="face detector of --pictures; default: the best one installed"
    )
    add_labels_argument(parser)
    add_input_range_argument(parser)
    add_trust_argument(parser)
    add_votes_argument(parser)
    parser.add_argument(
        "--prior",
        type=device_prior,
        metavar="LABEL=SHARE",
        help="how often a label occurs where the device is, as for `fer-edge run --prior`: changes what is reported, and with "
        "--pictures which label is most probable; default: as in training",
    )
    parser.add_argument("--split", choices=(*PARTS, "all"), help="part of the data set to evaluate on; default: test")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--out", type=file_path, metavar="DIR", help="folder for report.json, report.md and the figures"
    )
    parser.add_argument(
        "--samples", action="store_true", help=f"also write {SHEET}, which shows the people in the data"
    )
    parser.add_argument(
        "--history",
        type=file_path,
        metavar="FILE",
        help="history file of the training; default: history.json beside the model",
    )
    parser.add_argument("--runtime", help="litert, tflite-runtime or tensorflow; default: the first installed")
    parser.add_argument("--kernels", choices=sorted(KERNELS), help="kernel path of the runtime; default: default")
    parser.add_argument(
        "--threads",
        type=int,
        help="threads of the evaluation; times in ms are always measured with one thread; default: 1",
    )
    parser.add_argument("--seed", type=whole_number(0), help="seed of the split, where the set has none; default: 0")
    return parser


def main(argv: list[str] | None = None, prog: str = "python -m convert.evaluate") -> int:
    """Prints the report as Markdown, or JSON; 0 done, 2 bad input, 5 not a model of this kind."""
    args = make_parser(prog).parse_args(joined(sys.argv[1:] if argv is None else argv))
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.samples and not args.out:
        raise UsageError("--samples writes a picture beside the report; name a folder with --out")
    if args.threads is not None and not 1 <= args.threads <= THREADS:
        raise UsageError(f"--threads must be 1 to {THREADS}, not {args.threads}")
    if args.out and args.out.exists() and not args.out.is_dir():  # checked before the evaluation, which takes minutes
        raise UsageError(f"--out {args.out} is a file; name a folder")
    runtime = find_runtime(args.runtime)
    if args.pictures:
        return _run_on_pictures(args, runtime)
    refuse_given(args, ("detector",), "only with --pictures; leave out with --data")
    seed = args.seed or 0
    report, samples = evaluate(
        open_named(args.model, args.trust_model, args.labels, args.input_range),
        args.data,
        args.split or "test",
        seed=seed,
        threads=args.threads or 1,
        runtime=runtime,
        kernels=args.kernels or "default",
        history=args.history,
        votes=args.votes,
        prior=args.prior,
    )
    result_output(json.dumps(report.to_json(), indent=1) if args.json else markdown(report.as_stored()).rstrip("\n"))
    if args.out:
        written = write(report, args.out)
        if args.samples:
            from convert.data.summary import write_sheet

            write_sheet(samples, args.out / SHEET, seed=seed)
            written.append(args.out / SHEET)
            message(f"{args.out / SHEET} shows people's faces: keep it out of a repository and a report")
        message("written: " + ", ".join(str(path) for path in written))
    return 0


def _run_on_pictures(args: argparse.Namespace, runtime: Runtime) -> int:
    refuse_given(args, _OPTIONS_OF_DATA, "only with --data; leave out with --pictures")
    model = open_named(args.model, args.trust_model, args.labels, args.input_range)
    report = evaluate_pictures(FaceReader.of(model, args.detector, runtime, args.prior), args.pictures)
    for name in report.unreadable:
        message(f"left out: {name}")
    for remark in report.remarks():
        message(remark)
    result_output(json_text(report.to_json()) if args.json else pictures_markdown(report).rstrip())
    if args.out:
        message("written: " + ", ".join(map(str, write_pictures_report(report, args.out))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
