"""The single writer of a journal's folder, and the segment that it writes."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from device.output.journal.repair import Repair, repair_segment
from device.output.journal.retention import expired_segments, segments_over_budget
from fer_edge.atomic_file import sync_to_disk
from fer_edge.events import Event
from fer_edge.journal.segments import highest_number, lock_folder, segment_name, segments

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)
_SEGMENT_BYTES = 1 << 20  # so that old lines are deleted in small steps
_SPARE_BYTES = 8 << 10  # of the budget, for rounding to blocks and a gap line
_REPAIRED_SEGMENTS = (
    64  # newest segments that are repaired on entering: one is repaired by the next start at the latest
)


class SegmentWriter:
    """Writes segments in `folder` within the budget. Every method raises OSError unless it says otherwise.

    `path` is the segment being written, or written last; `size` the bytes of it that are certainly whole lines, 0 without a
    segment; `written_bytes` those of all segments since this object was created.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path: Path | None = None
        self.size = 0
        self.written_bytes = 0
        self.segment_bytes = self._budget_bytes = _SEGMENT_BYTES
        self._number = 0
        self._lock: int | None = None
        self._file: int | None = None

    def set_budget(self, budget_bytes: int) -> None:
        """Limits the size of all segments together, from the next one on."""
        self._budget_bytes = budget_bytes
        self.segment_bytes = min(_SEGMENT_BYTES, budget_bytes // 8)

    def lock_and_repair(self) -> tuple[Repair, ...]:
        """Locks the folder and returns the repairs of truncated segments. Raises BlockingIOError when another writer has it."""
        self._lock = lock_folder(self.folder)
        found = segments(self.folder)
        self._number = highest_number(self.folder)
        return tuple(repair for path in found[-_REPAIRED_SEGMENTS:] if (repair := repair_segment(path)))

    def start_segment(self, room_bytes: int = 0) -> None:
        """Closes the segment and creates the next one, after deleting the oldest ones if the budget has no room for it."""
        self.close_segment()
        if self._lock is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = lock_folder(self.folder)
        found = segments(self.folder)
        room_bytes = max(self.segment_bytes, room_bytes) + _SPARE_BYTES
        for path in segments_over_budget(found, self._budget_bytes - room_bytes):
            path.unlink(missing_ok=True)
        self._number = max(self._number, highest_number(self.folder)) + 1
        while os.path.lexists(path := self.folder / segment_name(self._number)):  # a link is no segment
            self._number += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        self.path = path
        try:
            sync_to_disk(self.folder)
        except OSError:
            self.close_segment()
            raise

    def is_ready(self) -> bool:
        """Whether there is a segment and its path still leads to it; closes one that was removed. Never raises.

        The kernel writes to a removed file, or one in a removed folder, without an error.
        """
        if self._lock is not None and not _is_same_file(self.folder, self._lock):
            self.close_segment()
            self._unlock()
        elif self._file is not None and self.path is not None and not _is_same_file(self.path, self._file):
            self.close_segment()
        return self._file is not None

    def write(self, batch: bytes) -> None:
        """Appends the batch and forces it to the card. When it raises, the segment is as before, or closed."""
        assert self._file is not None, "start_segment was called"
        try:
            rest = memoryview(batch)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fdatasync(self._file)
        except OSError as error:
            whole = False
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
                # after any other failure it is unknown what the kernel considers to be on the card
                whole = error.errno in DISK_FULL_ERRORS
            if not whole:
                self.close_segment()
            raise
        self.size += len(batch)
        self.written_bytes += len(batch)

    def close_segment(self) -> None:
        """Closes the segment, and deletes it if it is empty. Never raises."""
        if self._file is None or self.path is None:
            return
        with suppress(OSError):
            if not self.size and _is_same_file(self.path, self._file):
                self.path.unlink()
        with suppress(OSError):
            os.close(self._file)
        self._file, self.size = None, 0

    def leave_empty_segment(self) -> None:
        """Closes the segment. If no line was written at all, an empty one stays, a sign of the run. Never raises."""
        with suppress(OSError):
            if not self.written_bytes and not self.is_ready():
                self.start_segment()
        if self._file is not None and not self.written_bytes:
            with suppress(OSError):
                os.close(self._file)
            self._file = None

    def release(self) -> None:
        """Closes the segment and unlocks the folder for another writer. Never raises."""
        self.close_segment()
        self._unlock()

    def delete_expired(self, keep_s: float, now: Event, trusted: bool) -> None:
        """Deletes the segments, except the one being written, that are certainly older than `keep_s` at `now`."""
        closed = [path for path in segments(self.folder) if path != self.path]
        for path in expired_segments(closed, keep_s, now, trusted):
            path.unlink(missing_ok=True)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _is_same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False
