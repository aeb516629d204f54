"""What a running instance shows of itself: a small file in memory that it rewrites, and what a reader makes of it.

    <runtime folder>/<name>.status.json

No socket and no thread: a crash leaves a file, and the reader sees that its process is gone.
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
from fer_edge.atomic_file import atomic_file
from fer_edge.errors import UsageError

SCHEMA = 1
STATES = ("starting", "waiting", "running", "lost", "paused", "stopping")
_NOT_YET = {
    "starting": "it is still starting",
    "waiting": "it waits for its camera",
    "lost": "its camera was lost and is tried again",
}
_LATE = 3  # rewrites that may be missed before the instance counts as stuck


@dataclass(frozen=True, slots=True)
class Status:
    """What the loop knows of itself. Times are seconds since boot, of the run's own clock."""

    state: str  # of STATES
    camera: str  # its name, without passwords
    journal: str  # its folder
    frame_mono_s: float | None = None  # when the last frame reached the sinks
    frames: Mapping[str, int] = field(default_factory=dict)  # read, processed, with_face
    drops: Mapping[str, int] = field(default_factory=dict)  # by reason
    journal_trouble: str | None = None  # why it cannot be written, while it cannot
    lines_lost: int = 0  # that it could not keep
    health: Mapping[str, Any] | None = None
    problems: tuple[str, ...] = ()  # of the machine


class StatusFile:
    """The file of one instance while it runs: a context manager that makes the folder and takes the file away at the end.

    `every_s` is how often the loop promises to `write`; `stall_s` after how long without a frame it is no longer well.
    Where an instance of that name runs already, nothing is written and `taken_by` is its process. A file that cannot be
    written never stops a loop: `failure` then says why. Raises UsageError when the folder belongs to somebody else.
    """

    def __init__(
        self, folder: Path, name: str, clock: Clock, every_s: float, stall_s: float, root: Path = Path("/")
    ) -> None:
        self.path = folder / f"{name}.status.json"
        self.taken_by: int | None = None
        self.failure = ""
        self._name, self._clock, self._root = name, clock, root
        self._fixed = {
            "status": SCHEMA,
            "name": name,
            "pid": os.getpid(),
            "pid_started": _started(os.getpid(), root),
            "boot": clock.boot,
            "every_s": every_s,
            "stall_s": stall_s,
        }

    def __enter__(self) -> StatusFile:
        make_runtime_folder(self.path.parent)
        found = read_instance(self._name, [self.path.parent], self._clock, self._root)
        self.taken_by = found.fields["pid"] if found.running else None
        return self

    def write(self, status: Status) -> None:
        """Puts `status` in the place of what was there; whoever reads sees the one or the other, never half."""
        if self.taken_by is not None:
            return
        now = self._clock.stamp()
        told = {**self._fixed, "mono_s": round(now.mono_ns / 1e9, 3), "clock": now.clock, **asdict(status)}
        try:
            # never forced to a disk: it is in memory
            with atomic_file(self.path, fresh_name=self.path.with_suffix(".new").name) as fresh:
                fresh.write_text(json.dumps(told, ensure_ascii=False) + "\n")
            self.failure = ""
        except OSError as error:
            self.failure = f"{self.path} cannot be written ({error.strerror})"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.taken_by is None:
            with suppress(OSError):  # its reader sees that the process is gone
                self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """What a reader finds of the instance `name`. `problems` are sentences; an instance that runs without any is well.

    Ages are seconds at the time of reading. `fields` is what the file holds, empty where there is none.
    """

    name: str
    running: bool
    problems: tuple[str, ...]
    folder: Path | None = None
    frame_age_s: float | None = None
    written_age_s: float | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What `fer-edge health --json` prints."""
        return {
            "name": self.name,
            "healthy": self.running and not self.problems,
            "running": self.running,
            "problems": list(self.problems),
            "frame_age_s": self.frame_age_s,
            "written_age_s": self.written_age_s,
            **{key: value for key, value in self.fields.items() if key not in ("name", "problems")},
        }

    def text(self) -> str:
        """What `fer-edge health` prints: a line with what it does, and one for each problem."""
        if not self.running:
            return "\n".join([f"{self.name}: not running", *(f"  {problem}" for problem in self.problems)])
        shown = self.fields
        frames = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in shown["frames"].items())
        last = "no frame yet" if self.frame_age_s is None else f"last frame {self.frame_age_s:.1f} s ago"
        health = shown["health"] or {}
        degrees = health.get("temperature_c")
        parts = [f"{shown['state']}, camera {shown['camera']}", last, f"frames: {frames}" if frames else ""]
        parts += [f"{sum(shown['drops'].values())} dropped", f"journal {shown['journal']}"]
        parts += [f"{shown['lines_lost']} lines lost" if shown["lines_lost"] else ""]
        parts += [
            f"{degrees:g} °C" if degrees is not None else "",
            "clock not set" if shown["clock"] == "unsynced" else "",
        ]
        since = ", ".join(health.get("throttled_since_boot") or ()).replace("_", " ")
        parts += [f"since boot: {since}" if since else ""]
        line = f"{self.name}: {'not well' if self.problems else 'well'}: {'; '.join(part for part in parts if part)}"
        return "\n".join([line, *(f"  {problem}" for problem in self.problems)])


def read_instance(name: str, folders: Sequence[Path], clock: Clock, root: Path = Path("/")) -> InstanceStatus:
    """What can be seen of the instance `name` from outside: its file in the first of `folders` that has one that lives.

    Raises UsageError when a file was written by a later version. Nothing is asked of the instance itself.
    """
    gone: InstanceStatus | None = None
    for folder in folders:
        try:
            fields = json.loads((folder / f"{name}.status.json").read_text())
        except (OSError, ValueError):
            continue
        if fields["status"] > SCHEMA:
            raise UsageError(f"the instance {name} is of a later version of fer-edge than this one; update this one")
        started = _started(fields["pid"], root)
        if fields["boot"] == clock.boot and started is not None and started == fields["pid_started"]:
            return _report(folder, fields, clock.mono_ns() / 1e9)
        ended = f"its process {fields['pid']} ended without a word; the journal in {fields['journal']} is as it left it"
        gone = gone or InstanceStatus(name, False, (ended,), folder, fields=fields)
    asked = ", ".join(map(str, folders))
    return gone or InstanceStatus(name, False, (f"no instance of that name runs: nothing in {asked}",))


def _report(folder: Path, fields: Mapping[str, Any], now_s: float) -> InstanceStatus:
    written_s, frame_s = fields["mono_s"], fields["frame_mono_s"]
    age_s, frame_age_s = now_s - written_s, None if frame_s is None else now_s - frame_s
    found = []
    if age_s > _LATE * fields["every_s"]:
        found.append(f"it has not said anything for {age_s:.0f} s, where it promised to every {fields['every_s']:g} s")
    if fields["state"] in _NOT_YET:
        found.append(_NOT_YET[fields["state"]])
    elif fields["state"] == "running" and frame_s is not None and written_s - frame_s > fields["stall_s"]:
        found.append(f"no frame for {frame_age_s:.0f} s")
    if fields["journal_trouble"] is not None:
        found.append(f"the journal: {fields['journal_trouble']}; what happens waits in memory")
    return InstanceStatus(
        fields["name"],
        True,
        (*found, *fields["problems"]),
        folder,
        None if frame_age_s is None else round(frame_age_s, 3),
        round(age_s, 3),
        fields,
    )


def make_runtime_folder(folder: Path) -> None:
    """The runtime folder, for its owner alone, where there is none. Raises UsageError when it cannot be had."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat(follow_symlinks=False)
    except OSError as error:
        raise UsageError(f"the folder {folder} cannot be made ({error.strerror}); name another as `runtime`") from error
    # In a folder for everybody, somebody else may have been quicker, or put a link there.
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{folder} is not a folder of this user; remove it, or name another as `runtime`")


def _started(pid: int, root: Path) -> int | None:
    """When the process began, in the kernel's ticks, which tells it from a later one of that number; None: it is gone."""
    try:
        state, *rest = (root / f"proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else int(rest[18])  # a zombie has ended; fields 3 and 22 of proc(5)
    except (OSError, ValueError, IndexError):
        return None
