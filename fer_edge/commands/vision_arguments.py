"""Arguments that `run`, `label` and other commands share: the bundle, and how frames are processed."""

from __future__ import annotations

import argparse
from typing import Any, Protocol

from fer_edge.argument_types import file_path, whole_number
from fer_edge.detection.tiles import MIN_FAR_PX

BUNDLE_HELP = "folder of a bundle, or edge-mixed, edge or nano, which come with the package; default: the bundle in use"
CONFIG_HELP = (
    "settings file (TOML); `fer-edge config show` lists the settings; default: fer-edge.toml in $CONFIGURATION_DIRECTORY, else "
    "~/.config/fer-edge/config.toml"
)


class Arguments(Protocol):
    """A parser, or a group of its arguments."""

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:
        """Adds an argument."""
        ...

    def add_mutually_exclusive_group(self, **options: Any) -> Any:
        """Adds a group of which only one argument may be given."""
        ...


def add_picture_arguments(group: Arguments) -> None:
    """Adds the arguments about the picture; an absent flag leaves the value of the settings file, or the default."""
    group.add_argument(
        "--rotate",
        type=int,
        dest="rotate_deg",
        choices=(0, 90, 180, 270),
        help="clockwise rotation of the picture, in degrees; default: 0",
    )
    group.add_argument(
        "--flip",
        choices=("none", "horizontal", "vertical", "both"),
        help="mirroring of the rotated picture; default: none",
    )
    group.add_argument(
        "--region",
        type=_region,
        metavar="X,Y,W,H",
        help="process only this part of the picture, in shares from 0 to 1; default: all",
    )
    group.add_argument(
        "--raw-fps",
        type=float,
        metavar="N",
        help="frame rate, in frames/s, of a raw recording (.h264, .h265, .mjpeg), which has no times; default: 25 is assumed, "
        "and reported",
    )


def add_reading_arguments(group: Arguments) -> None:
    """Adds the arguments about finding and classifying faces, in the same way."""
    group.add_argument("--bundle", type=file_path, metavar="DIR", help=BUNDLE_HELP)
    group.add_argument(
        "--detector",
        metavar="NAME",
        help="blazeface-zoomed, blazeface-short-range or haar; default: the best one installed",
    )
    group.add_argument("--threads", type=int, metavar="N", help="threads of the face detector; default: 1")
    group.add_argument(
        "--smooth",
        type=float,
        dest="smooth_s",
        metavar="S",
        help="half-life of the label smoothing in s; default: 0.12",
    )
    group.add_argument(
        "--unsure-below",
        type=float,
        metavar="P",
        help="probability below which any label is unsure, 0 to 1; default: the bundle's, which may have one for each label",
    )
    priors = group.add_mutually_exclusive_group()
    add_prior_argument(priors)
    priors.add_argument(
        "--estimate-prior",
        dest="prior",
        action="store_const",
        const="estimate",
        help="estimate how often each label occurs here, and weight the probabilities by it; default: as in training",
    )
    add_far_argument(group)
    group.add_argument(
        "--max-faces", type=int, metavar="N", help="classify only the N largest faces of a frame; default: 4"
    )


def add_prior_argument(group: Arguments) -> None:
    """Adds `--prior`; None without it."""
    group.add_argument(
        "--prior",
        metavar="LABEL=SHARE",
        help="how often a label occurs where the camera is, as neutral=0.3: the probabilities are weighted by it; default: "
        "as in training",
    )


def add_far_argument(group: Arguments) -> None:
    """Adds `--far`; None without it."""
    group.add_argument(
        "--far",
        type=whole_number(MIN_FAR_PX),
        dest="far_px",
        metavar="PX",
        help="also search tiles of a large picture for faces of PX px and more, which is slower (`fer-edge bench --far PX`); "
        "default: no",
    )


def add_quiet_argument(group: Arguments) -> None:
    """Adds `-q`: nothing is printed but results and trouble."""
    group.add_argument(
        "-q", "--quiet", action="store_true", help="print only results, warnings and errors; default: no"
    )


def add_detail_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `-v` and `-q` of a camera loop, which are values of the setting `detail`."""
    detail = parser.add_mutually_exclusive_group()
    for flags, value, help_text in (
        (("-v", "--verbose"), "frames", "also print a line for each face of each frame; default: episodes and states"),
        (("-q", "--quiet"), "none", "print only warnings, errors and the output of --json or --once; default: no"),
    ):
        detail.add_argument(*flags, dest="detail", action="store_const", const=value, help=help_text)


def size_argument(text: str) -> int:
    """The argparse type of a number of bytes: 256000000, 500MB, 1GB, 2GiB."""
    from device.config_sources import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _region(text: str) -> tuple[float, ...]:
    from device.config_sources import parse_region

    try:
        return parse_region(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not four numbers X,Y,W,H, such as 0.25,0,0.5,1") from None
