"""What every face detector gives: faces, and the protocol of a detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Face:
    """A face: its box in px of the frame (it may reach beyond), how sure the detector is, and its eyes.

    `score` is 0–1. `eyes` are two points (x, y) in px, the one further left in an upright picture first; `nose` is the tip of
    the nose; None where the detector gives none. `by` names the detector whose box it is, by which a bundle knows its
    mapping, where that is another than the one that was asked.
    """

    xywh: tuple[int, int, int, int]
    score: float
    eyes: tuple[tuple[float, float], tuple[float, float]] | None = None
    nose: tuple[float, float] | None = None
    detector: str = ""


def largest_first(faces: list[Face]) -> list[Face]:
    """The faces in the order in which they matter to a reader: the largest, which is mostly the nearest, first."""
    return sorted(faces, key=lambda face: -face.xywh[2] * face.xywh[3])


class Detector(Protocol):
    """Whatever finds faces. `name` is what a bundle knows its mapping by."""

    name: str

    def detect(self, gray: np.ndarray) -> list[Face]:
        """The faces in a frame uint8 (H, W), the surest first; each box's centre lies in the frame."""
        ...
