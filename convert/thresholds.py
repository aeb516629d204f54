"""`python -m convert.thresholds BUNDLE --data PATH`: fits a bundle's temperature and thresholds of `unsure` again.

The model stays as it is. With the data set that the bundle was made from, bundle.json also gets the number of training images
of each label, which a device with `--estimate-prior` starts from.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from convert.argument_types import add_votes_argument
from convert.bundle.bundle_update import require_own_copy, write_report_into
from convert.data.loader import load, remarks
from convert.data.samples import Samples, fingerprint, held_out
from convert.evaluate.confidence_calibration import MIN_IMAGES, ConfidenceCalibration, calibrate_confidence
from convert.evaluate.prior_argument import add_prior_argument, check_prior, is_prior_given, prior_of
from convert.parity.reports import read_report
from fer_edge.argument_types import file_path
from fer_edge.bundle import Bundle
from fer_edge.certainty import thresholds_by_label, thresholds_sentence
from fer_edge.command_parser import CommandParser
from fer_edge.console import message, output
from fer_edge.errors import EXIT_DONE, NotEnoughData, exit_code_of
from fer_edge.thresholds import StatedPrior


def fit_thresholds(bundle: Bundle, samples: Samples, prior: StatedPrior | None) -> ConfidenceCalibration:
    """The temperature and thresholds of a bundle under `prior`, as `convert.parity` fits them on its first runtime.

    Raises NotEnoughData when the validation part has fewer than MIN_IMAGES images.
    """
    images, y, part = held_out(samples)
    logits = bundle.classifier.logits(images)
    parts = list(dict.fromkeys(part.tolist()))
    fitted = calibrate_confidence(
        {p: logits[part == p] for p in parts},
        {p: y[part == p] for p in parts},
        bundle.labels,
        prior,
        samples.labels_from,
    )
    if fitted is None:
        raise NotEnoughData(
            f"thresholds need {MIN_IMAGES} validation images; the set has {int((part == 'validation').sum())}"
        )
    return fitted


def write_thresholds(bundle: Bundle, samples: Samples, fitted: ConfidenceCalibration) -> Bundle:
    """The bundle with these thresholds in bundle.json, parity.json and CARD.md."""
    is_own_set = fingerprint(samples) == bundle.spec.provenance.data
    counts = samples.class_counts("train") if is_own_set else None
    write_report_into(bundle, replace(read_report(bundle.path), confidence=fitted), counts)
    return Bundle.load(bundle.path)


def main(argv: list[str] | None = None) -> int:
    """Writes the thresholds and prints them; 0 done, 2 bad input, 5 bundle refused, 6 too few images."""
    parser = CommandParser(prog="python -m convert.thresholds", description=__doc__)
    parser.add_argument("bundle", type=file_path, metavar="BUNDLE", help="folder of a bundle")
    parser.add_argument(
        "--data", type=file_path, required=True, help="data set, in any form that `python -m convert.data` reads"
    )
    add_votes_argument(parser)
    add_prior_argument(parser, "that of the bundle, else neutral=0.7")
    parser.add_argument("--json", action="store_true", help="print the calibration as JSON, as parity.json has it")
    args = parser.parse_args(argv)

    def run() -> int:
        require_own_copy(args.bundle)
        bundle = Bundle.load(args.bundle)
        read_report(bundle.path)  # refused before the work if it has none
        samples = load(args.data, bundle.side, classes=bundle.labels, votes=args.votes)
        for remark in remarks(samples):
            message(remark)
        prior = prior_of(args, bundle)
        check_prior(prior, is_prior_given(args), samples)
        fitted = fit_thresholds(bundle, samples, prior)
        bundle = write_thresholds(bundle, samples, fitted)
        message(f"bundle.json, parity.json and CARD.md in {bundle.path} are written again")
        sentence = f"{bundle.name}: {thresholds_sentence(bundle.labels, thresholds_by_label(bundle.spec))}"
        output(json.dumps(fitted.to_json(), indent=1) if args.json else sentence)
        return EXIT_DONE

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
