"""Arguments that `run` and `label` share: how frames are processed."""

from __future__ import annotations

import argparse
from pathlib import Path

BUNDLE_HELP = "folder of a bundle, or edge-mixed, edge or nano, which come with the package; default: the bundle in use"
CONFIG_HELP = (
    "settings file (TOML); `fer-edge config show` lists the settings; default: fer-edge.toml in $CONFIGURATION_DIRECTORY, else "
    "~/.config/fer-edge/config.toml"
)


def add_vision_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments; an absent flag leaves the value of the settings file, or the default."""
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="DIR",
        help=BUNDLE_HELP,
    )
    parser.add_argument(
        "--detector",
        metavar="NAME",
        help="blazeface-zoomed, blazeface-short-range or haar; default: the best one installed",
    )
    parser.add_argument(
        "--rotate",
        type=int,
        dest="rotate_deg",
        choices=(0, 90, 180, 270),
        help="clockwise rotation of the picture, in degrees; default: 0",
    )
    parser.add_argument(
        "--flip",
        choices=("none", "horizontal", "vertical", "both"),
        help="mirroring of the rotated picture; default: none",
    )
    parser.add_argument(
        "--region",
        type=_region,
        metavar="X,Y,W,H",
        help="process only this part of the picture, in shares from 0 to 1; default: all",
    )
    parser.add_argument(
        "--smooth",
        type=float,
        dest="smooth_s",
        metavar="S",
        help="half-life of the label smoothing in s; default: 0.12",
    )
    parser.add_argument(
        "--unsure-below",
        type=float,
        metavar="P",
        help="probability below which any label is unsure, 0 to 1; default: the bundle's, which may have one for each label",
    )
    parser.add_argument(
        "--estimate-prior",
        dest="prior",
        action="store_const",
        const="estimate",
        help="estimate how often each label occurs here, and weight the probabilities by it; default: as in training",
    )
    add_far_argument(parser)
    parser.add_argument(
        "--raw-fps",
        type=float,
        metavar="N",
        help="frame rate of a raw recording (.h264, .h265, .mjpeg), which has no times; default: 25 is assumed, and reported",
    )
    parser.add_argument(
        "--max-faces", type=int, metavar="N", help="classify only the N largest faces of a frame; default: 4"
    )


def add_far_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--far`; None without it."""
    parser.add_argument(
        "--far",
        type=int,
        dest="far_px",
        metavar="PX",
        help="also search tiles of a large picture for faces of PX px and more, which is slower (`fer-edge bench --far PX`); "
        "default: no",
    )


def _region(text: str) -> tuple[float, ...]:
    from device.config_sources import parse_region

    return parse_region(text)
