"""From a gray frame and a face's box to the square that a model sees: the only code that does it, on host and device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fer_edge.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

# A bundle names the preprocessing it was made with; a change of a pixel here is a new name.
PREPROCESS_ID = "gray-square-replicate-area/1"


@dataclass(frozen=True, slots=True)
class Mapping:
    """How a detector's box becomes the square a model was trained on. The bundle holds one per detector.

    `scale`: side of the square over the longer side of the box. `dx`, `dy`: shift of its centre from the box's centre, in
    sides of the square, right and down positive.
    """

    scale: float = 1.0
    dx: float = 0.0
    dy: float = 0.0


IDENTITY = Mapping()


def square(xywh: tuple[int, int, int, int], mapping: Mapping = IDENTITY) -> tuple[int, int, int]:
    """The square (left, top, side) in px that `mapping` makes of a box; it may reach beyond the frame."""
    x, y, w, h = xywh
    side = max(1, round(mapping.scale * max(w, h)))
    left = round(x + w / 2 + mapping.dx * side - side / 2)
    top = round(y + h / 2 + mapping.dy * side - side / 2)
    return left, top, side


def face_crop(
    gray: np.ndarray, xywh: tuple[int, int, int, int], side: int = 48, mapping: Mapping = IDENTITY
) -> np.ndarray:
    """The face in `xywh` as the model's input: uint8 (side, side), 0–255.

    `gray` is uint8 (H, W). The mapped square is cut out, the frame's border repeated where it reaches beyond, and shrunk by
    area averaging (enlarged bilinearly). Raises UsageError when the square does not touch the frame.
    """
    import cv2

    left, top, size = square(xywh, mapping)
    height, width = gray.shape
    x0, x1 = max(0, left), min(width, left + size)
    y0, y1 = max(0, top), min(height, top + size)
    if x0 >= x1 or y0 >= y1:
        raise UsageError(f"the box {tuple(xywh)} lies outside the {width}×{height} frame")
    cut = gray[y0:y1, x0:x1]
    if cut.shape != (size, size):
        borders = (y0 - top, top + size - y1, x0 - left, left + size - x1)
        cut = cv2.copyMakeBorder(cut, *borders, borderType=cv2.BORDER_REPLICATE)
    if size == side:
        return cut.copy()
    return cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA if size > side else cv2.INTER_LINEAR)


def whole_crop(gray: np.ndarray, side: int = 48) -> np.ndarray:
    """A picture that is a face crop already, as the model's input: uint8 (side, side), nothing of it cut away."""
    height, width = gray.shape
    return face_crop(gray, (0, 0, width, height), side)
