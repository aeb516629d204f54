"""`fer-edge run`: the camera loop."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fer_edge.commands.vision_arguments import CONFIG_HELP, add_vision_arguments
from fer_edge.console import output
from fer_edge.errors import EXIT_DONE

_CAMERAS = (
    "Cameras: 0 is the first camera that can be read, USB or CSI; csi:N needs picamera2 from apt; usb:N uses V4L2."
)


def register(commands: Any) -> None:
    """Adds the command. An absent flag leaves the value of the settings file, or the default."""
    parser = commands.add_parser("run", help="run the camera loop: detect faces, classify them, log", epilog=_CAMERAS)
    parser.add_argument("--config", type=Path, metavar="FILE", help=CONFIG_HELP)
    parser.add_argument(
        "--camera", metavar="C", help="0, usb:0, csi:0, a file, a folder, a URL, or synthetic; default: 0"
    )
    parser.add_argument("--name", help="name of this instance, if there are several cameras; default: camera")
    parser.add_argument(
        "--log",
        type=Path,
        metavar="DIR",
        help="folder of the journal; default: $STATE_DIRECTORY, else ~/.local/state/fer-edge",
    )
    for name, help_text in (
        ("--json", "print the journal's JSON lines instead of readable text"),
        ("--once", "wait up to 10 s for a face, print its reading and exit"),
    ):
        parser.add_argument(name, action="store_true", default=None, help=help_text)
    parser.add_argument(
        "--duration", type=float, dest="duration_s", metavar="S", help="stop after S seconds; default: no limit"
    )
    parser.add_argument(
        "--width", type=int, dest="width_px", metavar="PX", help="requested frame width in px; default: 640"
    )
    parser.add_argument(
        "--height", type=int, dest="height_px", metavar="PX", help="requested frame height in px; default: 480"
    )
    parser.add_argument("--fps", type=float, metavar="N", help="requested frame rate in frames/s; default: 10")
    add_vision_arguments(parser)
    for name, help_text in (
        ("--wait-camera", "wait for an absent camera without a time limit; default: no"),
        ("--per-frame", "also log a line for each face of each frame; default: no"),
        ("--paused", "start paused: the camera stays closed until `fer-edge resume`; default: no"),
    ):
        parser.add_argument(name, action=argparse.BooleanOptionalAction, help=help_text)
    parser.add_argument(
        "--hold",
        type=float,
        dest="hold_s",
        metavar="S",
        help="time in s for which a label must last before an episode begins; default: 1",
    )
    parser.add_argument(
        "--cpu-budget",
        type=_percent,
        metavar="PERCENT",
        help="limit of the whole process, in percent of one core; frames are skipped to stay below it; default: no limit",
    )
    parser.add_argument(
        "--budget",
        type=int,
        dest="budget_bytes",
        metavar="BYTES",
        help="largest size of the journal in bytes; the oldest segments are deleted; default: 256000000",
    )
    parser.add_argument(
        "--keep-days",
        type=float,
        metavar="N",
        help="delete journal segments older than N days; default: only --budget applies",
    )
    _add_mqtt_arguments(parser)
    _add_output_arguments(parser)
    parser.add_argument(
        "--explain-privacy", action="store_true", help="print what this run would store and send, and exit"
    )
    parser.set_defaults(command=_run)


def _add_mqtt_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mqtt",
        metavar="URL",
        help="publish to this MQTT broker: mqtt://HOST or mqtts://HOST, with USER@ before HOST; default: none",
    )
    for flag, help_text in (
        ("--mqtt-password-file", "file with the password of the broker's user on one line; mode 0600"),
        ("--mqtt-ca", "certificate authorities (PEM) for the broker's certificate; default: those of this system"),
        ("--mqtt-cert", "this device's own certificate (PEM), if the broker requires one"),
        ("--mqtt-key", "private key (PEM) of that certificate, if it is in a separate file"),
    ):
        parser.add_argument(flag, type=Path, metavar="FILE", help=help_text)
    parser.add_argument(
        "--mqtt-topic", metavar="PREFIX", help="prefix of every topic, before the instance's id; default: fer-edge"
    )
    parser.add_argument(
        "--mqtt-discovery",
        metavar="PREFIX",
        help="topic prefix for discovery by Home Assistant; empty: no discovery; default: homeassistant",
    )
    parser.add_argument(
        "--mqtt-readings",
        action=argparse.BooleanOptionalAction,
        help="also publish each face of each frame, in addition to minutes and states; default: no",
    )


def _add_output_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help="address at which to serve metrics to Prometheus; without HOST: loopback; default: none",
    )
    parser.add_argument(
        "--metrics-file",
        type=Path,
        metavar="PATH",
        help=".prom file for node_exporter, in a folder in memory such as /run/fer-edge; default: none",
    )
    parser.add_argument(
        "--live",
        nargs="?",
        const="127.0.0.1:8780",
        metavar="HOST:PORT",
        help="serve a web page with the current faces and labels; other machines need a token; without a value: "
        "127.0.0.1:8780; default: no page",
    )
    parser.add_argument(
        "--live-token-file",
        type=Path,
        metavar="FILE",
        help="file with that token, mode 0600, created if missing; default: a new token at each start",
    )
    parser.add_argument(
        "--show-pixels",
        nargs="?",
        type=_seconds,
        const=600.0,
        dest="show_pixels_s",
        metavar="TIME",
        help="show small pictures on that page, with detected faces pixelated, for this time (90s, 5min, at most 1h); "
        "without a value: 10min; default: never",
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

        output(explain_run(settings))
        return EXIT_DONE
    from device.run import run

    return run(settings, read_settings=lambda: load_settings(arguments, args.config).settings)
