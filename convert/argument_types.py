"""Arguments of several commands: checked numbers, the options `--votes`, `--prior` and `--trust-model`, unused options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from fer_edge.errors import UsageError
from fer_edge.thresholds import StatedPrior


def add_votes_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--votes`, which goes with `--data`: the file is `args.votes`, None without it."""
    parser.add_argument(
        "--votes",
        type=Path,
        metavar="FILE",
        help="table of FER+ votes on FER2013: fer2013new.csv, or a CSV of file names and ten counts; "
        "the label of an image is then their majority, of eight classes",
    )


def add_prior_argument(parser: argparse.ArgumentParser, default: StatedPrior | str | None, words: str) -> None:
    """Adds `--prior`: `args.prior` is the stated prior, `default` without it; `words` say what the default is."""
    parser.add_argument(
        "--prior",
        type=stated_prior,
        default=default,
        metavar="LABEL=SHARE",
        help="how often a label occurs where the device will be, for the thresholds of `unsure`: each reported label is "
        f"right in four of five faces then; “data” leaves the shares of the data set; default: {words}",
    )


def stated_prior(text: str) -> StatedPrior | None:
    """The argparse type of `--prior`: neutral=0.7, or data for None."""
    if text == "data":
        return None
    label, _, share = text.rpartition("=")
    try:
        prior = StatedPrior(label, float(share))
    except ValueError:
        prior = StatedPrior("", 0.0)
    if not prior.label or not 0 < prior.share < 1:
        raise argparse.ArgumentTypeError(f"“{text}” is not a label and its share, like neutral=0.7, nor “data”")
    return prior


def refuse_given(args: argparse.Namespace, options: Sequence[str], reason: str) -> None:
    """Raises UsageError when one of these options was given. Their default is None, or False for a switch."""
    given = [name for name in options if not any(getattr(args, name) is unset for unset in (None, False))]
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(f"{names}: {reason}")


def whole_number(low: int) -> Callable[[str], int]:
    """The argparse type of a whole number of at least `low`; another one ends the command with a message and exit code 2."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"“{text}” is not a whole number of {low} or more")
        return value

    return read


def add_trust_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--trust-model`, for a SavedModel whose operators may reach files."""
    parser.add_argument(
        "--trust-model",
        action="store_true",
        help="load a SavedModel although it has operators that do more than compute; default: it is refused",
    )
