"""The journal: events as lines of JSON in a folder of append-only segment files.

    journal-000001.jsonl, journal-000002.jsonl, …    at least one a run; the number, not the clock, gives the order

Lines wait in memory and are written in batches, each forced to the card by one fdatasync: a forced write costs a card a block
or more however little it carries, and the kernel would force the rest half a minute later anyway. A crash or a power cut loses
the last batch at most, and damages no line before it: with `sync_s` 30, at most five minutes of waiting lines, the first of
which is the tally of the minute before them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from device.clock import Clock
from device.output.journal.pending_lines import PendingLines, counts_text, encode_line
from device.output.journal.repair import Repair
from device.output.journal.segment_writer import DISK_FULL_ERRORS, SegmentWriter
from fer_edge.errors import UsageError
from fer_edge.events import Event, posix_s

_SMALL_BYTES = 8 << 10  # a batch of this size costs the card half as much again at most; a smaller one waits longer
_SMALL_BATCH_WAIT = 10  # times sync_s, for which a small batch waits
_LARGE_BYTES = 64 << 10  # a batch of this size is written at once
_SEGMENT_S = 86_400.0  # a segment of this age is followed by the next, so that keep_days is accurate to the day
_RETRY_S, _MAX_RETRY_S = 1.0, 60.0
_EXPIRY_CHECK_S = 600.0  # between two checks for segments that are too old
_TRUSTED_STEP_S = 60.0  # a wall clock that was moved further since the last check is not trusted at this one
_MIN_BUDGET_BYTES = 1 << 20


class Journal:
    """A sink that writes segments in `folder`, which is created for its owner alone where it is missing. A context manager.

    A batch is forced to the card once its oldest line has waited `sync_s`, a small one after ten times that, a large one and a
    header at once. All segments take at most `budget_bytes`, and none has only lines that are certainly older than
    `keep_days`: the oldest whole segments are deleted. Every segment begins with the run's header.

    Raises UsageError when the folder cannot be written or another instance writes it (on creation and on entering), and when
    it is used before or after. The disk causes no other error: while it is full or read-only, or the folder is missing, lines
    wait, `ring_bytes` of them at most, and are tried again; then a `gap` line reports what had to be dropped. `log` gets a
    sentence when that begins, when it ends, and when lines are unwritten at the end.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        sync_s: float = 30.0,
        budget_bytes: int = 256_000_000,
        keep_days: float | None = None,
        ring_bytes: int = 512 << 10,
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = folder.absolute()
        self.repairs: tuple[Repair, ...] = ()  # what was cut off earlier segments on entering
        self.trouble: str | None = None  # why the journal cannot be written, while it cannot; lines then wait in memory
        self.unwritten: Counter[str] = Counter()  # the lines of each kind that could not be written by the end
        self._clock, self._log = clock, log
        self._large_bytes = min(_LARGE_BYTES, ring_bytes)
        self._writer = SegmentWriter(self.folder)
        self._pending = PendingLines(ring_bytes)
        self._open = False
        self._segment_started_ns = 0
        self._header: Event | None = None
        self._header_pending = False
        self._new_settings: Mapping[str, object] | None = None  # for the next segment
        self._continues: str | None = None  # the run's last segment that is not empty
        self._failure = ""
        self._retry_ns, self._retry_s = 0, _RETRY_S
        self._expiry_check_ns = 0
        self._wall_offset_s: float | None = None  # wall less mono at the last check, if the clock was synced
        self.set_limits(sync_s, budget_bytes, keep_days)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._usage_error(error) from error

    @property
    def path(self) -> Path | None:
        """The segment being written, or written last."""
        return self._writer.path

    @property
    def written_bytes(self) -> int:
        """The number of bytes written and forced so far."""
        return self._writer.written_bytes

    @property
    def lost(self) -> Counter[str]:
        """The number of lines of each kind that were dropped so far."""
        return self._pending.lost

    def set_limits(self, sync_s: float, budget_bytes: int, keep_days: float | None) -> None:
        """Replaces these three arguments of the constructor; may be called at any time."""
        if budget_bytes < _MIN_BUDGET_BYTES:
            raise UsageError(
                f"a journal needs {_MIN_BUDGET_BYTES:,} bytes or more, not {budget_bytes:,}; allow it some"
            )
        self._sync_ns = round(sync_s * 1e9)
        self._keep_s = None if keep_days is None else keep_days * 86_400
        self._writer.set_budget(budget_bytes)

    def start_settings(self, fields: Mapping[str, object]) -> None:
        """Starts a segment whose header, and that of each later one, has the `settings` and `thresholds` of `fields`."""
        if self._header is None:
            return
        self._new_settings = fields
        self.sync()  # lines from before belong to the header before
        if self.trouble is None:
            self._take_settings()

    def _take_settings(self) -> None:
        if self._header is None or self._new_settings is None:
            return
        others = {name: value for name, value in self._header.body.items() if name != "thresholds"}
        self._header = replace(self._header, body=others | dict(self._new_settings))
        self._new_settings = None
        if self._writer.size:
            self._writer.close_segment()

    def __enter__(self) -> Journal:
        try:
            self.repairs = self._writer.lock_and_repair()
            try:
                self._start_segment()
            except OSError as error:
                if error.errno not in DISK_FULL_ERRORS:
                    raise
                self._schedule_retry(error)  # there may be space again later: better than being restarted in a loop
        except OSError as error:
            self._writer.release()
            raise self._usage_error(error) from error
        self._open = True
        self._expire_segments()
        return self

    def append(self, event: Event) -> None:
        """Adds the event's line. A header starts a segment, unless this one is empty, and is forced at once."""
        if not self._open:
            raise UsageError(f"the journal in {self.folder} is closed")
        if event.kind != "header":
            self._pending.add(event, self._clock.mono_ns())
            self.tick()
            self._pending.drop_oldest(self._failure)
            return
        self.sync()
        # lines that still wait must not be read with another header's labels
        self._pending.drop_oldest(self._failure, all_lines=True)
        if self._writer.size:
            self._writer.close_segment()
        self._header, self._header_pending, self._continues = event, True, None
        self.sync()

    def tick(self) -> None:
        """Forces the batch that is due, retries what failed, and checks for segments that are too old."""
        now_ns, pending = self._clock.mono_ns(), self._pending
        if self.trouble is not None:
            due = now_ns >= self._retry_ns
        else:
            factor = 1 if pending.bytes >= _SMALL_BYTES else _SMALL_BATCH_WAIT
            due = now_ns - pending.since_ns >= factor * self._sync_ns or pending.bytes >= self._large_bytes
        if due:
            self.sync()
        if now_ns >= self._expiry_check_ns:
            self._expire_segments()

    def sync(self) -> None:
        """Forces every line to the card now; on failure `trouble` holds the reason and the lines keep waiting."""
        if not self._open or (self._pending.first_event() is None and not self._header_pending):
            return
        try:
            self._write()
        except OSError as error:
            self._schedule_retry(error)
            return
        self._pending.clear()
        self._header_pending = False
        if self.trouble is not None:
            lost = f"; lines lost so far: {counts_text(self.lost)}" if self.lost else "; no line was lost"
            self._log(f"the journal in {self.folder} is written again{lost}")
        self.trouble, self._retry_s = None, _RETRY_S
        self._take_settings()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sync()
        self._pending.drop_oldest(self._failure, all_lines=True)  # they cannot be written later
        if self._header_pending or self._pending.unreported:
            self._end_unwritten()
        self._open = False
        self._writer.release()

    def _write(self) -> None:
        writer, pending_bytes = self._writer, self._pending.bytes
        full = writer.size > 0 and writer.size + pending_bytes > writer.segment_bytes
        if not writer.is_ready() or full or self._clock.mono_ns() - self._segment_started_ns >= _SEGMENT_S * 1e9:
            self._start_segment(pending_bytes)
        header = [] if writer.size or self._header is None else [self._header_line(self._header)]
        writer.write(b"".join(header + self._pending.lines()))
        self._continues = None if writer.path is None else writer.path.name

    def _start_segment(self, pending_bytes: int = 0) -> None:
        header_bytes = 0 if self._header is None else len(encode_line(self._header)) + 64
        self._writer.start_segment(pending_bytes + header_bytes)
        self._segment_started_ns = self._clock.mono_ns()

    def _header_line(self, header: Event) -> bytes:
        """The run's header: unchanged in its first segment, with the time of the next line in each later one."""
        if self._continues is not None:
            at, body = self._pending.first_event() or header, header.body | {"continues": self._continues}
            header = replace(header, mono_s=at.mono_s, wall=at.wall, clock=at.clock, body=body)
        return encode_line(header)

    def _schedule_retry(self, error: OSError) -> None:
        self._failure = error.strerror or str(error)
        before, self.trouble = self.trouble, f"{self.folder} cannot be written ({self._failure})"
        if before is None:
            self._log(f"the journal in {self.trouble}; its lines wait in memory and are tried again")
        self._retry_ns = self._clock.mono_ns() + round(self._retry_s * 1e9)
        self._retry_s = min(2 * self._retry_s, _MAX_RETRY_S)

    def _end_unwritten(self) -> None:
        """Reports the lines that were dropped at the end: in a `gap` line, which may fit where they did not, and to `log`."""
        self.unwritten = Counter(self._pending.unreported)
        try:
            self._write()
            place = "a gap line reports them"
        except OSError:
            self.unwritten = Counter({"header": int(self._header_pending)}) + self.unwritten
            self._writer.leave_empty_segment()
            place = "no line of the journal reports them"
        if lines := counts_text(self.unwritten):
            self._log(
                f"the journal in {self.folder} lacks lines that could not be written ({self._failure}): {lines}; {place}"
            )

    def _expire_segments(self) -> None:
        """Deletes the segments that are too old, as far as the clocks can prove it."""
        stamp = self._clock.stamp()
        self._expiry_check_ns = stamp.mono_ns + round(_EXPIRY_CHECK_S * 1e9)
        wall_s, mono_s = posix_s(stamp.wall) if stamp.clock == "synced" else None, stamp.mono_ns / 1e9
        before_s, self._wall_offset_s = self._wall_offset_s, None if wall_s is None else wall_s - mono_s
        if self._keep_s is None:
            return
        trusted = before_s is not None and wall_s is not None and abs(wall_s - mono_s - before_s) < _TRUSTED_STEP_S
        with suppress(OSError):  # an unwritable disk is reported when lines wait for it
            now = Event("now", 0, self._clock.boot, mono_s, stamp.wall, stamp.clock, {})
            self._writer.delete_expired(self._keep_s, now, trusted)

    def _usage_error(self, error: OSError) -> UsageError:
        if isinstance(error, BlockingIOError):
            return UsageError(
                f"the journal in {self.folder} is being written by another fer-edge; stop that one, or give this one a "
                "folder of its own with --log"
            )
        return UsageError(
            f"the journal in {self.folder} cannot be written ({error.strerror}); free some space, repair the folder, or "
            "give another with --log"
        )
