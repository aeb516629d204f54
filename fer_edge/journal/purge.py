"""Purging: every line of a journal that tells of anything before a moment is taken out of it.

A segment is written anew beside itself and renamed over the old one, so that a crash leaves one or the other. Its header
stays while any line does, since it says what the lines mean. What a card's own wear levelling keeps is out of reach.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fer_edge.atomic_file import atomic_file
from fer_edge.errors import UsageError
from fer_edge.events import Event
from fer_edge.journal.clock_correction import ClockCorrection, Uptime
from fer_edge.journal.segments import lock_folder, segment_lines, segments, sync_folder

_FRESH = ".purged"


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """What a purge did. `doubtful` of the removed lines had a clock of which nobody knows whether it was set."""

    lines: int
    doubtful: int
    removed: int  # segments
    rewritten: int

    def __str__(self) -> str:
        doubt = f" ({self.doubtful} of them by a clock that may not have been set)" if self.doubtful else ""
        return f"{self.lines} lines are gone{doubt}; {self.removed} segments removed, {self.rewritten} rewritten"


def purge(folder: Path, before: datetime | Uptime) -> PurgeResult:
    """What was taken out of the journal in `folder`: the lines that tell of anything before the moment.

    While an instance writes there, all but the segment it writes is purged. Raises UsageError, before anything is changed,
    when that segment holds lines to remove, when a newer version wrote a segment, when `before` has no time zone or an
    unknown boot; OSError when there is no folder, or, between two segments, when one cannot be written.
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
            for left_over in folder.glob(f".*{_FRESH}"):  # by a purge that was killed
                left_over.unlink()
        old = _judge(folder, before)
        plans = list(_plans(found, old))
        if held is None and plans and plans[-1].goes:
            raise UsageError(
                f"{found[-1].name} is being written by a running fer-edge and holds {plans[-1].goes} lines from before "
                "that moment; stop it, purge, and start it again. Nothing was removed"
            )
        for plan in plans:
            if plan.goes:
                _carry_out(plan, old)
        if any(plan.goes for plan in plans):
            sync_folder(folder)
    finally:
        if held is not None:
            os.close(held)
    changed = [plan for plan in plans if plan.goes]
    return PurgeResult(
        sum(plan.goes for plan in changed),
        sum(plan.doubtful for plan in changed),
        sum(not plan.stays for plan in changed),
        sum(plan.stays > 0 for plan in changed),
    )


_Judge = Callable[[Event], tuple[bool, bool]]  # whether a line has to go, and whether its time is known


def _judge(folder: Path, before: datetime | Uptime) -> _Judge:
    calendar = ClockCorrection(folder)
    if isinstance(before, datetime):
        limit_s = before.timestamp()

        def by_wall(event: Event) -> tuple[bool, bool]:
            at_s, known = calendar.at_s(event, _from_mono_s(event))
            return at_s < limit_s, known

        return by_wall
    if before.boot not in calendar.boots:
        raise UsageError(f"no line in {folder} is of the boot {before.boot}; each line names its own as “boot”")
    earlier = set(calendar.boots[: calendar.boots.index(before.boot)])

    def by_uptime(event: Event) -> tuple[bool, bool]:
        return event.boot in earlier or (event.boot == before.boot and _from_mono_s(event) < before.mono_s), True

    return by_uptime


def _from_mono_s(event: Event) -> float:
    """When what the event tells of began: for an episode or a minute its start, which is long before the line."""
    told = (event.body.get(key) for key in ("start_mono_s", "from_mono_s"))
    return min([event.mono_s, *(mono_s for mono_s in told if isinstance(mono_s, int | float))])


@dataclass(frozen=True, slots=True)
class _Line:
    raw: bytes
    goes: bool
    doubtful: bool = False
    header: bool = False


def _lines(segment: Path, old: _Judge, fate: bool) -> Iterator[_Line]:
    """Each line and whether it goes. A damaged one, which has no time, goes where the last line before it, or `fate`, does."""
    for raw, item in segment_lines(segment):
        if isinstance(item, Event):
            fate, known = old(item)
            yield _Line(raw, fate, fate and not known, item.kind == "header")
        elif item.newer:
            raise UsageError(f"{item}. Nothing was removed")
        else:
            yield _Line(raw, fate)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How many lines of a segment go and stay. Headers go with the last line, or by their own time where they are alone."""

    segment: Path
    goes: int
    stays: int
    doubtful: int
    fate: bool  # that of the last line before this segment


def _plans(found: list[Path], old: _Judge) -> Iterator[_Plan]:
    readable = (item for segment in found for _, item in segment_lines(segment) if isinstance(item, Event))
    first = next(readable, None)
    fate = first is not None and old(first)[0]
    for segment in found:
        every = [(line.goes, line.doubtful, line.header) for line in _lines(segment, old, fate)]
        judged = [line for line in every if not line[2]] or every
        goes = sum(line[0] for line in judged)
        yield _Plan(segment, goes, len(judged) - goes, sum(line[1] for line in judged), fate)
        fate = every[-1][0] if every else fate


def _carry_out(plan: _Plan, old: _Judge) -> None:
    segment = plan.segment
    if not plan.stays:
        segment.unlink(missing_ok=True)
        return
    try:
        mode = segment.stat().st_mode & 0o777
        with (
            atomic_file(segment, mode, durable=True, fresh_name=f".{segment.name}{_FRESH}") as fresh,
            fresh.open("wb") as file,
        ):
            file.writelines(line.raw for line in _lines(segment, old, plan.fate) if line.header or not line.goes)
    except FileNotFoundError:
        if segment.exists():
            raise
        # the running instance deleted it meanwhile, for its age or for space
