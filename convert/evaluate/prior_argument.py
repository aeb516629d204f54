"""The option `--prior`: how often a label occurs where the device will be, for the thresholds of `unsure`."""

from __future__ import annotations

import argparse

from convert.evaluate.label_thresholds import DEFAULT_PRIOR
from fer_edge.bundle import Bundle
from fer_edge.thresholds import StatedPrior


def add_prior_argument(parser: argparse.ArgumentParser, default: StatedPrior | str | None, default_text: str) -> None:
    """Adds `--prior`: `args.prior` is the stated prior, `default` without it, which `default_text` names in the help."""
    parser.add_argument(
        "--prior",
        type=stated_prior,
        default=default,
        metavar="LABEL=SHARE",
        help="how often a label occurs where the device will be, for the thresholds of `unsure`: each reported label is "
        f"right in four of five faces then; “data” leaves the shares of the data set; default: {default_text}",
    )


def stated_prior(text: str) -> StatedPrior | None:
    """The argparse type of `--prior`: neutral=0.7, or data for None."""
    if text == "data":
        return None
    wrong = argparse.ArgumentTypeError(f"“{text}” is not a label and its share, like neutral=0.7, nor “data”")
    label, _, word = text.rpartition("=")
    try:
        share = float(word)
    except ValueError as error:
        raise wrong from error
    if not label or not 0 < share < 1:
        raise wrong
    return StatedPrior(label, share)


def prior_of(args: argparse.Namespace, bundle: Bundle) -> StatedPrior | None:
    """The prior given with `--prior` (whose default is SUPPRESS), else that of the bundle's thresholds, else DEFAULT_PRIOR."""
    by_label = bundle.spec.thresholds.labels
    prior: StatedPrior | None = getattr(args, "prior", by_label.prior if by_label else DEFAULT_PRIOR)
    return prior
