"""The pictures of the live page, only with --show-pixels and only for a while: the one file that makes any out of pixels.

They are there to aim a camera by: small, gray, one a second, the faces that were found made coarse. They are held in memory
until the next one, handed to a browser that asks, and never written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from device.clock import Clock

if TYPE_CHECKING:
    import numpy as np

    from device.camera.frame import Frame
    from device.vision.readings import FrameResult

EVERY_S = 1.0
WIDTH_PX = 320
_CELLS = 5  # of a face, across: where it is can be seen, not whose it is
_COARSE = 12  # of the whole picture, across, where more faces were found than are told of
_WIDER = 0.4  # of a face's size is made coarse around it: hair and chin
_QUALITY = 70


@dataclass(frozen=True, slots=True)
class SmallPicture:
    """A picture ready to be shown: the frame's number, and uint8 (h, w) without a face that could be known."""

    seq: int
    gray: np.ndarray


class PixelatedPictures:
    """The last small picture, for `for_s` seconds from now; then none, whoever asks.

    `offer` is the loop's, all else the server's.
    """

    def __init__(self, clock: Clock, for_s: float) -> None:
        self._clock = clock
        self._until_ns = clock.mono_ns() + round(for_s * 1e9)
        self._due_ns = 0
        self._small: SmallPicture | None = None
        self._jpeg: tuple[int, bytes] | None = None

    def left_s(self) -> float:
        """The seconds for which pictures are still shown; 0 once that is over."""
        return max(0.0, (self._until_ns - self._clock.mono_ns()) / 1e9)

    def offer(self, frame: Frame, seen: FrameResult) -> None:
        """Takes a small copy of the frame, where one is due."""
        now_ns = self._clock.mono_ns()
        if now_ns >= self._until_ns:
            self._small = None
        elif now_ns >= self._due_ns:
            self._due_ns = now_ns + round(EVERY_S * 1e9)
            self._small = SmallPicture(frame.seq, pixelated_copy(frame, seen))

    def forget(self) -> None:
        """Nobody looks, or nothing is looked at: the picture that there is would be an old one."""
        self._small = self._jpeg = None
        self._due_ns = 0

    def seq(self) -> int | None:
        """The number of the picture that there is; None where there is none."""
        held = self._small
        return held.seq if held is not None and self.left_s() > 0 else None

    def jpeg(self) -> bytes | None:
        """The picture that there is, as a JPEG file; None where there is none, or the time is over."""
        held = self._small
        if held is None or self.left_s() <= 0:
            self._small = self._jpeg = None
            return None
        if self._jpeg is None or self._jpeg[0] != held.seq:
            import cv2

            done, encoded = cv2.imencode(".jpg", held.gray, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            self._jpeg = (held.seq, encoded.tobytes()) if done else None
        return self._jpeg[1] if self._jpeg else None


def pixelated_copy(frame: Frame, seen: FrameResult) -> np.ndarray:
    """The frame's picture, uint8 (h, w) at most `WIDTH_PX` wide, the faces that were found coarse.

    Where more were found than were read nothing says where they are: all of it is coarse then.
    """
    import cv2

    height, width = frame.gray.shape
    scale = min(1.0, WIDTH_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = cv2.resize(frame.gray, size, interpolation=cv2.INTER_AREA)
    if seen.skipped:
        return _coarse(picture, _COARSE)
    for reading in seen.readings:
        x, y, w, h = (value * scale for value in reading.face.xywh)
        left, top = max(0, int(x - w * _WIDER)), max(0, int(y - h * _WIDER))
        right, bottom = int(x + w * (1 + _WIDER)) + 1, int(y + h * (1 + _WIDER)) + 1
        part = picture[top:bottom, left:right]
        if part.size:
            part[...] = _coarse(part, _CELLS)
    return picture


def _coarse(gray: np.ndarray, cells: int) -> np.ndarray:
    import cv2

    height, width = gray.shape
    few = cv2.resize(gray, (cells, max(1, round(cells * height / width))), interpolation=cv2.INTER_AREA)
    return cv2.resize(few, (width, height), interpolation=cv2.INTER_NEAREST)
