"""The values of the loop: a frame from a camera, and a reading of one face in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fer_edge.errors import FerEdgeError

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.faces import Face


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

    `track` would say which face of earlier frames this is, and `quality` (0–1) how far the crop can be trusted; nothing
    works them out yet, so both are None.
    """

    frame: int  # the frame's seq
    mono_ns: int  # the frame's
    face: Face
    label: str
    probs: np.ndarray
    track: int | None = None
    quality: float | None = None
