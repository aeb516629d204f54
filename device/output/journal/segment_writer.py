"""The store: a journal's folder as its one writer holds it, and the segment that is being written."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from device.output.journal.repair import Repair, repair_segment
from device.output.journal.retention import expired_segments, segments_over_budget
from fer_edge.events import Event
from fer_edge.journal.segments import lock_folder, segment_name, segment_number, segments, sync_folder

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)
_SEGMENT_BYTES = 1 << 20  # so that old lines go in small steps
_SPARE_BYTES = 8 << 10  # of the budget, for what rounding to blocks and a gap line may take
_REPAIRED_SEGMENTS = 64  # segments that are looked at for torn ends: a segment is repaired by the start after its own


class SegmentWriter:
    """Segments in `folder`, as many as `limit` allows. Every method raises OSError unless it says otherwise.

    `path` is the segment being written, or written last; `size` the bytes of it that are surely whole lines, 0 without a
    segment; `written_bytes` those of all segments, since this was made.
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

    def limit(self, budget_bytes: int) -> None:
        """Has all segments together take that much at most, from the next one on."""
        self._budget_bytes = budget_bytes
        self.segment_bytes = min(_SEGMENT_BYTES, budget_bytes // 8)

    def enter(self) -> tuple[Repair, ...]:
        """What was cut off torn segments, once no other writer can come. Raises BlockingIOError when there is one."""
        self._lock = lock_folder(self.folder)
        found = segments(self.folder)
        self._number = max(map(segment_number, found), default=0)
        return tuple(told for path in found[-_REPAIRED_SEGMENTS:] if (told := repair_segment(path)))

    def begin(self, room_bytes: int = 0) -> None:
        """Leaves the segment and makes the next, for which the oldest others go if the budget has no room."""
        self.leave()
        if self._lock is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = lock_folder(self.folder)
        found = segments(self.folder)
        for path in segments_over_budget(
            found, self._budget_bytes - max(self.segment_bytes, room_bytes) - _SPARE_BYTES
        ):
            path.unlink(missing_ok=True)
        self._number = max(self._number, *map(segment_number, found), 0) + 1
        path = self.folder / segment_name(self._number)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o600)
        self.path = path
        try:
            sync_folder(self.folder)
        except OSError:
            self.leave()
            raise

    def ready(self) -> bool:
        """Whether there is a segment and it is still what its name stands for. Never raises.

        The kernel writes to a removed file, or one in a removed folder, without a word.
        """
        if self._lock is not None and not _is_same_file(self.folder, self._lock):
            self.leave()
            self._unlock()
        elif self._file is not None and self.path is not None and not _is_same_file(self.path, self._file):
            self.leave()
        return self._file is not None

    def write(self, batch: bytes) -> None:
        """Appends the batch and forces it to the card. When it raises, the segment is as before, or left for good."""
        assert self._file is not None, "there is a segment after begin"
        try:
            rest = memoryview(batch)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fdatasync(self._file)
        except OSError as error:
            whole = False
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
                whole = (
                    error.errno in DISK_FULL_ERRORS
                )  # after another failure nobody knows what the kernel takes to be on the card
            if not whole:
                self.leave()
            raise
        self.size += len(batch)
        self.written_bytes += len(batch)

    def leave(self) -> None:
        """Closes the segment, and removes it if it holds nothing. Never raises."""
        if self._file is None or self.path is None:
            return
        with suppress(OSError):
            if not self.size and _is_same_file(self.path, self._file):
                self.path.unlink()
        with suppress(OSError):
            os.close(self._file)
        self._file, self.size = None, 0

    def release(self) -> None:
        """Leaves the segment and lets another writer come. Never raises."""
        self.leave()
        self._unlock()

    def expire(self, keep_s: float, now: Event, trusted: bool) -> None:
        """Removes the segments, except the one being written, that are surely older than that."""
        for path in expired_segments(
            [path for path in segments(self.folder) if path != self.path], keep_s, now, trusted
        ):
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
