"""OpenCV's video capture, silent and with time limits: shared by the USB, network and file sources."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cv2
    import numpy as np


_FFMPEG_OPTIONS_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"  # a value that the user set is not changed
# FFmpeg analyses a stream for up to five seconds before it returns the first picture; 0.1 s after a key frame is enough.
# Not with `nobuffer`: it discards the analysed data and then waits for the next key frame (0.75 s more at one a second).
_RTSP_OPTIONS = "rtsp_transport;tcp|analyzeduration;100000"


def open_v4l2(node: Path, read_s: float) -> cv2.VideoCapture:
    """OpenCV's capture of a V4L2 node; `isOpened()` says whether it opened. A read ends after `read_s` rounded up."""
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(max(1, round(read_s + 0.5))))
    import cv2

    _silence()
    return cv2.VideoCapture(str(node), cv2.CAP_V4L2)


def open_video_capture(name: str, open_s: float = 5.0, read_s: float = 3.0) -> cv2.VideoCapture:
    """OpenCV's capture of a file or address, by FFmpeg; `isOpened()` says whether it opened.

    An HTTP address is not redirected to another. Only addresses need the limits.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    _silence()
    options = ""
    if name.startswith(("http://", "https://")):
        options = "max_redirects;0"
    elif name.startswith(("rtsp://", "rtsps://")):
        options = _RTSP_OPTIONS
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(open_s * 1e3), cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(read_s * 1e3)]
    if not options or _FFMPEG_OPTIONS_VARIABLE in os.environ:
        return cv2.VideoCapture(name, cv2.CAP_FFMPEG, limits)
    os.environ[_FFMPEG_OPTIONS_VARIABLE] = options
    try:
        return cv2.VideoCapture(name, cv2.CAP_FFMPEG, limits)
    finally:
        del os.environ[_FFMPEG_OPTIONS_VARIABLE]  # with these options a file would lose its last frame


@contextmanager
def ffmpeg_file_name(path: Path) -> Iterator[str]:
    """A name by which FFmpeg opens the file, whatever its own name, during the block.

    FFmpeg takes the part before a colon of a relative name for a protocol.
    """
    if is_utf8_name(path):
        yield str(path.absolute())
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def is_utf8_name(path: Path) -> bool:
    """Whether the absolute path is UTF-8; OpenCV crashes on another."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True


def _silence() -> None:
    """Keeps OpenCV's own lines off stderr: the sources report a failure in a sentence."""
    import cv2

    silent = 0
    if hasattr(cv2, "setLogLevel"):  # up to OpenCV 4.12, the newest for Raspberry Pi OS Bookworm
        cv2.setLogLevel(silent)
    else:
        cv2.utils.logging.setLogLevel(silent)


def to_gray(image: np.ndarray) -> np.ndarray:
    """An OpenCV image, uint8 (H, W), (H, W, 1) or (H, W, 3) in blue, green, red, converted to gray uint8 (H, W)."""
    import cv2

    if image.ndim == 2:
        return image
    return image[:, :, 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
