"""The pictures of the live page, only with --show-pixels and only for a limited time: the one file that encodes pixels.

They help to aim a camera: small, gray, one a second, with the detected faces pixelated. Each is held in memory until the next
one, sent to a browser that requests it, and never written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from device.clock import Clock
from device.vision.pixelation import pixelate

if TYPE_CHECKING:
    import numpy as np

    from device.camera.frame import Frame
    from device.vision.readings import FrameResult

EVERY_S = 1.0
WIDTH_PX = 320
_FACE_BLOCKS = 5  # across the pixelated area: shows where a face is, not whose it is
_PICTURE_BLOCKS = 12  # across the whole picture, when more faces were found than have boxes
_MARGIN = 0.4  # of a face's size, pixelated on each side of it: hair and chin
_JPEG_QUALITY = 70


@dataclass(frozen=True, slots=True)
class SmallPicture:
    """A picture ready to be shown: the frame's number, and uint8 (h, w) with the faces pixelated."""

    seq: int
    gray: np.ndarray


@dataclass(frozen=True, slots=True)
class PictureState:
    """For how many seconds pictures are still shown, and the number of the present one; None where there is none."""

    remaining_s: float
    seq: int | None


class PixelatedPictures:
    """The last small picture, during `for_s` seconds from now; afterwards there is none.

    The loop calls `offer`, the server everything else.
    """

    def __init__(self, clock: Clock, for_s: float) -> None:
        self._clock = clock
        self._until_ns = clock.mono_ns() + round(for_s * 1e9)
        self._due_ns = 0
        self._picture: SmallPicture | None = None
        self._jpeg: tuple[int, bytes] | None = None

    def remaining_s(self) -> float:
        """The seconds for which pictures are still shown; 0 once that time is over."""
        return max(0.0, (self._until_ns - self._clock.mono_ns()) / 1e9)

    def offer(self, frame: Frame, result: FrameResult) -> None:
        """Stores a small copy of the frame if one is due."""
        now_ns = self._clock.mono_ns()
        if now_ns >= self._until_ns:
            self._picture = None
        elif now_ns >= self._due_ns:
            self._due_ns = now_ns + round(EVERY_S * 1e9)
            self._picture = SmallPicture(frame.seq, pixelated_copy(frame, result))

    def clear(self) -> None:
        """Deletes the present picture: nobody looks, or the camera is not read, and it would be outdated."""
        self._picture = self._jpeg = None
        self._due_ns = 0

    def state(self) -> PictureState:
        """The remaining time and the number of the present picture."""
        picture, remaining_s = self._picture, self.remaining_s()
        return PictureState(remaining_s, picture.seq if picture is not None and remaining_s > 0 else None)

    def jpeg(self) -> bytes | None:
        """The present picture as a JPEG file; None where there is none or the time is over."""
        picture = self._picture
        if picture is None or self.remaining_s() <= 0:
            self._picture = self._jpeg = None
            return None
        if self._jpeg is None or self._jpeg[0] != picture.seq:
            import cv2

            success, encoded = cv2.imencode(".jpg", picture.gray, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            self._jpeg = (picture.seq, encoded.tobytes()) if success else None
        return self._jpeg[1] if self._jpeg else None


def pixelated_copy(frame: Frame, result: FrameResult) -> np.ndarray:
    """The frame's picture, uint8 (h, w) at most `WIDTH_PX` wide, with the detected faces pixelated.

    The whole picture is pixelated when more faces were found than were read, because their positions are not known.
    """
    import cv2

    height, width = frame.gray.shape
    scale = min(1.0, WIDTH_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = cv2.resize(frame.gray, size, interpolation=cv2.INTER_AREA)
    if result.skipped:
        pixelate(picture, (0, 0, *size), size[0] / _PICTURE_BLOCKS)
        return picture
    for reading in result.readings:
        x, y, w, h = (value * scale for value in reading.face.xywh)
        left, top = int(x - w * _MARGIN), int(y - h * _MARGIN)
        right, bottom = int(x + w * (1 + _MARGIN)) + 1, int(y + h * (1 + _MARGIN)) + 1
        pixelate(picture, (left, top, right, bottom), (right - left) / _FACE_BLOCKS)
    return picture
