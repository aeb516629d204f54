"""A frame is gray, and nothing else gets past its making."""

from __future__ import annotations

import numpy as np
import pytest

from device.camera.frame import Frame
from fer_edge.errors import FerEdgeError


@pytest.mark.parametrize(
    "gray",
    [
        np.zeros((4, 4, 3), np.uint8),
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4), np.int8),
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_a_frame_must_be_gray_uint8(gray: np.ndarray) -> None:
    with pytest.raises(FerEdgeError, match="uint8"):
        Frame(0, 0, gray)
