"""A USB camera, through V4L2."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from device.camera.frame import Frame
from device.camera.opencv import open_v4l2, to_gray
from device.camera.source import SourceDescription, SourceLost, errors_reported_as
from device.camera.v4l2 import why_no_camera
from device.clock import Clock
from device.config import Settings
from fer_edge.errors import CameraNotOpened

if TYPE_CHECKING:
    import cv2

UDEV_S = 2.0  # udev removes the links of an unplugged device within this time; a read fails before that
_POLL_S = 0.05


class UsbCamera:
    """The camera at `node`: /dev/video0, or a link to it, such as those of /dev/v4l/by-id, which stay when numbers change.

    A frame's time is when it was read, a few ms after it was taken.
    """

    live = True

    def __init__(self, node: Path, settings: Settings, clock: Clock) -> None:
        self._node, self._settings, self._clock = node, settings, clock
        self._reader: cv2.VideoCapture | None = None
        self._seq = 0
        self._size, self._fps = (0, 0), 0.0
        self._device = node  # what the node was when it was opened: /dev/video0

    def open(self) -> None:
        if not self._node.exists():
            raise CameraNotOpened(
                f"there is no camera {self._node}; plug one in, or name one that `ls /dev/video* /dev/v4l/*/*` lists; on "
                "the Pi's ribbon cable it is csi:0; to try a run without one: --camera synthetic, a video file, or a folder of "
                "pictures"
            )
        try:
            with errors_reported_as(CameraNotOpened, f"{self._node} does not open"):
                self._open_reader()
        except CameraNotOpened:
            self.close()
            raise

    def _open_reader(self) -> None:
        import cv2

        self._device = self._node.resolve()
        self._reader = open_v4l2(self._device, self._settings.stall_s)
        if not self._reader.isOpened():
            self.close()  # before the question why, or this process would be the one that uses it
            raise CameraNotOpened(why_no_camera(self._node))
        for key, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, self._settings.width_px),
            (cv2.CAP_PROP_FRAME_HEIGHT, self._settings.height_px),
            (cv2.CAP_PROP_FPS, self._settings.fps),
            (cv2.CAP_PROP_BUFFERSIZE, 1),  # queued frames would be old
        ):
            self._reader.set(key, value)  # a request: the driver uses the nearest supported value
        self._size = (
            int(self._reader.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._reader.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        self._fps = max(0.0, self._reader.get(cv2.CAP_PROP_FPS))

    def read(self) -> Frame | None:
        if self._reader is None:
            raise SourceLost(f"{self._node} is closed")
        with errors_reported_as(SourceLost, f"{self._node} gave no picture"):
            success, image = self._reader.read()
            if not success:
                raise SourceLost(f"{self._node} {'was unplugged' if self._is_unplugged() else 'gave no picture'}")
            frame = Frame(self._seq, self._clock.mono_ns(), to_gray(image))
        self._seq += 1
        return frame

    def _is_unplugged(self) -> bool:
        """Whether the device that was opened is gone, now or within UDEV_S, or the node is another device's by now."""
        end_ns = self._clock.mono_ns() + round(UDEV_S * 1e9)
        while self._node.exists() and self._node.resolve() == self._device:
            if self._clock.mono_ns() >= end_ns:
                return False
            self._clock.sleep(_POLL_S)
        return True

    def describe(self) -> SourceDescription:
        width, height = self._size
        return SourceDescription(
            "usb", str(self._node), width_px=width, height_px=height, fps=self._fps or None, time="when read"
        ).compared_with(self._settings)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.release()
            self._reader = None
