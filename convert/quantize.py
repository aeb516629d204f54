"""`python -m convert.quantize [--model MODEL] [--data PATH] [--out DIR]`: a bundle, proved against its float model.

Without --model the float model that came with the package is taken. Without --data the ranges are chosen on images drawn
out of the model itself (convert.calibration), and parity is judged on logits alone.

Any classifier of one square picture will do, with --labels for the names of its outputs and --input-range for what it takes
a pixel for: a .keras or .h5 file or a SavedModel becomes int8 that takes raw pixels; a .tflite is taken as it is and held
against the float model that --float names.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from convert import alone
from convert.alone import Alone
from convert.arguments import whole_number
from convert.calibration import from_data
from convert.card import card, parity_table
from convert.columns import SETS
from convert.floats import Float
from convert.keep import keep_float as kept
from convert.keep import price
from convert.made import Made
from convert.margins import Margins
from convert.pack import pack
from convert.parity import ParityReport
from convert.ranges import FOR_STAND_IN, Choices, int8
from convert.refusals import (
    refuse_float_operators,
    refuse_one_answer,
    refuse_one_class,
    refuse_other_labels,
    refuse_saturated,
)
from convert.source import Source, joined, pixels_argument
from convert.taken import take
from convert.terms import Terms
from convert.versions import CLAIMED, known, refuse_newer
from fer_edge.bundle import Bundle, refuse_other_folders
from fer_edge.classifier import Classifier
from fer_edge.errors import ParityFailed, UsageError, guarded


def to_int8(
    content: bytes,
    images: np.ndarray,
    choices: Choices | None = None,
    *,
    keep_float: tuple[str, ...] = (),
    packed: bool = True,
) -> bytes:
    """The bytes of a TFLite file whose input, output and every operator are int8, from those of a float one.

    `images`, uint8 (N, side, side), and `choices` set the ranges (convert.ranges). Layers named in `keep_float` stay in
    float; `packed` leaves out what no interpreter reads (convert.pack). Raises ParityFailed when operators in floating
    point are left that nobody asked for, UsageError when the quantizer takes no such model.
    """
    if keep_float:
        return kept(content, images, keep_float, choices)
    made = int8(content, images, choices)
    refuse_float_operators(made)
    return pack(made) if packed else made


def quantize(
    source: Source,
    out: Path,
    data: Path | None = None,
    *,
    against: Source | None = None,
    terms: Terms | None = None,
    seed: int = 0,
    threads: int = 1,
) -> tuple[Bundle, ParityReport | Alone]:
    """The bundle written to `out` and the report on it; `out` is replaced whole, or left as it was when parity fails.

    `against` is the float model that an existing TFLite file is held against. `terms` says all that `data`, `seed` and
    `threads` say, and more. Raises ParityFailed with the reasons when the int8 model is outside the margins, UsageError or
    NotEnoughData when the model, or the images, are none that a bundle can be made of.
    """
    terms = terms or Terms(data, seed=seed, threads=threads)
    refuse_other_folders(out)
    if terms.keep_float and source.is_tflite:
        raise UsageError(f"--keep-float is for a model that is quantized here; {source.model} is taken as it is")
    if against is not None and not source.is_tflite:
        raise UsageError(f"--float is for a .tflite that exists already; {source.model} is a float model itself")
    with tempfile.TemporaryDirectory(prefix="fer-edge-") as scratch:
        made = (
            take(source, against, Path(scratch), terms) if source.is_tflite else convert(source, Path(scratch), terms)
        )
        report = made.report
        assert report is not None, "both ways end in one"
        if not report.passed:
            print(table_of(report))
            raise ParityFailed(f"{'; '.join(report.failures)}. {out} was left as it was")
        return made.write(out), report


def convert(source: Source, scratch: Path, terms: Terms) -> Made:
    """The int8 file of a float model, and the report on it; what is not in a file of its own yet goes to `scratch`."""
    path, labels = source.model, source.labels
    float_model = Float.open(source, scratch, terms.threads)
    theirs = float_model.classifier
    refuse_other_labels(path, theirs.classes, labels)
    samples = terms.samples(theirs.side, labels)
    shipped = float_model.stand_in(terms.seed, make=samples is None)
    if samples is not None:
        refuse_one_class(samples)
        calibration, choices = from_data(samples, seed=terms.seed), Choices()
    else:
        assert shipped is not None, "made where there are no data"
        calibration, choices = shipped.calibration(), FOR_STAND_IN
    refuse_one_answer(theirs, calibration.x, labels, path)

    print(f"quantizing {path} on {len(calibration.x)} images ({calibration.origin['kind']})", file=sys.stderr)
    content = to_int8(float_model.content, calibration.x, choices)
    origin = {**calibration.origin, "ranges": asdict(choices)}
    if terms.keep_float:
        whole, content = content, to_int8(float_model.content, calibration.x, choices, keep_float=terms.keep_float)
        cost = price(whole, content, terms.keep_float, calibration.x)
        print(cost.sentence(), file=sys.stderr)
        origin["kept_float"] = cost.to_json()
    refuse_newer(content, terms.claimed)
    model = Classifier(content, threads=terms.threads, output=theirs.output)
    refuse_saturated(model, calibration.x, path)
    report = terms.compare(float_model, model, content, samples, shipped, labels)
    return Made(source, content, model, card, origin, report, float_model, shipped, samples)


def table_of(report: ParityReport | Alone) -> str:
    """A report as Markdown."""
    told = report.to_json()
    return parity_table(told) if isinstance(report, ParityReport) else alone.table(told)


def main(argv: list[str] | None = None) -> int:
    """Writes the bundle and prints its parity table; 0 done, 2 bad input, 3 parity failed, 6 too few images to tell.

    With 6 for an accuracy that the images cannot decide the bundle is written all the same, and says so.
    """
    parser = argparse.ArgumentParser(
        prog="python -m convert.quantize", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, help="a .keras or .h5 file, a SavedModel, a .tflite, a training's folder or a bundle"
    )
    parser.add_argument("--labels", metavar="NAME,NAME…", help="of its outputs, in order; default: the training's own")
    parser.add_argument(
        "--input-range",
        type=pixels_argument,
        metavar="LOW,HIGH",
        help="what 0 and 255 of a pixel are to the model: 0,1 or -1,1 or 0,255, the default",
    )
    parser.add_argument("--data", type=Path, help="any data set that `python -m convert.data` reads")
    parser.add_argument("--float", type=Path, metavar="PATH", help="the float model that a .tflite is held against")
    parser.add_argument("--float-range", type=pixels_argument, metavar="LOW,HIGH", help="default: as --input-range")
    parser.add_argument("--out", type=Path, help="the bundle's folder; default: ./bundle-NAME")
    parser.add_argument("--name", help="the bundle's name; default: the model's")
    parser.add_argument(
        "--runtimes",
        default=",".join(CLAIMED),
        metavar="NAME,NAME…",
        help=f"that must have every operator; default: %(default)s; known are {', '.join(known())}",
    )
    parser.add_argument("--columns", choices=sorted(SETS), default="usual", help="which runtimes of this host compare")
    parser.add_argument(
        "--keep-float",
        metavar="LAYER,LAYER…",
        help="layers that stay in float32, by the names of `python -m convert.layers`; says what they cost",
    )
    parser.add_argument("--margins", type=Path, metavar="TOML", help="other margins than convert/margins.toml")
    parser.add_argument("--seed", type=whole_number(0), default=0)
    parser.add_argument("--threads", type=whole_number(1), default=1, help="for the comparison; the file is the same")
    parser.add_argument("--json", action="store_true", help="print the parity report as JSON")
    args = parser.parse_args(joined(sys.argv[1:] if argv is None else argv))

    def run() -> int:
        labels = args.labels.split(",") if args.labels else None
        source = Source.find(args.model, args.name, labels, args.input_range)
        against = args.float and Source.find(args.float, None, source.labels, args.float_range or args.input_range)
        claimed = tuple(name.strip() for name in args.runtimes.split(","))
        keep = tuple(name.strip() for name in args.keep_float.split(",")) if args.keep_float else ()
        terms = Terms(
            args.data, claimed, args.columns, Margins.load(args.margins), args.seed, args.threads, keep_float=keep
        )
        out = args.out or Path(f"bundle-{source.name}")
        bundle, report = quantize(source, out, against=against, terms=terms)
        print(json.dumps(report.to_json(), indent=1) if args.json else table_of(report))
        size, kind = bundle.model.stat().st_size, bundle.spec["quantization"]["scheme"]
        print(f"{out}: {size:,} bytes in {kind}; `fer-edge run --bundle {out}` uses it", file=sys.stderr)
        report.answer_for()
        return 0

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
