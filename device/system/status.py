"""The status file of a running instance, and how others read it.

    <runtime folder>/<name>.status.json

The loop rewrites this small file in memory; there is no socket and no thread. After a crash the file remains, and a reader
sees that its process has ended.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from device.clock import Clock
from device.system.health import Health
from fer_edge.atomic_file import atomic_file
from fer_edge.errors import UsageError

SCHEMA = 1
STATES = ("starting", "waiting", "running", "lost", "paused", "stopping")
_NOT_READY = {
    "starting": "it is still starting",
    "waiting": "it waits for its camera",
    "lost": "it lost its camera and tries to open it again",
}
_MISSED_WRITES = 3  # so many rewrites may be missed before the instance counts as stuck


@dataclass(frozen=True, slots=True)
class Status:
    """What the loop knows of itself. Times are seconds since boot, on the run's own clock."""

    state: str  # one of STATES
    camera: str  # its name, without passwords
    journal: str  # its folder
    frame_mono_s: float | None = None  # when the last frame reached the sinks
    frames: Mapping[str, int] = field(default_factory=dict)  # read, processed, with_face
    drops: Mapping[str, int] = field(default_factory=dict)  # by reason
    journal_trouble: str | None = None  # why the journal cannot be written at present
    lines_lost: int = 0  # journal lines that were dropped
    prior: Mapping[str, float] | None = None  # the device's own estimate by label, where there is one
    health: Health | None = None
    problems: tuple[str, ...] = ()  # of the machine


@dataclass(frozen=True, slots=True)
class StatusRecord:
    """The content of one status file: the process that wrote it, when, and the status of its loop."""

    name: str
    pid: int
    pid_started: int | None  # in the kernel's ticks
    boot: str  # id of the boot
    every_s: float  # the loop promises to write that often
    stall_s: float  # without a frame for so long the instance is unhealthy
    mono_s: float  # when it was written, seconds since boot
    clock: str  # synced, unsynced or unknown
    status: Status

    def to_json(self) -> dict[str, Any]:
        """The file's content: one flat object."""
        process = {name: getattr(self, name) for name in _PROCESS_FIELDS}
        health = None if self.status.health is None else self.status.health.to_json()
        return {"status": SCHEMA, **process, **asdict(self.status), "health": health}

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> StatusRecord:
        """The record in the content of a file. Raises KeyError or TypeError when a field is missing or of another type."""
        health = fields["health"]
        if health is not None:
            health = Health.from_json(health, fields["mono_s"], fields["clock"])
        loop = {name: fields[name] for name in Status.__dataclass_fields__}
        status = Status(**{**loop, "health": health, "problems": tuple(fields["problems"])})
        return StatusRecord(**{name: fields[name] for name in _PROCESS_FIELDS}, status=status)


_PROCESS_FIELDS = tuple(name for name in StatusRecord.__dataclass_fields__ if name != "status")


class StatusFile:
    """The status file of one instance while it runs. As a context manager it makes the folder and removes the file at the end.

    `every_s` is how often the loop promises to `write`; after `stall_s` without a frame the instance counts as unhealthy.
    If an instance of that name runs already, nothing is written and `running_pid` is its process. A file that cannot be
    written never stops a loop; `failure` says why. Raises UsageError when the folder belongs to another user.
    """

    def __init__(
        self, folder: Path, name: str, clock: Clock, every_s: float, stall_s: float, root: Path = Path("/")
    ) -> None:
        self.path = folder / f"{name}.status.json"
        self.running_pid: int | None = None
        self.failure = ""
        self._name, self._clock, self._root = name, clock, root
        self._every_s, self._stall_s = every_s, stall_s
        self._pid_started = _start_ticks(os.getpid(), root)

    def __enter__(self) -> StatusFile:
        make_runtime_folder(self.path.parent)
        other = read_instance(self._name, [self.path.parent], self._clock, self._root)
        self.running_pid = other.record.pid if other.running and other.record else None
        return self

    def write(self, status: Status) -> None:
        """Replaces the file's content with `status`; a reader sees the old content or the new, never a part."""
        if self.running_pid is not None:
            return
        now = self._clock.stamp()
        record = StatusRecord(
            name=self._name,
            pid=os.getpid(),
            pid_started=self._pid_started,
            boot=self._clock.boot,
            every_s=self._every_s,
            stall_s=self._stall_s,
            mono_s=round(now.mono_ns / 1e9, 3),
            clock=now.clock,
            status=status,
        )
        try:
            # not synced to a disk: the file is in memory
            with atomic_file(self.path, fresh_name=self.path.with_suffix(".new").name) as temporary:
                temporary.write_text(json.dumps(record.to_json(), ensure_ascii=False) + "\n")
            self.failure = ""
        except OSError as error:
            self.failure = f"{self.path} cannot be written ({error.strerror})"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.running_pid is None:
            with suppress(OSError):  # a reader sees that the process has ended
                self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """What a reader finds about the instance `name`. It is healthy if it runs and has no `problems`, which are sentences.

    Ages are seconds at the time of reading. `record` is the file's content, None without a file.
    """

    name: str
    running: bool
    problems: tuple[str, ...]
    folder: Path | None = None
    frame_age_s: float | None = None
    written_age_s: float | None = None
    record: StatusRecord | None = None

    def to_json(self) -> dict[str, Any]:
        """What `fer-edge health --json` prints."""
        content = self.record.to_json() if self.record else {}
        return {
            "name": self.name,
            "healthy": self.running and not self.problems,
            "running": self.running,
            "problems": list(self.problems),
            "frame_age_s": self.frame_age_s,
            "written_age_s": self.written_age_s,
            **{key: value for key, value in content.items() if key not in ("name", "problems")},
        }

    def text(self) -> str:
        """What `fer-edge health` prints: one line about the instance, and one line for each problem."""
        problems = [f"  {problem}" for problem in self.problems]
        if not self.running or self.record is None:
            return "\n".join([f"{self.name}: not running", *problems])
        status = self.record.status
        frames = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in status.frames.items())
        since_boot = ", ".join((status.health and status.health.throttled_since_boot) or ()).replace("_", " ")
        temperature_c = status.health.temperature_c if status.health else None
        parts = [
            f"{status.state}, camera {status.camera}",
            "no frame yet" if self.frame_age_s is None else f"last frame {self.frame_age_s:.1f} s ago",
            f"frames: {frames}" if frames else "",
            f"{sum(status.drops.values())} dropped",
            f"journal {status.journal}",
            f"{status.lines_lost} lines lost" if status.lines_lost else "",
            f"{temperature_c:g} °C" if temperature_c is not None else "",
            prior_text(status.prior) if status.prior else "",
            "clock not set" if self.record.clock == "unsynced" else "",
            f"since boot: {since_boot}" if since_boot else "",
        ]
        state = "unhealthy" if self.problems else "healthy"
        return "\n".join([f"{self.name}: {state}: {'; '.join(part for part in parts if part)}", *problems])


def prior_text(prior: Mapping[str, float]) -> str:
    """A prior in words, the most frequent label first."""
    shares = sorted(prior.items(), key=lambda pair: -pair[1])
    return "estimated prior: " + ", ".join(f"{label} {share:.0%}" for label, share in shares)


def read_instance(name: str, folders: Sequence[Path], clock: Clock, root: Path = Path("/")) -> InstanceStatus:
    """The status of the instance `name`, by the first of `folders` that has the file of a running process.

    Only files are read; the instance itself is not contacted. Raises UsageError when a later version wrote the file.
    """
    ended: InstanceStatus | None = None
    for folder in folders:
        try:
            fields = json.loads((folder / f"{name}.status.json").read_text())
        except (OSError, ValueError):
            continue
        if fields["status"] > SCHEMA:
            raise UsageError(f"the instance {name} runs a later version of fer-edge than this one; update this one")
        record = StatusRecord.from_json(fields)
        started = _start_ticks(record.pid, root)
        if record.boot == clock.boot and started is not None and started == record.pid_started:
            return _running_instance(folder, record, clock.mono_ns() / 1e9)
        problem = (
            f"its process {record.pid} ended without closing its files; the journal in {record.status.journal} is as it "
            "left it"
        )
        ended = ended or InstanceStatus(name, False, (problem,), folder, record=record)
    searched = ", ".join(map(str, folders))
    return ended or InstanceStatus(name, False, (f"no instance of that name runs: no status file in {searched}",))


def _running_instance(folder: Path, record: StatusRecord, now_s: float) -> InstanceStatus:
    status, frame_s = record.status, record.status.frame_mono_s
    age_s, frame_age_s = now_s - record.mono_s, None if frame_s is None else now_s - frame_s
    problems = []
    if age_s > _MISSED_WRITES * record.every_s:
        problems.append(f"its last status is {age_s:.0f} s old; it should write one every {record.every_s:g} s")
    if status.state in _NOT_READY:
        problems.append(_NOT_READY[status.state])
    elif status.state == "running" and frame_s is not None and record.mono_s - frame_s > record.stall_s:
        problems.append(f"no frame for {frame_age_s:.0f} s")
    if status.journal_trouble is not None:
        problems.append(f"the journal: {status.journal_trouble}; events wait in memory")
    return InstanceStatus(
        name=record.name,
        running=True,
        problems=(*problems, *status.problems),
        folder=folder,
        frame_age_s=None if frame_age_s is None else round(frame_age_s, 3),
        written_age_s=round(age_s, 3),
        record=record,
    )


def make_runtime_folder(folder: Path) -> None:
    """Makes the runtime folder, accessible to its owner only, if it does not exist. Raises UsageError when that fails."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat(follow_symlinks=False)
    except OSError as error:
        raise UsageError(
            f"the folder {folder} cannot be made ({error.strerror}); set `runtime` to another folder"
        ) from error
    # In a folder that all users share, another user may have made it first, or put a link there.
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{folder} is not a folder of this user; remove it, or set `runtime` to another folder")


def _start_ticks(pid: int, root: Path) -> int | None:
    """When the process started, in the kernel's ticks; None when it has ended. A later process with this pid differs in it."""
    try:
        state, *rest = (root / f"proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else int(rest[18])  # a zombie has ended; fields 3 and 22 of proc(5)
    except (OSError, ValueError, IndexError):
        return None
