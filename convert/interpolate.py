"""`python -m convert.interpolate RUN --init MODEL --data PATH --votes FILE`: averages a run and its initial model."""

from __future__ import annotations

import sys

from convert.argument_types import share_argument
from convert.train.weight_interpolation import ALLOWED_ACCURACY_LOSS, interpolate
from fer_edge.argument_types import file_path
from fer_edge.command_parser import CommandParser
from fer_edge.console import output
from fer_edge.errors import exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Chooses the share, writes the weights into the model, and prints the accuracies at both ends and between them."""
    parser = CommandParser(prog="python -m convert.interpolate", description=__doc__)
    parser.add_argument(
        "run", type=file_path, help="folder of a training run of `python -m convert.train --init MODEL`"
    )
    parser.add_argument(
        "--init", type=file_path, required=True, metavar="MODEL", help="the model that the run started from"
    )
    parser.add_argument("--data", type=file_path, required=True, help="data set that the model was trained on")
    parser.add_argument("--votes", type=file_path, required=True, metavar="FILE", help="table of FER+ votes on it")
    parser.add_argument(
        "--allowed",
        type=share_argument,
        default=ALLOWED_ACCURACY_LOSS,
        help="largest allowed loss of accuracy on the set's own labels, a share; default: %(default)s",
    )
    args = parser.parse_args(argv)

    def run() -> int:
        record = interpolate(args.run, args.init, args.data, args.votes, args.allowed)
        output(
            f"share {record.share:g} of the trained weights, chosen on the validation part (initial, trained, chosen): accuracy"
            f" {' '.join(f'{v:.4f}' for v in record.val_accuracy)}; balanced accuracy on the majority of votes"
            f" {' '.join(f'{v:.4f}' for v in record.val_balanced_accuracy_on_votes)}"
        )
        return 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
