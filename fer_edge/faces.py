"""The faces in a gray frame: BlazeFace on the same interpreter as the classifier, or OpenCV's Haar cascade without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fer_edge.detectors import COMMAND, detector_file
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

MIN_SCORE = 0.5
MIN_OVERLAP = 0.3  # intersection over union above which two boxes are one face, as MediaPipe has it
HAAR_MIN_PX = 60


@dataclass(frozen=True, slots=True)
class Face:
    """A face: its box in px of the frame (it may reach beyond), how sure the detector is, and its eyes.

    `score` is 0–1. `eyes` are two points (x, y) in px, the one further left in an upright picture first; None where the
    detector gives none.
    """

    xywh: tuple[int, int, int, int]
    score: float
    eyes: tuple[tuple[float, float], tuple[float, float]] | None = None


def largest_first(faces: list[Face]) -> list[Face]:
    """The faces in the order in which they matter to a reader: the largest, which is mostly the nearest, first."""
    return sorted(faces, key=lambda face: -face.xywh[2] * face.xywh[3])


class Detector(Protocol):
    """Whatever finds faces. `name` is what a bundle knows its mapping by."""

    name: str

    def detect(self, gray: np.ndarray) -> list[Face]:
        """The faces in a frame uint8 (H, W), the surest first; each box's centre lies in the frame."""
        ...


# name: file, and (stride in px, anchors a cell) of its feature maps. Source: MediaPipe's modules/face_detection graphs.
_BLAZEFACE = {
    "blazeface-short-range": ("face_detection_short_range.tflite", ((8, 2), (16, 6))),
    "blazeface-back": ("face_detection_back.tflite", ((16, 2), (32, 6))),
    "blazeface-full-range": ("face_detection_full_range.tflite", ((4, 1),)),
}
DETECTORS = (*_BLAZEFACE, "haar")


def find_detector(name: str | None = None, threads: int = 1) -> Detector:
    """The detector called `name`, or the best of what is installed: blazeface-short-range, else haar.

    Raises UsageError with what to do when it is not there, BundleRefused when its file is damaged.
    """
    if name is not None and name not in DETECTORS:
        raise UsageError(f"there is no detector “{name}”; choose one of {', '.join(DETECTORS)}")
    wanted = name or DETECTORS[0]
    if wanted in _BLAZEFACE:
        file, strides = _BLAZEFACE[wanted]
        if (path := detector_file(file)) is not None:
            return BlazeFace(path, wanted, strides, threads)
        if name is not None:
            raise UsageError(f"the detector “{name}” is not installed; `{COMMAND}` fetches it")
    return Haar()


class BlazeFace:
    """A BlazeFace network (arXiv 1907.05047): regressors (1, A, 16) and raw scores (1, A, 1) for A anchors."""

    def __init__(self, model: Path, name: str, strides: tuple[tuple[int, int], ...], threads: int = 1) -> None:
        import numpy as np

        from fer_edge.classifier import make_interpreter

        self.name = name
        self._interpreter = make_interpreter(model, threads=threads)
        (details,) = self._interpreter.get_input_details()
        self._input, self._side = details["index"], int(details["shape"][1])
        # the two outputs come in another order from another runtime; their widths tell them apart
        widths = {int(d["shape"][-1]): d["index"] for d in self._interpreter.get_output_details()}
        self._regressors, self._scores = widths[16], widths[1]
        self._anchors = _anchors(self._side, strides)
        self._tensor = np.full((1, self._side, self._side, 3), -1, np.float32)
        self._placed = (0, 0, 0, 0)  # what of the tensor the last frame covered

    def detect(self, gray: np.ndarray) -> list[Face]:
        """The faces in a frame uint8 (H, W) of score .5 and more, the surest first. Not for two threads at once."""
        import numpy as np

        height, width = gray.shape
        px, left, top = self._fill(gray)
        self._interpreter.set_tensor(self._input, self._tensor)
        self._interpreter.invoke()
        raw = self._interpreter.get_tensor(self._scores)[0, :, 0]
        # the sigmoid passes MIN_SCORE where the raw score does; the rest is never computed
        rows = np.flatnonzero(raw >= np.log(MIN_SCORE / (1 - MIN_SCORE)))
        if not len(rows):
            return []
        scores = 1 / (1 + np.exp(-np.clip(raw[rows], -80, 80)))
        points = self._interpreter.get_tensor(self._regressors)[0, rows].reshape(-1, 8, 2)
        points[:, [0, 2, 3, 4, 5, 6, 7]] += self._anchors[rows, None]  # all but row 1, which is the box's size
        points[:, [0, 2, 3, 4, 5, 6, 7]] -= (left, top)
        points *= px
        faces = []
        for score, ((cx, cy), (w, h), *keys) in _merge(points, scores):
            if 0 <= cx < width and 0 <= cy < height and w >= 1 and h >= 1:
                box = (round(cx - w / 2), round(cy - h / 2), round(w), round(h))
                faces.append(Face(box, score, ((keys[0][0], keys[0][1]), (keys[1][0], keys[1][1]))))
        return faces

    def _fill(self, gray: np.ndarray) -> tuple[float, int, int]:
        """Shrinks a frame into the middle of the input, black around. Gives frame px per input px, and left and top of it."""
        import cv2
        import numpy as np

        height, width = gray.shape
        px = max(height, width) / self._side
        w, h = max(1, round(width / px)), max(1, round(height / px))
        small = cv2.resize(gray, (w, h), interpolation=cv2.INTER_AREA if px > 1 else cv2.INTER_LINEAR)
        left, top = (self._side - w) // 2, (self._side - h) // 2
        if self._placed != (left, top, w, h):
            self._tensor.fill(-1)
            self._placed = (left, top, w, h)
        scaled = small[:, :, None] * np.float32(2 / 255) - np.float32(1)
        self._tensor[0, top : top + h, left : left + w] = scaled
        return px, left, top


class Haar:
    """OpenCV's frontal face cascade: for machines without the detector files; slow (0.05 s a frame) and easily fooled.

    Its `score` is no probability: the sum that the cascade's last stage gave, squeezed into 0–1 by s / (1 + s), of use only
    to order the boxes of one picture. It gives no eyes. It runs on as many threads as OpenCV is set to for the process.
    """

    name = "haar"

    def __init__(self) -> None:
        import cv2

        if not hasattr(cv2, "CascadeClassifier"):  # dropped from OpenCV 5
            raise UsageError(
                f"OpenCV {cv2.__version__} has no Haar cascades and no BlazeFace is installed; `{COMMAND}` fetches it"
            )
        self._cascade = cv2.CascadeClassifier(str(_cascade_file()))

    def detect(self, gray: np.ndarray) -> list[Face]:
        """The faces of 60 px and more in a frame uint8 (H, W), the surest first."""
        boxes, _, weights = self._cascade.detectMultiScale3(
            gray, scaleFactor=1.1, minNeighbors=5, minSize=(HAAR_MIN_PX, HAAR_MIN_PX), outputRejectLevels=True
        )
        sums = [max(0.0, float(weight)) for weight in weights]
        found = [
            Face((int(x), int(y), int(w), int(h)), s / (1 + s)) for (x, y, w, h), s in zip(boxes, sums, strict=True)
        ]
        return sorted(found, key=lambda face: -face.score)


def _cascade_file() -> Path:
    """The frontal face cascade in the OpenCV wheel, else where Debian's `opencv-data` puts it."""
    import cv2

    name = "haarcascade_frontalface_default.xml"
    folders = [Path(cv2.data.haarcascades)] if hasattr(cv2, "data") else []
    for folder in (*folders, Path("/usr/share/opencv4/haarcascades")):
        if (folder / name).is_file():
            return folder / name
    raise UsageError(f"no {name} here; `{COMMAND}` fetches a better detector, `apt install opencv-data` this one")


def _anchors(side: int, strides: tuple[tuple[int, int], ...]) -> np.ndarray:
    """The centres of a network's anchors in px of its input, float32 (A, 2), cells row by row."""
    import numpy as np

    maps = []
    for stride, repeats in strides:
        centres = (np.arange(side // stride, dtype=np.float32) + np.float32(0.5)) * stride
        y, x = np.meshgrid(centres, centres, indexing="ij")
        maps.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), repeats, axis=0))
    return np.concatenate(maps)


def _merge(points: np.ndarray, scores: np.ndarray) -> list[tuple[float, list[list[float]]]]:
    """One (score, points) a face: boxes that overlap the surest one are averaged with it by score, as MediaPipe does.

    `points` is float32 (N, 8, 2): centre, size, six key points. The average moves less from frame to frame than the best.
    """
    import numpy as np

    low, high = points[:, 0] - points[:, 1] / 2, points[:, 0] + points[:, 1] / 2
    area = np.prod(points[:, 1], axis=1)
    order = np.argsort(-scores, kind="stable")
    merged = []
    while len(order):
        best = order[0]
        inner = np.clip(np.minimum(high[order], high[best]) - np.maximum(low[order], low[best]), 0, None)
        shared = np.prod(inner, axis=1)
        same = shared > MIN_OVERLAP * (area[order] + area[best] - shared)
        same[0] = True  # whatever its area, so that the list grows shorter
        group = order[same]
        mean = np.average(points[group], axis=0, weights=scores[group])
        merged.append((float(scores[best]), mean.tolist()))
        order = order[~same]
    return merged
