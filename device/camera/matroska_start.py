"""The time of the first picture of a Matroska or WebM file.

A part that was cut from a longer recording may keep its times. Its duration is then that of its end, with the time before its
first picture, and FFmpeg derives the number of frames from it. Source: RFC 8794 (EBML) and RFC 9559 (Matroska).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT, _INFO, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x1F43B675
_TIMESTAMP_SCALE, _TIMESTAMP = 0x2AD7B1, 0xE7
_ENTERED = {_SEGMENT, _INFO, _CLUSTER}
_MOST_ELEMENTS = 10_000  # before the first cluster; a file has some dozens
_DEFAULT_SCALE_NS = 1_000_000


def matroska_start_s(path: Path) -> float:
    """The time in seconds of the first cluster, which holds the first picture; 0 for another file, or a damaged one."""
    try:
        with path.open("rb") as file:
            return _start_s(file)
    except (OSError, EOFError, ValueError):
        return 0.0


def _start_s(file: BinaryIO) -> float:
    scale_ns = _DEFAULT_SCALE_NS
    for number in range(_MOST_ELEMENTS):
        kind, size = _number(file, keep_marker=True), _number(file)
        if number == 0 and kind != _EBML:
            break
        if kind in _ENTERED:
            continue
        if kind in (_TIMESTAMP_SCALE, _TIMESTAMP):
            value = int.from_bytes(_read(file, size), "big")
            if kind == _TIMESTAMP:
                return value * scale_ns / 1e9
            scale_ns = value
        else:
            file.seek(size, 1)
    return 0.0


def _number(file: BinaryIO, keep_marker: bool = False) -> int:
    """A number of variable length, whose first byte tells how many follow. An id is written with its marker."""
    first = _read(file, 1)[0]
    length = 9 - first.bit_length()
    if length > 8:
        raise ValueError("no number of EBML begins with 0")
    value = first if keep_marker else first & ((1 << (8 - length)) - 1)
    return value << 8 * (length - 1) | int.from_bytes(_read(file, length - 1), "big")


def _read(file: BinaryIO, size: int) -> bytes:
    if size > 8:
        raise ValueError(f"a number of {size} bytes")
    content = file.read(size)
    if len(content) < size:
        raise EOFError
    return content
