"""What the pipeline returns: a reading of one face, and the result of one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.detection.types import Face


@dataclass(frozen=True, slots=True)
class Reading:
    """One face in one frame, classified. `probs` is float32 (K,) in the bundle's order of labels, `label` the most probable.

    Both are of this frame alone. `steady` is the smoothed label or `unsure`, and `steady_probs` its probabilities, float32
    (K,); `why` is the reason for `unsure`. `track` is the number of the face's track; `quality` (0–1) says how far the crop
    can be trusted.
    """

    frame: int  # the frame's seq
    mono_ns: int  # the frame's
    face: Face
    label: str
    probs: np.ndarray
    steady: str
    track: int | None = None
    quality: float | None = None
    steady_probs: np.ndarray | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class FrameResult:
    """The readings of a frame, the largest face first, and the number of faces that were not read (`skipped`).

    A frame is `idle` when it shows no face and was not searched, because nothing had changed in it.
    """

    readings: tuple[Reading, ...] = ()
    skipped: int = 0
    idle: bool = False
