"""The synthetic face: a rendered, shaded face for tests, demonstrations and golden vectors; no picture of a person is shipped.

It is rendered with additions, multiplications, divisions and comparisons of numpy on float32 alone, each rounded as IEEE 754
says, and no sine or exponential, so that a frame is the same to the last bit on every processor and numpy version.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fer_edge.face_crop import face_crop

if TYPE_CHECKING:
    import numpy as np

PERIOD_S = 20.0  # of the expressions; the path has other periods
_HOLD = 0.6  # share of an expression's time in which it stands still, before it turns into the next


@dataclass(frozen=True, slots=True)
class Expression:
    """The moving parts of the face. Lengths in face widths; 0 is at rest."""

    mouth_open: float = 0.0  # half the height of the opening
    mouth_width: float = 0.17  # half of it
    mouth_curve: float = 0.0  # how far the corners are pulled up
    teeth: float = 0.0  # 0–1
    brow_raise: float = 0.0
    brow_slope: float = 0.0  # inner ends up, positive: worry; down: anger
    eye_open: float = 1.0  # 1 at rest


NEUTRAL = Expression()
HAPPY = Expression(mouth_open=0.05, mouth_width=0.24, mouth_curve=0.09, teeth=1.0, brow_raise=0.01, eye_open=0.75)
SURPRISE = Expression(mouth_open=0.13, mouth_width=0.11, brow_raise=0.08, eye_open=1.7)
ANGRY = Expression(mouth_width=0.15, mouth_curve=-0.03, brow_raise=-0.05, brow_slope=-0.07, eye_open=0.7)
SAD = Expression(mouth_width=0.15, mouth_curve=-0.07, brow_raise=0.01, brow_slope=0.07, eye_open=0.7)
FEAR = Expression(mouth_open=0.05, mouth_width=0.19, mouth_curve=-0.05, brow_raise=0.06, brow_slope=0.05, eye_open=1.5)
# in this order, each for an eighth of the period; the names are intentions, not what a classifier reports
SEQUENCE = (NEUTRAL, HAPPY, NEUTRAL, SURPRISE, ANGRY, SAD, FEAR, HAPPY)


def face_frame(t_s: float, width_px: int = 640, height_px: int = 480) -> np.ndarray:
    """The frame at `t_s` seconds: uint8 (height_px, width_px), with a face that moves and changes its mouth and brows."""
    canvas = _background(width_px, height_px).copy()
    _draw(canvas, *_place(t_s, width_px, height_px), _expression(t_s))
    canvas += 0.5
    return canvas.astype("uint8")


def face_box(t_s: float, width_px: int = 640, height_px: int = 480) -> tuple[int, int, int, int]:
    """The box of the face of `face_frame`: xywh in px, a square from above the brows to the chin, as face crops are cut."""
    cx, cy, unit = _place(t_s, width_px, height_px)
    side = round(1.05 * unit)
    return round(cx - side / 2), round(cy + 0.06 * unit - side / 2), side, side


def _place(t_s: float, width_px: int, height_px: int) -> tuple[float, float, float]:
    """Centre and width of the face in px."""
    unit = (0.34 + 0.05 * _swing(t_s, 13.0)) * min(width_px * 0.75, height_px)
    cx = width_px / 2 + (_swing(t_s, 8.0) - 0.5) * (width_px - 2.2 * unit) * 0.8
    cy = height_px / 2 + (_swing(t_s, 5.0) - 0.5) * (height_px - 1.9 * unit) * 0.6
    return cx, cy, unit


def _swing(t_s: float, period_s: float) -> float:
    """0–1 and back within the period, slowing down at both ends."""
    phase = (t_s / period_s) % 1.0
    return _ease(1 - abs(2 * phase - 1))


def _ease(share: float) -> float:
    return share * share * (3 - 2 * share)


def _expression(t_s: float) -> Expression:
    position = (t_s % PERIOD_S) / PERIOD_S * len(SEQUENCE)
    index = int(position)
    turn = _ease(max(0.0, position - index - _HOLD) / (1 - _HOLD))
    here, then = SEQUENCE[index], SEQUENCE[(index + 1) % len(SEQUENCE)]
    return Expression(*(a + turn * (b - a) for a, b in zip(astuple(here), astuple(then), strict=True)))


@lru_cache(maxsize=4)
def _background(width_px: int, height_px: int) -> np.ndarray:
    """A plain wall with a light from the left, float32 (H, W)."""
    import numpy as np

    x = np.arange(width_px, dtype=np.float32) / width_px
    y = np.arange(height_px, dtype=np.float32)[:, None] / height_px
    return np.float32(140) - x * np.float32(40) - y * np.float32(30)


def _draw(canvas: np.ndarray, cx: float, cy: float, unit: float, look: Expression) -> None:
    """Draws head and shoulders, from back to front. Positions and sizes are in face widths from the face's centre."""

    def oval(
        x: float,
        y: float,
        rx: float,
        ry: float,
        gray: float,
        soft: float,
        *,
        shade: float = 0.0,
        slant: float = 0.0,
        ends: float = 0.0,
    ) -> None:
        at = (cx + x * unit, cy + y * unit, rx * unit, ry * unit)
        _oval(canvas, *at, gray, soft, shade, slant * unit, ends * unit)

    oval(0, 1.30, 0.95, 0.55, 62, 0.1)  # shoulders
    oval(0, 0.72, 0.21, 0.35, 138, 0.3)  # neck
    oval(0, -0.14, 0.55, 0.63, 44, 0.1)  # hair
    for side in (-1, 1):
        oval(0.47 * side, 0.02, 0.07, 0.13, 158, 0.4)  # ears
    oval(0, 0.0, 0.46, 0.62, 198, 0.08, shade=50)  # the face itself
    oval(-0.12, -0.38, 0.26, 0.13, 214, 1.0)  # light on the forehead
    oval(0, 0.53, 0.12, 0.06, 190, 1.0)  # and on the chin
    for side in (-1, 1):
        oval(0.27 * side, 0.17, 0.14, 0.12, 206, 1.0)  # cheeks
        oval(0.19 * side, -0.11, 0.15, 0.11, 128, 1.0)  # sockets
        lid = 0.040 * look.eye_open
        oval(0.19 * side, -0.09, 0.098, lid + 0.014, 66, 0.4)  # lashes
        oval(0.19 * side, -0.09, 0.084, lid, 222, 0.3)
        oval(0.19 * side, -0.09, 0.042, min(lid, 0.046), 44, 0.3)  # iris
        oval(0.19 * side, -0.215 - look.brow_raise, 0.13, 0.032, 50, 0.5, slant=look.brow_slope * side, ends=0.02)
    oval(0.035, 0.08, 0.045, 0.17, 150, 1.0)  # the nose's shaded side
    oval(-0.01, 0.06, 0.03, 0.15, 222, 1.0)
    oval(0, 0.195, 0.09, 0.035, 146, 1.0)
    for side in (-1, 1):
        oval(0.042 * side, 0.20, 0.022, 0.014, 74, 0.6)
    wide, gap, ends = look.mouth_width, look.mouth_open, -look.mouth_curve
    middle = 0.36 + look.mouth_curve / 2
    oval(0, middle, wide, gap + 0.032, 108, 0.4, ends=ends)  # lips
    oval(0, middle, wide * 0.86, gap + 0.008, 40, 0.4, ends=ends * 0.74)  # the opening, or the line between them
    if look.teeth > 0:
        oval(0, middle - gap * 0.35, wide * 0.72, gap * 0.55, 40 + 190 * look.teeth, 0.4, ends=ends * 0.52)
    oval(0, middle + gap + 0.075, wide * 0.6, 0.03, 150, 1.0)  # shadow under the lip


def _oval(
    canvas: np.ndarray,
    cx: float,
    cy: float,
    rx: float,
    ry: float,
    gray: float,
    soft: float,
    shade: float,
    slant: float,
    ends: float,
) -> None:
    """Paints an ellipse on a canvas float32 (H, W), in place; its edge fades over the outer share `soft` of its area.

    `shade` is taken off `gray` towards the edge. `slant` is how many px the right end hangs lower than the middle (and
    the left end higher), `ends` how many px both do.
    """
    import numpy as np

    reach = ry + abs(slant) + abs(ends)
    height, width = canvas.shape
    x0, x1 = max(0, int(cx - rx)), min(width, int(cx + rx) + 2)
    y0, y1 = max(0, int(cy - reach)), min(height, int(cy + reach) + 2)
    if x0 >= x1 or y0 >= y1 or ry <= 0:
        return
    u = (np.arange(x0, x1, dtype=np.float32) - np.float32(cx)) / np.float32(rx)
    v = (np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(cy)) / np.float32(ry)
    across = u * u
    if slant or ends:
        v = v - (u * np.float32(slant / ry) + across * np.float32(ends / ry))
    inside = np.float32(1) - (across + v * v)  # 1 in the middle, 0 on the edge
    cover = np.minimum(np.maximum(inside / np.float32(soft), np.float32(0)), np.float32(1))
    part = canvas[y0:y1, x0:x1]
    if shade:
        part += cover * (np.float32(gray) - np.float32(shade) * (np.float32(1) - inside) - part)
    else:
        part += cover * (np.float32(gray) - part)


CROP_TIMES_S = (0.0, 1.7, 3.1, 5.3, 7.9, 11.2, 14.6, 18.4)  # moments of the synthetic face


def synthetic_face_crops(side: int) -> np.ndarray:
    """Crops of the synthetic face: uint8 (8, side, side)."""
    return np.stack([face_crop(face_frame(t), face_box(t), side) for t in CROP_TIMES_S])
