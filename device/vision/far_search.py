"""The search for far faces: one tile of a large frame at a time, by turns where most changed and round all tiles.

A tile costs as much as the search of a whole frame. One is searched in every third frame at most, so that the far search costs
about as much as searching an empty room in which something moves; `fer-edge bench --far` measures it. Of a recording, whose
frames wait, the first frame of a scene is searched in all tiles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from device.vision import motion_gate
from fer_edge.detection.tiles import far_tiles

if TYPE_CHECKING:
    import numpy as np

    from fer_edge.detection.boxes import Square

FRAMES_PER_TILE = 3
_ROUND_S = 60.0  # between two rounds through all tiles while nothing changes


@dataclass(frozen=True, slots=True)
class FarState:
    """What the far search remembers: the tiles, how much changed in each since it was searched (T,), and the round's rest.

    `changes` are shares of a tile's cells, summed over frames. `left` are the numbers of the tiles that the present round has
    not searched yet. `tiles` belong to frames of `shape` (H, W) and faces of `far_px` px. `turn` counts the searched tiles.
    """

    far_px: int
    shape: tuple[int, ...]
    tiles: tuple[Square, ...]
    changes: tuple[float, ...]
    left: tuple[int, ...]
    turn: int = 0
    searched_frame: int = -FRAMES_PER_TILE
    frame: int = 0
    round_ns: int = 0

    @staticmethod
    def of(shape: tuple[int, ...], far_px: int, mono_ns: int) -> FarState:
        """The state before the first tile is searched."""
        tiles = far_tiles(shape, far_px)
        return FarState(far_px, tuple(shape), tiles, (0.0,) * len(tiles), tuple(range(len(tiles))), round_ns=mono_ns)


def next_tiles(
    far: FarState | None,
    gray: np.ndarray,
    far_px: int,
    changed: np.ndarray | None,
    mono_ns: int,
    busy: bool,
    at_once: bool,
) -> tuple[FarState, tuple[Square, ...]]:
    """The state, and the tiles of a frame uint8 (H, W) to search now: mostly none or one; all of a new scene with `at_once`.

    `changed` are the cells, bool (24, 32), that changed since the last frame. With `busy` the whole frame is searched already.
    """
    if far is None or (far.far_px, far.shape) != (far_px, gray.shape):
        far = FarState.of(gray.shape, far_px, mono_ns)
        if at_once:
            return replace(far, left=()), far.tiles
    changes, left, round_ns = far.changes, far.left, far.round_ns
    if changed is not None and changed.any():
        shares = (motion_gate.changed_share(changed, tile, gray.shape) for tile in far.tiles)
        changes = tuple(one + share for one, share in zip(changes, shares, strict=True))
    if not left and mono_ns - round_ns >= _ROUND_S * 1e9:
        left, round_ns = tuple(range(len(far.tiles))), mono_ns
    far = replace(far, changes=changes, left=left, frame=far.frame + 1, round_ns=round_ns)
    most = max(range(len(changes)), key=changes.__getitem__, default=0)
    is_changed = bool(changes) and changes[most] > 0
    if busy or not (is_changed or left) or far.frame - far.searched_frame < FRAMES_PER_TILE:
        return far, ()
    place = most if is_changed and (far.turn % 2 == 0 or not left) else left[0]
    return replace(
        far,
        changes=tuple(0.0 if number == place else one for number, one in enumerate(changes)),
        left=tuple(number for number in left if number != place),
        turn=far.turn + 1,
        searched_frame=far.frame,
    ), (far.tiles[place],)


def is_inside(head: Square, tile: Square) -> bool:
    """Whether a head lies wholly in a tile, so that a search of the tile decides whether its face is still there."""
    return all(tile[axis] <= head[axis] and head[axis] + head[2] <= tile[axis] + tile[2] for axis in (0, 1))
