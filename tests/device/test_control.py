"""Pause, resume and reload, asked of a real process with a camera of its own."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakes import FakeClock

from device.clock import SystemClock
from device.system.control import Pause, pause, reload, resume
from device.system.status import StatusFile, read_instance
from device.system.status_record import Status
from fer_edge.errors import NotRunning, UsageError

# What a loop does about all this, without a camera: looks at the flags at each turn and shows its state.
LOOP = """
import signal, sys
from pathlib import Path
from device.clock import SystemClock
from device.system.control import Pause
from device.system.status import StatusFile
from device.system.status_record import Status

runtime, journal, deaf = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[4:] == ["deaf"]
name = sys.argv[3]
clock, reloads = SystemClock(), []
signal.signal(signal.SIGHUP, lambda *_: reloads.append(1))
request = Pause(name, runtime, journal)
with StatusFile(runtime, name, clock, 10.0, 5.0) as file:
    print("ready", flush=True)
    while True:
        paused = request.requested() and not deaf
        file.write(Status("paused" if paused else "running", "0", str(journal), frames={"reloads": len(reloads)}))
        clock.sleep(0.05)
"""


@contextmanager
def loop(tmp_path: Path, *arguments: str, name: str = "camera") -> Iterator[subprocess.Popen]:
    """A process that shows itself in `tmp_path/run` and keeps its journal in `tmp_path/log`; killed at the end."""
    command = [sys.executable, "-c", LOOP, str(tmp_path / "run"), str(tmp_path / "log"), name, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            clock = SystemClock()
            while not read_instance(name, [tmp_path / "run"], clock).running:
                clock.sleep(0.02)
            yield process
        finally:
            process.kill()


def state(tmp_path: Path) -> str:
    record = read_instance("camera", [tmp_path / "run"], SystemClock()).record
    assert record is not None
    return record.status.state


def test_a_pause_survives_a_crash_a_restart_and_a_reboot(tmp_path: Path) -> None:
    folders, clock = [tmp_path / "absent", tmp_path / "run"], SystemClock()
    with loop(tmp_path):
        assert state(tmp_path) == "running"
        answer = pause("camera", folders, clock)
        assert answer == "camera is paused and its camera closed; `fer-edge resume` ends the pause, a restart does not"
        assert state(tmp_path) == "paused"
    with loop(tmp_path):  # the first was killed
        assert state(tmp_path) == "paused"
    for flag in (tmp_path / "run").iterdir():  # a reboot empties what is in memory
        flag.unlink()
    with loop(tmp_path):
        assert state(tmp_path) == "paused"
        assert resume("camera", folders, clock) == "camera is no longer paused"
        assert state(tmp_path) == "running"
    with loop(tmp_path):
        assert state(tmp_path) == "running"


def test_a_pause_names_the_command_that_ends_it(tmp_path: Path) -> None:
    """With the instance's name, where it has one of its own."""
    with loop(tmp_path, name="front"):
        answer = pause("front", [tmp_path / "run"], SystemClock())
    assert "`fer-edge resume --name front` ends the pause" in answer


def test_a_card_that_cannot_be_read_neither_begins_nor_ends_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Pause("camera", tmp_path / "run", tmp_path / "log")

    def unreadable(_: Path) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def requested_of_a_failing_card() -> bool:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "exists", unreadable)
            return request.requested()

    request.set()
    assert request.requested() and requested_of_a_failing_card(), "the camera stays closed"
    request.clear()
    assert not request.requested() and not requested_of_a_failing_card()


class FastClock(SystemClock):
    """A clock by which whoever sleeps sleeps much longer."""

    ahead_ns = 0

    def mono_ns(self) -> int:
        return super().mono_ns() + self.ahead_ns

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.ahead_ns += 100 * round(seconds * 1e9)


def test_a_pause_that_is_not_obeyed_in_time_is_an_error(tmp_path: Path) -> None:
    """In time: a driver's call and the end of a run that it ends are shorter. Reading a camera may take `stall_s`, here 5 s."""
    with loop(tmp_path, "deaf"), pytest.raises(UsageError, match="did not pause within 30 s"):
        pause("camera", [tmp_path / "run"], FastClock())


def reloads(folders: list[Path], clock: SystemClock) -> int:
    record = read_instance("camera", folders, clock).record
    assert record is not None
    return record.status.frames["reloads"]


def test_reload_sends_a_hangup(tmp_path: Path) -> None:
    folders, clock = [tmp_path / "run"], SystemClock()
    with pytest.raises(NotRunning, match="nothing to reload"):
        reload("camera", folders, clock)
    with loop(tmp_path) as process:
        assert reload("camera", folders, clock) == "camera reads its settings again; it logs what changed"
        end_ns = clock.mono_ns() + 10_000_000_000
        while not (count := reloads(folders, clock)) and clock.mono_ns() < end_ns:
            clock.sleep(0.02)
        assert count == 1 and process.poll() is None


def test_an_instance_that_does_not_run_starts_paused(tmp_path: Path) -> None:
    folders, clock, journal = [tmp_path / "run"], FakeClock(), tmp_path / "log"
    for ask in (pause, resume):
        with pytest.raises(NotRunning, match=r"no instance of that name runs.*--name.*--log"):
            ask("camera", folders, clock)
    assert pause("camera", folders, clock, journal) == "camera does not run; it will start paused"
    assert Pause("camera", tmp_path / "run", journal).requested()
    assert Pause("camera", tmp_path / "elsewhere", journal).requested(), "a service has a folder of its own"
    assert resume("camera", folders, clock, journal) == "camera does not run; it will not start paused"
    assert not Pause("camera", tmp_path / "run", journal).requested()


def test_the_journal_of_a_crashed_instance_is_found_by_its_status_file(tmp_path: Path) -> None:
    with loop(tmp_path):
        pass
    assert pause("camera", [tmp_path / "run"], FakeClock()) == "camera does not run; it will start paused"
    assert Pause("camera", tmp_path / "other", tmp_path / "log").requested()


@pytest.mark.parametrize("lost", ["run", "log"])
def test_either_flag_file_keeps_the_pause(tmp_path: Path, lost: str) -> None:
    request = Pause("camera", tmp_path / "run", tmp_path / "log")
    assert not request.requested()
    assert request.set() == ()
    for path in (tmp_path / lost).iterdir():
        path.unlink()
    (tmp_path / lost).rmdir()  # as when a journal is removed under a running loop
    assert request.requested()
    request.clear()
    request.clear()
    assert not request.requested()


def test_a_pause_that_a_reboot_would_end_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    request = Pause("camera", tmp_path / "run", tmp_path / "file/log")
    (failed,) = request.set()
    assert "file/log/paused cannot be made (Not a directory)" in failed
    assert request.requested()
    neither = Pause("camera", tmp_path / "file/run", tmp_path / "file/log")
    with pytest.raises(UsageError, match="nothing is paused; try with sudo"):
        neither.set()
    assert not neither.requested()


def test_a_flag_file_is_never_made_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log/paused").symlink_to(tmp_path / "elsewhere")
    (failed,) = Pause("camera", tmp_path / "run", tmp_path / "log").set()
    assert "log/paused cannot be made" in failed
    assert not (tmp_path / "elsewhere").exists()


USER = (12345, 12345)


def of_another_user(folder: Path) -> Path:
    folder.mkdir()
    os.chown(folder, *USER)
    return folder


def test_root_pauses_with_the_rights_of_the_user_who_named_the_folders(shared_path: Path) -> None:
    """The service's user names a folder of root as its journal, and links its own one there."""
    of_another_user(shared_path / "run")
    private = shared_path / "of-root"
    private.mkdir(mode=0o755)
    (failed,) = Pause("camera", shared_path / "run", private, USER).set()
    assert "of-root/paused cannot be made (Permission denied)" in failed
    (of_another_user(shared_path / "state") / "log").symlink_to(private)
    (failed,) = Pause("other", shared_path / "run", shared_path / "state/log").set()
    assert "log/paused cannot be made (Permission denied)" in failed
    assert list(private.iterdir()) == []
    flag = shared_path / "run/camera.paused"
    assert flag.stat().st_uid == USER[0] and os.geteuid() == 0
    Pause("camera", shared_path / "run", shared_path / "run", USER).clear()
    assert not flag.exists()


def test_no_process_of_another_user_is_signalled(shared_path: Path) -> None:
    """The service's user writes the number of a process of root, with the right start, into its status file."""
    folder, clock = of_another_user(shared_path / "run"), SystemClock()
    hangs_up = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hangs_up], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        with StatusFile(shared_path / "mine", "camera", clock, 10.0, 5.0) as file:
            file.write(Status("running", "0", "/log"))
            record = json.loads(file.path.read_text())
        started = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19])
        status = folder / "camera.status.json"
        status.write_text(json.dumps({**record, "pid": process.pid, "pid_started": started}))
        assert reload("camera", [folder], clock), "a file of root"
        assert process.wait(10) == -signal.SIGHUP
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        started = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19])
        status.write_text(json.dumps({**record, "pid": process.pid, "pid_started": started}))
        os.chown(status, *USER)
        with pytest.raises(NotRunning, match="does not run"):
            reload("camera", [folder], clock)
        assert process.poll() is None
        process.kill()


def test_instances_are_paused_one_by_one(tmp_path: Path) -> None:
    front = Pause("front", tmp_path / "run", tmp_path / "log/front")
    back = Pause("back", tmp_path / "run", tmp_path / "log/back")
    front.set()
    assert front.requested() and not back.requested()


def test_flag_files_are_readable_for_all_and_their_folder_for_its_owner_alone(tmp_path: Path) -> None:
    request = Pause("camera", tmp_path / "run", tmp_path / "log")
    request.set()
    assert all(stat.S_IMODE(flag.stat().st_mode) & 0o444 for flag in request.flags)
    assert {stat.S_IMODE(flag.parent.stat().st_mode) for flag in request.flags} == {0o700}


def test_an_instance_that_ends_during_the_request_counts_as_paused(tmp_path: Path) -> None:
    class Ends(FakeClock):
        """Its instance ends while whoever asked it waits."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            file.__exit__(None, None, None)

    clock = Ends()
    file = StatusFile(tmp_path / "run", "camera", clock, 10.0, 5.0).__enter__()
    file.write(Status("running", "0", str(tmp_path / "log")))
    assert "is paused" in pause("camera", [tmp_path / "run"], clock)
