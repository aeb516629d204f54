"""`fer-edge demo`: from a float model to a log, on a synthetic face, each step as a command that a user could type."""

from __future__ import annotations

import argparse
import itertools
import math
import shlex
import sys
from pathlib import Path
from typing import Any

from fer_edge.argument_types import file_path
from fer_edge.console import message, result_output
from fer_edge.errors import EXIT_DONE, HOST_EXTRA, UsageError

_HOST = ("tensorflow", "keras", "litert_quantizer")


def register(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "demo",
        help="without a camera: log a synthetic face, classify a picture (with the extra `host`, also quantize)",
        epilog="Exit codes: 0 done; else that of the step that failed.",
    )
    parser.add_argument(
        "--out",
        type=file_path,
        default=Path("demo-out"),
        metavar="DIR",
        help="folder for what it writes; default: demo-out",
    )
    parser.add_argument("--duration", type=float, default=8.0, metavar="S", help="length of the run in s; default: 8")
    parser.set_defaults(command=_demo)


def _demo(args: argparse.Namespace) -> int:
    import subprocess

    if not 0 < args.duration < math.inf:
        raise UsageError(f"--duration must be a number of seconds above 0, not {args.duration:g}")
    if args.out.exists() and not args.out.is_dir():
        raise UsageError(f"{args.out} is a file; name a folder with --out")
    args.out.mkdir(parents=True, exist_ok=True)
    bundle, face, log = args.out / "bundle", args.out / "face.png", _unused_folder(args.out / "log")
    settings = args.out / "settings.toml"
    settings.write_text("# none: the demo runs with the defaults, whatever the settings of this machine are\n")
    for title, words in _steps(bundle, face, log, settings, args.duration):
        result_output(f"\n== {title}\n$ fer-edge {shlex.join(words)}")
        if words[0] == "predict":
            _draw_face(face)
        if code := subprocess.run([sys.executable, "-m", "fer_edge", *words], check=False).returncode:
            message(f"this step ended with exit code {code}; the sentence above says why")
            return code
        if words[0] == "run" and not _has_episode(log):
            message(
                "no expression lasted long enough for an episode (setting `hold_s`, default 1 s), so none was logged"
            )
    result_output(
        "\nMeasured: int8 against float, or this machine against stored results; frames and readings of the loop."
    )
    result_output("Not measured: accuracy (the models' cards have it), a real camera, a Raspberry Pi.")
    page = "--live " if _are_installed("tornado") else ""
    result_output(
        f"\nNext:\n  fer-edge run {page}--camera 0\n  fer-edge predict me.jpg\n  fer-edge log summary {shlex.quote(str(log))}"
    )
    if not page:
        message("pip install 'fer-edge[live]' adds a page in the browser: fer-edge run --live")
    return EXIT_DONE


def _steps(bundle: Path, face: Path, log: Path, settings: Path, duration_s: float) -> list[tuple[str, list[str]]]:
    """Each step: what it does, and the words of its command."""
    chosen: list[str] = []
    if _are_installed(*_HOST):
        chosen = ["--bundle", str(bundle)]
        first = ("quantize the float model to int8, and compare the two", ["quantize", "--out", str(bundle)])
    else:
        message(f"quantizing needs {HOST_EXTRA}; the demo goes on without it")
        first = ("check that the packaged int8 model gives the stored results on this machine", ["verify"])
    run = ["run", "--camera", "synthetic", "--duration", f"{duration_s:g}", *chosen, "--log", str(log)]
    run += ["--name", "demo", "--config", str(settings)]
    run += ["--live", ":0"] if _are_installed("tornado") else []
    return [
        first,
        (f"watch a synthetic face for {duration_s:g} s, and log it", run),
        ("classify a drawn face in a picture", ["predict", str(face), *chosen]),
        ("sum up the log", ["log", "summary", str(log)]),
    ]


def _unused_folder(folder: Path) -> Path:
    """`folder`, or where that exists `folder-2` and so on: the summary of a demo is that of its own run."""
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    return folder if not folder.exists() else next(path for path in numbered if not path.exists())


def _has_episode(log: Path) -> bool:
    from fer_edge.events import Event
    from fer_edge.journal.segments import segment_lines, segments

    lines = (item for segment in segments(log) for _, item in segment_lines(segment, {"episode"}))
    return any(isinstance(item, Event) and item.kind == "episode" for item in lines)


def _are_installed(*modules: str) -> bool:
    from importlib.util import find_spec

    return all(find_spec(module) is not None for module in modules)


def _draw_face(path: Path) -> None:
    import cv2

    from fer_edge.synthetic_face import face_frame

    cv2.imwrite(str(path), face_frame(2.0))
