"""Purging: removes every line of a journal about anything before a moment.

A minute or an episode that began before the moment has its line after it, among lines that stay. The last line that stays
before such a line then has `purged`: how many numbers (`seq`) after its own were removed, so that `log check` knows them from
lines that were lost. Nothing else of them stays. Removing each line before them too would leave no holes, but it would take
everything that happened during an episode of minutes. At the beginning of a journal nothing is noted.

A purge that removes the newest segment notes its number, with which the next one continues.

A segment is rewritten beside the old one and renamed over it, so that a crash leaves one or the other. Its header stays
while any line does, since it explains the lines. Copies inside a card's wear levelling cannot be removed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from fer_edge.atomic_file import atomic_file, sync_to_disk
from fer_edge.errors import UsageError
from fer_edge.events import Event, start_mono_s
from fer_edge.journal.clock_correction import ClockCorrection, Uptime
from fer_edge.journal.segments import (
    lock_folder,
    note_highest_number,
    segment_lines,
    segment_number,
    segments,
)

_FRESH = ".purged"


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """The result of a purge. `doubtful` of the removed lines have a clock that is not known to have been set."""

    lines: int
    doubtful: int
    removed: int  # segments
    rewritten: int

    def __str__(self) -> str:
        doubt = f" ({self.doubtful} of them by a clock that may not have been set)" if self.doubtful else ""
        return f"{self.lines} lines removed{doubt}; {self.removed} segments removed, {self.rewritten} rewritten"


def purge(folder: Path, before: datetime | Uptime) -> PurgeResult:
    """Removes the lines about anything before the moment from the journal in `folder`, and returns what was removed.

    While an instance writes there, the segment it writes is not purged. Raises UsageError, before anything is changed, when
    that segment has lines to remove, when a segment has another schema, when `before` has no time zone or an unknown boot;
    OSError when there is no folder, or, between two segments, when one cannot be written.
    """
    if isinstance(before, datetime) and before.tzinfo is None:
        raise UsageError(f"{before} has no time zone; add Z for UTC, or +02:00")
    found = segments(folder)
    try:
        held = lock_folder(folder)
    except BlockingIOError:
        held = None
    try:
        if held is not None:
            for left_over in folder.glob(f".*{_FRESH}"):  # of a purge that was killed
                left_over.unlink()
        is_old = _judge(folder, before)
        plans = _plans(found, is_old)
        if held is None and plans and plans[-1].removed:
            raise UsageError(
                f"{found[-1].name} is being written by a running fer-edge and has {plans[-1].removed} lines from before "
                "that moment; stop it, purge, and start it again. Nothing was removed"
            )
        if plans and plans[-1].changes and not plans[-1].kept:
            note_highest_number(folder, segment_number(found[-1]))
        for plan in plans:
            if plan.changes:
                _apply(plan, is_old)
        if any(plan.changes for plan in plans):
            sync_to_disk(folder)
    finally:
        if held is not None:
            os.close(held)
    changed = [plan for plan in plans if plan.changes]
    return PurgeResult(
        sum(plan.removed for plan in changed),
        sum(plan.doubtful for plan in changed),
        sum(not plan.kept for plan in changed),
        sum(plan.kept > 0 for plan in changed),
    )


_Judge = Callable[[Event], tuple[bool, bool]]  # whether to remove a line, and whether its time is known


def _judge(folder: Path, before: datetime | Uptime) -> _Judge:
    calendar = ClockCorrection(folder)
    if isinstance(before, datetime):
        limit_s = before.timestamp()

        def by_wall(event: Event) -> tuple[bool, bool]:
            at_s, known = calendar.moment(event.boot, start_mono_s(event))
            return at_s < limit_s, known

        return by_wall
    if before.boot not in calendar.boots:
        raise UsageError(f"no line in {folder} is of the boot {before.boot}; each line has its own in “boot”")
    earlier = set(calendar.boots[: calendar.boots.index(before.boot)])

    def by_uptime(event: Event) -> tuple[bool, bool]:
        return event.boot in earlier or (event.boot == before.boot and start_mono_s(event) < before.mono_s), True

    return by_uptime


@dataclass(frozen=True, slots=True)
class _Line:
    raw: bytes
    removed: bool
    doubtful: bool = False
    event: Event | None = None
    later_part: bool = False  # of a damaged line that is too long

    @property
    def header(self) -> bool:
        return self.event is not None and self.event.kind == "header"


def _lines(segment: Path, is_old: _Judge, previous: bool) -> Iterator[_Line]:
    """Each line and whether to remove it. A damaged one, without a time, goes with the line before it, or with `previous`."""
    for raw, item in segment_lines(segment):
        if isinstance(item, Event):
            previous, known = is_old(item)
            yield _Line(raw, previous, previous and not known, item)
        elif item.newer:
            raise UsageError(f"{item}. Nothing was removed")
        else:
            yield _Line(raw, previous, later_part=item.later_part)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How many lines of a segment are removed and kept. A header goes with the last line, or by its own time when alone."""

    segment: Path
    removed: int
    kept: int
    doubtful: int
    previous: bool  # that of the last line before this segment
    purged: dict[int, int] = field(
        default_factory=dict
    )  # by the place of a line that is kept: how many after it are removed

    @property
    def changes(self) -> bool:
        return bool(self.removed or self.purged)


def _plans(found: list[Path], is_old: _Judge) -> list[_Plan]:
    readable = (item for segment in found for _, item in segment_lines(segment) if isinstance(item, Event))
    first = next(readable, None)
    previous = first is not None and is_old(first)[0]
    numbers, plans = _Numbers(), []
    last: tuple[dict[int, int], int] | None = None  # the last line that is kept
    for segment in found:
        every = [
            (line.removed, line.doubtful, line.header, *numbers.of(line, place == 0))
            for place, line in enumerate(_lines(segment, is_old, previous))
        ]
        judged = [line for line in every if not line[2]] or every
        removed = sum(line[0] for line in judged)
        plan = _Plan(segment, removed, len(judged) - removed, sum(line[1] for line in judged), previous)
        plans.append(plan)
        previous = every[-1][0] if every else previous
        for place, (is_removed, _, header, is_read, count) in enumerate(every):
            if not plan.kept if header else is_removed:
                if last is not None and count:
                    last[0][last[1]] = last[0].get(last[1], 0) + count
            elif is_read and (last is not None or not header):
                last = plan.purged, place
    return plans


class _Numbers:
    """Counts the numbers (`seq`) of a run that lines account for, as readers of the journal do."""

    def __init__(self) -> None:
        self._seq = -1

    def of(self, line: _Line, begins: bool) -> tuple[bool, int]:
        """Whether readers use the line, and how many numbers are missing without it. `begins`: it is a segment's first."""
        event = line.event
        if begins and (event is None or "continues" not in event.body):
            self._seq = -1  # another run
        if event is None:
            return False, int(not line.later_part)
        purged: int = event.body.get("purged", 0)
        if event.kind == "header":
            return True, purged
        if event.seq <= self._seq:
            return False, 0  # a duplicate line, left by a crash during writing
        self._seq = event.seq
        return True, purged + (sum(event.body["lost"].values()) if event.kind == "gap" and "lost" in event.body else 1)


def _apply(plan: _Plan, is_old: _Judge) -> None:
    segment = plan.segment
    if not plan.kept:
        segment.unlink(missing_ok=True)
        return
    try:
        mode = segment.stat().st_mode & 0o777
        with (
            atomic_file(segment, mode, durable=True, fresh_name=f".{segment.name}{_FRESH}") as fresh,
            fresh.open("wb") as file,
        ):
            for place, line in enumerate(_lines(segment, is_old, plan.previous)):
                if line.header or not line.removed:
                    file.write(_with_purged(line, plan.purged.get(place, 0)))
    except FileNotFoundError:
        if segment.exists():
            raise
        # the running instance deleted it meanwhile, for its age or for space


def _with_purged(line: _Line, count: int) -> bytes:
    """The line, which says that so many numbers after it were purged."""
    event = line.event
    if event is None or not count:
        return line.raw
    body = event.body | {"purged": count + event.body.get("purged", 0)}
    return f"{replace(event, body=body).line()}\n".encode()
