"""Arguments of several commands: checked numbers, the options `--votes`, `--labels` and `--trust-model`, unused options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from fer_edge.argument_types import file_path
from fer_edge.errors import UsageError
from fer_edge.text_cleaning import clean


def add_votes_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--votes`, which goes with `--data`: the file is `args.votes`, None without it."""
    parser.add_argument(
        "--votes",
        type=file_path,
        metavar="FILE",
        help="table of FER+ votes on FER2013: fer2013new.csv, or a CSV of file names and ten counts; "
        "the label of an image is then their majority, of eight classes",
    )


def add_labels_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--labels`, the names of a model's outputs: a tuple, None without it."""
    parser.add_argument(
        "--labels",
        type=lambda text: tuple(text.split(",")),
        metavar="NAME,NAME…",
        help="labels of the outputs, in order; default: those of the training run",
    )


def refuse_given(args: argparse.Namespace, options: Sequence[str], reason: str) -> None:
    """Raises UsageError when one of these options was given. Their default is None, or False for a switch."""
    given = [name for name in options if not any(getattr(args, name) is unset for unset in (None, False))]
    if given:
        names = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(f"{names}: {reason}")


def share_argument(text: str) -> float:
    """The argparse type of a share, from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"“{clean(text, 60)}” is not a share from 0 to 1")
    return value


def add_trust_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--trust-model`, for a SavedModel whose operators may reach files."""
    parser.add_argument(
        "--trust-model",
        action="store_true",
        help="load a SavedModel although it has operators that do more than compute; default: it is refused",
    )
