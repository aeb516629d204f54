"""Recordings: a video file and a folder of images. Every frame is read, as fast as the loop processes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from device.camera.frame import Frame
from device.camera.opencv import open_video_capture, to_gray
from device.camera.source import EndOfStream, SourceDescription
from device.clock import Clock
from device.config import Settings
from fer_edge.errors import CameraNotOpened
from fer_edge.media_files import PICTURE_SUFFIXES, head_of, is_picture

if TYPE_CHECKING:
    import cv2
    import numpy as np


class VideoFile:
    """A video file. A frame's time is the start of the run plus the frame's position in the video.

    Once the file is open, `fps` and `reported_frames` are what the container says, 0 where it says nothing; both may be wrong.
    """

    live = False

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._reader: cv2.VideoCapture | None = None
        self._first: np.ndarray | None = None
        self._start_ns: int | None = None  # of the run: when the first frame is read
        self._seq, self._last_ns, self._frame_interval_ns = 0, -1, 0
        self._size = (0, 0)
        self.fps, self.reported_frames = 0.0, 0

    @property
    def frame_interval_s(self) -> float:
        """The time between two frames by the frame rate, in seconds."""
        return self._frame_interval_ns / 1e9

    def open(self) -> None:
        import cv2

        self.close()
        self._reader = open_video_capture(str(self._path))
        success, image = self._reader.read()
        if not success:
            self.close()
            raise CameraNotOpened(f"{self._path} cannot be read as a video; check that it plays, or convert it to mp4")
        self.fps = max(0.0, self._reader.get(cv2.CAP_PROP_FPS))
        self.reported_frames = max(0, round(self._reader.get(cv2.CAP_PROP_FRAME_COUNT)))
        self._frame_interval_ns = round(1e9 / self.fps) if self.fps > 0 else 40_000_000
        self._first, self._start_ns, self._last_ns = to_gray(image), None, -1
        self._size = (self._first.shape[1], self._first.shape[0])

    def read(self) -> Frame | None:
        import cv2

        if self._reader is None:
            raise EndOfStream
        if self._first is not None:
            gray, self._first = self._first, None
        else:
            success, image = self._reader.read()
            if not success:
                raise EndOfStream
            gray = to_gray(image)
        at_ns = round(self._reader.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        if at_ns <= self._last_ns:  # some containers have no times; the frame rate is used instead
            at_ns = self._last_ns + self._frame_interval_ns
        self._last_ns = at_ns
        if self._start_ns is None:
            self._start_ns = self._clock.mono_ns()
        frame = Frame(self._seq, self._start_ns + at_ns, gray)
        self._seq += 1
        return frame

    def describe(self) -> SourceDescription:
        return SourceDescription(
            "video",
            self._path.name,  # without its folder, whose name may be a person's
            width_px=self._size[0],
            height_px=self._size[1],
            time="start of the run plus position in the video; read as fast as it is processed",
        )

    def close(self) -> None:
        self._first = None
        if self._reader is not None:
            self._reader.release()
            self._reader = None


class ImageFolder:
    """The images of a folder in the order of their names, without subfolders.

    A frame's time is the start of the run plus its position divided by the frame rate.
    """

    live = False

    def __init__(self, path: Path, settings: Settings, clock: Clock) -> None:
        self._path, self._clock, self._fps = path, clock, settings.fps
        self._files: list[Path] = []
        self._seq = 0
        self._start_ns: int | None = None

    def open(self) -> None:
        try:
            self._files = sorted(p for p in self._path.iterdir() if p.is_file() and is_picture(p.name, head_of(p)))
        except OSError as error:
            raise CameraNotOpened(f"the folder {self._path} cannot be listed: {error.strerror}") from error
        if not self._files:
            raise CameraNotOpened(f"the folder {self._path} holds no images ({', '.join(PICTURE_SUFFIXES)})")
        self._seq, self._start_ns = 0, None

    def read(self) -> Frame | None:
        import cv2
        import numpy as np

        if self._seq >= len(self._files):
            raise EndOfStream
        if self._start_ns is None:
            self._start_ns = self._clock.mono_ns()
        seq, path = self._seq, self._files[self._seq]
        self._seq += 1
        try:
            encoded = np.fromfile(path, np.uint8)
            gray = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE) if len(encoded) else None
        except (OSError, cv2.error):
            gray = None
        return None if gray is None else Frame(seq, self._start_ns + round(seq * 1e9 / self._fps), gray)

    def describe(self) -> SourceDescription:
        return SourceDescription(
            "images",
            self._path.name,
            images=len(self._files),
            time=f"start of the run plus position at {self._fps:g} a second; read as fast as they are processed",
        )

    def close(self) -> None:
        self._files = []
