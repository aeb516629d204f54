"""Golden vectors: drawn frames and boxes, the crops between, and the logits a runtime gave for them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from fer_edge.classifier import Classifier
from fer_edge.drawn import face_box, face_frame
from fer_edge.preprocess import face_crop

TIMES_S = (0.0, 1.7, 3.1, 5.3, 7.9, 11.2, 14.6, 18.4)
FRAME_PX = (320, 240)


def write_golden(path: Path, model: Classifier) -> None:
    """Writes frames uint8 (N, 240, 320), boxes int32 (N, 4) xywh, the SHA-256 of each crop, and float32 logits (N, K).

    The logits' key names the runtime that gave them, so that others can be added beside it.
    """
    frames = np.stack([face_frame(t, *FRAME_PX) for t in TIMES_S])
    boxes = np.array([face_box(t, *FRAME_PX) for t in TIMES_S], np.int32)
    crops = np.stack([face_crop(f, tuple(int(v) for v in b), model.side) for f, b in zip(frames, boxes, strict=True)])
    hashes = np.array([hashlib.sha256(crop.tobytes()).hexdigest() for crop in crops])
    np.savez_compressed(
        path, frames=frames, boxes=boxes, crop_sha256=hashes, **{f"logits {model.runtime.id}": model.logits(crops)}
    )
