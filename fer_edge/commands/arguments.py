"""What can be typed after some of `fer-edge`'s commands; the commands themselves, and what others take, are in `cli`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

BUNDLE = "a folder, edge or nano; default: the one in use"


def run(parser: argparse.ArgumentParser, region: Callable[[str], tuple[float, ...]]) -> None:
    """Those of `run`, the settings that have a flag: one that is not given stays with the file, or with its default.

    `region` reads the four numbers of --region.
    """
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (TOML); `fer-edge config show` lists them"
    )
    parser.add_argument("--camera", metavar="C", help="0, usb:0, csi:0, a file, a folder, a URL, synthetic")
    parser.add_argument("--name", help="of this instance, where there are several cameras; default: camera")
    parser.add_argument(
        "--log", type=Path, metavar="DIR", help="default: $STATE_DIRECTORY, else ~/.local/state/fer-edge"
    )
    for name, does in (
        ("--json", "print the journal's lines instead of readable ones"),
        ("--once", "wait up to 10 s for a face, print it and stop"),
    ):
        parser.add_argument(name, action="store_true", default=None, help=does)
    parser.add_argument("--duration", type=float, dest="duration_s", metavar="S", help="stop after so many seconds")
    parser.add_argument("--width", type=int, dest="width_px", metavar="PX", help="asked of the camera")
    parser.add_argument("--height", type=int, dest="height_px", metavar="PX")
    parser.add_argument("--fps", type=float, metavar="N")
    _seeing(parser, region)
    for name, does in (
        ("--wait-camera", "wait for a camera that is not there yet"),
        ("--per-frame", "keep a line for each face of each frame too"),
        ("--paused", "start paused"),
    ):
        parser.add_argument(name, action=argparse.BooleanOptionalAction, help=does)
    parser.add_argument("--hold", type=float, dest="hold_s", metavar="S", help="before an expression is an episode")
    parser.add_argument(
        "--cpu-budget",
        type=_percent,
        metavar="PERCENT",
        help="of one core, for the whole process; frames are left out for it",
    )
    parser.add_argument("--budget", type=int, dest="budget_bytes", metavar="BYTES", help="the journal takes at most")
    parser.add_argument("--keep-days", type=float, metavar="N", help="the journal keeps lines for at most")
    _mqtt(parser)
    parser.add_argument(
        "--metrics", metavar="HOST:PORT", help="where Prometheus may fetch metrics; loopback without HOST"
    )
    parser.add_argument(
        "--metrics-file", type=Path, metavar="PATH", help="write them for node_exporter; a .prom file in memory"
    )
    parser.add_argument(
        "--live",
        nargs="?",
        const="127.0.0.1:8780",
        metavar="HOST:PORT",
        help="a page of what is seen now, for a browser; alone: 127.0.0.1:8780, beyond this machine with a token",
    )
    parser.add_argument(
        "--live-token-file", type=Path, metavar="FILE", help="of that token, mode 0600; default: a new one each start"
    )
    parser.add_argument(
        "--show-pixels",
        nargs="?",
        type=_seconds,
        const=600.0,
        dest="show_pixels_s",
        metavar="TIME",
        help="small pictures on that page, found faces made coarse, for 90s, 5min, at most 1h; alone: 10min",
    )
    parser.add_argument(
        "--explain-privacy", action="store_true", help="say what this run would store and send, and stop"
    )


def _mqtt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mqtt",
        metavar="URL",
        help="tell a broker: mqtt://HOST, mqtts://HOST, user@ before it; Home Assistant finds it",
    )
    for flag, does in (
        ("--mqtt-password-file", "the user's password in one line, for its owner alone"),
        ("--mqtt-ca", "who may vouch for the broker's certificate; default: whom this system trusts"),
        ("--mqtt-cert", "a certificate of this device's own, where the broker asks for one"),
        ("--mqtt-key", "the key of that certificate"),
    ):
        parser.add_argument(flag, type=Path, metavar="FILE", help=does)
    parser.add_argument("--mqtt-topic", metavar="PREFIX", help="before the instance's id; default: fer-edge")
    parser.add_argument("--mqtt-discovery", metavar="PREFIX", help="of Home Assistant; empty: it is told nothing")
    parser.add_argument(
        "--mqtt-readings",
        action=argparse.BooleanOptionalAction,
        help="each face of each frame, beside minutes and states",
    )


def _percent(text: str) -> float:
    return float(text.removesuffix("%"))


def _seeing(parser: argparse.ArgumentParser, region: Callable[[str], tuple[float, ...]]) -> None:
    """Those of how frames are looked at, wherever they come from."""
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="DIR",
        help="a bundle's folder, or edge or nano, which come with the package; default: edge",
    )
    parser.add_argument(
        "--detector", metavar="NAME", help="blazeface-zoomed, blazeface-short-range, haar; default: the best"
    )
    parser.add_argument("--rotate", type=int, dest="rotate_deg", choices=(0, 90, 180, 270), help="clockwise")
    parser.add_argument("--flip", choices=("none", "horizontal", "vertical", "both"))
    parser.add_argument(
        "--region", type=region, metavar="X,Y,W,H", help="look only there; shares of the picture, 0 to 1"
    )
    parser.add_argument("--smooth", type=float, dest="smooth_s", metavar="S", help="half-life of what steadies a label")
    parser.add_argument("--unsure-below", type=float, metavar="P", help="probability; default: the bundle's own")
    parser.add_argument("--max-faces", type=int, metavar="N", help="read the largest so many; default: 4")


def label(parser: argparse.ArgumentParser, region: Callable[[str], tuple[float, ...]]) -> None:
    """Those of `label`; how frames are looked at is told as to `run`."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a video, or a folder with videos below it")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="for a table a video, and what made it")
    parser.add_argument(
        "--format", dest="form", choices=("csv", "parquet"), default="csv", help="parquet needs the extra `parquet`"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="videos at a time, a process each; default: 1")
    parser.add_argument(
        "--annotate",
        action="store_true",
        help="also a video with boxes and labels, faces pixelated; several times slower",
    )
    parser.add_argument("--show-faces", action="store_true", help="with --annotate: leave the faces as they are")
    parser.add_argument("--json", action="store_true", dest="as_json", help="a line of JSON for each video")
    parser.add_argument("--explain-privacy", action="store_true", help="say what this would store and send, and stop")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (TOML); `fer-edge config show` lists them"
    )
    _seeing(parser, region)


def _seconds(text: str) -> float:
    """The seconds in 90, 90s, 5min or 1h. Raises ValueError for anything else, which argparse turns into a sentence."""
    number = text.rstrip("hmins")
    return float(number) * {"": 1, "s": 1, "min": 60, "h": 3600}.get(text[len(number) :], float("nan"))


def predict(parser: argparse.ArgumentParser) -> None:
    """Those of `predict`."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help=BUNDLE)
    parser.add_argument(
        "--crop", action="store_true", help="the pictures are face crops already, as data sets hold them"
    )
    parser.add_argument("--json", action="store_true")


def verify(parser: argparse.ArgumentParser) -> None:
    """Those of `verify`."""
    parser.epilog = (
        "Reference kernels give the same on every processor: `--kernels reference` checks the file on any machine."
    )
    parser.add_argument("bundle", nargs="?", type=Path, metavar="BUNDLE", help=BUNDLE)
    parser.add_argument(
        "--runtime", metavar="NAME", help="litert, tflite-runtime or tensorflow; default: as run takes it"
    )
    parser.add_argument(
        "--kernels", choices=("default", "builtin", "reference"), default="default", help="default: as run takes them"
    )
    parser.add_argument("--json", action="store_true")


def bench(parser: argparse.ArgumentParser) -> None:
    """Those of `bench`."""
    parser.epilog = (
        "Stop other work first, a running instance too (`fer-edge pause`): a line that begins with MARKED says why figures are "
        "not the machine's own. What stands under ESTIMATE was not measured. Exit codes: 0, 2 (usage), 5 (a file refused)."
    )
    parser.add_argument("--bundle", type=Path, metavar="DIR", help=BUNDLE)
    parser.add_argument(
        "--float", type=Path, metavar="FILE", help="a float .tflite of the bundle's network, beside int8"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="1 to N; default: to as many as there are cores, up to 4"
    )
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="to measure for, about; default: 20")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument(
        "--paste",
        action="store_true",
        help="one block to send back; no name of the machine or its user, no serial number",
    )
