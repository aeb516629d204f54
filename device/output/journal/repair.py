"""Repairs: the torn end that a crash or a power cut leaves in a segment is cut off, and nothing before it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BLOCK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Repair:
    """What was cut off the end of a segment. As text, a sentence without its full stop."""

    segment: str
    cut_bytes: int

    def body(self) -> dict[str, Any]:
        """The body of a `repair` event."""
        return {"segment": self.segment, "cut_bytes": self.cut_bytes}

    def __str__(self) -> str:
        return (
            f"{self.segment} ended in the middle of a line, as a crash leaves it; {self.cut_bytes} bytes were cut off"
        )


def repair_segment(segment: Path) -> Repair | None:
    """What was cut so that the segment ends in a whole line, or None; a segment without any is removed.

    A line of a newer version is a line too. Raises OSError.
    """
    descriptor = os.open(segment, os.O_RDWR | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        whole = _whole_bytes(descriptor, size)
        if whole < size:
            os.ftruncate(descriptor, whole)
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    if not whole:
        segment.unlink()
    return Repair(segment.name, size - whole) if whole < size else None


def _whole_bytes(descriptor: int, size: int) -> int:
    """How far the file reaches, in bytes, with the last of its lines that can be read, whatever stands behind it."""
    start, tail = size, b""
    while start:
        step = min(_BLOCK_BYTES, start)
        start -= step
        tail = os.pread(descriptor, step, start) + tail
        end = tail.rfind(b"\n") + 1
        while end:
            begin = tail.rfind(b"\n", 0, end - 1) + 1
            if not begin and start:
                break  # where this line begins is further up
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
