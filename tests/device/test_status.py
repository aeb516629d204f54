"""The status file of a running instance, and how a reader judges it: healthy, stuck, unhealthy, ended."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock

from device.clock import SystemClock
from device.system.status import InstanceStatus, StatusFile, read_instance
from device.system.status_record import Status, StatusOfLaterVersion
from fer_edge.errors import UsageError

RUNNING = Status("running", "usb:0", "/var/lib/fer-edge", 5.0, {"read": 10, "processed": 9}, {"busy": 1})


@pytest.fixture
def child() -> Iterator[subprocess.Popen]:
    """A process that is not this one, and is ended by the test or after it."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def written(folder: Path, status: Status, clock: FakeClock, name: str = "camera") -> StatusFile:
    file = StatusFile(folder, name, clock, every_s=10.0, stall_s=5.0)
    file.__enter__()
    file.write(status)
    return file


def camera(instance: InstanceStatus) -> str:
    assert instance.record is not None
    return instance.record.status.camera


def test_a_written_status_is_read_back(tmp_path: Path) -> None:
    clock = FakeClock()
    with StatusFile(tmp_path / "run", "front", clock, every_s=10.0, stall_s=5.0) as file:
        assert not read_instance("front", [tmp_path / "run"], clock).running, "opened, and nothing said yet"
        file.write(RUNNING)
        clock.sleep(2.5)
        found = read_instance("front", [tmp_path / "absent", tmp_path / "run"], clock)
        assert (found.running, found.problems, found.folder) == (True, (), tmp_path / "run")
        assert (found.written_age_s, found.frame_age_s) == (2.5, 2.5)
        status_json = json.loads(json.dumps(found.to_json()))
        assert (
            status_json["healthy"]
            and status_json["state"] == "running"
            and status_json["frames"] == {"read": 10, "processed": 9}
        )
        assert (status_json["pid"], status_json["boot"]) == (os.getpid(), "fake-boot")
        assert found.text() == (
            "front: healthy: running, camera usb:0; last frame 2.5 s ago; frames: 10 read, 9 processed; 1 dropped; "
            "journal /var/lib/fer-edge; clock not set"
        )
        assert oct((tmp_path / "run").stat().st_mode)[-3:] == "700"
        assert not read_instance("camera", [tmp_path / "run"], clock).running, "another name"
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("values", "after_s", "words"),
    [
        ({}, 29, []),
        ({}, 31, ["its last status is 31 s old"]),
        ({"state": "paused"}, 5, []),
        ({"lines_lost": 7}, 5, []),
        ({"state": "stopping"}, 5, []),
        ({"state": "starting", "frame_mono_s": None}, 5, ["still starting"]),
        ({"state": "waiting", "frame_mono_s": None}, 5, ["waits for its camera"]),
        ({"state": "lost"}, 5, ["lost"]),
        ({"frame_mono_s": 0.1}, 0, []),
        ({"frame_mono_s": -0.1}, 1, ["no frame for 6 s"]),
        ({"state": "paused", "frame_mono_s": -100.0}, 1, []),
        ({"frame_mono_s": -100.0, "since_mono_s": 4.9}, 0, []),  # it was resumed, or its camera is back
        ({"frame_mono_s": -100.0, "since_mono_s": -0.1}, 1, ["no frame for 6 s"]),
        ({"frame_mono_s": 4.9, "since_mono_s": -100.0}, 0, []),
        ({"journal_trouble": "the disk is full"}, 1, ["the journal: the disk is full; events wait in memory"]),
        ({"problems": ("the power supply is too weak",)}, 1, ["too weak"]),
        ({"outputs": {"stdout": None, "mqtt": None}}, 1, []),
        ({"outputs": {"stdout": None, "mqtt": "the broker is away"}}, 1, ["the broker is away"]),
        (
            {"state": "lost", "journal_trouble": "gone", "problems": ("hot",)},
            1,
            ["lost", "the journal: gone", "hot"],
        ),
    ],
)
def test_each_problem_makes_an_instance_unhealthy(
    tmp_path: Path, values: dict[str, Any], after_s: float, words: list[str]
) -> None:
    clock = FakeClock()
    fields = {name: getattr(RUNNING, name) for name in RUNNING.__dataclass_fields__}
    written(tmp_path, Status(**{**fields, **values}), clock)
    clock.sleep(after_s)
    found = read_instance("camera", [tmp_path], clock)
    assert found.running and len(found.problems) == len(words)
    for problem, word in zip(found.problems, words, strict=True):
        assert word in problem
        assert f"\n  {problem}" in found.text()
    assert found.to_json()["healthy"] is (not words)


def test_an_instance_whose_process_ended_does_not_run(tmp_path: Path, child: subprocess.Popen) -> None:
    clock = FakeClock()
    written(tmp_path, RUNNING, clock)
    path = tmp_path / "camera.status.json"
    status_json = json.loads(path.read_text())

    def of(**values: Any) -> InstanceStatus:
        path.write_text(json.dumps({**status_json, **values}))
        return read_instance("camera", [tmp_path], clock)

    assert of().running
    assert not of(boot="another").running, "the file of another boot"
    assert not of(pid=child.pid).running, "a number that another process got"
    started = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
    assert of(pid=child.pid, pid_started=started).running
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended and nobody has asked how: a zombie
    found = of(pid=child.pid, pid_started=started)
    assert not found.running
    child.wait()
    found = of(pid=child.pid, pid_started=started)
    assert not found.running and not found.to_json()["healthy"]
    word = f"its process {child.pid} ended without closing its files; the journal in /var/lib/fer-edge is as it left it"
    assert found.text() == f"camera: not running\n  {word}"


def test_without_a_status_file_no_instance_runs(tmp_path: Path) -> None:
    found = read_instance("camera", [tmp_path, tmp_path / "absent"], FakeClock())
    assert not found.running
    assert (
        found.text()
        == f"camera: not running\n  no instance of that name runs: no status file in {tmp_path}, {tmp_path}/absent"
    )
    (tmp_path / "camera.status.json").write_text("{")
    assert not read_instance("camera", [tmp_path], FakeClock()).running


NO_OBJECTS = {
    "nothing": ("", "Expecting value"),
    "a list": ("[1]", "holds [1], not a JSON object"),
    "brackets": ("[" * 30_000, "nested deeper than"),
    "not a number": ('{"status": NaN}', "NaN is not a number of JSON"),
    "a long number": ('{"status": ' + "9" * 5000 + "}", "value has 5000 digits"),
}
WRONG_FIELDS = {
    "a wrong state": {"state": "\x1b[2J"},
    "no process": {"pid": -1},
    "too large a process": {"pid": 1 << 40},
    "a wrong journal": {"journal": ["-delete"]},
    "a wrong health": {"health": {"throttled_now": ["\x1b[2J"]}},
    "an endless time": {"mono_s": 10**400},
    "a field that is null": {"frames": None},
}
REQUIRED = ("status", "name", "pid", "boot", "every_s", "stall_s", "mono_s", "clock", "state", "camera", "journal")
REQUIRED += ("frames", "drops", "lines_lost", "problems")


def problem_of(folder: Path, text: str) -> str:
    """Why the status file of `camera` with that text cannot be read."""
    (folder / "camera.status.json").write_text(text)
    found = read_instance("camera", [folder], FakeClock())
    assert not found.running
    (problem,) = found.problems
    assert (
        problem.startswith(f"its status file cannot be read: {folder / 'camera.status.json'}") and problem.isprintable()
    )
    return problem


@pytest.mark.parametrize(("text", "cause"), NO_OBJECTS.values(), ids=NO_OBJECTS)
def test_a_status_file_without_an_object_is_a_sentence(text: str, cause: str, tmp_path: Path) -> None:
    assert cause in problem_of(tmp_path, text)


@pytest.mark.parametrize("fields", WRONG_FIELDS.values(), ids=WRONG_FIELDS)
def test_a_wrong_field_of_a_status_file_is_a_sentence(fields: dict[str, Any], tmp_path: Path) -> None:
    written(tmp_path, RUNNING, FakeClock())
    path = tmp_path / "camera.status.json"
    problem = problem_of(tmp_path, json.dumps({**json.loads(path.read_text()), **fields}))
    assert problem.startswith(f"its status file cannot be read: {path}")
    assert all(name in problem for name in fields)


@pytest.mark.parametrize("field", REQUIRED)
def test_a_status_file_without_a_field_is_a_sentence(field: str, tmp_path: Path) -> None:
    written(tmp_path, RUNNING, FakeClock())
    path = tmp_path / "camera.status.json"
    content = json.loads(path.read_text())
    del content[field]
    problem = problem_of(tmp_path, json.dumps(content))
    assert problem.startswith(f"its status file cannot be read: {path}: {field} is missing")


def test_a_link_a_pipe_and_a_large_file_are_no_status(tmp_path: Path) -> None:
    clock = FakeClock()
    written(tmp_path / "real", RUNNING, clock)
    (tmp_path / "link").mkdir()
    (tmp_path / "link/camera.status.json").symlink_to(tmp_path / "real/camera.status.json")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe/camera.status.json")
    (tmp_path / "large").mkdir()
    (tmp_path / "large/camera.status.json").write_text(" " * 100_000)
    for name in ("link", "pipe", "large"):
        assert not read_instance("camera", [tmp_path / name], clock).running


def test_the_file_of_an_ended_process_does_not_hide_a_running_one(tmp_path: Path) -> None:
    clock = FakeClock()
    written(tmp_path / "a", RUNNING, clock)
    path = tmp_path / "a/camera.status.json"
    path.write_text(path.read_text().replace("fake-boot", "before"))
    written(tmp_path / "b", RUNNING, clock)
    assert read_instance("camera", [tmp_path / "a", tmp_path / "b"], clock).folder == tmp_path / "b"


def of_later_version(folder: Path, clock: FakeClock) -> Path:
    """The status file of this process, as a later version would have written it."""
    path = written(folder, RUNNING, clock).path
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "status": 2, "state": ["something", "else"]}))
    return path


def test_an_instance_of_a_later_version_is_named_while_it_runs(tmp_path: Path) -> None:
    clock = FakeClock()
    of_later_version(tmp_path, clock)
    with pytest.raises(StatusOfLaterVersion, match="later version"):
        read_instance("camera", [tmp_path], clock)
    with pytest.raises(StatusOfLaterVersion), StatusFile(tmp_path, "camera", clock, 10.0, 5.0):
        pass


@pytest.mark.parametrize("changed", [{"pid": 1 << 22}, {"boot": "another"}, {"pid_started": 1}, {"pid": None}])
def test_what_a_later_version_left_behind_stops_no_start(changed: dict[str, object], tmp_path: Path) -> None:
    """After a crash and a rollback the camera would stay off else."""
    clock = FakeClock()
    path = of_later_version(tmp_path, clock)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    found = read_instance("camera", [tmp_path], clock)
    assert not found.running and "its process has ended" in found.problems[0]
    with StatusFile(tmp_path, "camera", clock, 10.0, 5.0) as own:
        own.write(RUNNING)
        assert read_instance("camera", [tmp_path], clock).running


def test_a_second_instance_of_a_name_leaves_the_file_of_the_first(tmp_path: Path) -> None:
    clock = FakeClock()
    first = written(tmp_path, RUNNING, clock)
    with StatusFile(tmp_path, "camera", clock, 10.0, 5.0) as second:
        assert second.running_pid == os.getpid()
        second.write(Status("lost", "usb:1", "/elsewhere"))
        assert camera(read_instance("camera", [tmp_path], clock)) == "usb:0"
    assert read_instance("camera", [tmp_path], clock).running
    first.__exit__(None, None, None)
    with StatusFile(tmp_path, "camera", clock, 10.0, 5.0) as third:
        assert third.running_pid is None


def test_a_status_file_that_cannot_be_written_never_stops_the_loop(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with StatusFile(folder, "camera", FakeClock(), 10.0, 5.0) as file:
        folder.rmdir()
        folder.touch()
        file.write(RUNNING)
        assert "cannot be written (Not a directory)" in file.failure
        folder.unlink()
        file.write(RUNNING)
        assert file.failure == ""


def test_a_runtime_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """systemd-logind removes it when its user logs out of the last session."""
    folder, clock = tmp_path / "user/run", FakeClock()
    file = written(folder, RUNNING, clock)
    shutil.rmtree(tmp_path / "user")
    assert not read_instance("camera", [folder], clock).running
    file.write(RUNNING)
    assert read_instance("camera", [folder], clock).running and file.failure == ""
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_runtime_folder_of_another_user_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"), StatusFile(tmp_path / "file/run", "a", FakeClock(), 1, 1):
        pass
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(UsageError, match="not a folder of this user"),
        StatusFile(tmp_path / "link", "a", FakeClock(), 1, 1),
    ):
        pass
    if os.geteuid() == 0:
        os.chown(tmp_path / "elsewhere", 12345, 12345)
        with pytest.raises(UsageError, match="not a folder of this user"):
            StatusFile(tmp_path / "elsewhere", "a", FakeClock(), 1, 1).__enter__()


def test_a_reader_never_sees_a_partly_written_file(tmp_path: Path) -> None:
    clock = SystemClock()
    stop = threading.Event()
    with StatusFile(tmp_path, "camera", clock, 10.0, 5.0) as file:
        file.write(RUNNING)

        def rewrite() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                file.write(Status("running", "c" * (1 + 5000 * (number % 2)), "/log", clock.mono_ns() / 1e9))

        writer = threading.Thread(target=rewrite)
        writer.start()
        found = [read_instance("camera", [tmp_path], clock) for _ in range(300)]
        stop.set()
        writer.join()
    assert all(report.running for report in found)
    assert {len(camera(report)) for report in found} <= {1, 5, 5001}
