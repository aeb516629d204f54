"""`fer-edge run`: the camera loop."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fer_edge.commands.vision_arguments import add_vision_arguments
from fer_edge.errors import EXIT_DONE

_CAMERAS = "Cameras: 0 is the first camera that can be read, by whichever stack; csi:N needs picamera2 from apt; usb:N is V4L2."


def register(commands: Any) -> None:
    """Adds the command. An argument that is not given comes from the settings file, or is the default."""
    parser = commands.add_parser("run", help="the camera loop: detect faces, classify them, log", epilog=_CAMERAS)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (TOML); `fer-edge config show` lists them"
    )
    parser.add_argument("--camera", metavar="C", help="0, usb:0, csi:0, a file, a folder, a URL, synthetic")
    parser.add_argument("--name", help="of this instance, where there are several cameras; default: camera")
    parser.add_argument(
        "--log", type=Path, metavar="DIR", help="default: $STATE_DIRECTORY, else ~/.local/state/fer-edge"
    )
    for name, help_text in (
        ("--json", "print the journal's lines instead of readable ones"),
        ("--once", "wait up to 10 s for a face, print it and stop"),
    ):
        parser.add_argument(name, action="store_true", default=None, help=help_text)
    parser.add_argument("--duration", type=float, dest="duration_s", metavar="S", help="stop after S seconds")
    parser.add_argument("--width", type=int, dest="width_px", metavar="PX", help="requested from the camera")
    parser.add_argument("--height", type=int, dest="height_px", metavar="PX")
    parser.add_argument("--fps", type=float, metavar="N")
    add_vision_arguments(parser)
    for name, help_text in (
        ("--wait-camera", "wait for a camera that is not there yet"),
        ("--per-frame", "also log a line for each face of each frame"),
        ("--paused", "start paused"),
    ):
        parser.add_argument(name, action=argparse.BooleanOptionalAction, help=help_text)
    parser.add_argument(
        "--hold", type=float, dest="hold_s", metavar="S", help="time until an expression counts as an episode"
    )
    parser.add_argument(
        "--cpu-budget",
        type=_percent,
        metavar="PERCENT",
        help="of one core, for the whole process; frames are skipped to stay within it",
    )
    parser.add_argument("--budget", type=int, dest="budget_bytes", metavar="BYTES", help="largest size of the journal")
    parser.add_argument("--keep-days", type=float, metavar="N", help="delete older lines of the journal")
    _add_mqtt_arguments(parser)
    _add_output_arguments(parser)
    parser.add_argument(
        "--explain-privacy", action="store_true", help="print what this run would store and send, and stop"
    )
    parser.set_defaults(command=_run)


def _add_mqtt_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mqtt",
        metavar="URL",
        help="publish to a broker: mqtt://HOST, mqtts://HOST, user@ before the host; Home Assistant discovers it",
    )
    for flag, help_text in (
        ("--mqtt-password-file", "the user's password on one line; mode 0600"),
        ("--mqtt-ca", "certificates that may sign the broker's; default: those that this system trusts"),
        ("--mqtt-cert", "this device's own certificate, where the broker requires one"),
        ("--mqtt-key", "the key of that certificate"),
    ):
        parser.add_argument(flag, type=Path, metavar="FILE", help=help_text)
    parser.add_argument(
        "--mqtt-topic", metavar="PREFIX", help="of all topics, before the instance's id; default: fer-edge"
    )
    parser.add_argument("--mqtt-discovery", metavar="PREFIX", help="of Home Assistant; empty: no discovery")
    parser.add_argument(
        "--mqtt-readings",
        action=argparse.BooleanOptionalAction,
        help="publish each face of each frame too, besides minutes and states",
    )


def _add_output_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--metrics", metavar="HOST:PORT", help="serve metrics to Prometheus; on loopback without HOST")
    parser.add_argument(
        "--metrics-file", type=Path, metavar="PATH", help="write metrics for node_exporter; a .prom file in memory"
    )
    parser.add_argument(
        "--live",
        nargs="?",
        const="127.0.0.1:8780",
        metavar="HOST:PORT",
        help="serve a page with what is seen now; without a value: 127.0.0.1:8780; from other machines with a token",
    )
    parser.add_argument(
        "--live-token-file",
        type=Path,
        metavar="FILE",
        help="holds that token, mode 0600; default: a new one each start",
    )
    parser.add_argument(
        "--show-pixels",
        nargs="?",
        type=_seconds,
        const=600.0,
        dest="show_pixels_s",
        metavar="TIME",
        help="small pictures on that page, detected faces pixelated, for 90s, 5min, at most 1h; without a value: 10min",
    )


def _percent(text: str) -> float:
    return float(text.removesuffix("%"))


def _seconds(text: str) -> float:
    """The seconds in 90, 90s, 5min or 1h. Raises ValueError for anything else, which argparse reports."""
    number = text.rstrip("hmins")
    return float(number) * {"": 1, "s": 1, "min": 60, "h": 3600}.get(text[len(number) :], float("nan"))


def _run(args: argparse.Namespace) -> int:
    from device.config_sources import load_settings

    arguments = vars(args)
    settings = load_settings(arguments, args.config).settings
    if args.explain_privacy:
        from device.privacy import explain_run

        print(explain_run(settings))
        return EXIT_DONE
    from device.run import run

    return run(settings, read_settings=lambda: load_settings(arguments, args.config).settings)
