"""How far a face's crop can be trusted, 0–1, and what is wrong with it: told from its light, sharpness, size and turn.

Each is 1 where ordinary faces are and .5 where a model has lost half of what it knows beyond guessing, measured on
validation faces that were made dark, blurred or small (`tests.bench.quality`); in between and below it is a straight line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.detection.types import Face

# what is wrong: the value at which quality is .5, and the one from which on it is 1
QUALITY_SCALES = {
    "dark": (20.0, 32.0),  # standard deviation of the crop's gray levels; dark and flat pictures have little
    "blurred": (0.11, 0.2),  # standard deviation of its Laplacian over that
    "tiny": (16.0, 30.0),  # px of the frame a side
    "turned": (-0.6, -0.4),  # how far the nose lies from the middle of the eyes, in their distance, negative
}
QUALITY_REASONS = tuple(QUALITY_SCALES)


@dataclass(frozen=True, slots=True)
class Quality:
    """How far a crop can be trusted, 0–1, and which of REASONS keeps it from being more."""

    value: float
    why: str


def crop_quality(crop: np.ndarray, face: Face, side_px: int) -> Quality:
    """The quality of a crop uint8 (side, side) of a face whose square was `side_px` px of the frame a side."""
    import cv2

    spread = max(1.0, float(cv2.meanStdDev(crop)[1][0, 0]))
    edges = cv2.Laplacian(crop, cv2.CV_16S, borderType=cv2.BORDER_REPLICATE)
    sharp = float(cv2.meanStdDev(edges)[1][0, 0]) / spread
    measured = (spread, sharp, float(side_px), -head_turn(face))  # as SCALES has them
    rated = [_rating(value, half, full) for value, (half, full) in zip(measured, QUALITY_SCALES.values(), strict=True)]
    worst = min(rated)
    return Quality(round(max(0.0, worst), 3), QUALITY_REASONS[rated.index(worst)])


def head_turn(face: Face) -> float:
    """How far a face is turned away: 0 straight ahead, about .5 at half a right angle; 0 where the nose is not known."""
    if face.eyes is None or face.nose is None:
        return 0.0
    (ax, ay), (bx, by) = face.eyes
    x, y = bx - ax, by - ay
    apart = x * x + y * y
    if apart == 0:
        return 1.0
    return abs((face.nose[0] - (ax + bx) / 2) * x + (face.nose[1] - (ay + by) / 2) * y) / apart


def _rating(value: float, half: float, full: float) -> float:
    return min(1.0, 0.5 + 0.5 * (value - half) / (full - half))
