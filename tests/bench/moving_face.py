"""A face that moves in front of a wall, as the benches of smoothing and steadiness show it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_PULL = 0.15  # of what wanders, back to its middle, a frame


def wall(height_px: int, width_px: int) -> np.ndarray:
    """A bright wall that darkens to the right: gray levels, float32 (H, W)."""
    return np.linspace(140, 105, width_px, dtype=np.float32)[None] + np.zeros((height_px, 1), np.float32)


def wander(state: np.ndarray, scatter: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The next state, float (N,), of what moves at random by `scatter` a frame and is pulled back to zero."""
    return state + (rng.normal(0, scatter) - _PULL * state)


def draw_face(
    face: np.ndarray,
    background: np.ndarray,
    centre: Sequence[float] | np.ndarray,
    size_px: float,
    turn_degrees: float,
    blur_px: float = 0.0,
) -> np.ndarray:
    """The background with a face uint8 (48, 48) that fades into it: gray levels, float32 (H, W).

    `centre` is the face's in px from the left and the top, `blur_px` the standard deviation of its blur, 0 for none.
    """
    import cv2

    height, width = background.shape
    reach = int(np.ceil(size_px))  # the face has faded at 0.8 of its size
    column, row = (round(float(place)) for place in centre)
    left, top = column - reach, row - reach
    y, x = np.mgrid[
        max(0, top) - row : min(height, row + reach) - row, max(0, left) - column : min(width, column + reach) - column
    ].astype(np.float32)
    y, x = y - np.float32(centre[1] - row), x - np.float32(centre[0] - column)
    turn = np.deg2rad(turn_degrees)
    across, down = np.cos(turn) * 48 / size_px, np.sin(turn) * 48 / size_px
    at = (across * x + down * y + 23.5).astype(np.float32), (across * y - down * x + 23.5).astype(np.float32)
    shown = cv2.remap(face.astype(np.float32), *at, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    beyond = np.maximum(np.abs(at[0] - 23.5), np.abs(at[1] - 23.5)) / 24  # 1 at the crop's edge
    place = slice(max(0, top), max(0, top) + y.shape[0]), slice(max(0, left), max(0, left) + y.shape[1])
    change = np.clip((1.6 - beyond) / 0.6, 0, 1) * (shown - background[place])
    picture = background.copy()
    picture[place] += cv2.GaussianBlur(change, (0, 0), float(blur_px)) if blur_px else change
    return picture
