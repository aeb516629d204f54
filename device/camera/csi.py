"""A camera on the Pi's ribbon cable, through picamera2: the Y plane of the small stream is gray without a conversion.

This file relies on these facts of picamera2 0.3.38: `capture_request(wait=seconds)` raises TimeoutError and leaves its job
in the queue; rows of YUV420 arrays are `stride` wide, which may be more than the picture; SensorTimestamp is in ns since
boot; Lux is the scene's brightness, independent of the exposure.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from typing import Any

from device.camera.frame import Frame
from device.camera.source import SourceDescription, SourceLost, errors_reported_as
from device.clock import Clock
from device.config import Settings
from fer_edge.errors import CameraNotOpened

_INSTALL_HINT = (
    "`sudo apt install python3-picamera2`, and make the environment with `python3 -m venv --system-site-packages`"
)
_READ_TIMEOUT_S = 1.0
_USB_ID = re.compile(r"-[0-9a-f]{4}:[0-9a-f]{4}$")  # libcamera ends the id of a USB camera with vendor and product


def list_csi_cameras() -> list[dict[str, Any]]:
    """The cameras that libcamera lists, as picamera2 describes them, without USB cameras, which V4L2 reads.

    Raises whatever the import of picamera2 or its list raises.
    """
    return [info for info in picamera2_class().global_camera_info() if not _USB_ID.search(str(info.get("Id", "")))]


def count_csi_cameras() -> int:
    """The number of CSI cameras that libcamera lists; 0 where libcamera or picamera2 does not work."""
    try:
        return len(list_csi_cameras())
    except Exception:  # any failure of that stack: V4L2 is tried next
        return 0


def picamera2_class() -> Any:
    """The class Picamera2; it comes with Raspberry Pi OS, never from pip. Raises whatever its import raises.

    It and libcamera write no line of their own to stderr, unless LIBCAMERA_LOG_LEVELS is set.
    """
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:FATAL")  # read by libcamera when it is imported
    logging.getLogger("picamera2").addHandler(logging.NullHandler())
    from picamera2 import Picamera2

    return Picamera2


class CsiCamera:
    """CSI camera `number` of libcamera's list; `open` raises CameraNotOpened with what to install when there is none."""

    live = True

    def __init__(self, number: int, settings: Settings, clock: Clock) -> None:
        self._number, self._settings, self._clock = number, settings, clock
        self._camera: Any = None
        self._seq = 0
        self._model, self._width, self._height = "", 0, 0

    def open(self) -> None:
        try:
            picamera2 = picamera2_class()
        except Exception as error:  # an incompatible numpy raises ValueError, a missing libcamera ImportError
            raise CameraNotOpened(f"picamera2 cannot be imported ({error}); {_INSTALL_HINT}") from error
        try:
            with errors_reported_as(
                CameraNotOpened,
                f"csi:{self._number} does not start",
                "; another program may have it; try `rpicam-hello`",
            ):
                self._start(picamera2)
        except CameraNotOpened:
            self.close()
            raise

    def _start(self, picamera2: Any) -> None:
        settings, listed = self._settings, list_csi_cameras()
        if self._number >= len(listed):
            raise CameraNotOpened(
                f"there is no camera csi:{self._number}, libcamera lists {len(listed)} that are not USB cameras; check the "
                "cable with the power off, then `rpicam-hello --list-cameras`"
            )
        self._model = str(listed[self._number].get("Model", "unknown"))
        # The number in the list is not always the one that opens it: USB cameras are sorted to its end.
        self._camera = picamera2(camera_num=listed[self._number].get("Num", self._number))
        size = (settings.width_px // 2 * 2, settings.height_px // 2 * 2)  # picamera2 requires even sides
        interval_us = round(1e6 / settings.fps)
        self._camera.configure(
            self._camera.create_video_configuration(
                main={"size": size},
                lores={"size": size, "format": "YUV420"},
                buffer_count=3,  # boards with 512 MB run out of memory for frames
                controls={"FrameDurationLimits": (interval_us, interval_us)},
                display=None,
                encode=None,
                queue=False,  # never a frame that was taken before the request
            )
        )
        self._camera.start()
        self._width, self._height = self._camera.stream_configuration("lores")["size"]

    def read(self) -> Frame | None:
        if self._camera is None:
            raise SourceLost(f"csi:{self._number} is closed")
        with errors_reported_as(SourceLost, f"csi:{self._number} gave no picture"):
            return self._read(self._camera)

    def _read(self, camera: Any) -> Frame | None:
        import numpy as np

        try:
            request = camera.capture_request(wait=_READ_TIMEOUT_S)
        except TimeoutError:
            camera.cancel_all_and_flush()  # otherwise the job is served later and holds a buffer for ever
            return None
        try:
            metadata = request.get_metadata()
            # Copied, so that the memory of the chroma and of each row's padding is released.
            gray = np.array(request.make_array("lores")[: self._height, : self._width], np.uint8, order="C")
        finally:
            request.release()
        now_ns = self._clock.mono_ns()
        taken_ns = int(metadata.get("SensorTimestamp", now_ns))
        if not now_ns - 10_000_000_000 < taken_ns <= now_ns:  # a driver that uses another clock
            taken_ns = now_ns
        frame = Frame(self._seq, taken_ns, gray)
        self._seq += 1
        return frame

    def describe(self) -> SourceDescription:
        return SourceDescription(
            "csi",
            f"csi:{self._number}",
            model=self._model,
            width_px=self._width,
            height_px=self._height,
            time="when exposed, by the sensor",
        ).compared_with(self._settings)

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            for release in (camera.cancel_all_and_flush, camera.stop, camera.close):
                with suppress(Exception):  # a camera that did not start, or is gone, may raise anything here
                    release()
