"""Whether a picture changed, and where: told by a thumbnail of 32×24, for a fraction of what any search costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer_edge.detection.boxes import Square

if TYPE_CHECKING:
    import numpy as np

WIDTH, HEIGHT = 32, 24  # cells, whatever the picture's shape
CHANGED_LEVELS = 6  # gray levels of 255 by which a cell differs; a sensor's noise, averaged over a cell, is under one
MIN_CHANGED_CELLS = 3  # changed ones that make a change; a face of 60 px in 640×480 covers nine
CUT_LEVELS, CUT_SHARE = 10, 0.5  # so many levels in so many of the cells between two frames: another scene
_ROWS_PER_CELL, _COLUMNS_PER_CELL = (
    5,
    20,
)  # pixels of a cell that are looked at: a hundred average a dark room's noise away


def thumbnail(gray: np.ndarray) -> np.ndarray:
    """The picture uint8 (H, W) in cells: int16 (24, 32)."""
    import cv2
    import numpy as np

    height, width = gray.shape
    down, across = max(1, height // (HEIGHT * _ROWS_PER_CELL)), max(1, width // (WIDTH * _COLUMNS_PER_CELL))
    few = gray[::down] if across == 1 else np.ascontiguousarray(gray[::down, ::across])
    return cv2.resize(few, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.int16)


def thumbnail_difference(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """By how many gray levels the cells of two thumbnails differ, int16 (24, 32); what all of them gained is none."""
    import numpy as np

    gained = now - before
    levels, middle = gained.flatten(), gained.size // 2
    levels.partition(middle)
    gained -= levels[middle]
    return np.abs(gained, out=gained)


def changed_cells(difference: np.ndarray) -> np.ndarray:
    """Which cells differ, bool (24, 32); in a picture that got brighter as a whole none does."""
    return difference > CHANGED_LEVELS


def is_scene_cut(difference: np.ndarray) -> bool:
    """Whether two frames one after another show two scenes: who was in the first cannot be followed into the second."""
    import numpy as np

    return int(np.count_nonzero(difference > CUT_LEVELS)) > CUT_SHARE * difference.size


def is_motion(cells: np.ndarray) -> bool:
    """Whether so many cells, bool (24, 32), are worth a look."""
    import numpy as np

    return int(np.count_nonzero(cells)) >= MIN_CHANGED_CELLS


def any_changed(cells: np.ndarray, at: Square, shape: tuple[int, ...]) -> bool:
    """Whether any of the cells, bool (24, 32), lies in a square of a picture of `shape` (H, W)."""
    return bool(cells[_cells_in(at, shape)].any())


def changed_share(cells: np.ndarray, at: Square, shape: tuple[int, ...]) -> float:
    """The share of the cells, bool (24, 32), in a square of a picture of `shape` (H, W) that are set, 0–1."""
    part = cells[_cells_in(at, shape)]
    return int(part.sum()) / part.size if part.size else 0.0


def excluding(cells: np.ndarray, squares: list[Square], shape: tuple[int, ...]) -> np.ndarray:
    """The cells, bool (24, 32), less those in the squares."""
    if squares:
        cells = cells.copy()
        for at in squares:
            cells[_cells_in(at, shape)] = False
    return cells


def _cells_in(at: Square, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The cells that a square touches."""
    left, top, side = at
    return _cell_span(top, side, HEIGHT / shape[0], HEIGHT), _cell_span(left, side, WIDTH / shape[1], WIDTH)


def _cell_span(start: int, side: int, cells_a_px: float, cells: int) -> slice:
    first, last = int(start * cells_a_px), int(-(-(start + side) * cells_a_px // 1))
    return slice(min(max(first, 0), cells), min(max(last, 0), cells))
