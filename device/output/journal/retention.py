"""Retention: which segments of a journal have to go, for space or for age, with a clock that may never have been set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fer_edge.events import Event
from fer_edge.journal.clock_correction import posix_s
from fer_edge.journal.segments import last_event

_BLOCK_BYTES = 4096  # the least a file takes of a disk


def segments_over_budget(found: Sequence[Path], budget_bytes: int) -> list[Path]:
    """The oldest of the segments, without which the others take `budget_bytes` at most. Raises OSError.

    Each is counted in whole blocks, as a disk does: thousands of short runs must not hide.
    """
    left, kept = budget_bytes, len(found)
    while kept:
        left -= -(-found[kept - 1].stat().st_size // _BLOCK_BYTES) * _BLOCK_BYTES
        if left < 0:
            break
        kept -= 1
    return list(found[:kept])


def expired_segments(found: Sequence[Path], keep_s: float, now: Event, trusted: bool) -> list[Path]:
    """The oldest of the segments, those whose last line is surely older than `keep_s` at `now`, any event of now.

    `trusted`: the wall clock of now may be believed. No file but those given is read, and of each only its end.
    """
    ends = [last_event(path) for path in found]
    old = [age_s > keep_s for age_s in least_ages_s(ends, now, trusted)]
    return list(found[: old.index(False) if False in old else len(old)])


def least_ages_s(ends: Sequence[Event | None], now: Event, trusted: bool) -> list[float]:
    """For each of some events in order the least age that it can have at `now`, in seconds. None: it cannot be read.

    Within a boot mono_s tells exactly. Between boots the machine was off for nobody knows how long, and what is known is
    that the later boot's seconds have passed; two synced wall clocks tell more.
    """
    ages: list[float] = []
    age_s, later = 0.0, now
    for end in reversed(ends):
        if end is not None:
            age_s += max(0.0, later.mono_s - end.mono_s) if end.boot == later.boot else later.mono_s
            wall_s, now_s = posix_s(end.wall), posix_s(now.wall)
            if trusted and end.clock == "synced" and end.boot != now.boot and wall_s is not None and now_s is not None:
                age_s = max(age_s, now_s - wall_s)
            later = end
        ages.append(age_s)
    return ages[::-1]
