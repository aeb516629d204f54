"""Following a journal: its last lines, then each new one, across rotation, removed or rewritten segments, and torn ends."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from fer_edge.errors import UsageError
from fer_edge.event_bodies import missing_fields
from fer_edge.events import SCHEMA, Event
from fer_edge.journal.clock_correction import ClockCorrection
from fer_edge.journal.segments import DamagedLine, read_lines, segment_name, segment_number, segments
from fer_edge.limits import JOURNAL_LINE_BYTES
from fer_edge.log.runs import LoggedEvent, Run


class Follower:
    """Reads a journal's folder from the beginning of the segment `number`; each `poll` gives what is new.

    No file stays open between two polls, so that a disk can be unmounted.
    """

    def __init__(self, folder: Path, calendar: ClockCorrection, number: int = 0) -> None:
        self._folder, self._calendar = folder, calendar
        self._number = number - 1  # of the last segment that was read to its end
        self._path: Path | None = None  # the segment that is being read
        self._file: tuple[int, int] | None = None  # its device and inode
        self._read_bytes = 0
        self._line = 0
        self._part = b""  # a line without its end
        self._seq = -1
        self._run: Run | None = None

    def poll(self) -> Iterator[LoggedEvent | DamagedLine]:
        """What was written since the last poll, in order. A line without its end waits for it, or for the next segment."""
        while True:
            later = self._later()  # first: once there is a next segment, this one is complete
            path = self._path
            if path is None:
                if later is None:
                    return
                self._path, self._number = later, segment_number(later)
                self._file, self._read_bytes, self._line, self._part = None, 0, 0, b""
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
        return next((path for path in found if segment_number(path) > self._number), None)

    def _lines(self, path: Path) -> Iterator[LoggedEvent | DamagedLine]:
        """What is new in a segment; nothing of one that was deleted meanwhile, for its age or for space."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return
        with file:
            status = os.fstat(file.fileno())
            if self._file is not None and self._file != (status.st_dev, status.st_ino):
                self._read_bytes, self._line, self._part = 0, 0, b""  # purged: lines that were read before are skipped
            self._file = (status.st_dev, status.st_ino)
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
                if (item := self._parse(line)) is not None:
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
            newer = self._line == 1 and b'"schema":' in line
            why = f"has a schema other than {SCHEMA}; update fer-edge" if newer else f"is not an event: {line[:60]!r}"
            return DamagedLine(segment_name(self._number), self._line, why, newer)
        self._calendar.learn(event)
        at_s, known = self._calendar.moment(event.boot, event.mono_s)
        if event.kind == "header":
            if "continues" not in event.body and (self._run is None or self._run.number != self._number):
                self._seq = -1
            elif self._run is not None:
                return None
            self._run = Run(self._number, event.body, event.boot, at_s, known, "continues" not in event.body)
        elif event.seq <= self._seq:
            return None
        self._seq = max(self._seq, event.seq)
        run = self._run or Run(self._number, {}, event.boot, at_s, known, False)
        return LoggedEvent(at_s, known, event, run)


def last_events(
    folder: Path, calendar: ClockCorrection, n: int, is_wanted: Callable[[LoggedEvent], bool]
) -> tuple[list[LoggedEvent | DamagedLine], Follower]:
    """The last `n` lines that pass the filter, with damaged ones among them, and the follower that continues after them."""
    follower, items = Follower(folder, calendar), deque[LoggedEvent | DamagedLine](maxlen=n)
    for segment in reversed(segments(folder)):
        follower = Follower(folder, calendar, segment_number(segment))
        items = deque((item for item in follower.poll() if isinstance(item, DamagedLine) or is_wanted(item)), maxlen=n)
        if sum(isinstance(item, LoggedEvent) for item in items) >= n:
            break
    return list(items), follower
