"""The wall clock, watched: that it was set, or can now be believed, as an event from which a reader rights earlier lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from device.clock import Stamp
from fer_edge.journal.clock_correction import posix_s

_MIN_STEP_S = 1.0  # slewing, which sets a clock right little by little, moves both clocks


@dataclass(frozen=True, slots=True)
class WallClock:
    """How the wall clock stood when it was last told of: `reckoning_s` is wall less mono."""

    reckoning_s: float
    state: str


def detect_change(before: WallClock | None, stamp: Stamp) -> tuple[WallClock, dict[str, Any] | None]:
    """The wall clock at a moment, and the body of a `clock` event if it was set since `before` or its state changed."""
    wall_s = posix_s(stamp.wall)
    assert wall_s is not None, f"a clock gave {stamp.wall!r} as the time"
    now = WallClock(wall_s - stamp.mono_ns / 1e9, stamp.clock)
    if before is None:
        return now, None
    offset_s = now.reckoning_s - before.reckoning_s
    if before.state == now.state and abs(offset_s) < _MIN_STEP_S:
        return before, None
    return now, {"offset_s": round(offset_s, 3), "from": before.state, "to": now.state}
