"""The journal: events as lines of JSON in a folder of segment files that are only ever appended to.

    journal-000001.jsonl, journal-000002.jsonl, …    at least one a run; the number, not the clock, gives the order

Lines wait in memory and go to the card in batches, each forced by one fdatasync: a force costs a card a block or more
however little it carries, and what is left to the kernel is forced by it half a minute later all the same. A crash or a
power cut loses the last batch at most, and tears no line before it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from device.clock import Clock
from device.output.journal.pending_lines import PendingLines, encode_line
from device.output.journal.repair import Repair
from device.output.journal.segment_writer import DISK_FULL_ERRORS, SegmentWriter
from fer_edge.errors import UsageError
from fer_edge.events import Event
from fer_edge.journal.clock_correction import posix_s

_SMALL_BYTES = 8 << 10  # a batch of this size costs the card half as much again at most; a smaller one waits longer
_PATIENCE = 10  # times sync_s, for which a small batch waits
_LARGE_BYTES = 64 << 10  # a batch of this size waits for nothing
_SEGMENT_S = 86_400.0  # a segment of this age is followed by the next, so that keep_days is kept to the day
_RETRY_S, _LONGEST_RETRY_S = 1.0, 60.0
_LOOK_S = 600.0  # between two looks for segments that are too old
_STEADY_S = 60.0  # a wall clock that was moved further since the last look is not believed at this one
_LEAST_BYTES = 1 << 20


class Journal:
    """A sink that writes segments in `folder`, which is made, for its owner alone, where it is missing. A context manager.

    A batch is forced to the card once its oldest line waited `sync_s`, a small one after ten times that, a large one and
    a header at once. All segments take at most `budget_bytes`, and none has only lines that are surely older than
    `keep_days`: the oldest whole segments are dropped. Every segment begins with the run's header.

    Raises UsageError when it is made or entered and the folder cannot be written or another instance writes it, or when it
    is used before or after. The disk makes it raise nothing else: while it is full or read-only, or the folder gone, lines
    wait, `ring_bytes` of them at most, and are tried again; then a `gap` line tells what had to be dropped.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        sync_s: float = 30.0,
        budget_bytes: int = 256_000_000,
        keep_days: float | None = None,
        ring_bytes: int = 512 << 10,
    ) -> None:
        self.folder = folder.absolute()
        self.repairs: tuple[Repair, ...] = ()  # what was cut off earlier segments when this was entered
        self.trouble: str | None = None  # why the journal cannot be written, while it cannot; lines wait in memory then
        self._clock = clock
        self._large_bytes = min(_LARGE_BYTES, ring_bytes)
        self._store = SegmentWriter(self.folder)
        self._backlog = PendingLines(ring_bytes)
        self._open = False
        self._begun_ns = 0
        self._header: Event | None = None
        self._header_owed = False
        self._continues: str | None = None  # the run's last segment that holds anything
        self._reason = ""
        self._retry_ns, self._retry_s = 0, _RETRY_S
        self._look_ns = 0
        self._reckoning_s: float | None = None  # wall less mono at the last look, if the clock was synced
        self.limit(sync_s, budget_bytes, keep_days)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._refusal(error) from error

    @property
    def path(self) -> Path | None:
        """The segment being written, or written last."""
        return self._store.path

    @property
    def written_bytes(self) -> int:
        """How many bytes were written and forced, so far."""
        return self._store.written_bytes

    @property
    def lost(self) -> Counter[str]:
        """How many lines of each kind were dropped, so far."""
        return self._backlog.lost

    def limit(self, sync_s: float, budget_bytes: int, keep_days: float | None) -> None:
        """Changes what these three were when it was made; may be called at any time."""
        if budget_bytes < _LEAST_BYTES:
            raise UsageError(f"a journal needs {_LEAST_BYTES:,} bytes or more, not {budget_bytes:,}; allow it some")
        self._sync_ns = round(sync_s * 1e9)
        self._keep_s = None if keep_days is None else keep_days * 86_400
        self._store.limit(budget_bytes)

    def __enter__(self) -> Journal:
        try:
            self.repairs = self._store.enter()
            try:
                self._begin()
            except OSError as error:
                if error.errno not in DISK_FULL_ERRORS:
                    raise
                self._put_off(error)  # there may be room again: better to run than to be restarted in a loop
        except OSError as error:
            self._store.release()
            raise self._refusal(error) from error
        self._open = True
        self._look()
        return self

    def append(self, event: Event) -> None:
        """Takes the event's line. A header begins a segment, unless this one is empty, and is forced at once."""
        if not self._open:
            raise UsageError(f"the journal in {self.folder} is closed")
        if event.kind != "header":
            self._backlog.add(event, self._clock.mono_ns())
            self.tick()
            self._backlog.shed(self._reason)
            return
        self.sync()
        self._backlog.shed(self._reason, all_of_it=True)  # what still waits must not be read by another header's labels
        if self._store.size:
            self._store.leave()
        self._header, self._header_owed, self._continues = event, True, None
        self.sync()

    def tick(self) -> None:
        """Forces the batch that is due, tries again what failed, and looks for segments that are too old."""
        now_ns, waiting = self._clock.mono_ns(), self._backlog
        if self.trouble is not None:
            due = now_ns >= self._retry_ns
        else:
            patience = 1 if waiting.bytes >= _SMALL_BYTES else _PATIENCE
            due = now_ns - waiting.since_ns >= patience * self._sync_ns or waiting.bytes >= self._large_bytes
        if due:
            self.sync()
        if now_ns >= self._look_ns:
            self._look()

    def sync(self) -> None:
        """Forces every line to the card now; where that fails, `trouble` says so and the lines go on waiting."""
        if not self._open or (self._backlog.first() is None and not self._header_owed):
            return
        try:
            self._write()
        except OSError as error:
            self._put_off(error)
            return
        self._backlog.clear()
        self._header_owed = False
        self.trouble, self._retry_s = None, _RETRY_S

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sync()
        self._backlog.shed(self._reason, all_of_it=True)  # there is no later for them
        self._open = False
        self._store.release()

    def _write(self) -> None:
        store, waiting_bytes = self._store, self._backlog.bytes
        full = store.size > 0 and store.size + waiting_bytes > store.segment_bytes
        if not store.ready() or full or self._clock.mono_ns() - self._begun_ns >= _SEGMENT_S * 1e9:
            self._begin(waiting_bytes)
        header = [] if store.size or self._header is None else [self._header_line(self._header)]
        store.write(b"".join(header + self._backlog.lines()))
        self._continues = None if store.path is None else store.path.name

    def _begin(self, waiting_bytes: int = 0) -> None:
        header_bytes = 0 if self._header is None else len(encode_line(self._header)) + 64
        self._store.begin(waiting_bytes + header_bytes)
        self._begun_ns = self._clock.mono_ns()

    def _header_line(self, header: Event) -> bytes:
        """The run's header: as it came in its first segment, with the time of what follows it in each later one."""
        if self._continues is not None:
            at, body = self._backlog.first() or header, header.body | {"continues": self._continues}
            header = replace(header, mono_s=at.mono_s, wall=at.wall, clock=at.clock, body=body)
        return encode_line(header)

    def _put_off(self, error: OSError) -> None:
        self._reason = error.strerror or str(error)
        self.trouble = f"{self.folder} cannot be written ({self._reason})"
        self._retry_ns = self._clock.mono_ns() + round(self._retry_s * 1e9)
        self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)

    def _look(self) -> None:
        """Drops the segments that are too old, as far as the clocks can tell."""
        stamp = self._clock.stamp()
        self._look_ns = stamp.mono_ns + round(_LOOK_S * 1e9)
        wall_s, mono_s = posix_s(stamp.wall) if stamp.clock == "synced" else None, stamp.mono_ns / 1e9
        before_s, self._reckoning_s = self._reckoning_s, None if wall_s is None else wall_s - mono_s
        if self._keep_s is None:
            return
        steady = before_s is not None and wall_s is not None and abs(wall_s - mono_s - before_s) < _STEADY_S
        with suppress(OSError):  # that the disk cannot be written is told when lines wait for it
            now = Event("now", 0, self._clock.boot, mono_s, stamp.wall, stamp.clock, {})
            self._store.expire(self._keep_s, now, steady)

    def _refusal(self, error: OSError) -> UsageError:
        if isinstance(error, BlockingIOError):
            return UsageError(
                f"the journal in {self.folder} is being written by another fer-edge; stop that one, or give this one a "
                "folder of its own with --log"
            )
        return UsageError(
            f"the journal in {self.folder} cannot be written ({error.strerror}); free some space, mend the folder, or "
            "give another with --log"
        )
