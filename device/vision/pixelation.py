"""Pixelation: a part of a picture replaced by the means of blocks, so coarse that a face in it cannot be recognised."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def pixelate(gray: np.ndarray, area: tuple[int, int, int, int], block_px: float) -> None:
    """Replaces an area of a picture uint8 (H, W), in place, by the means of blocks of `block_px` px a side or a little more.

    `area` is left, top, right, bottom in px; what lies outside the picture is ignored. There is at least one block each way.
    """
    import cv2

    height, width = gray.shape
    left, top, right, bottom = max(0, area[0]), max(0, area[1]), min(width, area[2]), min(height, area[3])
    if left >= right or top >= bottom:
        return
    part = gray[top:bottom, left:right]
    blocks = (max(1, int((right - left) / block_px)), max(1, int((bottom - top) / block_px)))
    means = cv2.resize(part, blocks, interpolation=cv2.INTER_AREA)
    part[:] = cv2.resize(means, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST)
