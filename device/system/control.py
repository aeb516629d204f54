"""Pause, resume and reload of a running instance: two flag files and a signal, nothing that listens.

    <runtime folder>/<name>.paused   seen by the loop at its next turn, whatever happens to the disk
    <journal>/paused                 the same, kept over a restart of the process and of the machine

Whoever pauses a camera means it: a pause ends by `fer-edge resume` and by nothing else, not by a crash, a restart or a
power cut. Two files, because each has what the other lacks: the one in memory can be made on a full or read-only disk and
outlives a journal that was removed; the one beside the journal outlives a reboot.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from device.clock import Clock
from device.system.status import InstanceStatus, read_instance
from fer_edge.errors import UsageError

_PATIENCE_S, _LOOK_S = 5.0, 0.1


class Pause:
    """Whether the instance `name` is asked to pause. `runtime` and `journal` are its folders."""

    def __init__(self, name: str, runtime: Path, journal: Path) -> None:
        self.flags = (runtime / f"{name}.paused", journal / "paused")
        self._last = False

    def asked(self) -> bool:
        """Whether a flag is there: two system calls, cheap enough for each turn of a loop."""
        with suppress(OSError):  # a card that dies must neither pause a camera nor end a pause
            self._last = any(flag.exists() for flag in self.flags)
        return self._last

    def set(self) -> tuple[str, ...]:
        """Asks for a pause; gives the flags that could not be made, as sentences. Raises UsageError when none could."""
        failed = []
        for flag in self.flags:
            try:
                flag.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                flag.touch(mode=0o644)
                _force(flag.parent)
            except OSError as error:
                failed.append(f"{flag} cannot be made ({error.strerror})")
        if len(failed) == len(self.flags):
            raise UsageError(f"{'; '.join(failed)}: nothing is paused; try with sudo, or stop the process")
        return tuple(failed)

    def clear(self) -> None:
        """Asks for the end of a pause. Raises UsageError when a flag cannot be taken away."""
        for flag in self.flags:
            try:
                flag.unlink(missing_ok=True)
                if flag.parent.is_dir():
                    _force(flag.parent)
            except OSError as error:
                raise UsageError(
                    f"{flag} cannot be removed ({error.strerror}): the pause stays; try with sudo"
                ) from error


def pause(name: str, folders: Sequence[Path], clock: Clock, journal: Path | None = None) -> str:
    """A sentence, after the running instance `name` closed its camera, or `journal`'s next run was told to start paused.

    `folders` are where it may be found, `journal` stands in where none runs. Raises UsageError when there is nothing to
    pause, or when it did not close its camera in time.
    """
    found = read_instance(name, folders, clock)
    flags = _flags(found, folders, journal)
    failed = "".join(f"; {sentence}: a restart of this machine would end it" for sentence in flags.set())
    if not found.running:
        return f"{name} does not run; it will start paused{failed}"
    if not _became(name, folders, clock, paused=True):
        raise UsageError(f"{name} was asked to pause and did not within {_PATIENCE_S:g} s; see `fer-edge health`")
    return f"{name} is paused, its camera closed; `fer-edge resume` ends it, a restart does not{failed}"


def resume(name: str, folders: Sequence[Path], clock: Clock, journal: Path | None = None) -> str:
    """A sentence, after the pause of the instance `name` was ended. Raises UsageError as `pause` does."""
    found = read_instance(name, folders, clock)
    _flags(found, folders, journal).clear()
    if not found.running:
        return f"{name} does not run; it will not start paused"
    if not _became(name, folders, clock, paused=False):
        raise UsageError(f"{name} was asked to go on and did not within {_PATIENCE_S:g} s; see `fer-edge health`")
    return f"{name} goes on"


def reload(name: str, folders: Sequence[Path], clock: Clock) -> str:
    """A sentence, after the running instance `name` was told (SIGHUP) to read its settings' file again."""
    found = read_instance(name, folders, clock)
    if not found.running:
        raise UsageError(f"{name} does not run ({'; '.join(found.problems)}); there is nothing to reload")
    try:
        os.kill(found.fields["pid"], signal.SIGHUP)
    except OSError as error:
        raise UsageError(f"{name} cannot be told ({error.strerror}); try with sudo") from error
    return f"{name} reads its settings again; what it made of them, it says itself"


def _flags(found: InstanceStatus, folders: Sequence[Path], journal: Path | None) -> Pause:
    known = found.fields.get("journal")
    if not found.running and known is None and journal is None:
        raise UsageError(f"{'; '.join(found.problems)}; name it with --name, or its journal with --log")
    at = Path(known) if known is not None and (found.running or journal is None) else journal
    assert at is not None
    return Pause(found.name, found.folder or folders[0], at)


def _became(name: str, folders: Sequence[Path], clock: Clock, paused: bool) -> bool:
    """Whether the instance came to be paused, or not, soon enough; one that ends meanwhile has closed its camera too."""
    end_ns = clock.mono_ns() + round(_PATIENCE_S * 1e9)
    while clock.mono_ns() < end_ns:
        found = read_instance(name, folders, clock)
        if not found.running or (found.fields["state"] == "paused") == paused:
            return True
        clock.sleep(_LOOK_S)
    return False


def _force(folder: Path) -> None:
    node = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(node)  # or a power cut could bring back what was there before
    finally:
        os.close(node)
