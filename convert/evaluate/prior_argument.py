"""The option `--prior`: how often a label occurs where the device will be, for the thresholds of `unsure`."""

from __future__ import annotations

import argparse

from convert.evaluate.label_thresholds import DEFAULT_PRIOR
from fer_edge.bundle import Bundle
from fer_edge.errors import UsageError
from fer_edge.label_priors import parse_stated_prior
from fer_edge.thresholds import StatedPrior


def add_prior_argument(parser: argparse.ArgumentParser, default: StatedPrior | str | None, default_text: str) -> None:
    """Adds `--prior`: `args.prior` is the stated prior, `default` without it, which `default_text` names in the help."""
    parser.add_argument(
        "--prior",
        type=stated_prior,
        default=default,
        metavar="LABEL=SHARE",
        help="how often a label occurs where the device will be, for the thresholds of `unsure`: each reported label is "
        f"right in at least four of five faces then; “data” leaves the shares of the data set; default: {default_text}",
    )


def stated_prior(text: str) -> StatedPrior | None:
    """The argparse type of `--prior`: neutral=0.7, or data for None."""
    return None if text == "data" else device_prior(text, " nor “data”")


def device_prior(text: str, other: str = "") -> StatedPrior:
    """The argparse type of a prior that the owner of a device states: neutral=0.3. `other` ends the message."""
    try:
        return parse_stated_prior(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(f"{error}{other}") from error


def prior_of(args: argparse.Namespace, bundle: Bundle) -> StatedPrior | None:
    """The prior given with `--prior` (whose default is SUPPRESS), else that of the bundle's thresholds, else DEFAULT_PRIOR."""
    by_label = bundle.spec.thresholds.labels
    prior: StatedPrior | None = getattr(args, "prior", by_label.prior if by_label else DEFAULT_PRIOR)
    return prior
