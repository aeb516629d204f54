"""`python -m convert.logit_adjustment RUN --data PATH`: fits offsets of the last biases of a trained model."""

from __future__ import annotations

import sys

from convert.argument_types import share_argument
from convert.train.logit_adjustment import MAX_ACCURACY_LOSS, apply_offsets
from fer_edge.argument_types import file_path
from fer_edge.command_parser import CommandParser
from fer_edge.console import output
from fer_edge.errors import exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Chooses the offsets, writes them into the model, and prints accuracy and weakest recall before and after."""
    parser = CommandParser(prog="python -m convert.logit_adjustment", description=__doc__)
    parser.add_argument("run", type=file_path, help="folder of a training run of `python -m convert.train`")
    parser.add_argument("--data", type=file_path, required=True, help="data set that the model was trained on")
    parser.add_argument(
        "--allowed",
        type=share_argument,
        default=MAX_ACCURACY_LOSS,
        help="largest allowed loss of accuracy, a share; default: %(default)s",
    )
    args = parser.parse_args(argv)

    def run() -> int:
        adjustment = apply_offsets(args.run, args.data, args.allowed)
        (accuracy, new_accuracy), (recall, new_recall) = adjustment.accuracy, adjustment.weakest_recall
        offsets = " ".join(f"{value:+.2f}" for value in adjustment.values)
        output(
            f"τ {adjustment.strength:g}, offsets {offsets}: accuracy {accuracy:.4f} → {new_accuracy:.4f}, weakest recall"
            f" {recall:.3f} → {new_recall:.3f} on the validation part"
        )
        return 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
