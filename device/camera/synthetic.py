"""A camera that needs no camera: a drawn face, at the pace that a real one would have."""

from __future__ import annotations

from typing import Any

from device.camera.frame import Frame
from device.clock import Clock
from device.config import Settings

_MAX_SLEEP_NS = 500_000_000  # a slow pace must not hold up the end of a run


class SyntheticCamera:
    """A drawn face that moves and changes its mouth and brows. What the picture shows depends on its number alone."""

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
        now_ns, step_ns = self._clock.mono_ns(), round(1e9 / settings.fps)
        frame = Frame(self._seq, now_ns, face_frame(self._seq / settings.fps, settings.width_px, settings.height_px))
        self._seq += 1
        self._due_ns += step_ns
        if self._due_ns < now_ns:  # held up: no burst of frames to make up for it
            self._due_ns = now_ns + step_ns
        return frame

    def describe(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "kind": "synthetic",
            "name": "synthetic",
            "width_px": settings.width_px,
            "height_px": settings.height_px,
            "fps": settings.fps,
            "time": "when drawn",
        }

    def close(self) -> None:
        pass
