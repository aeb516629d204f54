"""A detector of two stages: one network searches the frame, a cheaper one refines each face's box.

Of validation faces of 60, 90, 120, 180 and 240 px in 640×480 scenes, the cheap network finds 0, 0, 12, 75 and 92 % on
whole frames, the searching one 34, 79, 91, 96 and 97 % at ten times the cost (`convert.crops`). Of the faces
that the latter found, the cheap one finds 97 to 100 % again on a square twice the face's side: enough to follow a face.
The cheap one also finds what the other does not see: a face that fills the frame. Where the searching network finds nothing,
the cheap one searches the frame with a black border around it, which it needs (tests/convert/test_detection_error_table.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fer_edge.detection.blazeface import BlazeFace
from fer_edge.detection.boxes import Box, Square, is_same_face, square_iou
from fer_edge.detection.tiles import far_tiles
from fer_edge.detection.types import Face
from fer_edge.face_crop import CropMapping, crop_square

if TYPE_CHECKING:
    import numpy as np

NAME = "blazeface-zoomed"
VIEW_SCALE = 2.0  # side of the view in sides of the face; at 2.5 the cheap network misses up to 8 % of them
NEAR_SCALE = (
    1.3  # side of the view of a face that fills the frame, in the frame's longer sides; 1.15 to 2 find about as many
)
BEGIN_SCORE = 0.7  # of the searcher, from which on its face is one without the other network
NEAR_COST = 0.15  # of looking for faces that fill the frame, in searches
UNSEEN_SCORE = 0.45  # that a face gets from the refiner where it reports none, because its score there is below .5
MIN_REFINED_IOU = 0.2  # between a refined face and the searched one; a face beside it overlaps less


# From each detector's box to the square around the face: where to search, not what a model sees.
_HEADS = {NAME: CropMapping(1.17, 0.0, -0.07), "blazeface-back": CropMapping(1.09, 0.0, -0.07, 0.026)}
_HEAD = CropMapping(1.1, 0.0, -0.06)


class TwoStageDetector:
    """A detector of two networks: `searcher` searches the whole frame, `refiner` gives the boxes."""

    name = NAME

    def __init__(self, searcher: BlazeFace, refiner: BlazeFace) -> None:
        self.searcher, self.refiner = searcher, refiner

    def detect(self, gray: np.ndarray, far_px: int | None = None) -> list[Face]:
        """The faces in a frame uint8 (H, W), the highest score first; `detector` names the network that gave the box.

        With `far_px`, tiles of the frame are searched too, for faces of this side in px and more.
        """
        faces = [self.confirm(gray, face) for face in self.search(gray)]
        for tile in far_tiles(gray.shape, far_px) if far_px else ():
            faces += self.search_tile(gray, tile)
        return sorted(each_face_once(faces, gray.shape), key=lambda face: -face.score)

    def search(self, gray: np.ndarray, near: bool = True) -> list[Face]:
        """The faces in a frame with the searcher's boxes; with `near` those that fill it, with the refiner's."""
        faces = [replace(face, detector=self.searcher.name) for face in self.searcher.detect(gray)]
        return faces + self.search_near(gray) if near and is_near_search_needed(faces) else faces

    def search_near(self, gray: np.ndarray) -> list[Face]:
        """The faces that fill a frame: those which the refiner finds in the whole of it, with a black border."""
        height, width = gray.shape
        side = round(max(height, width) * NEAR_SCALE)
        view = ((width - side) // 2, (height - side) // 2, side)
        return [replace(face, detector=self.refiner.name) for face in self.refiner.detect(gray, view)]

    def search_tile(self, gray: np.ndarray, tile: Square) -> list[Face]:
        """The faces in a tile of a frame that both networks find, with the refiner's boxes."""
        faces = []
        for face in self.searcher.detect(gray, tile):
            # the searcher's box depends on the scale at which it searched, which is the tile's
            around = square_of_box(face, self.searcher.name, (tile[2], tile[2]))
            if (refined := self.refine(gray, around)) is not None:
                faces.append(replace(refined, second_score=face.score))
        return faces

    def confirm(self, gray: np.ndarray, face: Face) -> Face:
        """The face with the refiner's box and both networks' scores; without that network's box where it finds no face."""
        refined = self.refine(gray, face_square(face, gray.shape))
        if refined is None:
            return replace(face, second_score=UNSEEN_SCORE)
        return replace(refined, second_score=face.score)

    def refine(self, gray: np.ndarray, around: Square) -> Face | None:
        """The face at the square `around` with the refiner's box, or None when the refiner finds none."""
        found = self.refiner.detect(gray, search_view(around, gray.shape))
        best = max(found, key=lambda face: square_iou(square_of_box(face, NAME, gray.shape), around), default=None)
        if best is None or square_iou(square_of_box(best, NAME, gray.shape), around) < MIN_REFINED_IOU:
            return None
        return replace(best, detector=NAME)


class FarDetector:
    """A two-stage detector that always searches the tiles for faces of `far_px` px and more, too."""

    name = NAME

    def __init__(self, detector: TwoStageDetector, far_px: int) -> None:
        self._detector, self._far_px = detector, far_px

    def detect(self, gray: np.ndarray) -> list[Face]:
        """The faces in a frame uint8 (H, W), the highest score first."""
        return self._detector.detect(gray, self._far_px)


def is_near_search_needed(faces: list[Face]) -> bool:
    """Whether the searcher's faces are so few or weak that a face may fill the frame, which that network does not see."""
    return all(face.score < BEGIN_SCORE for face in faces)


def each_face_once(faces: list[Face], shape: tuple[int, ...]) -> list[Face]:
    """The faces without those that lie on another one in a frame of `shape` (H, W): a refined box stays, then the best score.

    Two boxes of the searcher may be refined to the same face.
    """
    kept: list[tuple[Face, Box]] = []
    for face in sorted(faces, key=lambda face: (face.detector != NAME, -face.score)):
        left, top, side = face_square(face, shape)
        box = (left, top, side, side)
        if not any(is_same_face(box, other) for _, other in kept):
            kept.append((face, box))
    return [face for face, _ in kept]


def face_square(face: Face, shape: tuple[int, ...]) -> Square:
    """The square around a face in a frame of `shape` (H, W), nearly independent of the detector."""
    return square_of_box(face, face.detector, shape)


def square_of_box(face: Face, detector: str, shape: tuple[int, ...]) -> Square:
    """The same, for a box of the detector called `detector`."""
    return crop_square(face.xywh, _HEADS.get(detector, _HEAD), shape)


def search_view(around: Square, shape: tuple[int, ...]) -> Square:
    """The square to search for a face in `around`: wider, and moved into a frame of `shape` (H, W) where it fits."""
    left, top, size = around
    side = max(1, round(size * VIEW_SCALE))
    x, y = round(left + size / 2 - side / 2), round(top + size / 2 - side / 2)
    return _inside(x, side, shape[1]), _inside(y, side, shape[0]), side


def _inside(start: int, side: int, length: int) -> int:
    return min(max(start, 0), length - side) if side <= length else start
