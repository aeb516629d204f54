"""The wall clock, watched: what is told of it, so that a reader can right earlier lines."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import FakeClock

from device.output.clock_changes import WallClock, detect_change


def test_a_clock_of_2100_or_later_tells_no_time() -> None:
    far, near = FakeClock(), FakeClock()
    far.wall_s = 4_102_531_200.0  # 2100-01-02
    assert detect_change(None, far.stamp()) == (None, None)
    wall, _ = detect_change(None, near.stamp())
    assert detect_change(wall, far.stamp()) == (wall, None)
    near.state = "synced"
    _, body = detect_change(wall, near.stamp())
    assert body == {"offset_s": 0.0, "from": "unsynced", "to": "synced"}, "once it is set again"


def test_a_step_or_a_new_state_of_the_clock_is_an_event() -> None:
    clock, wall = FakeClock(), None
    changes: list[dict[str, Any] | None] = []

    def look() -> None:
        nonlocal wall
        clock.now_ns += 1_000_000_000
        wall, body = detect_change(wall, clock.stamp())
        changes.append(body)

    clock.wall_s = 0.0  # 1970
    look()
    look()
    clock.wall_s, clock.state = 1_767_225_600.5, "synced"
    look()
    look()
    clock.wall_s -= 365 * 86_400.0
    look()
    clock.state = "unsynced"
    look()
    assert changes == [
        None,
        None,
        {"offset_s": 1_767_225_600.5, "from": "unsynced", "to": "synced"},
        None,
        {"offset_s": -31_536_000.0, "from": "synced", "to": "synced"},
        {"offset_s": 0.0, "from": "synced", "to": "unsynced"},
    ]


def test_small_steps_add_up_to_an_event() -> None:
    clock, wall = FakeClock(), None
    offsets_s = []
    for _ in range(30):
        wall, body = detect_change(wall, clock.stamp())
        offsets_s += [body["offset_s"]] if body else []
        clock.wall_s += 0.3
    assert offsets_s == pytest.approx([1.2] * 7, abs=0.002), "reported once the sum is more than a second"
    assert isinstance(wall, WallClock)
