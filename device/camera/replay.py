"""Recordings: a video file and a folder of images. Every frame is read, as fast as the loop processes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from device.camera.edit_list import edited_duration_s
from device.camera.frame import Frame
from device.camera.matroska_start import matroska_start_s
from device.camera.opencv import ffmpeg_file_name, open_video_capture, to_gray
from device.camera.source import EndOfStream, SourceDescription
from device.clock import Clock
from device.config import Settings
from fer_edge.errors import CameraNotOpened
from fer_edge.media_files import PICTURE_SUFFIXES, head_of, is_picture_file
from fer_edge.text_cleaning import clean

if TYPE_CHECKING:
    import cv2
    import numpy as np


_ASSUMED_FPS = 25.0  # of a recording that states no rate; FFmpeg assumes the same
_MOST_FPS = 1e6  # a stated rate beyond is none
_MOST_POSITION_MS = 1e12
# a longer time without a frame, in seconds and in intervals of the frame rate, is named
_GAP_S, _GAP_INTERVALS = 1.0, 10.0
_WHOLE_SHARE = 0.95  # share of the stated frames or length from which a recording counts as read to its end
_JPEG_START = b"\xff\xd8\xff"


def is_raw_video(path: Path) -> bool:
    """Whether the file is a raw stream of H.264, H.265 or JPEG pictures, which has no times, judged by its first bytes.

    Raw MPEG-1, MPEG-2 and MPEG-4 state their rate; their start codes, and those of MPEG's containers, are others.
    """
    head = head_of(path)[:5]
    if head.startswith(_JPEG_START):
        return True
    _, start_code, unit = head.partition(b"\x00\x00\x01")
    return bool(start_code and unit) and 0x06 <= unit[0] < 0x80


ASSUMED_TEXT = f"is a raw recording without times: {_ASSUMED_FPS:g} frames/s are assumed; give its rate with --raw-fps"


def gap_text(gap_s: tuple[float, float]) -> str:
    """A sentence's end on a recording: where it has no frame for long. A variable rate, or a part that is damaged."""
    return f"has no frame from {gap_s[0]:.1f} to {gap_s[1]:.1f} s"


class VideoFile:
    """A video file. A frame's time is the start of the run plus the frame's position in the video.

    Once the file is open, `fps` and `reported_frames` are what the container says, 0 where it says nothing; both may be wrong.
    A raw recording has no times: `raw_fps` gives its rate; else 25 frames/s are assumed, which `log` gets in a sentence, and
    `assumed_fps` has the rate.
    """

    live = False

    def __init__(
        self, path: Path, clock: Clock, raw_fps: float | None = None, log: Callable[[str], None] = lambda _: None
    ) -> None:
        self._path, self._clock, self._raw_fps, self._log = path, clock, raw_fps, log
        self._raw = False
        self.assumed_fps: float | None = None
        self._reader: cv2.VideoCapture | None = None
        self._first: np.ndarray | None = None
        self._start_ns: int | None = None  # of the run: when the first frame is read
        self._seq, self._last_ns, self._frame_interval_ns = 0, -1, 0
        self._size = (0, 0)
        self.fps, self.reported_frames = 0.0, 0
        # the longest time without a frame, in seconds of the video, where it is unusually long
        self.gap_s: tuple[float, float] | None = None

    @property
    def frame_interval_s(self) -> float:
        """The time between two frames by the frame rate, in seconds."""
        return self._frame_interval_ns / 1e9

    def open(self) -> None:
        import cv2

        self.close()
        try:
            with ffmpeg_file_name(self._path) as name:
                self._reader = open_video_capture(name)
        except OSError as error:
            raise CameraNotOpened(f"{self._path} cannot be read: {error.strerror}") from error
        try:
            self._first = _next_picture(self._reader)
        except EndOfStream:
            self._first = None
        if self._first is None:
            self.close()
            raise CameraNotOpened(f"{self._path} cannot be read as a video; check that it plays, or convert it to mp4")
        self._raw = is_raw_video(self._path)
        self.assumed_fps = _ASSUMED_FPS if self._raw and self._raw_fps is None else None
        if self.assumed_fps is not None:
            self._log(f"{self._path.name} {ASSUMED_TEXT}")
        stated = (self._raw_fps or 0.0) if self._raw else self._reader.get(cv2.CAP_PROP_FPS)
        self.fps = stated if 1 / _MOST_FPS < stated < _MOST_FPS else 0.0
        frames = self._reader.get(cv2.CAP_PROP_FRAME_COUNT) - self.fps * matroska_start_s(self._path)
        self.reported_frames = round(frames) if 0 < frames < math.inf else 0
        self._frame_interval_ns = round(1e9 / (self.fps or _ASSUMED_FPS))
        self._start_ns, self._last_ns, self.gap_s = None, -1, None
        self._size = (self._first.shape[1], self._first.shape[0])

    def read(self) -> Frame | None:
        import cv2

        if self._reader is None:
            raise EndOfStream
        gray, self._first = self._first, None
        if gray is None:
            try:
                gray = _next_picture(self._reader)
            except EndOfStream:
                if not self.is_whole(self._seq, self._last_ns / 1e9 + self.frame_interval_s):
                    self._log(
                        f"{self._path.name} ended after {self._seq} frames; its container states {self.reported_frames}"
                    )
                elif self.gap_s is not None:
                    self._log(f"{self._path.name} {gap_text(self.gap_s)}")
                raise
        position_ms = self._reader.get(cv2.CAP_PROP_POS_MSEC)
        at_ns = round(position_ms * 1e6) if 0 <= position_ms < _MOST_POSITION_MS else -1
        if self._raw:
            at_ns = self._seq * self._frame_interval_ns
        elif at_ns <= self._last_ns:  # some containers have no times; the frame rate is used instead
            at_ns = self._last_ns + self._frame_interval_ns if self._seq else 0
        self._note_gap(self._last_ns / 1e9, at_ns / 1e9)
        self._last_ns = at_ns
        if self._start_ns is None:
            self._start_ns = self._clock.mono_ns()
        seq, self._seq = self._seq, self._seq + 1
        return None if gray is None else Frame(seq, self._start_ns + at_ns, gray)

    def _note_gap(self, before_s: float, at_s: float) -> None:
        known_s = self.gap_s[1] - self.gap_s[0] if self.gap_s else max(_GAP_S, _GAP_INTERVALS * self.frame_interval_s)
        if self._seq and at_s - before_s > known_s:
            self.gap_s = before_s, at_s

    def is_whole(self, frames: int, seconds: float) -> bool:
        """Whether the container's frames were read, or its seconds where its number of frames is only approximate.

        Of a file with an edit list, what that leaves of it.
        """
        edited_s = edited_duration_s(self._path)
        if edited_s is not None and seconds >= edited_s * _WHOLE_SHARE:
            return True
        least = self.reported_frames * _WHOLE_SHARE
        return least <= 0 or frames >= least or seconds >= least * self.frame_interval_s

    def describe(self) -> SourceDescription:
        given = f" at {self.fps:g} frames/s, as given" if self._raw else ""
        rate = f" at {self.assumed_fps:g} frames/s, which is assumed" if self.assumed_fps else given
        return SourceDescription(
            "video",
            clean(self._path.name),  # without its folder, whose name may be a person's
            width_px=self._size[0],
            height_px=self._size[1],
            time=f"start of the run plus position in the video{rate}; read as fast as it is processed",
        )

    def close(self) -> None:
        self._first = None
        if self._reader is not None:
            self._reader.release()
            self._reader = None


def _next_picture(reader: cv2.VideoCapture) -> np.ndarray | None:
    """The next picture, uint8 (H, W); None where it cannot be decoded. Raises EndOfStream behind the last one."""
    import cv2

    try:
        success, image = reader.read()
        if not success:
            raise EndOfStream
        return to_gray(image)
    except (cv2.error, MemoryError, OverflowError):
        return None


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
            self._files = sorted(p for p in self._path.iterdir() if p.is_file() and is_picture_file(p))
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
        except (OSError, cv2.error, MemoryError, OverflowError):
            gray = None
        return None if gray is None else Frame(seq, self._start_ns + round(seq * 1e9 / self._fps), gray)

    def describe(self) -> SourceDescription:
        return SourceDescription(
            "images",
            clean(self._path.name),
            images=len(self._files),
            time=f"start of the run plus position at {self._fps:g} a second; read as fast as they are processed",
        )

    def close(self) -> None:
        self._files = []
