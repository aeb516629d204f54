"""A copy of a recording with a box and a label at each face: the only module of the device that writes pictures.

It runs only on request (`fer-edge label --annotate`), on a recording that the owner already has. All detected faces are
pixelated, classified or not. Every frame is searched completely for that, which costs more than labelling itself; a face that
no search finds stays visible.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from device.camera.opencv import ffmpeg_file_name, is_utf8_name, open_video_capture
from device.vision.pixelation import pixelate
from device.vision.search import SearchState
from fer_edge.detection.boxes import Square, square_iou
from fer_edge.detection.tiles import far_tiles
from fer_edge.detection.two_stage import TwoStageDetector, face_square
from fer_edge.errors import UsageError
from fer_edge.events import UNSURE

if TYPE_CHECKING:
    import cv2
    import numpy as np

    from device.camera.frame import Frame
    from device.vision.readings import Reading
    from fer_edge.detection.types import Detector, Face

BLOCKS = 4  # blocks of one gray across a head: too coarse to recognize a face
_MARGIN_FACTOR = 1.6  # side of the pixelated area, in sides of the face's square: it covers ears, hair and chin
_NEIGHBOUR_FRAMES = 8  # before and after a detection, in which a face that is missed there is pixelated too
_SAME_FACE_IOU = 0.1  # intersection over union from which two squares count as the same face
_LONGEST_FRAME_S = 2.0  # the longest that a frame is repeated when the next one is late
_FPS = 25.0  # if the recording states no plausible frame rate
_COLOURS = ((60, 200, 60), (220, 160, 40), (60, 120, 240), (200, 90, 200), (60, 200, 220))  # by track; blue, green, red
_GRAY = (150, 150, 150)  # of a face that is unsure


@dataclass(frozen=True, slots=True)
class _BufferedFrame:
    """A frame that waits until the frames after it were searched."""

    frame: Frame
    time_s: float
    readings: tuple[Reading, ...]
    found: tuple[Square, ...]  # faces detected in this frame
    tracked: tuple[Square, ...]  # last positions of the pipeline's tracks


class AnnotatedVideo:
    """Writes a video without sound to a new file at `path`, at the recording's frame rate. A context manager.

    `far_px` is the size of the smallest faces that the labelling searches tiles for. At most 2 · 8 + 1 frames are buffered.
    Raises UsageError when the video cannot be written completely.
    """

    def __init__(self, path: Path, detector: Detector, fps: float, show_faces: bool, far_px: int | None = None) -> None:
        self._path, self._detector, self._show_faces, self._far_px = path, detector, show_faces, far_px
        self._fps = round(fps, 2) if 1 <= fps <= 240 else _FPS  # MPEG-4 has 16 bits for the denominator of a time
        self._buffer: deque[_BufferedFrame] = deque()
        self._next = 0  # index in the buffer of the next frame to write
        self._written = 0
        self._left_out_s = 0.0  # of frames longer than _LONGEST_FRAME_S
        self._size = (0, 0)
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> AnnotatedVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while kind is None and self._next < len(self._buffer):
                self._write_next()
        finally:
            if self._writer is not None:
                self._writer.release()
        if kind is None:
            self._check()

    def add(self, frame: Frame, time_s: float, readings: Sequence[Reading], state: SearchState) -> None:
        """Adds a frame, `time_s` into the recording, with its readings and the pipeline's state after it."""
        found: list[Square] = []
        tracked: list[Square] = []
        if not self._show_faces:
            shape = frame.gray.shape
            faces = [*self._search(frame.gray), *(reading.face for reading in readings)]
            found = [face_square(face, shape) for face in faces]
            tracked = [track.head for track in state.tracks]
        self._buffer.append(_BufferedFrame(frame, time_s, tuple(readings), tuple(found), tuple(tracked)))
        if len(self._buffer) - self._next > _NEIGHBOUR_FRAMES:
            self._write_next()

    def _search(self, gray: np.ndarray) -> list[Face]:
        """The faces in a whole frame, and with `far_px` in all of its tiles: the loop searches a few of them in each frame."""
        detector = self._detector
        if not isinstance(detector, TwoStageDetector):
            return detector.detect(gray)
        tiles = () if self._far_px is None else far_tiles(gray.shape, self._far_px)
        return [*detector.search(gray), *(face for tile in tiles for face in detector.search_tile(gray, tile))]

    def _write_next(self) -> None:
        current = self._buffer[self._next]
        following = self._buffer[self._next + 1] if self._next + 1 < len(self._buffer) else None
        picture = self._picture(current)
        # When the next frame is late this one is repeated, and it is left out when the next one is due already: the copy keeps
        # the recording's times.
        copies, most = 1, round(self._fps * _LONGEST_FRAME_S)
        if following is not None:
            copies = round((following.time_s - self._left_out_s) * self._fps) - self._written
        if copies > most:
            self._left_out_s += (copies - most) / self._fps
        for _ in range(min(copies, most)):
            self._write(picture)
        if self._next == _NEIGHBOUR_FRAMES:
            self._buffer.popleft()
        else:
            self._next += 1

    def _picture(self, current: _BufferedFrame) -> np.ndarray:
        """The annotated frame, uint8 (H, W, 3)."""
        import cv2

        gray = current.frame.gray
        if not self._show_faces:
            gray = gray.copy()
            for square in self._face_squares(current):
                pixelate_head(gray, square)
        picture = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
        for reading in current.readings:
            _draw(picture, reading)
        _draw_text(picture, f"{current.frame.seq}  {current.time_s:.2f} s", (6, picture.shape[0] - 8), (255, 255, 255))
        return picture

    def _face_squares(self, current: _BufferedFrame) -> list[Square]:
        """Where faces are or may be: detected in this frame, tracked, or detected only in the frames before and after."""
        squares = [*current.found, *current.tracked]
        for other in self._buffer:
            squares += [
                square
                for square in other.found
                if all(square_iou(square, found) < _SAME_FACE_IOU for found in current.found)
            ]
        return squares

    def _write(self, picture: np.ndarray) -> None:
        import cv2

        if self._writer is None:
            self._size = (picture.shape[1] & ~1, picture.shape[0] & ~1)  # the codec needs even sides
            code = cv2.VideoWriter_fourcc(*"mp4v")  # type: ignore[attr-defined]
            if not is_utf8_name(self._path):
                raise UsageError(
                    f"OpenCV cannot write a video into {self._path.parent}; name another folder with --out"
                )
            self._writer = cv2.VideoWriter(str(self._path.absolute()), cv2.CAP_FFMPEG, code, self._fps, self._size)
            if not self._writer.isOpened():
                raise UsageError(f"OpenCV cannot write a video of {self._size[0]}×{self._size[1]} px to {self._path}")
        width, height = self._size
        if picture.shape[0] - height not in (0, 1) or picture.shape[1] - width not in (0, 1):
            picture = cv2.resize(picture, self._size)  # the recording changed its frame size
        self._writer.write(picture[:height, :width])
        self._written += 1

    def _check(self) -> None:
        """Raises UsageError unless all frames are in the file: OpenCV does not report a full disk."""
        if self._writer is None:
            return
        with ffmpeg_file_name(self._path) as name:
            video = open_video_capture(name)
        try:
            import cv2

            frames = round(video.get(cv2.CAP_PROP_FRAME_COUNT))
        finally:
            video.release()
        if frames != self._written:
            raise UsageError(f"{frames} of {self._written} frames are in {self._path.name}; is the disk full?")


def pixelate_head(gray: np.ndarray, head_square: Square) -> None:
    """Pixelates a head's square of a frame uint8 (H, W), and a margin around it, in blocks of a BLOCKS-th of its side."""
    left, top, size = head_square
    side = round(size * _MARGIN_FACTOR)
    x, y = left - (side - size) // 2, top - (side - size) // 2
    pixelate(gray, (x, y, x + side, y + side), size / BLOCKS)


def _draw(picture: np.ndarray, reading: Reading) -> None:
    import cv2

    x, y, width, height = reading.face.xywh
    unsure = reading.steady == UNSURE
    colour = _GRAY if unsure else _COLOURS[(reading.track or 0) % len(_COLOURS)]
    cv2.rectangle(picture, (x, y), (x + width, y + height), colour, 2)
    p = float(max(reading.probs if reading.steady_probs is None else reading.steady_probs))
    label = f"{UNSURE} ({reading.why})" if unsure and reading.why else f"{reading.steady} {p:.0%}"
    _draw_text(picture, f"{reading.track}: {label}", (max(0, x), y - 6 if y >= 20 else y + height + 16), colour)


def _draw_text(picture: np.ndarray, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Draws text with a dark outline, legible on any background. OpenCV only has ASCII characters."""
    import cv2

    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    for shade, thick in (((0, 0, 0), 3), (colour, 1)):
        cv2.putText(picture, plain, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, shade, thick, cv2.LINE_AA)
