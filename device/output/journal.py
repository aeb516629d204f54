"""The journal: events as lines of JSON in a folder of segment files that are only ever appended to.

    journal-000001.jsonl, journal-000002.jsonl, …    one a run; the number, not the clock, gives the order

A line is handed to the kernel when its event happens, so that it outlives this process; it is forced to the card every
`sync_s` seconds and at the end, because each force costs a card far more than the line's own bytes. A power cut may
tear the last line of a segment. Nothing here reads an older segment, so a torn one never prevents a start.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import TracebackType

from device.clock import Clock
from fer_edge.errors import UsageError
from fer_edge.events import Event

_NAME = re.compile(r"journal-(\d{6,})\.jsonl")


class Journal:
    """A sink that writes one new segment in `folder`, which is made, for its owner alone, where it is missing.

    Raises UsageError, at any time, when the folder or the segment cannot be written.
    """

    def __init__(self, folder: Path, clock: Clock, sync_s: float = 30.0) -> None:
        self.folder = folder.absolute()
        self.path: Path | None = None  # the segment, once there is one
        self._clock, self._sync_ns = clock, round(sync_s * 1e9)
        self._file: int | None = None
        self._unsynced_since_ns: int | None = None
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._refusal(error) from error

    def __enter__(self) -> Journal:
        try:
            numbers = [int(match[1]) for old in self.folder.iterdir() if (match := _NAME.fullmatch(old.name))]
            number = max(numbers, default=0) + 1
            while self._file is None:
                path = self.folder / f"journal-{number:06d}.jsonl"
                try:
                    self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
                except FileExistsError:  # another run was quicker
                    number += 1
            self.path = path
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)  # else a power cut may take the name of a file whose lines were forced
            finally:
                os.close(folder)
        except OSError as error:
            raise self._refusal(error) from error
        return self

    def append(self, event: Event) -> None:
        """Hands the event's line to the kernel; the first one, a header, is also forced to the card."""
        if self._file is None:
            raise UsageError(f"the journal in {self.folder} is closed")
        rest = memoryview(f"{event.line()}\n".encode())
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            raise self._refusal(error) from error
        if self._unsynced_since_ns is None:
            self._unsynced_since_ns = self._clock.mono_ns()
        if event.kind == "header":
            self.sync()
        else:
            self.tick()

    def tick(self) -> None:
        """Forces the lines to the card if the oldest of them has waited long enough."""
        since_ns = self._unsynced_since_ns
        if since_ns is not None and self._clock.mono_ns() - since_ns >= self._sync_ns:
            self.sync()

    def sync(self) -> None:
        """Forces every line to the card."""
        if self._file is not None and self._unsynced_since_ns is not None:
            try:
                os.fdatasync(self._file)
            except OSError as error:
                raise self._refusal(error) from error
            self._unsynced_since_ns = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.sync()
        finally:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _refusal(self, error: OSError) -> UsageError:
        return UsageError(
            f"the journal in {self.folder} cannot be written ({error.strerror}); free some space, mend the folder, or "
            "give another with --log"
        )
