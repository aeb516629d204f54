"""A camera on the network: MJPEG or any video over HTTP, or RTSP, through FFmpeg."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device.camera.frame import Frame
from device.camera.opencv import open_video_capture, to_gray
from device.camera.source import SourceDescription, SourceLost, errors_reported_as, redact_url
from device.clock import Clock
from device.config import Settings
from fer_edge.errors import CameraNotOpened

if TYPE_CHECKING:
    import cv2


class NetworkStream:
    """The video at an address. A frame's time is when it arrived; its age at that moment is unknown.

    All frames have the size that the stream had when it was opened: OpenCV scales later frames of another size.
    """

    live = True

    def __init__(self, address: str, settings: Settings, clock: Clock) -> None:
        self._address, self._settings, self._clock = address, settings, clock
        self._name = redact_url(address)
        self._reader: cv2.VideoCapture | None = None
        self._seq = 0
        self._size = (0, 0)

    def open(self) -> None:
        import cv2

        limit_s = self._settings.open_s
        with errors_reported_as(CameraNotOpened, f"{self._name} does not open"):
            self._reader = open_video_capture(self._address, open_s=limit_s, read_s=self._settings.stall_s)
        if not self._reader.isOpened():
            self.close()
            raise CameraNotOpened(
                f"{self._name} gave no video within {limit_s:g} s; check the address, user and password, and that the "
                "camera is on"
            )
        self._size = (
            int(self._reader.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._reader.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )

    def read(self) -> Frame | None:
        if self._reader is None:
            raise SourceLost(f"{self._name} is closed")
        read_started_ns = self._clock.mono_ns()
        with errors_reported_as(SourceLost, f"{self._name} gave no picture"):
            success, image = self._reader.read()
        # After a silence FFmpeg still returns frames that its decoder had buffered, one for each wait that timed out.
        timed_out = self._clock.mono_ns() - read_started_ns >= self._settings.stall_s * 1e9
        if timed_out or not success:  # FFmpeg does not say whether the other side closed or went silent
            raise SourceLost(f"{self._name} ended or gave nothing for {self._settings.stall_s:g} s")
        frame = Frame(self._seq, self._clock.mono_ns(), to_gray(image))
        self._seq += 1
        return frame

    def describe(self) -> SourceDescription:
        width, height = self._size
        return SourceDescription("stream", self._name, width_px=width, height_px=height, time="when received")

    def close(self) -> None:
        if self._reader is not None:
            self._reader.release()
            self._reader = None
