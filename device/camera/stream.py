"""A camera on the network: MJPEG or any video over HTTP, or RTSP, through FFmpeg."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device.camera.camera_url import is_same_host, redact_url, redirected_to, with_password
from device.camera.frame import Frame
from device.camera.opencv import open_video_capture, to_gray
from device.camera.source import SourceDescription, SourceLost, errors_reported_as
from device.clock import Clock
from device.config import Settings
from fer_edge.errors import CameraNotOpened
from fer_edge.limits import FRAME_PIXELS

if TYPE_CHECKING:
    import cv2

_REDIRECTS = 4  # addresses that are tried, the first one included


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
        address = with_password(self._address, self._settings.camera_password_file)
        for _ in range(_REDIRECTS):
            with errors_reported_as(CameraNotOpened, f"{self._name} does not open"):
                self._reader = open_video_capture(address, open_s=limit_s, read_s=self._settings.stall_s)
            if self._reader.isOpened():
                break
            self.close()
            if not (target := redirected_to(address, limit_s)):
                break
            if not self._settings.camera_redirects and not is_same_host(address, target):
                raise CameraNotOpened(
                    f"{self._name} redirects to another host, {redact_url(target)}; name that one as the camera, or set "
                    "camera_redirects"
                )
            address = target
        if self._reader is None:
            raise CameraNotOpened(
                f"{self._name} gave no video within {limit_s:g} s; check the address, user and password, and that the "
                "camera is on"
            )
        width, height = (self._reader.get(name) for name in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if not 0 <= width * height <= FRAME_PIXELS:
            self.close()
            raise CameraNotOpened(
                f"{self._name} has pictures of {width:.0f} × {height:.0f} pixels; at most {FRAME_PIXELS:,} pixels are read; "
                "let the camera send smaller ones"
            )
        self._size = (int(width), int(height))

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
