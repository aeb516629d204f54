"""Overlapping square tiles of a large frame, in which a detector finds faces that are too small for it in the whole frame.

The searching network shrinks what it searches to 256 px. It finds most faces that then have 40 px, and few of 20 px
(`python -m convert.crops`: of 640 px, a size of 90 px is 36 px there, 60 px is 24 px). So the smallest tiles are as large as
gives the smallest face 40 px; each further level of tiles is twice as large, up to the frame itself.
"""

from __future__ import annotations

from fer_edge.detection.boxes import Square

MIN_FAR_PX = 16  # of a face; below that no label would be more than a guess
_TILE_FACES = 6.4  # side of a tile in sides of the smallest face that is looked for
_OVERLAP = 0.3  # of a tile's side; a face of the level's size lies wholly in at least one
_LARGEST_SHARE = 0.8  # of the frame's longer side; a larger tile finds hardly more than the whole frame does


def far_tiles(shape: tuple[int, ...], far_px: int) -> tuple[Square, ...]:
    """The tiles of a frame of `shape` (H, W) for faces of `far_px` px and more, level by level, the smallest first.

    Empty where the search of the whole frame finds such faces.
    """
    height, width = shape[:2]
    tiles: list[Square] = []
    side = _TILE_FACES * far_px
    while side <= _LARGEST_SHARE * max(height, width):
        rounded = round(side)
        tiles += [(x, y, rounded) for y in _starts(height, rounded) for x in _starts(width, rounded)]
        side *= 2
    return tuple(tiles)


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin that cover a length, evenly spread; one tile in the middle where it is longer than that."""
    if side >= length:
        return [(length - side) // 2]
    gaps = -(-(length - side) // round(side * (1 - _OVERLAP)))
    return [round(step * (length - side) / gaps) for step in range(gaps + 1)]
