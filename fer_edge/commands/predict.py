"""`fer-edge predict`: the faces in image files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.commands.vision_arguments import BUNDLE_HELP
from fer_edge.console import message, output
from fer_edge.errors import EXIT_DONE, UsageError
from fer_edge.json_fields import json_text

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.bundle import Bundle, Prediction


def register(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser("predict", help="classify each face in image files")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="an image file")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help=BUNDLE_HELP)
    parser.add_argument(
        "--crop", action="store_true", help="the images are face crops already, as in data sets: no face detection"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object for each image")
    parser.set_defaults(command=_predict)


def _predict(args: argparse.Namespace) -> int:
    from fer_edge.bundle import Bundle

    bundle = Bundle.load(args.bundle)
    if not args.crop:
        message(f"detector {bundle.detector.name}, bundle {bundle.name}")
    for path in args.images:
        predictions = bundle.predict(_read_gray(path), is_crop=args.crop)
        rows = [_row(path, prediction, bundle) for prediction in predictions]
        if args.json:
            output(json_text({"image": str(path), "faces": rows}))
            continue
        for row in rows:
            place = f"  face at {row['xywh']}, score {row['score']}" if row["xywh"] else ""
            output(f"{path}  {row['label']} {row['p'][row['label']]:.2f}{place}")
        if not rows:
            output(f"{path}  no face")
    return EXIT_DONE


def _read_gray(path: Path) -> np.ndarray:
    """The image in a file, uint8 (H, W). Raises UsageError when it cannot be read."""
    import cv2
    import numpy as np

    if path.is_dir():
        raise UsageError(f"{path} is a folder; name images, or `fer-edge run --camera {path}` for all of them")
    if not path.is_file():
        raise UsageError(f"{path} does not exist")
    gray = cv2.imdecode(np.frombuffer(path.read_bytes() or b"\0", np.uint8), cv2.IMREAD_GRAYSCALE)
    if gray is None:
        raise UsageError(f"{path} is not an image that OpenCV can read")
    return np.asarray(gray, np.uint8)


def _row(path: Path, prediction: Prediction, bundle: Bundle) -> dict[str, Any]:
    face = prediction.face
    return {
        "image": str(path),
        "label": prediction.label,
        "p": dict(zip(bundle.labels, (round(float(p), 4) for p in prediction.probabilities), strict=True)),
        "xywh": list(face.xywh) if face else None,
        "score": round(face.score, 3) if face else None,
    }
