"""The edit list of an MP4 or MOV file: which part of its pictures is shown.

A phone trims a clip by an edit list alone: the file keeps every picture, players and FFmpeg show the rest. Source: ISO/IEC
14496-12, 8.6.6.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_MOST_MOOV_BYTES = 16 << 20  # hours of video
_CONTAINERS = (b"trak", b"mdia", b"edts")
_EMPTY = -1  # the media time of an entry that shows nothing


def edited_duration_s(path: Path) -> float | None:
    """The length in seconds that the edit list of the first video track leaves; None without one, or when it is damaged."""
    try:
        moov = _moov(path)
        if moov is None:
            return None
        timescale = 0
        for kind, body in _boxes(moov):
            if kind == b"mvhd":
                timescale = int(struct.unpack_from(">I", body, 20 if body[0] == 1 else 12)[0])
            elif kind == b"trak" and timescale:
                boxes = dict(_inner_boxes(body))
                if boxes.get(b"hdlr", b"")[8:12] == b"vide":
                    return None if b"elst" not in boxes else _shown(boxes[b"elst"]) / timescale or None
    except (OSError, struct.error, IndexError, RecursionError):
        pass
    return None


def _moov(path: Path) -> bytes | None:
    """The content of the file's `moov` box."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        at = 0
        while at + 8 <= size:
            file.seek(at)
            length, kind = struct.unpack(">I4s", file.read(8))
            head = 8
            if length == 1:
                length, head = struct.unpack(">Q", file.read(8))[0], 16
            length = length or size - at
            if length < head:
                return None
            if kind == b"moov":
                return file.read(length - head) if length <= _MOST_MOOV_BYTES else None
            at += length
    return None


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        if length < 8:
            return
        yield kind, content[at + 8 : at + length]
        at += length


def _inner_boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes of a track, and those inside its containers."""
    for kind, body in _boxes(content):
        yield kind, body
        if kind in _CONTAINERS:
            yield from _inner_boxes(body)


def _shown(elst: bytes) -> int:
    """The sum of the durations of an edit list's entries, in the movie's time scale."""
    form, count = (">Qq4x", 20) if elst[0] == 1 else (">Ii4x", 12), struct.unpack_from(">I", elst, 4)[0]
    count = min(count, (len(elst) - 8) // form[1])
    entries = (struct.unpack_from(form[0], elst, 8 + n * form[1]) for n in range(count))
    return sum(duration for duration, media_time in entries if media_time != _EMPTY)
