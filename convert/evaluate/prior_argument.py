"""The option `--threshold-prior`: how often a label occurs where the device will be, for the thresholds of `unsure`."""

from __future__ import annotations

import argparse

from convert.data.samples import Samples
from convert.evaluate.confidence_calibration import MIN_IMAGES
from convert.evaluate.label_thresholds import DEFAULT_PRIOR, why_not_holding
from fer_edge.bundle import Bundle
from fer_edge.console import notice
from fer_edge.errors import UsageError
from fer_edge.label_priors import parse_stated_prior
from fer_edge.thresholds import StatedPrior


def add_prior_argument(parser: argparse.ArgumentParser, default_text: str) -> None:
    """Adds `--threshold-prior`: `prior_of` reads it; `default_text` is what its help says of the default."""
    parser.add_argument(
        "--threshold-prior",
        type=stated_prior,
        default=argparse.SUPPRESS,
        metavar="LABEL=SHARE",
        help="how often a label occurs where the device will be, for the thresholds of `unsure`: each reported label is "
        f"right in at least four of five faces then; “data” leaves the shares of the data set; default: {default_text}",
    )


def stated_prior(text: str) -> StatedPrior | None:
    """The argparse type of `--threshold-prior`: neutral=0.7, or data for None."""
    return None if text == "data" else device_prior(text, " nor “data”")


def device_prior(text: str, other: str = "") -> StatedPrior:
    """The argparse type of a prior that the owner of a device states: neutral=0.3. `other` ends the message."""
    try:
        return parse_stated_prior(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(f"{error}{other}") from error


def prior_of(args: argparse.Namespace, bundle: Bundle | None = None) -> StatedPrior | None:
    """The prior given with `--threshold-prior`, else that of the bundle's thresholds, else DEFAULT_PRIOR.

    None stands for the shares of the data. Raises UsageError when one was given without `--data`.
    """
    if hasattr(args, "threshold_prior"):
        if args.data is None:
            raise UsageError(
                "--threshold-prior is for thresholds, which are chosen on a data set; name the set with --data"
            )
        stated: StatedPrior | None = args.threshold_prior
        return stated
    by_label = bundle.spec.thresholds.labels if bundle else None
    return by_label.prior if by_label else DEFAULT_PRIOR


def is_prior_given(args: argparse.Namespace) -> bool:
    """Whether the option was given, so that `prior_of` is what was asked for."""
    return hasattr(args, "threshold_prior")


def check_prior(prior: StatedPrior | None, is_given: bool, samples: Samples) -> None:
    """Prints a notice where thresholds are to be fitted under a prior that cannot hold for the validation part.

    The classes then count as in the data. Raises UsageError instead where the prior `is_given` with the option.
    """
    y = samples.part("validation").y
    if prior is None or len(y) < MIN_IMAGES:
        return
    if prior.label not in samples.labels:
        if is_given:
            names = ", ".join(samples.labels)
            raise UsageError(f"the prior is of “{prior.label}”, and the labels are {names}; name one of them")
        return
    if why := why_not_holding(prior, y, samples.labels):
        if is_given:
            raise UsageError(
                f"the prior {prior.text} cannot hold, because the validation part {why}; state that of another label, or “data”"
            )
        notice(
            f"thresholds: classes count as in the data, not by the prior {prior.text}, for the validation part {why}"
        )
