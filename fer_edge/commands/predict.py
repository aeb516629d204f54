"""`fer-edge predict`: the faces in image files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.argument_types import file_path
from fer_edge.commands.vision_arguments import (
    BUNDLE_HELP,
    add_far_argument,
    add_prior_argument,
    add_quiet_argument,
)
from fer_edge.console import message, output, reporter
from fer_edge.detection.tiles import MIN_FAR_PX
from fer_edge.errors import EXIT_DONE, NotEnoughData, UsageError
from fer_edge.events import UNSURE
from fer_edge.json_fields import json_text
from fer_edge.limits import PICTURE_FILE_BYTES, PICTURE_PIXELS
from fer_edge.media_files import is_picture_file, is_video_file
from fer_edge.stderr_capture import suppressed_stderr
from fer_edge.text_cleaning import clean, may_hold_password

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.reader import Prediction


def register(commands: Any) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "predict",
        help="classify each face in image files",
        epilog="An image that cannot be read is named and left out. Exit codes: 0 done; 2 an image could not be read; 5 file "
        "refused; 6 no face in any image.",
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="an image file")
    parser.add_argument("--bundle", type=file_path, metavar="DIR", help=BUNDLE_HELP)
    parser.add_argument(
        "--crop", action="store_true", help="the images are face crops already, as in data sets: no face detection"
    )
    add_far_argument(parser)
    add_prior_argument(parser)
    add_quiet_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object for each image")
    parser.set_defaults(command=_predict)


def _predict(args: argparse.Namespace) -> int:
    from fer_edge.detection.download import fallback_warning, fetch_missing_detectors
    from fer_edge.reader import Reader

    if args.far_px is not None and args.far_px < MIN_FAR_PX:
        raise UsageError(f"--far must be {MIN_FAR_PX} or more, not {args.far_px}")
    if args.far_px is not None and args.crop:
        raise UsageError(
            "--far searches a whole picture, and --crop takes the picture for a face; leave out one of them"
        )
    _refuse_addresses(args.images)
    reader = Reader(args.bundle, prior=args.prior)
    if not args.crop:
        fetch_missing_detectors(None, reporter(args.quiet))
        detector = reader.detector.name
        reporter(args.quiet)(f"detector {detector}, bundle {reader.bundle.name}")
        if warning := fallback_warning(detector, None):
            message(warning)
    if sentence := reader.bundle.spec.thresholds.default_sentence:
        message(f"{reader.bundle.name} reports labels {sentence}; `python -m convert.thresholds` fits one")
    faces = unreadable = 0
    for name in args.images:
        path = Path(name)
        try:
            gray = _read_gray(path)
        except UsageError as error:
            if len(args.images) == 1:
                raise
            message(f"left out: {error}")
            unreadable += 1
            continue
        predictions = reader.read(gray, is_crop=args.crop, far_px=args.far_px)
        faces += len(predictions)
        _print(path, [_row(path, prediction) for prediction in predictions], args.json)
    if unreadable:
        raise UsageError(f"{unreadable} of {len(args.images)} images could not be read; they are named above")
    if not faces:
        raise NotEnoughData(f"{reader.detector.name} found no face; --crop takes images that are face crops already")
    return EXIT_DONE


def _print(path: Path, rows: list[dict[str, Any]], as_json: bool) -> None:
    """Prints what was found in the image at `path`."""
    if as_json:
        output(json_text({"image": str(path), "faces": rows}))
        return
    for row in rows:
        text = f"{row['label']} {row['p'][row['label']]:.2f}"
        if row["reported"] == UNSURE:
            text = f"{UNSURE} ({row['why']}), at most {text}"
        place = f"  face at {row['xywh']}, score {row['score']}" if row["xywh"] else ""
        output(f"{path}  {text}{place}")
    if not rows:
        output(f"{path}  no face")


def _refuse_addresses(names: Sequence[str]) -> None:
    """Raises UsageError, with the command for it, when one of these is an address."""
    for name in names:
        if "://" not in name:
            continue
        shown = "URL" if "@" in name else clean(name)  # which may have a password
        raise UsageError(
            f"{shown} is an address, and predict reads files: download it; for a camera `fer-edge run --camera {shown}`"
        )


def _read_gray(path: Path) -> np.ndarray:
    """The image in a file, uint8 (H, W). Raises UsageError when it cannot be read."""
    try:
        return _decoded_gray(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def _decoded_gray(path: Path) -> np.ndarray:
    import cv2
    import numpy as np

    if path.is_dir():
        raise UsageError(f"{path} is a folder; name images, or `fer-edge run --camera {path}` for all of them")
    if not path.is_file():
        problem = "is not a file; name an image" if path.exists() else "does not exist"
        shown = path if path.exists() or not may_hold_password(str(path)) else "what may be an address"
        raise UsageError(f"{shown} {problem}")
    if (size := path.stat().st_size) > PICTURE_FILE_BYTES:
        raise UsageError(f"{path} has {size:,} bytes; an image of at most {PICTURE_FILE_BYTES:,} is read")
    data = path.read_bytes() or b"\0"
    try:
        with suppressed_stderr():  # a picture's library writes lines of its own there
            gray = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except (cv2.error, MemoryError) as error:
        raise UsageError(
            f"{path} has too many pixels, or cannot be decoded; at most {PICTURE_PIXELS:,} are read"
        ) from error
    if gray is None and not is_picture_file(path) and is_video_file(path):
        raise UsageError(f"{path} is a video; `fer-edge label {path} --out labels` labels each of its frames")
    if gray is None:
        raise UsageError(f"{path} is not an image that OpenCV can read")
    return np.asarray(gray, np.uint8)


def _row(path: Path, prediction: Prediction) -> dict[str, Any]:
    face = prediction.face
    return {
        "image": str(path),
        "reported": prediction.label,
        "why": prediction.why,
        "label": prediction.best_label,
        "p": {label: round(p, 4) for label, p in prediction.probabilities.items()},
        "xywh": list(face.xywh) if face else None,
        "score": round(face.score, 3) if face else None,
        "quality": prediction.quality,
    }
