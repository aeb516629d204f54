"""`python -m convert.offsets RUN --data PATH`: logit adjustment, so that no class is given up."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from convert.train.logit_adjustment import ALLOWED, apply
from fer_edge.errors import guarded


def main(argv: list[str] | None = None) -> int:
    """Chooses the offsets, puts them into the model, and says what they do on the validation part."""
    parser = argparse.ArgumentParser(prog="python -m convert.offsets", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of `python -m convert.train`")
    parser.add_argument("--data", type=Path, required=True, help="the set that it was trained on")
    parser.add_argument(
        "--allowed", type=float, default=ALLOWED, help="loss of accuracy, a share; default: %(default)s"
    )
    args = parser.parse_args(argv)

    def run() -> int:
        found = apply(args.run, args.data, args.allowed)
        (before, after), (weak, less_weak) = found.accuracy, found.weakest_recall
        print(
            f"τ {found.strength:g}, offsets {' '.join(f'{v:+.2f}' for v in found.values)}: accuracy {before:.4f} → {after:.4f},"
            f" weakest recall {weak:.3f} → {less_weak:.3f} on the validation part"
        )
        return 0

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
