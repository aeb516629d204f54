"""Rows of an archive (fer_edge.log.archive) whose lines the journal no longer has, and what the journal still tells of them.

A journal loses its oldest segments for their age or for space, and by a purge also the minute and the episodes that had begun
before the moment, whose lines are later. Periods without observation have no lines of their own: of one that crosses the
journal's new beginning the journal still tells the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from fer_edge.events import Event
from fer_edge.journal.clock_correction import ClockCorrection, read_with_segments
from fer_edge.log.archive import START_COLUMN
from fer_edge.log.rows import Row

# columns that tell rows of one kind apart, where they have them
_KEY = ("boot", "mono_s", START_COLUMN, "seq", "track")
_ROUNDING_S = 1.0  # what is left of a period is rounding below that


@dataclass(frozen=True, slots=True)
class JournalStart:
    """Where a journal begins: its boots, and the seconds since the first one of its first line that is no header.

    `headers_s` are those of the headers before that line: a purge leaves the header of the lines that it leaves.
    """

    boots: tuple[str, ...]
    mono_s: float
    headers_s: tuple[float, ...] = ()

    @staticmethod
    def of(folder: Path, calendar: ClockCorrection) -> JournalStart:
        """That of the journal in `folder`; `mono_s` is infinite where the first boot has only headers."""
        boots, headers_s = calendar.boots, []
        for _, item in read_with_segments(folder):
            if isinstance(item, Event) and item.kind == "header":
                headers_s.append(item.mono_s)
            elif isinstance(item, Event):
                return JournalStart(boots, item.mono_s if item.boot == boots[0] else inf, tuple(headers_s))
        return JournalStart(boots, inf, tuple(headers_s))

    @property
    def boot(self) -> str | None:
        """The first boot."""
        return self.boots[0] if self.boots else None


class PresentRows:
    """Passes a journal's rows on, and tells of them what decides whether an archived row is one of them.

    `start_s` is the earliest start, in seconds since the boot, of those of the first boot; headers have none. `early` are the
    keys of those whose time is before that of the journal's first line: a line is written after another one with a later time
    where it is of a frame that waited.
    """

    def __init__(self, start: JournalStart) -> None:
        self.start_s = inf
        self.early: set[tuple[Any, ...]] = set()
        self._start = start

    def of(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows."""
        for row in rows:
            if row["boot"] == self._start.boot and row.get("kind") != "header":
                self.start_s = min(self.start_s, row.get(START_COLUMN, inf))
                if row["mono_s"] < self._start.mono_s:
                    self.early.add(tuple(row.get(name) for name in _KEY))
            yield row


def archived_rows(folder: Path) -> Any:
    """The data set of a device's rows of one kind, with `day`, in the module pyarrow; None where there are none."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    if not any(folder.glob("day=*/*.parquet")):
        return None
    partitioning = ds.partitioning(pa.schema([("day", pa.string())]), flavor="hive")
    return ds.dataset(folder, format="parquet", partitioning=partitioning)


def kept_rows(archived: Any, start: JournalStart, present: PresentRows | None = None) -> Any:
    """Of such a data set the rows whose lines the journal no longer has, as a table with `day`; None where there are none.

    These are rows of boots that it no longer has, and of its first boot those whose line is before its first one, or which
    began before the earliest start of its own. Those in `present` are not among them.
    """
    import pyarrow.compute as pc

    if archived is None:
        return None
    gone = ~pc.field("boot").isin(list(start.boots))
    if start.boots:
        before = pc.field("mono_s") < start.mono_s
        if START_COLUMN in archived.schema.names:
            before |= pc.field(START_COLUMN) < (present.start_s if present else -inf)
        before &= pc.field("boot") == start.boots[0]
        if "kind" in archived.schema.names:
            before &= ~((pc.field("kind") == "header") & pc.field("mono_s").isin(list(start.headers_s)))
        gone = gone | before
    table = archived.to_table(filter=gone, use_threads=False)
    if present and present.early:
        nothing = [None] * table.num_rows
        columns = [table[name].to_pylist() if name in table.column_names else nothing for name in _KEY]
        table = table.filter([key not in present.early for key in zip(*columns, strict=True)])
    if not table.num_rows:
        return None
    # They stand before those of the same run that the journal still has, and whose numbers begin with 0 again.
    numbers = table["row"]
    numbers = pc.subtract(numbers, pc.add(pc.max(numbers), 1))
    return table.set_column(table.schema.get_field_index("row"), "row", numbers)


@dataclass(frozen=True, slots=True)
class _Period:
    """An archived period without observation; its times in seconds since the boot. `seconds`: as in UnobservedSpan."""

    state: str
    start_s: float
    end_s: float
    seconds: float


def without_kept_time(rows: Iterable[Row], kept: Any, start: JournalStart) -> Iterator[Row]:
    """The journal's rows of periods without observation, without the time that the table of kept rows already has."""
    periods = [] if kept is None else sorted(_periods(kept, start.boot), key=lambda period: period.start_s)
    for row in rows:
        rest = _rest(row, periods) if row["boot"] == start.boot else row
        if rest is not None:
            yield rest


def _periods(kept: Any, boot: str | None) -> Iterator[_Period]:
    import pyarrow as pa

    times = [kept[name].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist() for name in ("from", "to")]
    columns = [kept[name].to_pylist() for name in ("boot", "state", "mono_s", "seconds")]
    for of, state, mono_s, seconds, from_us, to_us in zip(*columns, *times, strict=True):
        if of == boot and to_us > from_us:
            yield _Period(state, mono_s, mono_s + (to_us - from_us) / 1e6, seconds)


def _rest(row: Row, periods: list[_Period]) -> Row | None:
    """What is left of a period without the kept ones; None for nothing. `late` ones share their minutes with others."""
    start_s, end_s, seconds = row["mono_s"], row["mono_s"] + row["to"] - row["from"], row["seconds"]
    late, changed = row["state"] == "late", False
    for period in periods:
        overlap_s = min(end_s, period.end_s) - max(start_s, period.start_s)
        apart = period.state == "paused" if late else period.state == "late"
        if overlap_s <= 0.0 or apart:
            continue
        changed = True
        seconds -= period.seconds * overlap_s / (period.end_s - period.start_s)
        if period.start_s <= start_s:
            start_s = period.end_s
    if not changed:
        return row
    seconds = min(seconds, end_s - start_s)
    if seconds <= _ROUNDING_S:
        return None
    moved_s = start_s - row["mono_s"]
    return {**row, "from": row["from"] + moved_s, "mono_s": start_s, "seconds": round(seconds, 3)}
