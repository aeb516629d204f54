"""A copy of a recording with a box and a label at each face: the only file of the device that writes pictures.

It does so when the owner asks for it (`fer-edge label --annotate`) and of a recording that the owner has already. Faces are
pixelated in it: all that are found, whether they are read or not. That costs more than reading does, because every frame is
searched whole; a face that no search finds stays as it is.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from device.vision.pixelation import pixelate
from device.vision.search import SearchState
from fer_edge.detection.boxes import Square, square_iou
from fer_edge.detection.two_stage import TwoStageDetector, face_square
from fer_edge.errors import UsageError
from fer_edge.events import UNSURE

if TYPE_CHECKING:
    import cv2
    import numpy as np

    from device.camera.frame import Frame
    from device.vision.readings import Reading
    from fer_edge.detection.types import Detector

BLOCKS = 4  # a head is so many blocks across, each of one gray: less than tells one face from another
_MARGIN_FACTOR = 1.6  # side of what is pixelated, in sides of the face's square: ears, hair and chin are a face too
_NEIGHBOUR_FRAMES = 8  # frames before and after, in which a face that is missed there is pixelated where it was
_SAME_FACE_IOU = 0.1  # overlap, intersection over union, from which on two squares are about one face
_LONGEST_FRAME_S = 2.0  # a frame stands for so long at most where the next one is late
_FPS = 25.0  # where the recording tells none that makes sense
_COLOURS = ((60, 200, 60), (220, 160, 40), (60, 120, 240), (200, 90, 200), (60, 200, 220))  # by track; blue, green, red
_GRAY = (150, 150, 150)  # of a face that is unsure


@dataclass(frozen=True, slots=True)
class _BufferedFrame:
    """A frame until those after it were looked at."""

    frame: Frame
    time_s: float
    readings: tuple[Reading, ...]
    found: tuple[Square, ...]  # in this frame
    known: tuple[Square, ...]  # where the pipeline remembers faces that it did not find in this frame


class AnnotatedVideo:
    """A video being written to a new file at `path`, at the recording's pace. A context manager; it has no sound.

    At most 2 · 8 + 1 frames wait in it. Raises UsageError when the video cannot be written, or not all of it.
    """

    def __init__(self, path: Path, detector: Detector, fps: float, show_faces: bool) -> None:
        self._path, self._detector, self._show_faces = path, detector, show_faces
        self._fps = fps if 1 <= fps <= 240 else _FPS
        self._waiting: deque[_BufferedFrame] = deque()
        self._next = 0  # of those that wait, the first that is not written
        self._written = 0
        self._size = (0, 0)
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> AnnotatedVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while kind is None and self._next < len(self._waiting):
                self._write_next()
        finally:
            if self._writer is not None:
                self._writer.release()
        if kind is None:
            self._check()

    def add(self, frame: Frame, time_s: float, readings: Sequence[Reading], state: SearchState) -> None:
        """Takes a frame as the pipeline saw it, `time_s` into the recording, and what the pipeline remembers after it."""
        found: list[Square] = []
        known: list[Square] = []
        if not self._show_faces:
            detector, shape = self._detector, frame.gray.shape
            faces = (
                detector.search(frame.gray) if isinstance(detector, TwoStageDetector) else detector.detect(frame.gray)
            )
            found = [face_square(face, shape) for face in faces] + [
                face_square(reading.face, shape) for reading in readings
            ]
            known = [track.head for track in state.tracks]
        self._waiting.append(_BufferedFrame(frame, time_s, tuple(readings), tuple(found), tuple(known)))
        if len(self._waiting) - self._next > _NEIGHBOUR_FRAMES:
            self._write_next()

    def _write_next(self) -> None:
        now = self._waiting[self._next]
        after = self._waiting[self._next + 1] if self._next + 1 < len(self._waiting) else None
        picture = self._picture(now)
        # Where frames are late the last one stands longer, so that the copy goes with the recording's own time.
        due = self._written + 1 if after is None else round(after.time_s * self._fps)
        for _ in range(min(max(1, due - self._written), round(self._fps * _LONGEST_FRAME_S))):
            self._write(picture)
        if self._next == _NEIGHBOUR_FRAMES:
            self._waiting.popleft()
        else:
            self._next += 1

    def _picture(self, now: _BufferedFrame) -> np.ndarray:
        """The frame uint8 (H, W, 3) with what is drawn on it."""
        import cv2

        gray = now.frame.gray
        if not self._show_faces:
            gray = gray.copy()
            for at in self._hidden(now):
                pixelate_head(gray, at)
        picture = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
        for reading in now.readings:
            _draw(picture, reading)
        _draw_text(picture, f"{now.frame.seq}  {now.time_s:.2f} s", (6, picture.shape[0] - 8), (255, 255, 255))
        return picture

    def _hidden(self, now: _BufferedFrame) -> list[Square]:
        """Where faces are or may be: found in this frame, remembered, or found shortly before or after and missed now."""
        hidden = [*now.found, *now.known]
        for other in self._waiting:
            hidden += [at for at in other.found if all(square_iou(at, here) < _SAME_FACE_IOU for here in now.found)]
        return hidden

    def _write(self, picture: np.ndarray) -> None:
        import cv2

        if self._writer is None:
            self._size = (picture.shape[1] & ~1, picture.shape[0] & ~1)  # the codec wants even sides
            code = cv2.VideoWriter_fourcc(*"mp4v")  # type: ignore[attr-defined]
            self._writer = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, code, self._fps, self._size)
            if not self._writer.isOpened():
                raise UsageError(f"OpenCV cannot write a video of {self._size[0]}×{self._size[1]} px to {self._path}")
        width, height = self._size
        if picture.shape[0] - height not in (0, 1) or picture.shape[1] - width not in (0, 1):
            picture = cv2.resize(picture, self._size)  # the recording changed its size on the way
        self._writer.write(picture[:height, :width])
        self._written += 1

    def _check(self) -> None:
        """Raises UsageError unless all frames are in the file: OpenCV does not tell of a full disk."""
        from device.camera.opencv import open_video_capture

        if self._writer is None:
            return
        there = open_video_capture(str(self._path))
        try:
            import cv2

            frames = round(there.get(cv2.CAP_PROP_FRAME_COUNT))
        finally:
            there.release()
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
    said = f"{UNSURE} ({reading.why})" if unsure and reading.why else f"{reading.steady or reading.label} {p:.0%}"
    _draw_text(picture, f"{reading.track}: {said}", (max(0, x), y - 6 if y >= 20 else y + height + 16), colour)


def _draw_text(picture: np.ndarray, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Writes on a dark edge, so that it can be read on anything. OpenCV has no signs beyond ASCII."""
    import cv2

    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    for shade, thick in (((0, 0, 0), 3), (colour, 1)):
        cv2.putText(picture, plain, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, shade, thick, cv2.LINE_AA)
