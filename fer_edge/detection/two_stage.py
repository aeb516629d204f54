"""Faces found far away and then looked at closely: one network searches the frame, a cheaper one draws each face's box.

Of validation faces of 60, 90, 120, 180 and 240 px in 640×480 scenes, the cheap network finds on whole frames 0, 0, 12, 75 and
92 %, the one that sees 34, 79, 91, 96 and 97 % for ten times its cost (`convert.crops`). Of the faces that the latter found,
the cheap one finds 97 to 100 % again on a square twice the face's side, and that is all it takes to follow a face.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fer_edge.detection.blazeface import BlazeFace
from fer_edge.detection.types import Face
from fer_edge.preprocess import Mapping, square

if TYPE_CHECKING:
    import numpy as np

NAME = "blazeface-zoomed"
WIDER = 2.0  # side of the view in sides of the face; at 2.5 the cheap network misses up to 8 % of them
OVERLAP = 0.2  # with where the face was, intersection over union; a face beside it has less

Square = tuple[int, int, int]  # left, top, side in px; may reach beyond the frame

# From each one's box to the square around the face that data sets cut out: where to look, not what a model sees.
_HEADS = {NAME: Mapping(1.17, 0.0, -0.07), "blazeface-back": Mapping(1.09, 0.0, -0.07, 0.026)}
_HEAD = Mapping(1.1, 0.0, -0.06)


class Zoomed:
    """A detector made of two: `far` searches the whole frame, `near` draws the boxes. Not for two threads at once."""

    name = NAME

    def __init__(self, far: BlazeFace, near: BlazeFace) -> None:
        self.far, self.near = far, near

    def detect(self, gray: np.ndarray) -> list[Face]:
        """The faces in a frame uint8 (H, W), the surest first; `by` says which of the two drew a box."""
        return [self.closer(gray, head(face, gray.shape)) or face for face in self.search(gray)]

    def search(self, gray: np.ndarray) -> list[Face]:
        """The faces in a frame as `far` draws them."""
        return [replace(face, by=self.far.name) for face in self.far.detect(gray)]

    def closer(self, gray: np.ndarray, around: Square) -> Face | None:
        """The face at the square `around` it, as `near` draws it there, or None when it sees none."""
        found = self.near.detect(gray, view(around, gray.shape))
        best = max(found, key=lambda face: overlap(head_of(face, NAME, gray.shape), around), default=None)
        if best is None or overlap(head_of(best, NAME, gray.shape), around) < OVERLAP:
            return None
        return replace(best, by=NAME)


def head(face: Face, shape: tuple[int, ...]) -> Square:
    """The square around a face in a frame of `shape` (H, W), much the same whichever detector drew its box."""
    return head_of(face, face.by, shape)


def head_of(face: Face, by: str, shape: tuple[int, ...]) -> Square:
    """The same, for a box that the detector called `by` drew."""
    return square(face.xywh, _HEADS.get(by, _HEAD), shape)


def view(around: Square, shape: tuple[int, ...]) -> Square:
    """The square to look at for a face in `around`: wider, and moved into a frame of `shape` (H, W) where it fits."""
    left, top, size = around
    side = max(1, round(size * WIDER))
    x, y = round(left + size / 2 - side / 2), round(top + size / 2 - side / 2)
    return _inside(x, side, shape[1]), _inside(y, side, shape[0]), side


def _inside(start: int, side: int, length: int) -> int:
    return min(max(start, 0), length - side) if side <= length else start


def overlap(a: Square, b: Square) -> float:
    """Intersection over union of two squares, 0–1."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[2], b[1] + b[2]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    shared = across * down
    return shared / (a[2] * a[2] + b[2] * b[2] - shared)


def derived(short_range: Mapping) -> Mapping:
    """The mapping of this detector's boxes, for a bundle that knows only the short-range network's on whole frames.

    A box drawn on a view in proportion to the face grows in proportion too: scale·box + grow·view = side, with the view
    WIDER sides. Fitted on training faces (convert.mapping) the scale is 1.167, dy −.071; this gives 1.171 and −.071.
    """
    scale = short_range.scale / (1 - short_range.grow * WIDER)
    return replace(short_range, scale=scale, dy=short_range.dy - 0.012, grow=0.0)
