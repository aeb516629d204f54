"""Golden vectors: drawn frames and boxes, the crops between, and the logits a runtime gave for them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

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
    boxes = [face_box(t, *FRAME_PX) for t in TIMES_S]
    crops = np.stack([face_crop(frame, box, model.side) for frame, box in zip(frames, boxes, strict=True)])
    hashes = np.array([hashlib.sha256(crop.tobytes()).hexdigest() for crop in crops])
    arrays: dict[str, Any] = {"frames": frames, "boxes": np.array(boxes, np.int32), "crop_sha256": hashes}
    arrays[f"logits {model.runtime.id}"] = model.logits(crops)
    np.savez_compressed(path, **arrays)
