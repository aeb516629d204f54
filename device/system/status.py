"""The status file of a running instance, and how others read it.

    <runtime folder>/<name>.status.json

The loop rewrites this small file in memory; there is no socket and no thread. After a crash the file remains, and a reader
sees that its process has ended.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from device.clock import Clock
from device.system.status_record import Status, StatusDamaged, StatusOfLaterVersion, StatusRecord
from fer_edge.atomic_file import atomic_file
from fer_edge.errors import UsageError
from fer_edge.file_owner import read_plain_file
from fer_edge.json_fields import json_text, parse_json
from fer_edge.limits import STATUS_FILE_BYTES

_NOT_READY = {
    "starting": "it is still starting",
    "waiting": "it waits for its camera",
    "lost": "it lost its camera and tries to open it again",
}
_MISSED_WRITES = 3  # so many rewrites may be missed before the instance counts as stuck


class StatusFile:
    """The status file of one instance while it runs. As a context manager it makes the folder and removes the file at the end.

    `every_s` is how often the loop promises to `write`, and may be changed; after `stall_s` without a frame the instance counts
    as unhealthy. If an instance of that name runs already, nothing is written and `running_pid` is its process. A file that
    cannot be written never stops a loop; `failure` says why. Raises UsageError when the folder belongs to another user.
    """

    def __init__(self, folder: Path, name: str, clock: Clock, every_s: float, stall_s: float) -> None:
        self.path = folder / f"{name}.status.json"
        self.running_pid: int | None = None
        self.failure = ""
        self._name, self._clock = name, clock
        self.every_s, self._stall_s = every_s, stall_s
        self._pid_started = _start_ticks(os.getpid(), Path("/"))

    def __enter__(self) -> StatusFile:
        make_runtime_folder(self.path.parent)
        other = read_instance(self._name, [self.path.parent], self._clock)
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
            every_s=self.every_s,
            stall_s=self._stall_s,
            mono_s=round(now.mono_ns / 1e9, 3),
            clock=now.clock,
            status=status,
        )
        content = json_text(record.to_json()) + "\n"
        try:
            try:
                self._replace(content)
            except FileNotFoundError:  # systemd-logind removed the folder when its user logged out
                make_runtime_folder(self.path.parent)
                self._replace(content)
            self.failure = ""
        except (OSError, UsageError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            self.failure = f"{self.path} cannot be written ({reason})"

    def _replace(self, content: str) -> None:
        # not synced to a disk: the file is in memory
        with atomic_file(self.path, fresh_name=self.path.with_suffix(".new").name) as temporary:
            temporary.write_text(content, encoding="utf-8")

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
    owner: tuple[int, int] | None = None  # (uid, gid) of the status file
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
            return "\n".join([f"{self.name}: {'running' if self.running else 'not running'}", *problems])
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
    return "prior: " + ", ".join(f"{label} {share:.0%}" for label, share in shares)


def read_instance(name: str, folders: Sequence[Path], clock: Clock, root: Path = Path("/")) -> InstanceStatus:
    """The status of the instance `name`, by the first of `folders` that has the file of a running process.

    Only files are read; the instance itself is not contacted. Raises StatusOfLaterVersion when a later version runs it: what
    such a version left behind when it ended, as before a rollback, counts as ended.
    """
    ended: InstanceStatus | None = None
    for folder in folders:
        path = folder / f"{name}.status.json"
        try:
            content, owner = read_plain_file(path, STATUS_FILE_BYTES)
            record = StatusRecord.read(parse_json(content), str(path))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, StatusDamaged) as error:
            reason = (
                f"{path}: {error}" if isinstance(error, ValueError) else error
            )  # the others name the file themselves
            problem = f"its status file cannot be read: {reason}"
            ended = ended or InstanceStatus(name, False, (problem,), folder)
            continue
        except StatusOfLaterVersion as error:
            if error.boot == clock.boot and is_own_process(error.pid, error.pid_started, owner[0], root):
                raise
            ended = ended or InstanceStatus(name, False, (f"{error}; its process has ended",), folder, owner)
            continue
        if record.boot == clock.boot and is_own_process(record.pid, record.pid_started, owner[0], root):
            return _running_instance(folder, record, owner, clock.mono_ns() / 1e9)
        problem = (
            f"its process {record.pid} ended without closing its files; the journal in {record.status.journal} is as it "
            "left it"
        )
        ended = ended or InstanceStatus(name, False, (problem,), folder, owner, record=record)
    searched = ", ".join(map(str, folders))
    return ended or InstanceStatus(name, False, (f"no instance of that name runs: no status file in {searched}",))


def is_own_process(pid: int | None, pid_started: int | None, uid: int, root: Path = Path("/")) -> bool:
    """Whether the process in a status file runs, is the one that wrote it, and belongs to the file's owner `uid`."""
    started = None if pid is None else _start_ticks(pid, root)
    return started is not None and started == pid_started and pid is not None and _process_uid(pid, root) == uid


def _running_instance(folder: Path, record: StatusRecord, owner: tuple[int, int], now_s: float) -> InstanceStatus:
    status, frame_s = record.status, record.status.frame_mono_s
    age_s, frame_age_s = now_s - record.mono_s, None if frame_s is None else now_s - frame_s
    problems = []
    if age_s > _MISSED_WRITES * record.every_s:
        problems.append(f"its last status is {age_s:.0f} s old; it should write one every {record.every_s:g} s")
    if status.state in _NOT_READY:
        problems.append(_NOT_READY[status.state])
    elif status.state == "running" and frame_s is not None:
        since_s = max(frame_s, status.since_mono_s or frame_s)  # before, a pause or a loss was the reason
        if record.mono_s - since_s > record.stall_s:
            problems.append(f"no frame for {now_s - since_s:.0f} s")
    if status.journal_trouble is not None:
        problems.append(f"the journal: {status.journal_trouble}; events wait in memory")
    problems += filter(None, status.outputs.values())
    return InstanceStatus(
        name=record.name,
        running=True,
        problems=(*problems, *status.problems),
        folder=folder,
        owner=owner,
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


def _process_uid(pid: int, root: Path) -> int | None:
    """The effective user of a process; None when it has ended."""
    try:
        lines = (root / f"proc/{pid}/status").read_text(errors="replace").splitlines()
        return next(int(line.split()[2]) for line in lines if line.startswith("Uid:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
