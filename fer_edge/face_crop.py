"""From a gray frame and a face's box to the model's input crop: the only code for it, on host and device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fer_edge.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

# A bundle names its preprocessing; a change that alters a pixel needs a new name.
PREPROCESS_ID = "gray-square-replicate-area/2"

_ENOUGH_PX = 192

Eyes = tuple[tuple[float, float], tuple[float, float]]  # points (x, y) in px


@dataclass(frozen=True, slots=True)
class CropMapping:
    """How a detector's box becomes the square that the model was trained on. A bundle has one for each detector.

    `scale`: side of the square over the longer side of the box. `dx`, `dy`: shift of its centre from the box's centre, in
    sides of the square, right and down positive. `grow`: added to the side, in longer sides of the frame; a network that
    sees a shrunk frame gives boxes that are too tight by a constant number of its own pixels. `level`: the share of the tilt
    of the eye line that is undone, 0–1.
    """

    scale: float = 1.0
    dx: float = 0.0
    dy: float = 0.0
    grow: float = 0.0
    level: float = 0.0


IDENTITY = CropMapping()
MAX_SIDE_PX = 1024  # of a model's input
MAX_SCALE, MAX_OFFSET, MAX_GROW = 4.0, 4.0, 0.25  # of a mapping: the square has at most 4.25 of the frame's longer side


def crop_square(
    xywh: tuple[int, int, int, int], mapping: CropMapping = IDENTITY, shape: tuple[int, ...] = (0, 0)
) -> tuple[int, int, int]:
    """The square (left, top, side) in px that `mapping` makes of a box; it may reach beyond the frame.

    `shape` is the frame's (H, W), of which a mapping with `grow` needs the longer.
    """
    x, y, w, h = xywh
    side = max(1, round(mapping.scale * max(w, h) + mapping.grow * max(shape)))
    left = round(x + w / 2 + mapping.dx * side - side / 2)
    top = round(y + h / 2 + mapping.dy * side - side / 2)
    return left, top, side


def face_crop(
    gray: np.ndarray,
    xywh: tuple[int, int, int, int],
    side: int = 48,
    mapping: CropMapping = IDENTITY,
    eyes: Eyes | None = None,
) -> np.ndarray:
    """The face in `xywh` as the model's input, every pixel of its square read: uint8 (side, side), 0–255.

    `gray` is uint8 (H, W). The mapped square is cut out, with the frame's border repeated beyond it, and shrunk by area
    averaging (enlarged bilinearly). A mapping with `level` rotates it by the tilt of `eyes`; without eyes it stays upright.
    Raises UsageError when the square does not touch the frame.
    """
    return cut_square(gray, crop_square(xywh, mapping, gray.shape), side, crop_rotation_rad(mapping, eyes))


def frame_crop(
    gray: np.ndarray,
    xywh: tuple[int, int, int, int],
    side: int = 48,
    mapping: CropMapping = IDENTITY,
    eyes: Eyes | None = None,
) -> tuple[np.ndarray, int]:
    """The model's input, uint8 (side, side), of a face that a detector found in a frame, and the px of its square's side.

    As `face_crop`, but of a square of 384 px and more only some pixels are read (`subsample_square`): the way of every
    frame and picture. Raises UsageError when the square does not touch the frame.
    """
    square = crop_square(xywh, mapping, gray.shape)
    return cut_square(*subsample_square(gray, square), side, crop_rotation_rad(mapping, eyes)), square[2]


def crop_rotation_rad(mapping: CropMapping, eyes: Eyes | None) -> float:
    """The rotation of the square of a face with these eyes, in radians."""
    return mapping.level * eye_tilt_rad(eyes) if eyes and mapping.level else 0.0


def eye_tilt_rad(eyes: Eyes) -> float:
    """The angle of the line from the first eye to the second, in radians, positive where the second is lower."""
    (ax, ay), (bx, by) = eyes
    return math.atan2(by - ay, bx - ax)


def cut_square(gray: np.ndarray, at: tuple[int, int, int], side: int, rotation_rad: float = 0.0) -> np.ndarray:
    """The content of a square (left, top, size) in px of a frame uint8 (H, W): uint8 (side, side), as in `face_crop`.

    The square is turned by `rotation_rad` about its centre, clockwise in the image, so that a face tilted by it becomes level.
    Raises UsageError when the unturned square does not touch the frame.
    """
    import cv2

    left, top, size = at
    height, width = gray.shape
    x0, x1 = max(0, left), min(width, left + size)
    y0, y1 = max(0, top), min(height, top + size)
    if x0 >= x1 or y0 >= y1:
        raise UsageError(f"the square of {size} px at ({left}, {top}) lies outside the {width}×{height} frame")
    if rotation_rad:
        part = _turned(gray, at, side, rotation_rad)
    else:
        part = gray[y0:y1, x0:x1]
        if part.shape != (size, size):
            borders = (y0 - top, top + size - y1, x0 - left, left + size - x1)
            part = cv2.copyMakeBorder(part, *borders, borderType=cv2.BORDER_REPLICATE)
    if len(part) == side:
        return part.copy()
    return cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA if len(part) > side else cv2.INTER_LINEAR)


def subsample_square(gray: np.ndarray, at: tuple[int, int, int]) -> tuple[np.ndarray, tuple[int, int, int]]:
    """A frame uint8 (H, W) and a square in it, with fewer pixels where the square is far larger than a crop.

    Of a square of 384 px and more, as in 4K frames, only every second, third … pixel is kept, so that 192 px and
    more are left a side; what `cut_square` then averages into one is still four of them each way. Smaller ones stay as they
    are, and those of which too narrow a strip lies in the frame.
    """
    import numpy as np

    left, top, size = at
    factor = size // _ENOUGH_PX
    if factor < 2:
        return gray, at
    more = size // 4  # a turned square reaches a fifth further
    x0, y0 = max(0, left - more), max(0, top - more)
    rows, columns = (
        slice(y0 + factor // 2, top + size + more, factor),
        slice(x0 + factor // 2, left + size + more, factor),
    )
    part = np.ascontiguousarray(gray[rows, columns])
    there = (round((left - x0) / factor), round((top - y0) / factor), round(size / factor))
    height, width = part.shape
    touches = -there[2] < there[0] < width and -there[2] < there[1] < height
    return (part, there) if touches else (gray, at)


def _turned(gray: np.ndarray, at: tuple[int, int, int], side: int, rotation_rad: float) -> np.ndarray:
    """The rotated square with twice `side` px on a side (`side` where it is not larger); exact averaging remains to be done.

    Whole pixels are averaged first where four or more become one of the model's, so that the rotation reads all of them.
    """
    import cv2
    import numpy as np

    size = at[2]
    pixels = 2 * side if size > side else side
    part, (middle_x, middle_y), factor = _averaged(gray, at, max(1, size // pixels), rotation_rad)
    step = size / factor / pixels
    across, down = math.cos(rotation_rad) * step, math.sin(rotation_rad) * step
    matrix = np.array([[across, -down, 0.0], [down, across, 0.0]])
    matrix[:, 2] = (middle_x, middle_y) - matrix[:, :2] @ np.full(2, (pixels - 1) / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(part, matrix, (pixels, pixels), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _averaged(
    gray: np.ndarray, at: tuple[int, int, int], factor: int, rotation_rad: float
) -> tuple[np.ndarray, tuple[float, float], int]:
    """The part of a frame that a rotated square reaches, `factor` × `factor` px averaged to one; its centre; and `factor`."""
    import cv2

    left, top, size = at
    # the centres coincide; a pixel's centre is half a pixel from its corner
    x, y = left + size / 2 - 0.5, top + size / 2 - 0.5
    if factor < 2:
        return gray, (x, y), 1
    height, width = gray.shape
    reach = size / 2 * (abs(math.cos(rotation_rad)) + abs(math.sin(rotation_rad))) + factor
    x0, y0 = max(0, math.floor(x - reach)), max(0, math.floor(y - reach))
    columns = (min(width, math.ceil(x + reach)) - x0) // factor
    rows = (min(height, math.ceil(y + reach)) - y0) // factor
    if columns < 1 or rows < 1:  # a strip at the frame's edge
        return gray, (x, y), 1
    part = cv2.resize(
        gray[y0 : y0 + rows * factor, x0 : x0 + columns * factor], (columns, rows), interpolation=cv2.INTER_AREA
    )
    return part, ((x - x0 + 0.5) / factor - 0.5, (y - y0 + 0.5) / factor - 0.5), factor


def crop_whole_image(gray: np.ndarray, side: int = 48) -> np.ndarray:
    """An image that is a face crop already, as the model's input: uint8 (side, side), nothing of it cut away."""
    height, width = gray.shape
    return face_crop(gray, (0, 0, width, height), side)
