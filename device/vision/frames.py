"""The values of the loop: a frame from a camera, and a reading of one face in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fer_edge.errors import FerEdgeError

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.detection.types import Face


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a source. `gray` is uint8 (H, W), the only pixel format of this room.

    `seq` counts what the source was asked for, from 0. `mono_ns` is when it was taken, on the clock of the run; for a
    recording, the start of the run plus the position in the recording. `lux` is the scene's brightness where the camera
    knows it.
    """

    seq: int
    mono_ns: int
    gray: np.ndarray
    lux: float | None = None

    def __post_init__(self) -> None:
        if self.gray.ndim != 2 or self.gray.dtype.name != "uint8" or 0 in self.gray.shape:
            raise FerEdgeError(f"a frame is uint8 (height, width), not {self.gray.dtype} {self.gray.shape}")


@dataclass(frozen=True, slots=True)
class Reading:
    """What one face of one frame shows. `probs` is float32 (K,) in the bundle's order of labels, `label` its largest.

    Those are of this frame alone. `steady` is what the face shows over the last moments, a label or `unsure`, by
    `steady_probs`, float32 (K,); `why` says what makes it unsure. `track` says which face of earlier frames this is, and
    `quality` (0–1) how far the crop can be trusted.
    """

    frame: int  # the frame's seq
    mono_ns: int  # the frame's
    face: Face
    label: str
    probs: np.ndarray
    track: int | None = None
    quality: float | None = None
    steady: str = ""
    steady_probs: np.ndarray | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class FrameResult:
    """What a frame showed: its readings, the largest face first; how many more faces there were; whether it was `idle`.

    A frame is idle when it shows no face and was not searched, for nothing had changed in it.
    """

    readings: tuple[Reading, ...] = ()
    skipped: int = 0
    idle: bool = False
