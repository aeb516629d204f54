"""Detects that the wall clock was set or became reliable, as an event by which a reader corrects earlier lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from device.clock import Stamp
from fer_edge.events import posix_s

if TYPE_CHECKING:
    from device.output.event_bodies import ClockBody

_MIN_STEP_S = 1.0  # slewing, which corrects a clock gradually, moves both clocks


@dataclass(frozen=True, slots=True)
class WallClock:
    """The wall clock when it was last reported: `offset_s` is wall time minus monotonic time."""

    offset_s: float
    state: str


def detect_change(before: WallClock | None, stamp: Stamp) -> tuple[WallClock | None, ClockBody | None]:
    """The wall clock now, and the body of a `clock` event if it was set since `before` or its state changed.

    A clock that shows 2100 or later tells no time, to readers of the journal too: it is reported once it is set.
    """
    wall_s = posix_s(stamp.wall)
    if wall_s is None:
        return before, None
    now = WallClock(wall_s - stamp.mono_ns / 1e9, stamp.clock)
    if before is None:
        return now, None
    offset_s = now.offset_s - before.offset_s
    if before.state == now.state and abs(offset_s) < _MIN_STEP_S:
        return before, None
    return now, {"offset_s": round(offset_s, 3), "from": before.state, "to": now.state}
