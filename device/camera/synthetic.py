"""A camera without hardware: a synthetic face at the frame rate of a real camera."""

from __future__ import annotations

from device.camera.frame import Frame
from device.camera.source import SourceDescription
from device.clock import Clock
from device.config import Settings

_MAX_SLEEP_NS = 500_000_000  # a low frame rate must not delay the end of a run


class SyntheticCamera:
    """A synthetic face that moves and changes its mouth and brows. The picture depends on the frame's number alone."""

    live = True

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._seq, self._due_ns = 0, 0

    def open(self) -> None:
        self._due_ns = self._clock.mono_ns()

    def read(self) -> Frame | None:
        from fer_edge.synthetic_face import face_frame

        wait_ns = self._due_ns - self._clock.mono_ns()
        self._clock.sleep(min(wait_ns, _MAX_SLEEP_NS) / 1e9)
        if wait_ns > _MAX_SLEEP_NS:
            return None
        settings = self._settings
        now_ns, interval_ns = self._clock.mono_ns(), round(1e9 / settings.fps)
        frame = Frame(self._seq, now_ns, face_frame(self._seq / settings.fps, settings.width_px, settings.height_px))
        self._seq += 1
        self._due_ns += interval_ns
        if self._due_ns < now_ns:  # after a delay there is no burst of frames to catch up
            self._due_ns = now_ns + interval_ns
        return frame

    def describe(self) -> SourceDescription:
        settings = self._settings
        return SourceDescription(
            "synthetic",
            "synthetic",
            width_px=settings.width_px,
            height_px=settings.height_px,
            fps=settings.fps,
            time="when drawn",
        )

    def close(self) -> None:
        pass
