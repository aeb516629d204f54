"""OpenCV's frontal face cascade as a detector: for machines without BlazeFace's files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.detection.download import INSTALL_COMMAND
from fer_edge.detection.types import Face
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

MIN_FACE_PX = 60


class HaarDetector:
    """OpenCV's frontal face cascade: for machines without the detector files; slow (0.05 s a frame) and error-prone.

    Its `score` is not a probability: the sum of the cascade's last stage, mapped to 0–1 by s / (1 + s), useful only to order
    the boxes of one image. It gives no eyes. It runs on the number of threads that OpenCV is set to for the process.
    """

    name = "haar"

    def __init__(self) -> None:
        import cv2

        if not hasattr(cv2, "CascadeClassifier"):  # dropped from OpenCV 5
            raise UsageError(
                f"OpenCV {cv2.__version__} has no Haar cascades and no BlazeFace is installed; `{INSTALL_COMMAND}` installs it"
            )
        self._cascade = cv2.CascadeClassifier(str(_cascade_file()))

    def detect(self, gray: np.ndarray) -> list[Face]:
        """The faces of 60 px and more in a frame uint8 (H, W), the highest score first."""
        boxes, _, weights = self._cascade.detectMultiScale3(
            gray, scaleFactor=1.1, minNeighbors=5, minSize=(MIN_FACE_PX, MIN_FACE_PX), outputRejectLevels=True
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
    raise UsageError(
        f"no {name} here; `{INSTALL_COMMAND}` installs a better detector, `apt install opencv-data` this one"
    )
