"""Watchers: who is shown each frame as it was processed, and the run's state at each turn, beside the events.

Sinks take what is worth a line; watchers what is not: the time each stage took, the frame's age, the picture while someone
looks at it. A run without watchers times nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from device.clock import Clock

if TYPE_CHECKING:
    from device.camera.frame import Frame
    from device.system.status import Status
    from device.vision.pipeline import StageCallback
    from device.vision.readings import FrameResult


class FrameObserver(Protocol):
    """What looks on from inside the loop, and so must be quick: no waiting, no disk, no network."""

    def frame(self, frame: Frame, seen: FrameResult, laps_s: Mapping[str, float], age_s: float | None) -> None:
        """A frame was processed: what it showed, the seconds of each stage that it needed, and its age now.

        A frame of a recording has no age.
        """
        ...

    def turn(self, status: Status) -> None:
        """A turn of the loop, some four a second and one a frame, with a frame or without."""
        ...


class FrameObservers:
    """All watchers of a run, and the watch that times its stages for them."""

    def __init__(self, clock: Clock, watchers: Sequence[FrameObserver] = ()) -> None:
        self._clock, self._watchers = clock, watchers
        self._laps_s: dict[str, float] = {}
        self._from_ns = 0

    def begin(self) -> StageCallback | None:
        """What is to be told of each stage of a frame as it ends; None where nobody watches."""
        if not self._watchers:
            return None
        self._laps_s, self._from_ns = {}, self._clock.mono_ns()
        return self._lap

    def frame(self, frame: Frame, seen: FrameResult, live: bool) -> None:
        """The frame was processed and its readings told."""
        if not self._watchers:
            return
        self._lap("write")
        age_s = (self._from_ns - frame.mono_ns) / 1e9 if live else None
        for watcher in self._watchers:
            watcher.frame(frame, seen, self._laps_s, age_s)

    def turn(self, status: Status) -> None:
        """A turn of the loop."""
        for watcher in self._watchers:
            watcher.turn(status)

    def _lap(self, stage: str) -> None:
        now_ns = self._clock.mono_ns()
        self._laps_s[stage] = (now_ns - self._from_ns) / 1e9
        self._from_ns = now_ns
