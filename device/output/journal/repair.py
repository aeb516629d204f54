"""Repair of a segment: the truncated line that a crash or a power cut left at its end is cut off, and nothing before it."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.limits import JOURNAL_LINE_BYTES

if TYPE_CHECKING:
    from device.output.event_bodies import RepairBody

_BLOCK_BYTES = 1 << 16
_SEARCHED_BYTES = 4 << 20  # a segment has a quarter of it at most


@dataclass(frozen=True, slots=True)
class Repair:
    """How many bytes were cut off the end of a segment; 0 for one that held no line and was deleted.

    As text, a sentence without its full stop.
    """

    segment: str
    cut_bytes: int

    def body(self) -> RepairBody:
        """The body of a `repair` event."""
        return {"segment": self.segment, "cut_bytes": self.cut_bytes}

    def __str__(self) -> str:
        if not self.cut_bytes:
            return f"{self.segment} held no line: its run could not write any, or was cut off at its start"
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
        size = found.st_size
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
    """The length of the file, in bytes, up to the end of its last readable line, whatever follows it.

    A file whose last _SEARCHED_BYTES have none is not a run's: it stays as it is, and its readers report it.
    """
    end = 0
    for begin in _line_ends(descriptor, size):
        if (
            end - begin > 1
            and end - begin <= JOURNAL_LINE_BYTES
            and _is_event(os.pread(descriptor, end - begin, begin))
        ):
            return end
        end = begin
    return size if size > _SEARCHED_BYTES else 0


def _line_ends(descriptor: int, size: int) -> Iterator[int]:
    """The places behind the newlines in the last _SEARCHED_BYTES of the file, the last one first; 0 for its beginning."""
    start, least = size, max(0, size - _SEARCHED_BYTES)
    while start > least:
        length = min(_BLOCK_BYTES, start - least)
        start -= length
        block, place = os.pread(descriptor, length, start), length
        while (place := block.rfind(b"\n", 0, place)) >= 0:
            yield start + place + 1
    if not start:
        yield 0


def _is_event(raw: bytes) -> bool:
    try:
        return "kind" in json.loads(raw)
    except (ValueError, TypeError, RecursionError, OverflowError):
        return False
