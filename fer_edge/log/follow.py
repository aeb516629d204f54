"""Following a journal: its last lines, then each new one, across rotation, removed or rewritten segments, torn ends, and a new
journal in the same folder."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from math import inf
from pathlib import Path

from fer_edge.errors import UsageError
from fer_edge.event_bodies import missing_fields
from fer_edge.events import SCHEMA, Event
from fer_edge.journal.clock_correction import ClockCorrection
from fer_edge.journal.segments import (
    DamagedLine,
    last_event,
    read_lines,
    schema_of,
    segment_lines,
    segment_name,
    segment_number,
    segments,
)
from fer_edge.limits import JOURNAL_LINE_BYTES
from fer_edge.log.items import LoggedEvent, Run

_HEAD_BYTES = 200  # of a segment: they have the boot and the time of its first line
_DISORDER_S = 60.0  # a line may stand after one that is later, by less than that


class Follower:
    """Reads a journal's folder from the beginning of the segment `number`; each `poll` gives what is new.

    No file stays open between two polls, so that a disk can be unmounted.
    """

    def __init__(self, folder: Path, calendar: ClockCorrection, number: int = 0) -> None:
        self._folder, self._calendar = folder, calendar
        self._number = number - 1  # of the last segment that was read to its end
        self._path: Path | None = None  # the segment that is being read
        self._file: tuple[int, int] | None = None  # its device and inode
        self._head = b""  # its first bytes: a new file may have the inode of a deleted one
        self._read_bytes = 0
        self._line = 0
        self._part = b""  # a line without its end
        self._seq = -1
        self._run: Run | None = None
        self._first_run: Run | None = None
        self._run_mono_s = 0.0  # of the header with which the run begins
        self._latest: tuple[str, float] | None = None  # boot and time of the latest line that was read
        self._seq_before: int | None = None  # of the last line before, which another reads
        self._learns = True
        self._newer = False  # the segment has another schema

    def continue_after(self, segment: Path | None) -> None:
        """Another reads the lines to the end of that segment: what this one has of them again, and its header, is skipped."""
        last = None if segment is None else last_event(segment)
        if last is not None:
            self._seq_before = last.seq

    def join(self, before: Follower) -> None:
        """The run that this one continues is the one that `before` read last."""
        if self._first_run is not None and not self._first_run.whole and before._run is not None:
            self._first_run.number = before._run.number

    def complete_segment(self) -> Iterator[LoggedEvent | DamagedLine]:
        """The lines of the segment `number` alone, to which no more are added and which the calendar knows."""
        self._number, self._learns = self._number + 1, False
        path = self._folder / segment_name(self._number)
        yield from self._lines(path)
        if self._part:
            yield DamagedLine(path.name, self._line + 1, "has no end, as after a crash or during writing")

    def poll(self) -> Iterator[LoggedEvent | DamagedLine]:
        """What was written since the last poll, in order. A line without its end waits for it, or for the next segment."""
        while True:
            later = self._later()  # first: once there is a next segment, this one is complete
            path = self._path
            if path is None:
                if later is None:
                    return
                self._path, self._number = later, segment_number(later)
                self._file, self._head, self._read_bytes, self._line, self._part = None, b"", 0, 0, b""
                continue
            yield from self._lines(path)
            if later is None:
                return
            if self._part:
                yield DamagedLine(path.name, self._line + 1, "has no end, as after a crash or during writing")
            self._path = None

    def _later(self) -> Path | None:
        try:
            found = segments(self._folder)
        except FileNotFoundError:  # removed or unmounted; it may return
            return None
        if found and segment_number(found[-1]) < self._number and self._path not in found and self._is_new(found[-1]):
            self._number = 0  # another journal: the numbers began again
        return next((path for path in found if segment_number(path) > self._number), None)

    def _is_new(self, segment: Path) -> bool:
        """Whether a segment began after everything that was read: else it is one before that which went away."""
        try:
            first = next((item for _, item in segment_lines(segment) if isinstance(item, Event)), None)
        except FileNotFoundError:
            return False
        if first is None:  # its first line is being written
            return False
        if self._latest is not None and first.boot == self._latest[0]:
            return first.mono_s > self._latest[1]
        return first.boot not in self._calendar

    def _lines(self, path: Path) -> Iterator[LoggedEvent | DamagedLine]:
        """What is new in a segment; nothing of one that was deleted meanwhile, for its age or for space."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return
        with file:
            status = os.fstat(file.fileno())
            head, is_same = file.read(_HEAD_BYTES), self._file in (None, (status.st_dev, status.st_ino))
            if not is_same or not (head.startswith(self._head) or self._head.startswith(head)):
                # purged: lines that were read before are skipped; or another journal
                self._read_bytes, self._line, self._part = 0, 0, b""
            self._file, self._head = (status.st_dev, status.st_ino), head
            if status.st_size < self._read_bytes:  # a torn end was cut off
                self._read_bytes, self._part = status.st_size, b""
            file.seek(self._read_bytes)
            for _, raw, _ in read_lines(file):
                self._read_bytes += len(raw)
                line = self._part + raw
                if not line.endswith(b"\n"):
                    self._part = line[: JOURNAL_LINE_BYTES + 1]  # of a longer one the rest is not kept
                    continue
                self._part = b""
                self._line += 1
                self._newer = self._newer and self._line > 1
                if not self._newer and (item := self._parse(line)) is not None:
                    yield item

    def _parse(self, line: bytes) -> LoggedEvent | DamagedLine | None:
        if len(line) > JOURNAL_LINE_BYTES:
            return DamagedLine(segment_name(self._number), self._line, f"is longer than {JOURNAL_LINE_BYTES:,} bytes")
        try:
            event = Event.parse(line.decode())
            if missing := missing_fields(event.kind, event.body):
                why = f"the {event.kind} lacks {missing}"
                return DamagedLine(segment_name(self._number), self._line, why)
        except (UsageError, UnicodeDecodeError):
            newer = self._newer = self._line == 1 and schema_of(line) not in (0, SCHEMA)
            why = f"has a schema other than {SCHEMA}; update fer-edge" if newer else f"is not an event: {line[:60]!r}"
            return DamagedLine(segment_name(self._number), self._line, why, newer)
        if self._learns or event.boot not in self._calendar:
            self._calendar.learn(event)
        at_s, known = self._calendar.moment(event.boot, event.mono_s)
        boot, latest_s = self._latest or (event.boot, event.mono_s)
        self._latest = event.boot, max(event.mono_s, latest_s) if boot == event.boot else event.mono_s
        if event.kind == "header":
            begins = (self._run.number, self._run.boot, self._run_mono_s) if self._run is not None else None
            if "continues" not in event.body and begins != (self._number, event.boot, event.mono_s):
                self._seq, self._run_mono_s = -1, event.mono_s
            elif self._run is not None:
                return None
            whole = "continues" not in event.body
            self._run = Run(self._number, event.body, event.boot, at_s, known, whole)
            self._first_run = self._first_run or self._run
            if self._seq_before is not None and not whole:
                self._seq = self._seq_before
                return None
        elif event.seq <= self._seq:
            return None
        self._seq = max(self._seq, event.seq)
        run = self._run or Run(self._number, {}, event.boot, at_s, known, False)
        return LoggedEvent(at_s, known, event, run)


def last_events(
    folder: Path,
    calendar: ClockCorrection,
    n: int,
    is_wanted: Callable[[LoggedEvent], bool],
    since_s: float = -inf,
) -> tuple[list[LoggedEvent | DamagedLine], Follower]:
    """The last `n` lines, damaged ones or of those that pass the filter, and the follower that continues after them.

    Segments are read backwards, each once; those whose lines are all before `since_s` (POSIX seconds) are not read. Raises
    OSError.
    """
    found = segments(folder)
    follower = Follower(folder, calendar, segment_number(found[-1]) if found else 0)
    follower.continue_after(found[-2] if len(found) > 1 else None)
    parts = [(follower, _last_wanted(follower.poll(), n, is_wanted))]
    left = n - len(parts[0][1])
    for place in range(len(found) - 2, -1, -1):
        if left <= 0:
            break
        if _ended_before(found[place], calendar, since_s):
            continue
        reader = Follower(folder, calendar, segment_number(found[place]))
        reader.continue_after(found[place - 1] if place else None)
        parts.append((reader, _last_wanted(reader.complete_segment(), left, is_wanted)))
        left -= len(parts[-1][1])
    parts.reverse()
    for (before, _), (after, _) in pairwise(parts):
        after.join(before)
    return [item for _, items in parts for item in items], follower


def _last_wanted(
    items: Iterable[LoggedEvent | DamagedLine], n: int, is_wanted: Callable[[LoggedEvent], bool]
) -> deque[LoggedEvent | DamagedLine]:
    return deque((item for item in items if isinstance(item, DamagedLine) or is_wanted(item)), maxlen=n)


def _ended_before(segment: Path, calendar: ClockCorrection, since_s: float) -> bool:
    """Whether all lines of a segment are certainly before that moment, by the last one."""
    if since_s == -inf or (last := last_event(segment)) is None or last.boot not in calendar:
        return False
    return calendar.moment(last.boot, last.mono_s)[0] + _DISORDER_S < since_s
