"""Whether and where a picture changed, by comparing thumbnails of 32×24 cells: a fraction of the cost of any search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer_edge.detection.boxes import Square

if TYPE_CHECKING:
    import numpy as np

WIDTH, HEIGHT = 32, 24  # cells, whatever the picture's shape
CHANGED_LEVELS = (
    6  # gray levels of 255 by which a changed cell differs; a sensor's noise, averaged over a cell, is below 1
)
MIN_CHANGED_CELLS = 3  # that count as motion; a face of 60 px in 640×480 covers nine
CUT_LEVELS, CUT_SHARE = 10, 0.5  # gray levels and share of the cells by which two frames of different scenes differ
_ROWS_PER_CELL, _COLUMNS_PER_CELL = 5, 20  # sampled pixels; averaging a hundred removes the noise of a dark room


def thumbnail(gray: np.ndarray) -> np.ndarray:
    """The picture uint8 (H, W) averaged over cells: int16 (24, 32)."""
    import cv2
    import numpy as np

    height, width = gray.shape
    down, across = max(1, height // (HEIGHT * _ROWS_PER_CELL)), max(1, width // (WIDTH * _COLUMNS_PER_CELL))
    sampled = gray[::down] if across == 1 else np.ascontiguousarray(gray[::down, ::across])
    return cv2.resize(sampled, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.int16)


def thumbnail_difference(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """The absolute differences of two thumbnails in gray levels, int16 (24, 32), less their median over all cells."""
    import numpy as np

    gained = now - before
    levels, middle = gained.flatten(), gained.size // 2
    levels.partition(middle)
    gained -= levels[middle]
    return np.abs(gained, out=gained)


def changed_cells(difference: np.ndarray) -> np.ndarray:
    """Which cells of a thumbnail difference changed, bool (24, 32); none when only the whole picture got brighter."""
    return difference > CHANGED_LEVELS


def is_scene_cut(difference: np.ndarray) -> bool:
    """Whether consecutive frames with this thumbnail difference show different scenes, so that no face can be followed."""
    import numpy as np

    return int(np.count_nonzero(difference > CUT_LEVELS)) > CUT_SHARE * difference.size


def is_motion(cells: np.ndarray) -> bool:
    """Whether enough of the cells, bool (24, 32), changed to justify a search."""
    import numpy as np

    return int(np.count_nonzero(cells)) >= MIN_CHANGED_CELLS


def any_changed(cells: np.ndarray, square: Square, shape: tuple[int, ...]) -> bool:
    """Whether any of the cells, bool (24, 32), lies in a square of a picture of `shape` (H, W)."""
    return bool(cells[_cells_in(square, shape)].any())


def changed_share(cells: np.ndarray, square: Square, shape: tuple[int, ...]) -> float:
    """The share of set cells, 0–1, among the cells, bool (24, 32), in a square of a picture of `shape` (H, W)."""
    part = cells[_cells_in(square, shape)]
    return int(part.sum()) / part.size if part.size else 0.0


def excluding(cells: np.ndarray, squares: list[Square], shape: tuple[int, ...]) -> np.ndarray:
    """The cells, bool (24, 32), with those in the squares set to False."""
    if squares:
        cells = cells.copy()
        for square in squares:
            cells[_cells_in(square, shape)] = False
    return cells


def _cells_in(square: Square, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The rows and columns of the cells that overlap a square."""
    left, top, side = square
    return _cell_span(top, side, HEIGHT / shape[0], HEIGHT), _cell_span(left, side, WIDTH / shape[1], WIDTH)


def _cell_span(start: int, side: int, cells_per_px: float, cells: int) -> slice:
    first, last = int(start * cells_per_px), int(-(-(start + side) * cells_per_px // 1))
    return slice(min(max(first, 0), cells), min(max(last, 0), cells))
