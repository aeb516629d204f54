"""`fer-edge verify`: the check of a bundle on this machine."""

from __future__ import annotations

import argparse
from typing import Any

from fer_edge.argument_types import file_path
from fer_edge.commands.vision_arguments import BUNDLE_HELP
from fer_edge.console import message, output
from fer_edge.errors import EXIT_DONE
from fer_edge.json_fields import json_text


def register(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "verify",
        help="check that this machine reproduces the crops and logits stored in a bundle (its golden vectors)",
        epilog="Reference kernels return the same logits on every processor: `--kernels reference` checks the bundle's files "
        "on any machine.",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("bundle", nargs="?", type=file_path, metavar="BUNDLE", help=BUNDLE_HELP)
    which.add_argument(
        "--bundle", type=file_path, dest="named", metavar="DIR", help="the same as BUNDLE, as in other commands"
    )
    parser.add_argument(
        "--runtime", metavar="NAME", help="litert, tflite-runtime or tensorflow; default: the one that `run` uses"
    )
    parser.add_argument(
        "--kernels",
        choices=("default", "builtin", "reference"),
        default="default",
        help="kernel path of the runtime; default: default, as in `run`",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(command=_verify)


def _verify(args: argparse.Namespace) -> int:
    from fer_edge.bundle import Bundle
    from fer_edge.certainty import thresholds_by_label, thresholds_sentence
    from fer_edge.classifier import find_runtime
    from fer_edge.golden_check import verify

    bundle = Bundle.load(args.named or args.bundle)
    verification = verify(bundle, bundle.make_classifier(find_runtime(args.runtime), args.kernels))
    if verification.remark:
        message(verification.remark)
    by_label = bundle.spec.thresholds.labels
    if args.json:
        thresholds = {"thresholds": by_label.below} if by_label else {}
        output(json_text(verification.to_json() | thresholds))
        return EXIT_DONE
    output(verification.sentence)
    if by_label:
        output(
            f"labels are reported by probability: {thresholds_sentence(bundle.labels, thresholds_by_label(bundle.spec))}"
        )
    return EXIT_DONE
