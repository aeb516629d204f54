"""`fer-edge`: reads arguments, calls one function, prints what it gives. stdout is data, stderr is speech."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fer_edge import __version__
from fer_edge.commands import arguments, deployment, label, maintenance
from fer_edge.commands import log as log_commands
from fer_edge.console import message
from fer_edge.errors import EXIT_CODES, EXIT_DONE, NotRunning, Unhealthy, UsageError, exit_code_of


def main(argv: list[str] | None = None) -> int:
    """Runs the command in `argv` and gives its exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help(sys.stderr)
        return UsageError.exit_code
    return exit_code_of(lambda: args.command(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fer-edge",
        description="Logs displayed facial expressions from a camera with an int8 model.\nStores no picture, but where "
        "`label --annotate` is asked to make one of a recording; sends none.",
        epilog="exit codes:\n" + "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fer-edge {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND")

    run = commands.add_parser("run", help="the camera loop: find faces, classify them, log", epilog=_CAMERAS)
    arguments.run(run, _region)
    run.set_defaults(command=_run)

    label.add(commands, _region)

    predict = commands.add_parser("predict", help="what each face in pictures of one's own shows")
    arguments.predict(predict)
    predict.set_defaults(command=_predict)

    verify = commands.add_parser(
        "verify",
        help="whether this machine does with a bundle what it did when it was proved, from the crop to the logits",
    )
    arguments.verify(verify)
    verify.set_defaults(command=_verify)

    bench = commands.add_parser("bench", help="what each stage and each network takes on this machine")
    arguments.bench(bench)
    bench.set_defaults(command=_bench)

    _instance_commands(commands)
    log_commands.add(commands)
    maintenance.add(commands)
    deployment.add(commands)
    return parser


def _instance_commands(commands: Any) -> None:
    """What is asked of a run from outside, and of its settings."""
    health = commands.add_parser("health", help="whether a running instance is well")
    health.add_argument("--name", default="camera")
    health.add_argument("--json", action="store_true")
    health.set_defaults(command=_health)
    for name, does in (("pause", "close the camera until resume, whatever restarts"), ("resume", "end a pause")):
        asked = commands.add_parser(name, help=does)
        asked.add_argument("--name", default="camera")
        asked.add_argument("--log", type=Path, metavar="DIR", help="its journal, where it does not run")
        asked.set_defaults(command=_pause if name == "pause" else _resume)
    again = commands.add_parser("reload", help="have a running instance read its settings again")
    again.add_argument("--name", default="camera")
    again.set_defaults(command=_reload)

    config = commands.add_parser("config", help="the settings").add_subparsers(metavar="ACTION", required=True)
    show = config.add_parser("show", help="each setting, its value, and where that comes from")
    show.add_argument("--config", type=Path, metavar="FILE")
    show.add_argument("--json", action="store_true", dest="as_json")
    show.add_argument("--commented", action="store_true", help="with what each one means: a file to begin with")
    show.set_defaults(command=_config_show)


_CAMERAS = (
    "Cameras: 0 is the first camera of the stack that can read it; csi:N needs picamera2 from apt; usb:N is V4L2."
)


def _region(text: str) -> tuple[float, ...]:
    from device.config_sources import parse_region

    return parse_region(text)


def _run(args: argparse.Namespace) -> int:
    from device.config_sources import load_settings

    given = vars(args)
    settings = load_settings(given, args.config).settings
    if args.explain_privacy:
        from device.privacy import explain_run

        print(explain_run(settings))
        return EXIT_DONE
    from device.run import run

    return run(settings, read_settings=lambda: load_settings(given, args.config).settings)


def _health(args: argparse.Namespace) -> int:
    from device.clock import SystemClock
    from device.default_folders import runtime_folders
    from device.system.status import read_instance

    report = read_instance(args.name, runtime_folders(), SystemClock())
    print(json.dumps(report.to_json(), ensure_ascii=False) if args.json else report.text())
    if not report.running:
        raise NotRunning("; ".join(report.problems))
    if report.problems:
        raise Unhealthy("; ".join(report.problems))
    return EXIT_DONE


def _pause(args: argparse.Namespace) -> int:
    from device.clock import SystemClock
    from device.default_folders import runtime_folders
    from device.system.control import pause

    print(pause(args.name, runtime_folders(), SystemClock(), args.log))
    return EXIT_DONE


def _resume(args: argparse.Namespace) -> int:
    from device.clock import SystemClock
    from device.default_folders import runtime_folders
    from device.system.control import resume

    print(resume(args.name, runtime_folders(), SystemClock(), args.log))
    return EXIT_DONE


def _reload(args: argparse.Namespace) -> int:
    from device.clock import SystemClock
    from device.default_folders import runtime_folders
    from device.system.control import reload

    print(reload(args.name, runtime_folders(), SystemClock()))
    return EXIT_DONE


def _config_show(args: argparse.Namespace) -> int:
    from device.config_sources import load_settings, settings_report, settings_text

    configured = load_settings({}, args.config)
    print(
        json.dumps(settings_report(configured), indent=1, ensure_ascii=False)
        if args.as_json
        else settings_text(configured, args.commented)
    )
    return EXIT_DONE


def _predict(args: argparse.Namespace) -> int:
    import cv2
    import numpy as np

    from fer_edge.bundle import Bundle

    bundle = Bundle.load(args.bundle)
    if not args.crop:
        message(f"detector {bundle.detector.name}, bundle {bundle.name}")
    for path in args.images:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name pictures, or `fer-edge run --camera {path}` for all of them")
        if not path.is_file():
            raise UsageError(f"{path} does not exist")
        gray = cv2.imdecode(np.frombuffer(path.read_bytes() or b"\0", np.uint8), cv2.IMREAD_GRAYSCALE)
        if gray is None:
            raise UsageError(f"{path} is no picture that OpenCV can read")
        found = bundle.predict(gray, is_crop=args.crop)
        rows: list[dict[str, Any]] = [
            {
                "image": str(path),
                "label": p.label,
                "p": dict(zip(bundle.labels, (round(float(v), 4) for v in p.probabilities), strict=True)),
                "xywh": list(p.face.xywh) if p.face else None,
                "score": round(p.face.score, 3) if p.face else None,
            }
            for p in found
        ]
        if args.json:
            print(json.dumps({"image": str(path), "faces": rows}, ensure_ascii=False))
            continue
        for row in rows:
            where = f"  face at {row['xywh']}, score {row['score']}" if row["xywh"] else ""
            print(f"{path}  {row['label']} {row['p'][row['label']]:.2f}{where}")
        if not rows:
            print(f"{path}  no face")
    return EXIT_DONE


def _verify(args: argparse.Namespace) -> int:
    from fer_edge.bundle import Bundle
    from fer_edge.classifier import find_runtime
    from fer_edge.verify import verify

    bundle = Bundle.load(args.bundle)
    found = verify(bundle, bundle.make_classifier(find_runtime(args.runtime), args.kernels))
    if found.remark:
        message(found.remark)
    print(json.dumps(found.to_json(), ensure_ascii=False) if args.json else found.sentence)
    return EXIT_DONE


def _bench(args: argparse.Namespace) -> int:
    from device.bench.benchmark import run_bench
    from device.bench.text import paste_block, report_text
    from device.clock import SystemClock
    from fer_edge.bundle import Bundle

    found = run_bench(Bundle.load(args.bundle), SystemClock(), args.threads, args.seconds, args.float, message)
    for mark in found.conditions.marks:
        message(mark)
    print(
        json.dumps(found.to_json(), ensure_ascii=False)
        if args.json
        else paste_block(found)
        if args.paste
        else report_text(found)
    )
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
