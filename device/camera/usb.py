"""A USB camera, through V4L2."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from device.camera.frame import Frame
from device.camera.opencv import open_video_capture, to_gray
from device.camera.source import SourceDescription, SourceLost
from device.clock import Clock
from device.config import Settings
from fer_edge.errors import CameraNotOpened

if TYPE_CHECKING:
    import cv2


class UsbCamera:
    """The camera /dev/video<number>. A frame's time is when it was read, a few ms after it was taken."""

    live = True

    def __init__(self, number: int, settings: Settings, clock: Clock) -> None:
        self._number, self._settings, self._clock = number, settings, clock
        self._node = Path(f"/dev/video{number}")
        self._reader: cv2.VideoCapture | None = None
        self._seq = 0
        self._size = (0, 0)

    def open(self) -> None:
        import cv2

        if not self._node.exists():
            raise CameraNotOpened(
                f"there is no camera {self._node}; plug one in, or name one that `ls /dev/video*` lists; on the Pi's "
                "ribbon cable it is csi:0"
            )
        self._reader = open_video_capture(self._number, read_s=self._settings.stall_s)
        if not self._reader.isOpened():
            self.close()
            raise CameraNotOpened(
                f"{self._node} does not open as a camera; another program may have it, you may not be in the group "
                "“video”, or it is not the node that gives pictures: try the next number"
            )
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

    def read(self) -> Frame | None:
        if self._reader is None:
            raise SourceLost(f"{self._node} is closed")
        success, image = self._reader.read()
        if not success:
            raise SourceLost(f"{self._node} gave no picture" if self._node.exists() else f"{self._node} was unplugged")
        frame = Frame(self._seq, self._clock.mono_ns(), to_gray(image))
        self._seq += 1
        return frame

    def describe(self) -> SourceDescription:
        width, height = self._size
        return SourceDescription("usb", str(self._node), width_px=width, height_px=height, time="when read")

    def close(self) -> None:
        if self._reader is not None:
            self._reader.release()
            self._reader = None
