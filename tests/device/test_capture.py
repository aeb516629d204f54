"""The thread between a source and the loop: freshness, order, counting, and what it does when a camera goes away."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from fakes import FakeClock, ScriptedSource

from device.camera import EndOfStream, SourceLost
from device.camera.capture import Capture
from device.clock import SystemClock
from device.config import Settings
from fer_edge.errors import CameraNotOpened, RestartMe

LONG_S = 10.0


def values(capture: Capture) -> list[int]:
    """The gray value of each frame until the recording ends."""
    seen = []
    try:
        while (frame := capture.take(LONG_S)) is not None:
            seen.append(int(frame.gray[0, 0]))
    except EndOfStream:
        pass
    return seen


def test_a_live_source_gives_the_newest_frame_and_counts_the_rest() -> None:
    gate = threading.Semaphore(0)
    source = ScriptedSource([10, 20, 30, 40], live=True, clock=SystemClock(), gate=gate)
    with Capture(source, Settings(), SystemClock()) as capture:
        for _ in range(3):
            gate.release()
            assert source.stored.acquire(timeout=LONG_S)
        frame = capture.take(LONG_S)
        assert frame is not None and (frame.seq, frame.gray[0, 0]) == (2, 30)
        assert capture.take(0.0) is None
        gate.release()
        assert source.stored.acquire(timeout=LONG_S)
    assert capture.read == 4
    assert capture.drops == {"busy": 2, "unread": 1}
    assert source.closes == 1


def test_a_recording_is_never_dropped_from() -> None:
    source = ScriptedSource(list(range(50)), live=False, clock=SystemClock())
    with Capture(source, Settings(), SystemClock()) as capture:
        assert values(capture) == list(range(50))
        assert (capture.read, capture.drops.total()) == (50, 0)
        with pytest.raises(EndOfStream):
            capture.take(LONG_S)


def test_an_unreadable_picture_of_a_recording_is_counted_and_passed_over() -> None:
    source = ScriptedSource([1, None, 3], live=False, clock=SystemClock())
    with Capture(source, Settings(), SystemClock()) as capture:
        assert values(capture) == [1, 3]
    assert (capture.read, dict(capture.drops)) == (3, {"unreadable": 1})


def test_leaving_a_recording_early_ends_the_thread_and_accounts_for_every_frame() -> None:
    source = ScriptedSource(list(range(50)), live=False, clock=SystemClock())
    with Capture(source, Settings(), SystemClock()) as capture:
        assert capture.take(LONG_S) is not None
    assert capture.read == 1 + capture.drops.total()
    assert set(capture.drops) <= {"unread"}
    assert "capture" not in [thread.name for thread in threading.enumerate()]
    assert source.closes == 1


def test_whatever_happens_in_the_thread_reaches_the_loop() -> None:
    source = ScriptedSource([1, ZeroDivisionError("in the driver")], live=False, clock=SystemClock())
    with Capture(source, Settings(), SystemClock()) as capture:
        assert capture.take(LONG_S) is not None
        with pytest.raises(ZeroDivisionError, match="in the driver"):
            capture.take(LONG_S)


@pytest.mark.parametrize("script", [[], [SourceLost("no picture came")]])
def test_a_camera_that_opens_and_gives_nothing_never_opened(script: list[Any]) -> None:
    source = ScriptedSource(script, live=True, clock=SystemClock())
    with (
        Capture(source, Settings(open_s=0.05), SystemClock()) as capture,
        pytest.raises(CameraNotOpened, match="no picture"),
    ):
        capture.take(LONG_S)


def test_a_camera_that_does_not_open_is_told_at_once_and_starts_no_thread() -> None:
    source = ScriptedSource([1], live=True, clock=SystemClock())
    source.failing_opens.append(CameraNotOpened("not there"))
    with pytest.raises(CameraNotOpened, match="not there"), Capture(source, Settings(), SystemClock()):
        raise AssertionError("entered without a camera")
    assert "capture" not in [thread.name for thread in threading.enumerate()]


def test_a_camera_that_was_lost_comes_back() -> None:
    source = ScriptedSource([1, SourceLost("unplugged"), 2], live=True, clock=FakeClock())
    source.failing_opens.extend([])
    with Capture(source, Settings(), FakeClock()) as capture:
        first = capture.take(LONG_S)
        second = capture.take(LONG_S)
        assert first is not None and second is not None
        assert (first.gray[0, 0], second.gray[0, 0]) == (1, 2)
        assert source.stored.acquire(timeout=LONG_S) and source.stored.acquire(timeout=LONG_S)
        changes = [capture.change(), capture.change(), capture.change()]
    assert [(c.state, c.reason) for c in changes if c] == [("lost", "unplugged"), ("back", "unplugged")]
    assert source.opens == 2


def test_a_camera_that_goes_silent_is_lost_too_and_asks_for_a_restart_in_the_end() -> None:
    source = ScriptedSource([1], live=True, clock=SystemClock())
    with Capture(source, Settings(open_s=0.05, stall_s=0.05, reopen_s=0.2), SystemClock()) as capture:
        assert capture.take(LONG_S) is not None
        with pytest.raises(RestartMe, match="did not come back"):
            capture.take(LONG_S)
        change = capture.change()
        assert change is not None and change.state == "lost" and "no picture for" in change.reason
        assert capture.change() is None
    assert RestartMe.exit_code == 75
