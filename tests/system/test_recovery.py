"""A network camera that fails in every known way, over MJPEG and RTSP: it is read again within 2 s of its return."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.camera.capture import Capture
from device.camera.source import CameraChange
from device.camera.stream import NetworkStream
from device.clock import SystemClock
from device.config import Settings
from tests.system.network_cameras import Camera, MjpegCamera, RtspCamera

AWAY_S, BACK_S = 5.0, 2.0
SETTINGS = Settings(stall_s=2.0, same_s=2.0, open_s=5.0, reopen_s=60.0)


@pytest.fixture(params=[MjpegCamera, RtspCamera], ids=["mjpeg", "rtsp"])
def camera(request: pytest.FixtureRequest) -> Iterator[Camera]:
    made: Camera = request.param()
    made.start()
    yield made
    made.stop()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def frames(capture: Capture, seconds: float) -> list[tuple[int, ...]]:
    """The shapes of the frames that came in so many seconds."""
    end, shapes = time.monotonic() + seconds, []
    while (left := end - time.monotonic()) > 0:
        if (frame := capture.next_frame(min(left, 0.25))) is not None:
            shapes.append(frame.gray.shape)
    return shapes


def first_frame(capture: Capture, limit_s: float) -> float:
    """Seconds until a frame came."""
    began = time.monotonic()
    while time.monotonic() - began < limit_s:
        if capture.next_frame(0.05) is not None:
            return time.monotonic() - began
    raise AssertionError(f"no frame in {limit_s} s")


def changes(capture: Capture) -> list[CameraChange]:
    found = []
    while (change := capture.next_change()) is not None:
        found.append(change)
    return found


def opened(camera: Camera) -> Capture:
    return Capture(NetworkStream(camera.address, SETTINGS, SystemClock()), SETTINGS, SystemClock())


REASONS = {"dies": "ended", "hang": "nothing", "mute": "nothing", "freeze": "same picture"}


@pytest.mark.parametrize("fault", REASONS)
def test_a_camera_is_read_again_soon_after_its_return(camera: Camera, fault: str) -> None:
    before = descriptors(), threading.active_count()
    with opened(camera) as capture:
        assert len(frames(capture, 2.0)) > 10
        began = time.monotonic()
        if fault == "dies":
            camera.stop()
        else:
            camera.behave(fault)
        late = frames(capture, AWAY_S)
        assert len(late) < 80, "a frozen picture is not taken for a camera for long"  # 100 would come in the time
        if fault == "dies":
            camera.start()
        else:
            camera.behave("well")
        assert first_frame(capture, 10.0) <= BACK_S
        gone_s = time.monotonic() - began
        assert len(frames(capture, 2.0)) > 10
        state_changes = changes(capture)
    assert [change.state for change in state_changes] == ["lost", "back"]
    # No frame that a decoder had kept back is taken for one of a camera that is there: the gap begins with the fault.
    taken_s = SETTINGS.same_s if fault == "freeze" else 0.0
    assert state_changes[1].gap_s == pytest.approx(gone_s - taken_s, abs=1.25)
    assert REASONS[fault] in state_changes[0].reason
    _settled(before)


def test_garbage_is_skipped_or_counts_as_one_loss(camera: Camera) -> None:
    """Of a JPEG file nothing is left; of H.264, what a decoder makes of it."""
    before = descriptors(), threading.active_count()
    with opened(camera) as capture:
        assert len(frames(capture, 1.0)) > 5
        camera.behave("garbage")
        frames(capture, AWAY_S)
        camera.behave("well")
        assert first_frame(capture, 10.0) <= BACK_S
        assert len(frames(capture, 2.0)) > 10
        states = [change.state for change in changes(capture)]
    assert states in ([], ["lost", "back"])
    _settled(before)


def test_a_change_of_size_needs_no_restart(camera: Camera) -> None:
    """OpenCV goes on in the size that it opened the stream with."""
    before = descriptors(), threading.active_count()
    with opened(camera) as capture:
        assert set(frames(capture, 1.0)) == {(240, 320)}
        for how in ("small", "well"):
            camera.behave(how)
            first_frame(capture, BACK_S)
            came = frames(capture, 2.0)
            assert len(came) > 10 and set(came) == {(240, 320)}
        assert changes(capture) == []
    _settled(before)


def _settled(before: tuple[int, int]) -> None:
    """No descriptor and no thread more than before."""
    for _ in range(50):
        if descriptors() <= before[0] and threading.active_count() <= before[1]:
            return
        time.sleep(0.1)
    left = [fd.readlink() for fd in Path("/proc/self/fd").iterdir() if fd.exists()]
    raise AssertionError(f"{descriptors()} descriptors, {threading.active_count()} threads, before {before}: {left}")
