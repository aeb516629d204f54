"""BlazeFace on the interpreter that the classifier runs on."""

from __future__ import annotations

import math
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

from fer_edge.detection.boxes import SAME_FACE_IOU, intersection_over_union
from fer_edge.detection.types import Face

MIN_SCORE = 0.5
_MIN_RAW = math.log(MIN_SCORE / (1 - MIN_SCORE))
_SAMPLES = 3  # frame px per px of a network's input, each way, that are averaged


class BlazeFace:
    """A BlazeFace network (arXiv 1907.05047): regressors (1, A, 16) and raw scores (1, A, 1) for A anchors."""

    def __init__(self, model: Path, name: str, strides: tuple[tuple[int, int], ...], threads: int = 1) -> None:
        import numpy as np

        from fer_edge.classifier import make_interpreter

        self.name = name
        self._interpreter = make_interpreter(model, threads=threads)
        (details,) = self._interpreter.get_input_details()
        self._input, self._side = details["index"], int(details["shape"][1])
        # the order of the two outputs depends on the runtime; their widths distinguish them
        widths = {int(d["shape"][-1]): d["index"] for d in self._interpreter.get_output_details()}
        self._regressors, self._scores = widths[16], widths[1]
        self._scaled = np.arange(256, dtype=np.float32) * np.float32(2 / 255) - np.float32(1)
        # regressors are a box's centre, its size, six key points; all but the size are relative to the anchor
        self._origins = np.tile(_anchors(self._side, strides), 8)
        self._origins[:, 2:4] = 0
        self._one_at_a_time = Lock()  # an interpreter is for one thread

    def detect(self, gray: np.ndarray, view: tuple[int, int, int] | None = None) -> list[Face]:
        """The faces in a frame uint8 (H, W) with a score of .5 and more, the highest first.

        With `view`, a square (left, top, side) in px that touches the frame, only that square is searched, at a larger scale.
        """
        import numpy as np

        height, width = gray.shape
        with self._one_at_a_time:
            px, left, top = self._fill(gray) if view is None else self._fill_view(gray, view)
            self._interpreter.invoke()
            raw = self._interpreter.get_tensor(self._scores)[0, :, 0]
            # the raw score passes _MIN_RAW where its sigmoid passes MIN_SCORE; the others are not computed
            rows = np.flatnonzero(raw >= _MIN_RAW)
            if not len(rows):
                return []
            places = self._interpreter.get_tensor(self._regressors)[0, rows] + self._origins[rows]
        scores = 1 / (1 + np.exp(-np.minimum(raw[rows], 80)))
        faces = []
        for score, (x, y, wide, high, *keys) in _merge(places, scores):
            cx, cy, w, h = (x - left) * px, (y - top) * px, wide * px, high * px
            if 0 <= cx < width and 0 <= cy < height and w >= 1 and h >= 1:
                box = (round(cx - w / 2), round(cy - h / 2), round(w), round(h))
                ax, ay, bx, by, nx, ny = (
                    (value - start) * px for value, start in zip(keys[:6], (left, top) * 3, strict=True)
                )
                faces.append(Face(box, score, ((ax, ay), (bx, by)), (nx, ny)))
        return faces

    def _fill(self, gray: np.ndarray) -> tuple[float, float, float]:
        """Shrinks a frame into the middle of the black input. Returns frame px per input px, and the part's left and top."""
        import cv2

        height, width = gray.shape
        px = max(height, width) / self._side
        w, h = max(1, round(width / px)), max(1, round(height / px))
        left, top = (self._side - w) // 2, (self._side - h) // 2
        small = cv2.resize(_thinned(gray, w, h), (w, h), interpolation=cv2.INTER_AREA if px > 1 else cv2.INTER_LINEAR)
        self._place(small, left, top)
        return px, left, top

    def _fill_view(self, gray: np.ndarray, view: tuple[int, int, int]) -> tuple[float, float, float]:
        """Shrinks the part of a square that lies in the frame into the black input. Returns the same as `_fill`."""
        import cv2

        (height, width), (x, y, side) = gray.shape, view
        px = side / self._side
        x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + side), min(height, y + side)
        left, top = round((x0 - x) / px), round((y0 - y) / px)
        w, h = max(1, round((x1 - x) / px) - left), max(1, round((y1 - y) / px) - top)
        part = _halved(gray[y0:y1, x0:x1], w, h)
        self._place(cv2.resize(part, (w, h), interpolation=cv2.INTER_LINEAR), left, top)
        return px, left - x0 / px, top - y0 / px

    def _place(self, small: np.ndarray, left: int, top: int) -> None:
        """Writes a shrunk part, uint8 (h, w), at (left, top) of the input; the rest of it is black."""
        import cv2

        h, w = small.shape
        scaled = cv2.LUT(small, self._scaled)
        # Written in place, which saves a copy; the interpreter does not run while this array is referenced.
        tensor = self._interpreter.tensor(self._input)()[0]
        if (w, h) == (self._side, self._side):  # five times as fast as the assignment
            cv2.merge([scaled] * 3, dst=tensor)
        else:  # all of it: the interpreter may reuse this memory after reading it
            tensor.fill(-1)
            tensor[top : top + h, left : left + w] = scaled[:, :, None]


def _thinned(part: np.ndarray, w: int, h: int) -> np.ndarray:
    """An image uint8 (H, W); where it has far more pixels than `w` by `h`, as 4K frames do, only every n-th of them.

    Reading all of them would be the slowest part.
    """
    import numpy as np

    few = min(part.shape[1] // w, part.shape[0] // h) // _SAMPLES
    return np.ascontiguousarray(part[few // 2 :: few, few // 2 :: few]) if few > 1 else part


def _halved(part: np.ndarray, w: int, h: int) -> np.ndarray:
    """An image uint8 (H, W) halved until it is less than twice `w` by `h`: fast, and bilinear shrinking then loses nothing."""
    import cv2

    part = _thinned(part, w, h)
    while part.shape[1] >= 2 * w and part.shape[0] >= 2 * h:
        height, width = part.shape[0] // 2, part.shape[1] // 2
        part = cv2.resize(part[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return part


def _anchors(side: int, strides: tuple[tuple[int, int], ...]) -> np.ndarray:
    """The centres of a network's anchors in px of its input, float32 (A, 2), cells row by row."""
    import numpy as np

    maps = []
    for stride, repeats in strides:
        centres = (np.arange(side // stride, dtype=np.float32) + np.float32(0.5)) * stride
        y, x = np.meshgrid(centres, centres, indexing="ij")
        maps.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), repeats, axis=0))
    return np.concatenate(maps)


def _merge(places: np.ndarray, scores: np.ndarray) -> list[tuple[float, list[float]]]:
    """One (score, places) for each face: boxes that overlap the best one are averaged with it by score, as in MediaPipe.

    `places` is float32 (N, 16): centre, size, six key points. The average varies less from frame to frame than the best box.
    """
    # a handful: plain numbers are faster than arrays of them
    boxes = [(x - w / 2, y - h / 2, w, h) for x, y, w, h in places[:, :4].tolist()]
    order = sorted(range(len(boxes)), key=(-scores).tolist().__getitem__)
    merged = []
    while order:
        best = order[0]
        group = [best, *(row for row in order[1:] if intersection_over_union(boxes[row], boxes[best]) > SAME_FACE_IOU)]
        if len(group) == 1:
            mean = places[best]
        else:
            weights = scores[group]
            mean = weights @ places[group] / weights.sum()
        merged.append((float(scores[best]), mean.tolist()))
        order = [row for row in order if row not in group]
    return merged
