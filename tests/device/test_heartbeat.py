"""The heartbeat of a run: what its status file says after a reload, a pause and a loss, as a reader finds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import FakeClock

from device.config import Settings
from device.heartbeat import Heartbeat
from device.service.sd_notify import Notifier
from device.system.health import Sensors
from device.system.status import StatusFile, read_instance
from device.system.status_record import Status, StatusRecord


class Run:
    """A run whose loop turns once a second, with frames while it is in the state `running`."""

    def __init__(self, folder: Path, clock: FakeClock, file: StatusFile) -> None:
        self.settings = Settings(health_s=file.every_s, disk_low_bytes=0)
        self._folder, self.clock = folder, clock
        self._heartbeat = Heartbeat(clock, Sensors(folder, clock, lambda: "", root=folder), file, Notifier(clock, {}))
        self._frame_s: float | None = None

    def turn(self, state: str, seconds: int, frames: bool = True) -> None:
        """Turns in this state; the first one has no frame yet."""
        for _ in range(seconds):
            self._heartbeat.update(Status(state, "0", "/log", self._frame_s), self.settings)
            self.clock.sleep(1.0)
            if state == "running" and frames:
                self._frame_s = self.clock.mono_ns() / 1e9

    def record(self) -> StatusRecord:
        """What a reader of the status file finds."""
        record = read_instance("camera", [self._folder], self.clock).record
        assert record is not None
        return record

    def problems(self) -> tuple[str, ...]:
        return read_instance("camera", [self._folder], self.clock).problems


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    clock = FakeClock()
    with StatusFile(tmp_path, "camera", clock, every_s=10.0, stall_s=5.0) as file:
        yield Run(tmp_path, clock, file)


def test_a_status_is_as_old_as_the_present_settings_allow(run: Run) -> None:
    run.turn("running", 3)
    for health_s in (60.0, 1.0):
        run.settings = Settings(health_s=health_s, disk_low_bytes=0)
        for _ in range(130):
            run.turn("running", 1)
            assert run.problems() == ()
    run.turn("running", 1)
    run.clock.sleep(4.0)
    assert run.problems() == ("its last status is 5 s old; it should write one every 1 s",)


@pytest.mark.parametrize(("state", "problems"), [("paused", 0), ("lost", 1)])
def test_a_run_is_healthy_as_soon_as_its_camera_is_read_again(run: Run, state: str, problems: int) -> None:
    run.turn("running", 20)
    run.turn(state, 3600)
    assert len(run.problems()) == problems
    run.turn("running", 1, frames=False)
    assert run.problems() == ()
    run.turn("running", 20, frames=False)
    assert run.problems() == ("no frame for 21 s",)


def test_a_new_state_is_written_at_once(run: Run) -> None:
    run.turn("running", 3)
    for state in ("paused", "running"):
        run.turn(state, 1)
        assert run.record().status.state == state


def test_a_shorter_interval_applies_at_once(run: Run) -> None:
    run.settings = Settings(health_s=600.0, disk_low_bytes=0)
    run.turn("running", 30)
    run.settings = Settings(health_s=1.0, disk_low_bytes=0)
    run.turn("running", 1)
    assert run.record().every_s == 1.0
