"""`python -m convert.golden BUNDLE`: writes golden vectors: crops, and the logits of each runtime.

Logits of other machines remain if the model and the crops are unchanged. To add those of another machine:

    python -m convert.golden BUNDLE --crops crops.npy                                 on the host
    python -m fer_edge.record_logits BUNDLE --images crops.npy --out pi.npz           on the other machine
    python -m convert.golden BUNDLE --recorded pi.npz                                 on the host
"""

from __future__ import annotations

import json
import sys

from convert.bundle.bundle_update import require_own_copy
from convert.bundle.golden_vectors import NAME, rewrite
from convert.parity.runtime_logits import SETS
from fer_edge.argument_types import file_path
from fer_edge.bundle import Bundle
from fer_edge.command_parser import CommandParser, RawUsageFormatter
from fer_edge.console import message, output
from fer_edge.errors import EXIT_DONE, exit_code_of
from fer_edge.golden_vectors import Golden
from fer_edge.json_fields import to_json
from fer_edge.record_logits import write_images


def _summary(golden: Golden) -> str:
    """The difference of each runtime from the first, a line each, and the limits that follow."""
    first = next(iter(golden.logits))
    lines = [f"{len(golden.crops)} crops, output step {golden.output_step:.5f}; compared with {first}:"]
    for name, logits in golden.logits.items():
        apart = golden.difference(logits, golden.logits[first])
        lines.append(f"  {name}: {apart.steps:.2g} steps, RMS {apart.rms_steps:.2f}, scale {apart.slope:.2%}")
    limits = golden.other_limits
    lines.append(
        f"limits for other runtimes: {limits.steps:.2g} steps, RMS {limits.rms_steps:.2f}, scale {limits.slope:.2%}"
    )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Writes golden vectors and prints the differences of the runtimes; 0 done, 2 bad input, 5 bundle refused."""
    parser = CommandParser(prog="python -m convert.golden", description=__doc__, formatter_class=RawUsageFormatter)
    parser.add_argument("bundle", type=file_path, metavar="BUNDLE", help="folder of a bundle")
    parser.add_argument(
        "--compare",
        choices=sorted(SETS),
        default="all",
        help="runtimes to record, if installed: one, usual or all, as for `python -m convert.parity`; default: all",
    )
    parser.add_argument(
        "--recorded",
        type=file_path,
        nargs="+",
        action="extend",
        default=[],
        metavar="Y.npz",
        help="files written by `python -m fer_edge.record_logits`",
    )
    parser.add_argument(
        "--crops",
        type=file_path,
        metavar="X.npy",
        help="only write the crops to this file, for `python -m fer_edge.record_logits`",
    )
    parser.add_argument("--json", action="store_true", help="print the summary that bundle.json contains")
    args = parser.parse_args(argv)

    def run() -> int:
        if args.crops:
            crops = Golden.load(Bundle.load(args.bundle).path / NAME).crops
            write_images(args.crops, crops)
            message(f"{args.crops}: {len(crops)} crops")
            return EXIT_DONE
        require_own_copy(args.bundle)
        bundle = rewrite(args.bundle, args.compare, args.recorded)
        output(
            json.dumps(to_json(bundle.spec.golden), indent=1)
            if args.json
            else _summary(Golden.load(bundle.path / NAME))
        )
        return EXIT_DONE

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
