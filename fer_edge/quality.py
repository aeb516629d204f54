"""How far a face's crop can be trusted, 0–1, and the reason, from its contrast, sharpness, size and turn.

Each measure is rated 1 where ordinary faces lie and .5 where a model has lost half of its accuracy above chance, measured on
validation faces that were made dark, blurred or small (`tests.bench.image_quality`); ratings in between and below are
linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.detection.types import Face

# reason: the measured value at which quality is .5, and the value from which on it is 1
QUALITY_SCALES = {
    "dark": (20.0, 32.0),  # standard deviation of the crop's gray levels; low in dark and flat pictures
    "blurred": (0.11, 0.2),  # standard deviation of its Laplacian divided by that
    "tiny": (16.0, 30.0),  # side in px of the frame
    "turned": (-0.6, -0.4),  # distance of the nose from the middle of the eyes, in eye distances, negative
}
QUALITY_REASONS = tuple(QUALITY_SCALES)
MIN_QUALITY = 0.5  # a face of lower quality is unsure, unless a setting says otherwise


@dataclass(frozen=True, slots=True)
class Quality:
    """How far a crop can be trusted, 0–1, and which of QUALITY_REASONS limits it."""

    value: float
    why: str


def crop_quality(crop: np.ndarray, face: Face, side_px: int) -> Quality:
    """The quality of a crop uint8 (side, side) of a face whose square has a side of `side_px` px in the frame."""
    import cv2

    contrast = max(1.0, float(cv2.meanStdDev(crop)[1][0, 0]))
    edges = cv2.Laplacian(crop, cv2.CV_16S, borderType=cv2.BORDER_REPLICATE)
    sharpness = float(cv2.meanStdDev(edges)[1][0, 0]) / contrast
    measured = (contrast, sharpness, float(side_px), -head_turn(face))  # in the order of QUALITY_SCALES
    ratings = [
        _rating(value, half, full) for value, (half, full) in zip(measured, QUALITY_SCALES.values(), strict=True)
    ]
    worst = min(ratings)
    return Quality(round(max(0.0, worst), 3), QUALITY_REASONS[ratings.index(worst)])


def unsure_reason(probability: float, quality: Quality, unsure_below: float, min_quality: float = MIN_QUALITY) -> str:
    """Why a face is `unsure` whose best label has this probability: what limits its quality, or "confidence"; else empty."""
    if quality.value < min_quality:
        return quality.why
    return "confidence" if probability < unsure_below else ""


def head_turn(face: Face) -> float:
    """How far a face is turned away: 0 for frontal, about .5 at 45 degrees; 0 where the nose is unknown."""
    if face.eyes is None or face.nose is None:
        return 0.0
    (ax, ay), (bx, by) = face.eyes
    x, y = bx - ax, by - ay
    distance_squared = x * x + y * y
    if distance_squared == 0:
        return 1.0
    return abs((face.nose[0] - (ax + bx) / 2) * x + (face.nose[1] - (ay + by) / 2) * y) / distance_squared


def _rating(value: float, half: float, full: float) -> float:
    return min(1.0, 0.5 + 0.5 * (value - half) / (full - half))
