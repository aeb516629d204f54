"""A camera on the network: MJPEG or any video over HTTP, or RTSP, through FFmpeg."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device.camera.frame import Frame
from device.camera.opencv import open_video_capture, to_gray
from device.camera.source import SourceLost, redact_url
from device.clock import Clock
from device.config import Settings
from fer_edge.errors import CameraNotOpened

if TYPE_CHECKING:
    import cv2


class NetworkStream:
    """The video at an address. Frames are stamped when they arrive; how old they are then, nobody tells.

    All have the size that the stream had when it was opened: OpenCV scales what comes later in another.
    """

    live = True

    def __init__(self, address: str, settings: Settings, clock: Clock) -> None:
        self._address, self._settings, self._clock = address, settings, clock
        self._shown = redact_url(address)
        self._reader: cv2.VideoCapture | None = None
        self._seq = 0
        self._size = (0, 0)

    def open(self) -> None:
        import cv2

        limit_s = self._settings.open_s
        self._reader = open_video_capture(self._address, open_s=limit_s, read_s=self._settings.stall_s)
        if not self._reader.isOpened():
            self.close()
            raise CameraNotOpened(
                f"{self._shown} gave no video within {limit_s:g} s; check the address, user and password, and that the "
                "camera is on"
            )
        self._size = (
            int(self._reader.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._reader.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )

    def read(self) -> Frame | None:
        if self._reader is None:
            raise SourceLost(f"{self._shown} is closed")
        asked_ns = self._clock.mono_ns()
        good, image = self._reader.read()
        # After a silence FFmpeg still hands out the frames its decoder had kept back, one for each wait that was in vain.
        silent = self._clock.mono_ns() - asked_ns >= self._settings.stall_s * 1e9
        if silent or not good:  # FFmpeg does not say whether the other side closed or went silent
            raise SourceLost(f"{self._shown} ended or gave nothing for {self._settings.stall_s:g} s")
        frame = Frame(self._seq, self._clock.mono_ns(), to_gray(image))
        self._seq += 1
        return frame

    def describe(self) -> dict[str, Any]:
        width, height = self._size
        return {"kind": "stream", "name": self._shown, "width_px": width, "height_px": height, "time": "when received"}

    def close(self) -> None:
        if self._reader is not None:
            self._reader.release()
            self._reader = None
