"""Retention: which segments of a journal must be deleted, for space or for age, with a clock that may never have been set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fer_edge.events import Event, posix_s
from fer_edge.journal.segments import last_event

_BLOCK_BYTES = 4096  # the least that a file takes of a disk


def segments_over_budget(found: Sequence[Path], budget_bytes: int) -> list[Path]:
    """The oldest of the segments, without which the others take `budget_bytes` at most. Raises OSError.

    Each counts in whole blocks, as on a disk, so that thousands of short runs do not exceed the budget.
    """
    left, first_kept = budget_bytes, len(found)
    while first_kept:
        left -= -(-found[first_kept - 1].stat().st_size // _BLOCK_BYTES) * _BLOCK_BYTES
        if left < 0:
            break
        first_kept -= 1
    return list(found[:first_kept])


def expired_segments(found: Sequence[Path], keep_s: float, now: Event, trusted: bool) -> list[Path]:
    """The oldest of the segments whose last line is certainly older than `keep_s` at `now`, any event of the present.

    `trusted`: the wall clock of `now` is reliable. Only the end of each given file is read.
    """
    last_events = [last_event(path) for path in found]
    expired = [age_s > keep_s for age_s in least_ages_s(last_events, now, trusted)]
    return list(found[: expired.index(False) if False in expired else len(expired)])


def least_ages_s(last_events: Sequence[Event | None], now: Event, trusted: bool) -> list[float]:
    """The least possible age, in seconds at `now`, of each of some events in order. None: the event cannot be read.

    Within a boot mono_s gives the exact age. Between boots the machine was off for an unknown time: the age is at least the
    seconds since the later boot, and two synced wall clocks may prove more.
    """
    ages: list[float] = []
    age_s, later = 0.0, now
    for event in reversed(last_events):
        if event is not None:
            age_s += max(0.0, later.mono_s - event.mono_s) if event.boot == later.boot else later.mono_s
            wall_s, now_s = posix_s(event.wall), posix_s(now.wall)
            synced = trusted and event.clock == "synced" and event.boot != now.boot
            if synced and wall_s is not None and now_s is not None:
                age_s = max(age_s, now_s - wall_s)
            later = event
        ages.append(age_s)
    return ages[::-1]
