"""A frame: one gray picture of a camera or a recording, with its number and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fer_edge.errors import FerEdgeError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a source. `gray` is uint8 (H, W), the only pixel format of the device. Raises FerEdgeError for another.

    `seq` counts the reads of the source, from 0. `mono_ns` is when the picture was taken, by the run's clock; for a
    recording, the start of the run plus the position in the recording.
    """

    seq: int
    mono_ns: int
    gray: np.ndarray

    def __post_init__(self) -> None:
        if self.gray.ndim != 2 or self.gray.dtype.name != "uint8" or 0 in self.gray.shape:
            raise FerEdgeError(f"a frame is uint8 (height, width), not {self.gray.dtype} {self.gray.shape}")
