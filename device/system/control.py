"""Pause, resume and reload of a running instance: two flag files and a signal, no socket.

    <runtime folder>/<name>.paused   the loop checks it at each turn; it does not depend on the disk
    <journal>/paused                 the same; it survives a restart of the process and of the machine

Only `fer-edge resume` ends a pause; a crash, a restart or a power cut does not. Two files are needed: the one in memory can
be made on a full or read-only disk and survives the removal of the journal; the one beside the journal survives a reboot.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from device.clock import Clock
from device.system.status import InstanceStatus, is_own_process, read_instance
from fer_edge.atomic_file import sync_to_disk
from fer_edge.errors import NotRunning, UsageError
from fer_edge.file_owner import acting_as_owner
from fer_edge.instance_name import name_option

_TIMEOUT_S = 25.0  # beyond `stall_s`: unless `open_s` is long, a camera is closed within less (Capture.stop)
_POLL_S = 0.1


class Pause:
    """The request to pause the instance `name`. `runtime` and `journal` are its folders.

    Root makes and removes the flag files with the rights of `owner` (uid, gid), the user who named the folders in a status
    file; else with those of the folders' owner.
    """

    def __init__(self, name: str, runtime: Path, journal: Path, owner: tuple[int, int] | None = None) -> None:
        self.flags = (runtime / f"{name}.paused", journal / "paused")
        self._owner = owner
        self._last = False

    def requested(self) -> bool:
        """Whether a flag file exists: two system calls, cheap enough for each turn of a loop."""
        with suppress(OSError):  # a failing card must neither pause a camera nor end a pause
            self._last = any(flag.exists() for flag in self.flags)
        return self._last

    def set(self) -> tuple[str, ...]:
        """Requests a pause; returns a sentence for each flag file that could not be made. Raises UsageError if none could."""
        failed = []
        for flag in self.flags:
            try:
                with acting_as_owner(flag, self._owner):
                    flag.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    os.close(
                        os.open(flag, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
                    )
                    sync_to_disk(flag.parent)
            except OSError as error:
                failed.append(f"{flag} cannot be made ({error.strerror})")
        if len(failed) == len(self.flags):
            raise UsageError(f"{'; '.join(failed)}: nothing is paused; try with sudo, or stop the process")
        return tuple(failed)

    def clear(self) -> None:
        """Ends the request to pause. Raises UsageError when a flag file cannot be removed."""
        for flag in self.flags:
            try:
                with acting_as_owner(flag, self._owner):
                    flag.unlink(missing_ok=True)
                    if flag.parent.is_dir():
                        sync_to_disk(flag.parent)
            except OSError as error:
                raise UsageError(
                    f"{flag} cannot be removed ({error.strerror}): the pause continues; try with sudo"
                ) from error


def pause(name: str, folders: Sequence[Path], clock: Clock, journal: Path | None = None) -> str:
    """A sentence, once the running instance `name` has closed its camera, or once its next run is set to start paused.

    `folders` are searched for its status file; `journal` is its journal's folder when it does not run. Raises NotRunning
    when there is nothing to pause, UsageError when the instance does not close its camera in time.
    """
    instance = read_instance(name, folders, clock)
    pause_request = _pause_request(instance, folders, journal)
    failed = "".join(f"; {sentence}: a reboot would end the pause" for sentence in pause_request.set())
    if not instance.running:
        return f"{name} does not run; it will start paused{failed}"
    if not _wait_for(name, folders, clock, limit_s := _limit_s(instance), paused=True):
        raise UsageError(
            f"{name} did not pause within {limit_s:g} s; it will, once its camera's driver returns: see "
            f"`fer-edge health{name_option(name)}`"
        )
    command = f"fer-edge resume{name_option(name)}"
    return f"{name} is paused and its camera closed; `{command}` ends the pause, a restart does not{failed}"


def resume(name: str, folders: Sequence[Path], clock: Clock, journal: Path | None = None) -> str:
    """A sentence, once the pause of the instance `name` has ended. Raises UsageError as `pause` does."""
    instance = read_instance(name, folders, clock)
    _pause_request(instance, folders, journal).clear()
    if not instance.running:
        return f"{name} does not run; it will not start paused"
    if not _wait_for(name, folders, clock, limit_s := _limit_s(instance), paused=False):
        raise UsageError(
            f"{name} did not resume within {limit_s:g} s; it will, once its camera opens: see "
            f"`fer-edge health{name_option(name)}`"
        )
    return f"{name} is no longer paused"


def reload(name: str, folders: Sequence[Path], clock: Clock) -> str:
    """A sentence, once SIGHUP was sent to the running instance `name`, which then reads its settings file again."""
    instance = read_instance(name, folders, clock)
    if not instance.running or instance.record is None or instance.owner is None:
        raise NotRunning(f"{name} does not run ({'; '.join(instance.problems)}); there is nothing to reload")
    try:
        process = os.pidfd_open(instance.record.pid)
        try:  # the number may belong to another process by now; the descriptor stays with the one that is checked
            if not is_own_process(instance.record.pid, instance.record.pid_started, instance.owner[0]):
                raise NotRunning(f"{name} ended meanwhile; there is nothing to reload")
            signal.pidfd_send_signal(process, signal.SIGHUP)
        finally:
            os.close(process)
    except OSError as error:
        raise UsageError(f"{name} cannot be signalled ({error.strerror}); try with sudo") from error
    return f"{name} reads its settings again; it logs what changed"


def _pause_request(instance: InstanceStatus, folders: Sequence[Path], journal: Path | None) -> Pause:
    recorded = None if instance.record is None else Path(instance.record.status.journal)
    folder = recorded if recorded is not None and (instance.running or journal is None) else journal
    if folder is None:
        raise NotRunning(f"{'; '.join(instance.problems)}; name it with --name, or its journal with --log")
    return Pause(instance.name, instance.folder or folders[0], folder, instance.owner)


def _limit_s(instance: InstanceStatus) -> float:
    """How long to wait for the instance: a read of its camera may take `stall_s`."""
    return _TIMEOUT_S + (instance.record.stall_s if instance.record else 0.0)


def _wait_for(name: str, folders: Sequence[Path], clock: Clock, limit_s: float, paused: bool) -> bool:
    """Whether the instance was paused, or resumed, in time; an instance that ends meanwhile has closed its camera too."""
    end_ns = clock.mono_ns() + round(limit_s * 1e9)
    while clock.mono_ns() < end_ns:
        record = (instance := read_instance(name, folders, clock)).record
        if not instance.running or record is None or (record.status.state == "paused") == paused:
            return True
        clock.sleep(_POLL_S)
    return False
