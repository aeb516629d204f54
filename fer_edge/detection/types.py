"""A detected face, and the protocol of a detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Face:
    """A face: its box in px of the frame (it may reach beyond), the detector's score, and its eyes.

    `score` is 0–1. `eyes` are two points (x, y) in px, the one further left in an upright face first; `nose` is the tip of the
    nose; None where the detector gives none. `detector` names the detector whose box it is, where that differs from the one
    that was called: it selects the mapping of the bundle. `second_score` is that of a second look at the same face, by
    another network or on another view; None without one.
    """

    xywh: tuple[int, int, int, int]
    score: float
    eyes: tuple[tuple[float, float], tuple[float, float]] | None = None
    nose: tuple[float, float] | None = None
    detector: str = ""
    second_score: float | None = None

    @property
    def evidence(self) -> float:
        """How certain it is that this is a face, 0–1: the score, or the mean of the two scores.

        At the same share of missed faces, one score alone lets several times as many false positives pass
        (`python -m convert.crops --detection-errors`).
        """
        return self.score if self.second_score is None else (self.score + self.second_score) / 2


def largest_first(faces: list[Face]) -> list[Face]:
    """The faces, the largest first, which is mostly the nearest."""
    return sorted(faces, key=lambda face: -face.xywh[2] * face.xywh[3])


class Detector(Protocol):
    """A face detector. `name` selects the mapping of a bundle."""

    name: str

    def detect(self, gray: np.ndarray) -> list[Face]:
        """The faces in a frame uint8 (H, W), the highest score first; each box's centre lies in the frame."""
        ...
