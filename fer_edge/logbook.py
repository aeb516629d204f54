"""The logbook: a journal's folder as a reader sees it. Every schema version, in order, each line with its right time.

A Pi without a battery starts with a wrong wall clock, so a line's `wall` may be wrong by decades; its `mono_s` never is.
Within one boot the two differ by a constant, and any line whose clock was synced gives it away: the last such line is the
word for its whole boot. A boot that never knew the time at least lies between its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from math import inf
from pathlib import Path

from fer_edge.events import Event
from fer_edge.segments import Damage, lines, segments


def read(folder: Path) -> Iterator[Event | Damage]:
    """The events of a journal in order, of every schema version; what cannot be read stands where it was, named.

    A line that stands twice, because a crash came between writing it and knowing of it, is given once. A segment that is
    removed while this reads is passed over. Raises OSError, when there is no such folder too.
    """
    last_seq = -1
    for segment in segments(folder):
        try:
            for place, (_, item) in enumerate(lines(segment)):
                if place == 0 and not (isinstance(item, Event) and "continues" in item.body):
                    last_seq = -1  # another run
                if isinstance(item, Event) and item.kind != "header":
                    if item.seq <= last_seq:
                        continue
                    last_seq = item.seq
                yield item
        except FileNotFoundError:
            continue


@dataclass(slots=True)
class _Boot:
    """What the lines of one boot tell of its time. Without an offset its moments lie between the two POSIX times."""

    first_mono_s: float
    last_mono_s: float
    offset_s: float | None = None  # wall less mono_s, by the last line whose clock was synced
    not_before_s: float = -inf
    not_after_s: float = inf


class Calendar:
    """The right times of a journal's lines, learnt by one look at all of them. Raises OSError.

    `boots` lists the boots' ids in order.
    """

    def __init__(self, folder: Path) -> None:
        boots: dict[str, _Boot] = {}
        for segment in segments(folder):
            for _, item in lines(segment):
                if isinstance(item, Event):
                    boot = boots.setdefault(item.boot, _Boot(item.mono_s, item.mono_s))
                    boot.first_mono_s = min(boot.first_mono_s, item.mono_s)
                    boot.last_mono_s = max(boot.last_mono_s, item.mono_s)
                    wall_s = posix_s(item.wall) if item.clock == "synced" else None
                    if wall_s is not None:
                        boot.offset_s = wall_s - item.mono_s
        known_s = -inf
        for boot in boots.values():
            boot.not_before_s = known_s
            if boot.offset_s is not None:
                known_s = boot.last_mono_s + boot.offset_s
        known_s = inf
        for boot in reversed(boots.values()):
            boot.not_after_s = known_s
            if boot.offset_s is not None:
                known_s = boot.first_mono_s + boot.offset_s
        self._boots = boots
        self.boots = tuple(boots)

    def at_s(self, event: Event, mono_s: float | None = None) -> tuple[float, bool]:
        """When the event was, or the moment `mono_s` of its boot, in POSIX seconds; and whether that is known.

        Where it is not, the wall clock is taken as it stood, as far as the boots before and after allow.
        """
        boot = self._boots[event.boot]
        if mono_s is None:
            mono_s = event.mono_s
        if boot.offset_s is not None:
            return mono_s + boot.offset_s, True
        guess_s = (posix_s(event.wall) or 0.0) + mono_s - event.mono_s
        return min(max(guess_s, boot.not_before_s), boot.not_after_s), False


def posix_s(wall: str) -> float | None:
    """A line's `wall` in POSIX seconds; None when it is no time."""
    try:
        return datetime.fromisoformat(wall).timestamp()
    except ValueError:
        return None
