"""Frame observers: called with each processed frame, and with the run's status at each turn, beside the events.

Sinks receive events; observers receive what is not recorded: the time of each stage, the frame's age, and the picture while
somebody looks at it. A run without observers measures no times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from device.clock import Clock

if TYPE_CHECKING:
    from device.camera.frame import Frame
    from device.config import Settings
    from device.system.status_record import Status
    from device.vision.pipeline import StageCallback
    from device.vision.readings import FrameResult


class FrameObserver(Protocol):
    """An observer inside the loop. Its methods must return at once: no waiting, no disk, no network."""

    def on_frame(self, frame: Frame, result: FrameResult, stages_s: Mapping[str, float], age_s: float | None) -> None:
        """Called after a frame with its result, the seconds that each stage took, and its age; a recording has no age."""
        ...

    def on_turn(self, status: Status) -> None:
        """Called at each turn of the loop, some four a second and one a frame, with a frame or without."""
        ...

    def on_settings(self, settings: Settings) -> None:
        """Called after the settings were read again: those that may change during a run have other values."""
        ...


class FrameObservers:
    """All observers of a run; measures the times of a frame's stages for them."""

    def __init__(self, clock: Clock, observers: Sequence[FrameObserver] = ()) -> None:
        self._clock, self._observers = clock, observers
        self._stages_s: dict[str, float] = {}
        self._stage_started_ns = 0

    def start_frame(self) -> StageCallback | None:
        """The callback for the end of each stage of a frame; None where there is no observer."""
        if not self._observers:
            return None
        self._stages_s, self._stage_started_ns = {}, self._clock.mono_ns()
        return self._stage_ended

    def on_frame(self, frame: Frame, result: FrameResult, live: bool) -> None:
        """Calls all observers after a frame was processed and its readings were recorded."""
        if not self._observers:
            return
        self._stage_ended("write")
        age_s = (self._stage_started_ns - frame.mono_ns) / 1e9 if live else None
        for observer in self._observers:
            observer.on_frame(frame, result, self._stages_s, age_s)

    def on_turn(self, status: Status) -> None:
        """Calls all observers at a turn of the loop."""
        for observer in self._observers:
            observer.on_turn(status)

    def on_settings(self, settings: Settings) -> None:
        """Calls all observers after the settings were read again."""
        for observer in self._observers:
            observer.on_settings(settings)

    def _stage_ended(self, stage: str) -> None:
        now_ns = self._clock.mono_ns()
        self._stages_s[stage] = (now_ns - self._stage_started_ns) / 1e9
        self._stage_started_ns = now_ns
