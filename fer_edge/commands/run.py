"""`fer-edge run`: the camera loop."""

from __future__ import annotations

import argparse
from typing import Any

from fer_edge.argument_types import file_path
from fer_edge.commands.vision_arguments import (
    CONFIG_HELP,
    Arguments,
    add_detail_arguments,
    add_picture_arguments,
    add_reading_arguments,
    size_argument,
)
from fer_edge.console import output, reporter
from fer_edge.errors import EXIT_DONE

_EPILOG = (
    "Cameras: 0 is the first camera that can be read, USB or CSI; csi:N needs picamera2 from apt; usb:N uses V4L2. "
    "A flag overrides the settings file. Without detector files, the first run fetches them from PyPI (FER_EDGE_OFFLINE=1: it "
    "does not)."
)


def register(commands: Any) -> None:
    """Adds the command. An absent flag leaves the value of the settings file, or the default."""
    parser = commands.add_parser(
        "run",
        help="run the camera loop: find faces, classify them, log",
        description="Finds faces, labels them, and logs each expression that lasts --hold seconds (an episode).",
        epilog=_EPILOG,
    )
    parser.add_argument("--config", type=file_path, metavar="FILE", help=CONFIG_HELP)
    parser.add_argument("--name", help="name of this instance, if there are several cameras; default: camera")
    parser.add_argument("--json", action="store_true", default=None, help="print the journal's JSON lines; default: no")
    add_detail_arguments(parser)
    _add_camera_arguments(parser.add_argument_group("camera"))
    _add_reading_arguments(parser.add_argument_group("reading", "how faces are found and labelled"))
    _add_journal_arguments(parser.add_argument_group("journal"))
    _add_mqtt_arguments(parser.add_argument_group("MQTT", "needs the extra `mqtt`"))
    _add_metrics_arguments(parser.add_argument_group("metrics", "for Prometheus; needs the extra `metrics`"))
    _add_page_arguments(parser.add_argument_group("page", "needs the extra `live`"))
    privacy = parser.add_argument_group("privacy")
    privacy.add_argument(
        "--explain-privacy", action="store_true", help="print what this run would store and send, and exit"
    )
    parser.set_defaults(command=_run)


def _add_camera_arguments(group: Arguments) -> None:
    group.add_argument(
        "--camera", metavar="C", help="0, usb:0, csi:0, a file, a folder, a URL, or synthetic; default: 0"
    )
    group.add_argument(
        "--width", type=int, dest="width_px", metavar="PX", help="requested frame width in px; default: 640"
    )
    group.add_argument(
        "--height", type=int, dest="height_px", metavar="PX", help="requested frame height in px; default: 480"
    )
    group.add_argument("--fps", type=float, metavar="N", help="requested frame rate in frames/s; default: 10")
    add_picture_arguments(group)
    for name, help_text in (
        ("--wait-camera", "wait for an absent camera without a time limit; default: no"),
        ("--paused", "start paused: the camera stays closed until `fer-edge resume`; default: no"),
    ):
        group.add_argument(name, action=argparse.BooleanOptionalAction, help=help_text)
    group.add_argument(
        "--duration", type=float, dest="duration_s", metavar="S", help="stop after S seconds; default: no limit"
    )
    group.add_argument(
        "--once", action="store_true", default=None, help="wait up to 10 s for a face, print its reading and exit"
    )


def _add_reading_arguments(group: Arguments) -> None:
    add_reading_arguments(group)
    group.add_argument(
        "--hold",
        type=float,
        dest="hold_s",
        metavar="S",
        help="time in s for which a label must last before an episode begins; default: 1",
    )
    group.add_argument(
        "--cpu-budget",
        type=_percent,
        metavar="PERCENT",
        help="limit of the whole process, in percent of one core; frames are skipped to stay below it; default: no limit",
    )


def _add_journal_arguments(group: Arguments) -> None:
    group.add_argument(
        "--log",
        type=file_path,
        metavar="DIR",
        help="folder of the journal; default: $STATE_DIRECTORY, else ~/.local/state/fer-edge",
    )
    group.add_argument(
        "--per-frame",
        action=argparse.BooleanOptionalAction,
        help="also log a line for each face of each frame; default: no",
    )
    group.add_argument(
        "--budget",
        type=size_argument,
        dest="budget_bytes",
        metavar="SIZE",
        help="largest size of the journal, in bytes or as 500MB, 1GB, 2GiB; the oldest segments are deleted; default: 256MB",
    )
    group.add_argument(
        "--keep-days",
        type=float,
        metavar="N",
        help="delete journal segments older than N days; default: only --budget applies",
    )


def _add_mqtt_arguments(group: Arguments) -> None:
    group.add_argument(
        "--mqtt",
        metavar="URL",
        help="publish to this MQTT broker: mqtt://HOST or mqtts://HOST, with USER@ before HOST; default: none",
    )
    for flag, help_text in (
        ("--mqtt-password-file", "file with the password of the broker's user on one line, mode 0600; default: none"),
        ("--mqtt-ca", "certificate authorities (PEM) for the broker's certificate; default: those of this system"),
        ("--mqtt-cert", "this device's own certificate (PEM), if the broker requires one; default: none"),
        ("--mqtt-key", "private key (PEM) of that certificate, if it is in a separate file; default: none"),
    ):
        group.add_argument(flag, type=file_path, metavar="FILE", help=help_text)
    group.add_argument(
        "--mqtt-topic", metavar="PREFIX", help="prefix of every topic, before the instance's id; default: fer-edge"
    )
    group.add_argument(
        "--mqtt-discovery",
        metavar="PREFIX",
        help="MQTT discovery prefix of Home Assistant; empty disables discovery; default: homeassistant",
    )
    group.add_argument(
        "--mqtt-readings",
        action=argparse.BooleanOptionalAction,
        help="also publish each face of each frame, in addition to minutes and states; default: no",
    )


def _add_metrics_arguments(group: Arguments) -> None:
    group.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help="address at which to serve metrics to Prometheus; without HOST: loopback; default: none",
    )
    group.add_argument(
        "--metrics-file",
        type=file_path,
        metavar="PATH",
        help=".prom file for node_exporter, in a folder in memory such as /run/fer-edge; default: none",
    )


def _add_page_arguments(group: Arguments) -> None:
    group.add_argument(
        "--live",
        nargs="?",
        const="127.0.0.1:8780",
        metavar="HOST:PORT",
        help="serve a web page with the current faces and labels; other machines need a token; without a value: "
        "127.0.0.1:8780; default: no page",
    )
    group.add_argument(
        "--live-token-file",
        type=file_path,
        metavar="FILE",
        help="file with that token, mode 0600, created if missing; default: a new token at each start",
    )
    group.add_argument(
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
    try:
        return float(text.removesuffix("%"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not a percentage, such as 20 or 20%") from None


def _seconds(text: str) -> float:
    """The seconds in 90, 90s, 5min or 1h."""
    number = text.rstrip("hmins")
    unit = {"": 1, "s": 1, "min": 60, "h": 3600}.get(text[len(number) :])
    try:
        return float(number) * (unit or float("nan"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not a time, such as 90s, 5min or 1h") from None


def _run(args: argparse.Namespace) -> int:
    from device.config_sources import load_settings

    arguments = vars(args)
    settings = load_settings(arguments, args.config).settings
    if args.explain_privacy:
        from device.privacy import explain_run

        output(explain_run(settings))
        return EXIT_DONE
    from device.run import run
    from fer_edge.detection.download import fetch_missing_detectors

    fetch_missing_detectors(settings.detector, reporter(settings.detail == "none"))
    return run(settings, read_settings=lambda: load_settings(arguments, args.config).settings, limit_memory=True)
