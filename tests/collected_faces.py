"""Crops for a folder of collected faces, and their lines of its index."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from device.output.collected.face_folder import CollectedFace


def face(name: str = "20261127155658699-1.png", **more: Any) -> CollectedFace:
    """A line of the index."""
    values: dict[str, Any] = {"time": "2026-11-27T15:56:58.699Z", "track": 1, "xywh": (1, 2, 3, 4)}
    values |= {"score": 0.9, "quality": 1.0, "label": "happy", "p": 0.5, "boot": "a", "mono_s": 1.0}
    return CollectedFace(name, **values | more)


def png(gray: int = 90) -> bytes:
    """A crop of one gray level, as PNG."""
    return cv2.imencode(".png", np.full((48, 48), gray, np.uint8))[1].tobytes()
