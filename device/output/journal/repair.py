"""Repair of a segment: the truncated line that a crash or a power cut left at its end is cut off, and nothing before it."""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device.output.event_bodies import RepairBody

_BLOCK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Repair:
    """How many bytes were cut off the end of a segment. As text, a sentence without its full stop."""

    segment: str
    cut_bytes: int

    def body(self) -> RepairBody:
        """The body of a `repair` event."""
        return {"segment": self.segment, "cut_bytes": self.cut_bytes}

    def __str__(self) -> str:
        if not self.cut_bytes:
            return f"{self.segment} held no line: the run before could not write any, or was cut off at its start"
        return f"{self.segment} ended in the middle of a line after a crash; {self.cut_bytes} bytes were cut off"


def repair_segment(segment: Path) -> Repair | None:
    """The repair by which the segment ends in a whole line, or None; a segment without any whole line, or empty, is deleted.

    A line of a newer version is a line too. A link, and a file that has another name besides, are left alone: what they lead
    to may be any file. Raises OSError.
    """
    try:
        descriptor = os.open(segment, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            return None
        size = os.fstat(descriptor).st_size
        whole = _whole_bytes(descriptor, size)
        if whole < size:
            os.ftruncate(descriptor, whole)
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    if not whole:
        segment.unlink()
    return None if 0 < whole == size else Repair(segment.name, size - whole)


def _whole_bytes(descriptor: int, size: int) -> int:
    """The length of the file, in bytes, up to the end of its last readable line, whatever follows it."""
    start, tail = size, b""
    while start:
        length = min(_BLOCK_BYTES, start)
        start -= length
        tail = os.pread(descriptor, length, start) + tail
        end = tail.rfind(b"\n") + 1
        while end:
            begin = tail.rfind(b"\n", 0, end - 1) + 1
            if not begin and start:
                break  # this line begins in an earlier block
            if _is_event(tail[begin:end]):
                return start + end
            end = begin
        tail = tail[:end]
    return 0


def _is_event(raw: bytes) -> bool:
    try:
        return "kind" in json.loads(raw)
    except (ValueError, TypeError):
        return False
