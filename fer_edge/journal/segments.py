"""Segments: the files of a journal, their order and lines, and the lock for writing or purging.

journal-000001.jsonl, journal-000002.jsonl, …    ordered by number, not by clock
highest-number                                   only after a purge that removed the newest: its number, which is not used again
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections import deque
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from fer_edge.atomic_file import write_atomically
from fer_edge.errors import UsageError
from fer_edge.event_bodies import LARGEST_MONO_S
from fer_edge.events import SCHEMA, Event, posix_s
from fer_edge.file_owner import read_plain_file
from fer_edge.limits import JOURNAL_LINE_BYTES

_NAME = re.compile(r"journal-(\d{6,})\.jsonl")
# The beginning of each line, as Event.line writes it: a month can be scanned by it without parsing the bodies.
_HEAD = re.compile(
    rb'\{"kind":"\w+","seq":\d{1,16},"boot":"([^"\\]*)","mono_s":(\d{1,10}(?:\.\d+)?),"wall":"([^"\\]*)","clock":"(\w*)"[,}]'
)
_CLOCK_LINES = 8  # at the end of a boot are looked at for one that is whole, to take its clock
_TAIL_BYTES = (1 << 13, 1 << 16)  # of a segment are read for its last event: nearly always the first is enough
_NOTED, _NOTED_BYTES = re.compile(rb"\d{1,15}\n"), 20
_HIGHEST = "highest-number"  # of a purged segment


@dataclass(frozen=True, slots=True)
class DamagedLine:
    """A line that cannot be read, or a segment of another schema. As text, a sentence without its full stop.

    A line that is too long comes in parts; `later_part`: an earlier one was it already.
    """

    segment: str
    number: int  # of the line, from 1; 0 where `why` names the line
    why: str
    newer: bool = False
    later_part: bool = False

    def __str__(self) -> str:
        return f"{self.segment}, line {self.number}: {self.why}" if self.number else f"{self.segment}: {self.why}"


def segment_name(number: int) -> str:
    """The name of the segment with that number."""
    return f"journal-{number:06d}.jsonl"


def segment_number(path: Path) -> int:
    """The number in a segment's name, 0 for any other file."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else 0


def highest_number(folder: Path) -> int:
    """The highest number that a segment in `folder` has, or had before a purge; 0 for none. Raises OSError.

    A copy of the journal has the segments from before the purge: with their numbers, new ones would replace or precede them.
    """
    noted = 0
    with suppress(OSError):
        content, _ = read_plain_file(folder / _HIGHEST, _NOTED_BYTES)
        noted = int(content) if _NOTED.fullmatch(content) else 0
    return max([noted, *map(segment_number, segments(folder))])


def note_highest_number(folder: Path, number: int) -> None:
    """Keeps the number of a segment that is about to be removed, so that no later one gets it. Raises OSError."""
    write_atomically(folder / _HIGHEST, f"{max(number, highest_number(folder))}\n", durable=True)


def segments(folder: Path) -> list[Path]:
    """The segments in `folder`, oldest first; links and folders are none. Raises OSError, which names a missing folder."""
    with os.scandir(folder) as entries:
        found = [folder / entry.name for entry in entries if _NAME.fullmatch(entry.name) and _is_plain(entry)]
    return sorted(found, key=segment_number)


def _is_plain(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file and no link: what a link leads to is not of this journal, and may be of another user."""
    return entry.is_file(follow_symlinks=False)


def read_lines(file: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """Each line of an open segment: its number, its bytes with the newline, and whether they begin it.

    A line of more than JOURNAL_LINE_BYTES comes in parts of that size, so that memory is bounded.
    """
    number, begins = 1, True
    for raw in iter(partial(file.readline, JOURNAL_LINE_BYTES), b""):
        yield number, raw, begins
        begins = raw.endswith(b"\n")
        number += begins


def segment_lines(segment: Path, kinds: Container[str] | None = None) -> Iterator[tuple[bytes, Event | DamagedLine]]:
    """Each line of a segment with its newline, and its event or damage. A segment of another schema is one damage.

    With `kinds` the lines of other kinds are skipped, judged by their beginning alone.
    """
    with segment.open("rb") as file:
        for number, raw, begins in read_lines(file):
            if not begins or len(raw) == JOURNAL_LINE_BYTES:
                why = f"is longer than {JOURNAL_LINE_BYTES:,} bytes"
                yield raw, DamagedLine(segment.name, number, why, later_part=not begins)
                continue
            if number == 1 and (schema := schema_of(raw)):
                if schema != SCHEMA:
                    why = f"has schema {schema}, this version reads {SCHEMA}; update fer-edge"
                    yield raw, DamagedLine(segment.name, 1, why, newer=True)
                    return
            elif kinds is not None and _passes(raw, kinds):
                continue
            if raw.endswith(b"\n"):
                try:
                    event = Event.parse(raw.decode())
                except (UsageError, UnicodeDecodeError):
                    damage = f"is not an event: {raw[:60]!r}"
                    if not raw.strip(b"\x00\n"):
                        damage = "is empty, as after a power cut"
                else:
                    yield raw, event
                    continue
            else:
                damage = "has no end, as after a crash or during writing"
            yield raw, DamagedLine(segment.name, number, damage)


def _passes(raw: bytes, kinds: Container[str]) -> bool:
    """Whether a complete line is of another kind than those, judged by its beginning."""
    if not raw.endswith(b"}\n") or not raw.startswith(b'{"kind":"'):
        return False
    return raw[9 : raw.find(b'"', 9)].decode(errors="replace") not in kinds


@dataclass(slots=True)
class BootTimes:
    """The times of one boot in a segment: mono_s of its first and last moment, and its wall clocks.

    `wall` is that of the last line, `synced` that of the last line with a synced clock, each with its own mono_s.
    """

    boot: str
    first_mono_s: float
    last_mono_s: float
    wall: str = ""
    wall_mono_s: float = 0.0
    synced: str = ""
    synced_mono_s: float = 0.0


def boot_times(segment: Path) -> list[BootTimes]:
    """The times of each boot in a segment, in order, by the beginning of each line; none for another schema."""
    every: list[BootTimes] = []
    last_boot, now = None, None
    last, synced = (deque[_Head](maxlen=_CLOCK_LINES) for _ in range(2))
    with segment.open("rb") as file:
        for number, raw, _ in read_lines(file):
            if number == 1 and schema_of(raw) not in (0, SCHEMA):
                return []
            head = _HEAD.match(raw) or _head_of_other(raw)
            if head is None:
                continue
            boot, mono, wall, clock = head.groups() if isinstance(head, re.Match) else head
            mono_s = float(mono)
            if mono_s > LARGEST_MONO_S:
                continue
            if boot != last_boot or now is None:
                _clocks(now, last, synced)
                now, last_boot = BootTimes(boot.decode(errors="replace"), mono_s, mono_s), boot
                every.append(now)
                last.clear()
                synced.clear()
            elif mono_s > now.last_mono_s:
                now.last_mono_s = mono_s
            elif mono_s < now.first_mono_s:
                now.first_mono_s = mono_s
            last.append((wall, mono_s, raw))
            if clock == b"synced":
                synced.append((wall, mono_s, raw))
    _clocks(now, last, synced)
    return every


_Head = tuple[bytes, float, bytes]  # the wall and mono_s of a line, and the line


def _clocks(now: BootTimes | None, last: Sequence[_Head], synced: Sequence[_Head]) -> None:
    if now is not None:
        now.wall, now.wall_mono_s = _clock_of(last)
        now.synced, now.synced_mono_s = _clock_of(synced)


def _clock_of(lines: Sequence[_Head]) -> tuple[str, float]:
    """The `wall` and `mono_s` of the last of these lines that is whole and has a time; empty where none does."""
    for wall, mono_s, raw in reversed(lines):
        text = wall.decode(errors="replace")
        if raw.endswith(b"\n") and posix_s(text) is not None and _is_event(raw):
            return text, mono_s
    return "", 0.0


def _is_event(raw: bytes) -> bool:
    try:
        Event.parse(raw.decode())
    except (UsageError, UnicodeDecodeError):
        return False
    return True


def _head_of_other(raw: bytes) -> tuple[bytes, ...] | None:
    """The same for a line of another program, with fields in another order or with spaces."""
    try:
        event = Event.parse(raw.decode())
    except (UsageError, UnicodeDecodeError):
        return None
    return event.boot.encode(), repr(event.mono_s).encode(), event.wall.encode(), event.clock.encode()


def last_event(segment: Path) -> Event | None:
    """The last event of a segment, read from its end; None when that cannot be read."""
    try:
        with segment.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            for length in _TAIL_BYTES:
                file.seek(max(0, size - length))
                if (event := _last_of(file.read())) is not None or length >= size:
                    return event
    except OSError:
        return None
    return None


def _last_of(tail: bytes) -> Event | None:
    """The last event in the end of a segment; what is left of a line that begins before it is none."""
    for raw in reversed(tail.split(b"\n")[:-1]):
        try:
            return Event.parse(raw.decode())
        except (UsageError, UnicodeDecodeError):
            continue
    return None


def lock_folder(folder: Path) -> int:
    """A descriptor that locks `folder` for one writer until it is closed or the process ends.

    Raises BlockingIOError when another process has the lock; OSError.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def schema_of(raw: bytes) -> int:
    """The schema that a header names, 0 for any other line."""
    try:
        fields = json.loads(raw)
        return int(fields["schema"]) if fields["kind"] == "header" else 0
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return 0
