"""`python -m convert.quantize [--model MODEL] [--data PATH] [--out DIR]`: writes an int8 bundle, compared with its float model.

Without --model the float model that comes with the package is quantized. Without --data the ranges are chosen on synthetic
images from the model's own batch-norm statistics (convert.synthesize), and parity is decided on logits only.

Any classifier of one square picture is accepted. --labels names its outputs, --input-range gives its input values for the
pixel values 0 and 255. A .keras or .h5 file or a SavedModel is quantized to an int8 model with raw pixels as input. A .tflite
is used unchanged, and compared with the float model that --float names.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from convert.argument_types import (
    add_labels_argument,
    add_trust_argument,
    add_votes_argument,
    refuse_given,
)
from convert.bundle.from_float import make_bundle
from convert.evaluate.prior_argument import add_prior_argument, is_prior_given, prior_of
from convert.parity.comparison import ConversionOptions
from convert.parity.runtime_logits import SETS
from convert.parity.tolerances import Margins
from convert.report.parity_table import report_table
from convert.sources.model_source import ModelSource, add_input_range_argument, input_range_argument, joined
from convert.tflite.op_versions import CLAIMED, known
from fer_edge.argument_types import file_path, whole_number
from fer_edge.command_parser import CommandParser, RawUsageFormatter
from fer_edge.console import message, notice, result_output
from fer_edge.errors import exit_code_of
from fer_edge.limits import THREADS


def make_parser(prog: str) -> CommandParser:
    """The parser of the command's arguments, under the name `prog`."""
    parser = CommandParser(prog=prog, description=__doc__, formatter_class=RawUsageFormatter)
    parser.add_argument(
        "--model",
        type=file_path,
        help="a .keras or .h5 file, a SavedModel, a .tflite, or the folder of a training run or a bundle; "
        "default: the float model of the package",
    )
    add_labels_argument(parser)
    add_input_range_argument(parser)
    add_trust_argument(parser)
    parser.add_argument(
        "--data",
        type=file_path,
        help="data set, in any form that `python -m convert.data` reads; default: synthetic images",
    )
    add_votes_argument(parser)
    add_prior_argument(parser, "neutral=0.7; of labels without neutral: data")
    parser.add_argument(
        "--float", type=file_path, metavar="PATH", help="float model with which an existing .tflite is compared"
    )
    parser.add_argument(
        "--float-range",
        type=input_range_argument,
        metavar="LOW,HIGH",
        help="input values of the float model; default: the range that the .tflite is given",
    )
    parser.add_argument("--out", type=file_path, help="folder of the bundle to write; default: ./bundle-NAME")
    parser.add_argument("--name", help="name of the bundle; default: that of the model")
    parser.add_argument(
        "--runtimes",
        default=",".join(CLAIMED),
        metavar="NAME,NAME…",
        help=f"runtimes that must support every operator; known: {', '.join(known())}; default: %(default)s",
    )
    parser.add_argument(
        "--compare",
        choices=sorted(SETS),
        default="usual",
        help="runtimes to compare on, if installed. one: litert with default kernels; usual: also builtin kernels; "
        "all: also reference kernels (25 times as slow), tensorflow and tflite-runtime; default: usual",
    )
    parser.add_argument(
        "--keep-float",
        metavar="LAYER,LAYER…",
        help="layers that remain in float32, with the names of `python -m convert.layers`; default: none",
    )
    parser.add_argument(
        "--weight-rounding",
        choices=("nearest", "error"),
        default="nearest",
        help="int8 weights: each the nearest one, or together those that give a layer's output the least error (GPTQ), which "
        "takes two to five times as long; default: %(default)s",
    )
    parser.add_argument(
        "--refine-ranges",
        action="store_true",
        help="move the ranges of the activations so that the logits of 64 calibration images have the least error; takes "
        "minutes",
    )
    parser.add_argument(
        "--margins", type=file_path, metavar="TOML", help="file of margins; default: convert/parity/margins.toml"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of random numbers; default: 0")
    parser.add_argument(
        "--threads", type=whole_number(1, THREADS), default=1, help="threads of the comparison; default: 1"
    )
    parser.add_argument("--json", action="store_true", help="print the parity report as JSON")
    return parser


def main(argv: list[str] | None = None, prog: str = "python -m convert.quantize") -> int:
    """Writes the bundle and prints its parity table; 0 a bundle was written, 2 bad input, 3 parity failed, 6 no data to use.

    Where there are too few images to decide on the accuracy, the bundle is written, and a warning says so.
    """
    args = make_parser(prog).parse_args(joined(sys.argv[1:] if argv is None else argv))

    def run() -> int:
        trusted = args.trust_model
        source = ModelSource.find(args.model, args.name, args.labels, args.input_range, trusted)
        if args.float is None:
            refuse_given(args, ("float_range",), "of the float model that --float names; name one")
            if source.is_tflite:
                refuse_given(args, ("margins",), "for a comparison with a float model; name it with --float")
        against = args.float and ModelSource.find(args.float, None, source.labels, args.float_range, trusted)
        claimed = tuple(name.strip() for name in args.runtimes.split(","))
        keep = tuple(name.strip() for name in args.keep_float.split(",")) if args.keep_float else ()
        options = ConversionOptions(
            args.data,
            claimed,
            args.compare,
            Margins.load(args.margins),
            args.seed,
            args.threads,
            keep_float=keep,
            votes=args.votes,
            prior=prior_of(args),
            is_prior_given=is_prior_given(args),
            round_by_error=args.weight_rounding == "error",
            refine_ranges=args.refine_ranges,
        )
        out = args.out or Path(f"bundle-{source.name}")
        bundle, report = make_bundle(source, out, options, against=against)
        result_output(json.dumps(report.to_json(), indent=1) if args.json else report_table(report))
        size, kind = bundle.model.stat().st_size, bundle.spec.quantization.scheme
        notice(f"{out}: {size:,} bytes in {kind}; `fer-edge run --bundle {shlex.quote(str(out))}` uses it")
        if report.open_reason:
            message(f"warning: {report.open_reason}; the bundle was written all the same")
        return 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
