"""`python -m convert.golden BUNDLE`: golden vectors of drawn frames, a set of logits for each runtime and kernel path."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from convert.bundle.golden_vectors import NAME, rewrite
from convert.parity.backends import SETS
from fer_edge.bundle import Bundle
from fer_edge.errors import EXIT_DONE, exit_code_of
from fer_edge.golden import Golden
from fer_edge.json_fields import to_json


def _told(golden: Golden) -> str:
    """How far each column lies from the first, a line each, and what that allows."""
    first = next(iter(golden.logits))
    lines = [f"{len(golden.crops)} crops, a step of the output is {golden.output_step:.5f}; against {first}:"]
    for name, logits in golden.logits.items():
        apart = golden.difference(logits, golden.logits[first])
        lines.append(f"  {name}: {apart.steps:.2g} steps, RMS {apart.rms_steps:.2f}, scale {apart.slope:.2%}")
    limits = golden.other_limits
    lines.append(
        f"allowed of a runtime without a column: {limits.steps:.2g} steps, RMS {limits.rms_steps:.2f}, scale {limits.slope:.2%}"
    )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Writes golden vectors and prints what the columns differ by; 0 done, 2 bad input, 5 bundle refused."""
    parser = argparse.ArgumentParser(
        prog="python -m convert.golden", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a bundle's folder")
    parser.add_argument(
        "--columns", choices=sorted(SETS), default="all", help="which runtimes and kernels of this host"
    )
    parser.add_argument(
        "--answers", type=Path, nargs="+", default=[], metavar="Y.npz", help="of `fer_edge.record_logits`"
    )
    parser.add_argument(
        "--crops", type=Path, metavar="X.npy", help="only write the crops there, for `fer_edge.record_logits`"
    )
    parser.add_argument("--json", action="store_true", help="print what bundle.json says of them instead")
    args = parser.parse_args(argv)

    def run() -> int:
        if args.crops:
            np.save(args.crops, Golden.load(Bundle.load(args.bundle).path / NAME).crops)
            return EXIT_DONE
        bundle = rewrite(args.bundle, args.columns, args.answers)
        print(
            json.dumps(to_json(bundle.spec.golden), indent=1) if args.json else _told(Golden.load(bundle.path / NAME))
        )
        return EXIT_DONE

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
