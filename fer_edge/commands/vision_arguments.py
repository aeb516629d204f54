"""Arguments that `run` and `label` share: how frames are processed, wherever they come from."""

from __future__ import annotations

import argparse
from pathlib import Path

BUNDLE_HELP = "a folder, edge or nano; default: the bundle in use"


def add_vision_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments; a setting without its flag comes from the settings file, or is the default."""
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="DIR",
        help="a bundle's folder, or edge or nano, which come with the package; default: edge",
    )
    parser.add_argument(
        "--detector", metavar="NAME", help="blazeface-zoomed, blazeface-short-range, haar; default: the best installed"
    )
    parser.add_argument("--rotate", type=int, dest="rotate_deg", choices=(0, 90, 180, 270), help="clockwise")
    parser.add_argument("--flip", choices=("none", "horizontal", "vertical", "both"))
    parser.add_argument(
        "--region", type=_region, metavar="X,Y,W,H", help="process only this part; shares of the picture, 0 to 1"
    )
    parser.add_argument("--smooth", type=float, dest="smooth_s", metavar="S", help="half-life of the label smoothing")
    parser.add_argument("--unsure-below", type=float, metavar="P", help="a probability; default: the bundle's")
    parser.add_argument("--max-faces", type=int, metavar="N", help="classify only the N largest faces; default: 4")


def _region(text: str) -> tuple[float, ...]:
    from device.config_sources import parse_region

    return parse_region(text)
