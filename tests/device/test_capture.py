"""The thread between a source and the loop: freshness, order, counting, and what it does when a camera goes away."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from fakes import FakeClock, ScriptedSource

from device.camera.capture import Capture
from device.camera.source import CameraChange, EndOfStream, SourceLost
from device.camera.time_limits import reopen_delay_s
from device.clock import SystemClock
from device.config import Settings
from fer_edge.errors import CameraNotOpened, FerEdgeError, RestartNeeded, UsageError

LONG_S = 10.0


def values(capture: Capture) -> list[int]:
    """The gray value of each frame until the recording ends."""
    seen = []
    try:
        while (frame := capture.next_frame(LONG_S)) is not None:
            seen.append(int(frame.gray[0, 0]))
    except EndOfStream:
        pass
    return seen


def test_a_live_source_returns_the_newest_frame_and_counts_the_rest() -> None:
    gate = threading.Semaphore(0)
    source = ScriptedSource([10, 20, 30, 40], live=True, clock=SystemClock(), gate=gate)
    with Capture(source, Settings(), SystemClock()) as capture:
        for _ in range(3):
            gate.release()
            assert source.stored.acquire(timeout=LONG_S)
        frame = capture.next_frame(LONG_S)
        assert frame is not None and (frame.seq, frame.gray[0, 0]) == (2, 30)
        assert capture.next_frame(0.0) is None
        gate.release()
        assert source.stored.acquire(timeout=LONG_S)
    assert capture.read == 4
    assert capture.drops == {"busy": 2, "unread": 1}
    assert source.closes == 1


def test_a_silence_that_stall_s_allows_is_no_fault_of_the_loop() -> None:
    """The watchdog of a service is fed in it: its minute is less than a long `stall_s`."""
    gate, clock = threading.Semaphore(1), FakeClock()
    source = ScriptedSource([10, 20], live=True, clock=clock, gate=gate)
    with Capture(source, Settings(stall_s=90), clock) as capture:
        assert capture.next_frame(LONG_S) is not None and not capture.silent
        told = []
        for seconds in (1, 2, 90, 5):  # 1, 3, 93 and 98 in all: a read may take 5 s more
            clock.now_ns += seconds * 10**9
            told.append(capture.silent)
        gate.release()
    assert told == [False, True, True, False]


def test_no_frame_of_a_recording_is_dropped() -> None:
    source = ScriptedSource(list(range(50)), live=False, clock=SystemClock())
    with Capture(source, Settings(), SystemClock()) as capture:
        assert values(capture) == list(range(50))
        assert (capture.read, capture.drops.total()) == (50, 0)
        with pytest.raises(EndOfStream):
            capture.next_frame(LONG_S)


def test_an_unreadable_picture_of_a_recording_is_counted_and_skipped() -> None:
    source = ScriptedSource([1, None, 3], live=False, clock=SystemClock())
    with Capture(source, Settings(), SystemClock()) as capture:
        assert values(capture) == [1, 3]
    assert (capture.read, dict(capture.drops)) == (3, {"unreadable": 1})


def test_leaving_a_recording_early_ends_the_thread_and_accounts_for_every_frame() -> None:
    source = ScriptedSource(list(range(50)), live=False, clock=SystemClock())
    with Capture(source, Settings(), SystemClock()) as capture:
        assert capture.next_frame(LONG_S) is not None
    assert capture.read == 1 + capture.drops.total()
    assert set(capture.drops) <= {"unread"}
    assert "capture" not in [thread.name for thread in threading.enumerate()]
    assert source.closes == 1


def test_errors_of_the_thread_reach_the_loop() -> None:
    source = ScriptedSource([1, ZeroDivisionError("in the driver")], live=False, clock=SystemClock())
    with Capture(source, Settings(), SystemClock()) as capture:
        assert capture.next_frame(LONG_S) is not None
        with pytest.raises(ZeroDivisionError, match="in the driver"):
            capture.next_frame(LONG_S)


@pytest.mark.parametrize("script", [[], [SourceLost("no picture came")]])
def test_a_camera_without_a_first_frame_did_not_open(script: list[Any]) -> None:
    source = ScriptedSource(script, live=True, clock=SystemClock())
    with (
        Capture(source, Settings(open_s=0.05), SystemClock()) as capture,
        pytest.raises(CameraNotOpened, match="no picture"),
    ):
        capture.next_frame(LONG_S)


def test_a_camera_that_does_not_open_raises_at_once_and_starts_no_thread() -> None:
    source = ScriptedSource([1], live=True, clock=SystemClock())
    source.failing_opens.append(CameraNotOpened("not there"))
    with pytest.raises(CameraNotOpened, match="not there"), Capture(source, Settings(), SystemClock()):
        raise AssertionError("entered without a camera")
    assert "capture" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(
    "shown", [2, 1], ids=["another picture", "the picture of before, as a drawn camera's first is"]
)
def test_a_lost_camera_is_reopened(shown: int) -> None:
    source = ScriptedSource([1, SourceLost("unplugged"), shown], live=True, clock=FakeClock())
    with Capture(source, Settings(), FakeClock()) as capture:
        first = capture.next_frame(LONG_S)
        second = capture.next_frame(LONG_S)
        assert first is not None and second is not None
        assert (first.gray[0, 0], second.gray[0, 0]) == (1, shown)
        assert source.stored.acquire(timeout=LONG_S) and source.stored.acquire(timeout=LONG_S)
        changes = [capture.next_change(), capture.next_change(), capture.next_change()]
    assert [(c.state, c.reason) for c in changes if c] == [("lost", "unplugged"), ("back", "")]
    assert source.opens == 2


def test_a_silent_camera_is_lost_and_finally_asks_for_a_restart() -> None:
    source = ScriptedSource([1], live=True, clock=SystemClock())
    with Capture(source, Settings(open_s=0.05, stall_s=0.05, reopen_s=0.2), SystemClock()) as capture:
        assert capture.next_frame(LONG_S) is not None
        with pytest.raises(RestartNeeded, match="did not come back"):
            capture.next_frame(LONG_S)
        change = capture.next_change()
        assert change is not None and change.state == "lost" and "no picture for" in change.reason
        assert capture.next_change() is None
    assert RestartNeeded.exit_code == 75


def test_a_frozen_camera_is_lost_until_three_new_pictures() -> None:
    gate = threading.Semaphore(0)
    clock = FakeClock()
    source = ScriptedSource([1, 2, 2, 2, 2, 2, 3, 4, 5], live=True, clock=clock, gate=gate)
    seen = []
    with Capture(source, Settings(same_s=10, stall_s=60, open_s=60), clock) as capture:
        for _ in (1, 2):
            gate.release()
            frame = capture.next_frame(LONG_S)
            assert frame is not None
            seen.append(int(frame.gray[0, 0]))
        clock.now_ns += 9_000_000_000
        gate.release()
        frame = capture.next_frame(LONG_S)
        assert frame is not None, "nine seconds of the same picture may be a still scene"
        assert source.stored.acquire(timeout=LONG_S)
        clock.now_ns += 2_000_000_000
        for _ in range(6):  # the loss, two of the old picture after it was opened again, and three new ones
            gate.release()
        frame = capture.next_frame(LONG_S)
        assert frame is not None
        seen.append(int(frame.gray[0, 0]))
        states = []
        while len(states) < 2:
            if (change := capture.next_change()) is not None:
                states.append(change)
    assert seen == [1, 2, 5]
    assert [c.state for c in states] == ["lost", "back"] and "the same picture for 11" in states[0].reason


def lost_and_back(script: list[Any], interval_s: float, same_s: float) -> tuple[CameraChange, CameraChange, int]:
    """The loss and return of a live source that gives a picture of the script each interval, and how often it was opened."""
    clock = FakeClock()

    class Paced(ScriptedSource):
        def read(self) -> Any:
            clock.now_ns += round(interval_s * 1e9)
            return super().read()

    source = Paced(script, live=True, clock=clock)
    changes: list[CameraChange] = []
    with Capture(source, Settings(same_s=same_s, stall_s=60, open_s=60), clock) as capture:
        while len(changes) < 2:
            capture.next_frame(0.01)
            if (change := capture.next_change()) is not None:
                changes.append(change)
    lost, back = changes
    assert (lost.state, back.state) == ("lost", "back")
    return lost, back, source.opens


def test_a_frozen_picture_in_several_encodings_is_detected() -> None:
    """As an encoder sends it that has lost its sensor: a key frame, what mends it, and again from the beginning."""
    lost, _, opens = lost_and_back([1, 2, *[3, 4, 4, 4, 5, 5, 5, 5] * 20, 6, 7, 8], 0.1, same_s=10)
    assert "the same picture for 10" in lost.reason and opens == 2


def test_what_a_decoder_makes_of_the_beginning_of_a_frozen_stream_is_no_return() -> None:
    """Of a frozen H.264 stream that is joined with a loss, a picture of its own comes after each of two key frames."""
    frozen = [1, 2, *[3] * 30]
    joined = [3, *[4] * 20, 5, *[4] * 19]
    _, back, _ = lost_and_back([*frozen, *joined * 4, 6, 6, 7, 7, 8, 9], 0.05, same_s=1)
    assert back.gap_s > len(joined) * 4 / 20, "the source is back by what it gives after it thawed"


def test_a_still_recording_is_not_frozen() -> None:
    source = ScriptedSource([5] * 20, live=False, clock=SystemClock())
    with Capture(source, Settings(same_s=1e-9), SystemClock()) as capture:
        assert values(capture) == [5] * 20


@pytest.mark.parametrize("error", [CameraNotOpened("not plugged in yet"), UsageError("its password cannot be read")])
def test_wait_camera_waits_for_an_absent_camera(error: FerEdgeError) -> None:
    source = ScriptedSource([7, 8], live=True, clock=SystemClock())
    source.failing_opens.append(error)
    with Capture(source, Settings(wait_camera=True), SystemClock()) as capture:
        assert capture.opened_ns == 0
        frame = capture.next_frame(LONG_S)
        assert frame is not None and frame.gray[0, 0] in (7, 8)
        assert capture.opened_ns > 0
        states = []
        while len(states) < 2:
            if (change := capture.next_change()) is not None:
                states.append(change)
    assert [change.state for change in states] == ["waiting", "back"] and states[0].reason == str(error)


@pytest.mark.parametrize("fault", [SourceLost("STREAMON: no space left on device"), None], ids=["refused", "silent"])
def test_wait_camera_waits_for_a_camera_that_opens_and_gives_no_picture(fault: SourceLost | None) -> None:
    gate = threading.Semaphore(0)

    class Wedged(ScriptedSource):
        """A camera that gives no picture until it is opened for the third time."""

        def read(self) -> Any:
            if self.opens > 2:
                gate.acquire(timeout=LONG_S)
                return super().read()
            if fault:
                raise fault
            return None

    source = Wedged([7, 8], live=True, clock=SystemClock())
    changes: list[CameraChange] = []
    with Capture(source, Settings(wait_camera=True, open_s=0.05), SystemClock()) as capture:
        while not changes:
            assert capture.next_frame(0.01) is None
            if (change := capture.next_change()) is not None:
                changes.append(change)
        assert capture.lost and capture.opened_ns == 0, "it was never there"
        gate.release(2)
        assert capture.next_frame(LONG_S) is not None
        while len(changes) < 2:
            if (change := capture.next_change()) is not None:
                changes.append(change)
        assert capture.opened_ns > 0
    assert [change.state for change in changes] == ["waiting", "back"]
    assert "opened but gave no picture" in changes[0].reason
    assert source.opens == 3


def test_a_lost_cameras_password_may_be_unreadable_for_a_while() -> None:
    gate = threading.Semaphore(1)
    source = ScriptedSource([1, SourceLost("gone"), 2], live=True, clock=SystemClock(), gate=gate)
    with Capture(source, Settings(), SystemClock()) as capture:
        assert capture.next_frame(LONG_S) is not None
        source.failing_opens.append(UsageError("the camera's password cannot be read"))
        gate.release(3)
        frame = capture.next_frame(LONG_S)
    assert frame is not None and frame.gray[0, 0] == 2 and source.opens == 3


def test_a_camera_that_stays_without_its_password_asks_for_a_restart_that_says_so() -> None:
    source = ScriptedSource(
        [1, SourceLost("gone")], live=True, clock=SystemClock(), gate=(gate := threading.Semaphore(1))
    )
    with Capture(source, Settings(reopen_s=0.0), SystemClock()) as capture:
        assert capture.next_frame(LONG_S) is not None
        source.failing_opens.append(UsageError("the camera's password cannot be read"))
        gate.release(2)
        with pytest.raises(RestartNeeded, match="password cannot be read"):
            capture.next_frame(LONG_S)


@pytest.mark.parametrize(("live", "wait_camera"), [(False, True), (True, False)], ids=["recording", "not asked to"])
@pytest.mark.parametrize("error", [CameraNotOpened("not there"), UsageError("its password cannot be read")])
def test_only_a_camera_is_waited_for_and_only_where_asked(error: FerEdgeError, live: bool, wait_camera: bool) -> None:
    source = ScriptedSource([1], live=live, clock=SystemClock())
    source.failing_opens.append(error)
    with pytest.raises(type(error)), Capture(source, Settings(wait_camera=wait_camera), SystemClock()):
        raise AssertionError("entered without a source")


class Stuck(ScriptedSource):
    """A source whose reading does not return after the script, until the test sets `leave`."""

    def __init__(self, script: list[Any], clock: FakeClock) -> None:
        super().__init__(script, live=True, clock=clock)
        self.entered, self.leave = threading.Event(), threading.Event()

    def read(self) -> Any:
        if not self._script:
            self.entered.set()
            self.leave.wait(LONG_S)
        return super().read()


@pytest.mark.parametrize(
    ("settings", "limit_s"),
    [
        (Settings(stuck_s=20), 20),
        (Settings(stuck_s=20, stall_s=30), 35),  # for that long FFmpeg waits for a picture of a healthy camera
        (Settings(stuck_s=20, open_s=15), 45),
    ],
    ids=["stuck_s", "stall_s", "open_s"],
)
def test_a_stuck_driver_asks_for_a_restart(settings: Settings, limit_s: int) -> None:
    clock = FakeClock()
    source = Stuck([1], clock)
    with Capture(source, settings, clock) as capture:
        assert capture.next_frame(LONG_S) is not None
        assert source.entered.wait(LONG_S)
        clock.now_ns += limit_s * 1_000_000_000
        assert capture.next_frame(0.0) is None
        clock.now_ns, clock.asleep_ns = clock.now_ns + 28_800_000_000_000, 28_800_000_000_000
        assert capture.next_frame(0.0) is None, "the machine was suspended for eight hours; the driver was not at work"
        clock.now_ns += 1_000_000_000
        assert capture.next_frame(0.0) is None, "the process may have been stopped, and goes on now"
        clock.now_ns += 2_000_000_000
        with pytest.raises(RestartNeeded, match=f"not returned for {limit_s + 3} s"):
            capture.next_frame(0.0)
        source.leave.set()


def test_a_driver_that_was_stopped_with_its_process_is_not_stuck() -> None:
    """As by Ctrl-Z: the clock went on, and the next frame comes at once when the process does."""
    clock = FakeClock()
    source = Stuck([1], clock)
    with Capture(source, Settings(stuck_s=20), clock) as capture:
        assert capture.next_frame(LONG_S) is not None
        assert source.entered.wait(LONG_S)
        clock.now_ns += 3_600_000_000_000
        assert capture.next_frame(0.0) is None
        source._script.append(2)
        source.leave.set()
        assert capture.next_frame(LONG_S) is not None
        assert capture._overdue_ns is not None


def test_a_source_is_released_by_its_own_thread_once_the_driver_returns() -> None:
    clock = FakeClock()
    source = Stuck([1], clock)
    with Capture(source, Settings(), clock) as capture:
        assert source.entered.wait(LONG_S)
        assert not capture.stop()
        assert capture.next_frame(0.01) is None and capture.drops.total() == 0, "no picture after it was asked to stop"
        clock.now_ns += 15_000_000_000
        assert not capture.stop() and source.closes == 0
        source.leave.set()
        assert capture.next_frame(LONG_S) is None
        assert capture.stop() and source.closes == 1
    assert (capture.read, dict(capture.drops)) == (1, {"unread": 1})


def test_a_source_that_cannot_be_released_asks_for_a_restart() -> None:
    clock = FakeClock()
    source = Stuck([1], clock)
    with Capture(source, Settings(stall_s=12), clock) as capture:
        assert source.entered.wait(LONG_S)
        assert not capture.stop()
        clock.now_ns += 17_000_000_000
        assert not capture.stop()
        clock.now_ns += 1_000_000_000
        with pytest.raises(RestartNeeded, match="not returned for 18 s; the end of this process closes it"):
            capture.stop()
        assert source.closes == 0
        source.leave.set()


@pytest.mark.parametrize(("gone_s", "wait_s"), [(0, 0.25), (5, 0.25), (10, 0.5), (60, 3), (600, 30), (100_000, 30)])
def test_attempts_are_frequent_at_first_and_rarer_later(gone_s: float, wait_s: float) -> None:
    assert [reopen_delay_s(gone_s) for _ in range(50)] == pytest.approx([wait_s] * 50, rel=0.11)
