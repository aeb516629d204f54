"""The logbook: a journal's folder as a reader sees it. Every schema version, in order, each line with its right time.

A Pi without a battery starts with a wrong wall clock, so a line's `wall` may be wrong by decades; its `mono_s` never is.
Within one boot the two differ by a constant, and any line whose clock was synced gives it away: the last such line is the
word for its whole boot. A boot that never knew the time at least lies between its neighbours.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import datetime
from math import inf
from pathlib import Path

from fer_edge.events import Event
from fer_edge.journal.segments import BootTimes, DamagedLine, boot_times, segment_lines, segments


def read_journal(folder: Path, kinds: Container[str] | None = None) -> Iterator[Event | DamagedLine]:
    """The events of a journal in order, of every schema version; what cannot be read stands where it was, named.

    A line that stands twice, because a crash came between writing it and knowing of it, is given once. A segment that is
    removed while this reads is passed over. With `kinds` the others are left out as `lines` does. Raises OSError, when
    there is no such folder too.
    """
    for _, item in read_with_segments(folder, kinds):
        yield item


def read_with_segments(folder: Path, kinds: Container[str] | None = None) -> Iterator[tuple[Path, Event | DamagedLine]]:
    """What `read` gives, each with its segment."""
    last_seq = -1
    for segment in segments(folder):
        try:
            for place, (_, item) in enumerate(segment_lines(segment, kinds)):
                if place == 0 and not (isinstance(item, Event) and "continues" in item.body):
                    last_seq = -1  # another run
                if isinstance(item, Event) and item.kind != "header":
                    if item.seq <= last_seq:
                        continue
                    last_seq = item.seq
                yield segment, item
        except FileNotFoundError:
            continue


@dataclass(slots=True)
class _Boot:
    """What the lines of one boot tell of its time. Without an offset its moments lie between the two POSIX times."""

    first_mono_s: float
    last_mono_s: float
    wall: str = ""  # of its last line, whatever its clock
    wall_mono_s: float = 0.0
    synced: str = ""  # the wall of its last line whose clock was synced
    synced_mono_s: float = 0.0
    offset_s: float | None = None  # wall less mono_s, by that
    guess_s: float = 0.0  # the same, whether or not it is known
    not_before_s: float = -inf
    not_after_s: float = inf


class ClockCorrection:
    """The right times of a journal's lines, learnt by one look at all of them. Raises OSError.

    `boots` lists the boots' ids in order.
    """

    def __init__(self, folder: Path) -> None:
        self._boots: dict[str, _Boot] = {}
        for segment in segments(folder):
            try:
                for told in boot_times(segment):
                    self._note(told)
            except FileNotFoundError:  # the running instance dropped it meanwhile
                continue
        self._reckon()

    @property
    def boots(self) -> tuple[str, ...]:
        return tuple(self._boots)

    def __contains__(self, boot: str) -> bool:
        return boot in self._boots

    def learn(self, event: Event) -> None:
        """Takes a line more into account, one that was written since."""
        known = self._boots.get(event.boot)
        before_s = None if known is None else known.offset_s
        at_s, synced = event.mono_s, event.wall if event.clock == "synced" else ""
        self._note(BootTimes(event.boot, at_s, at_s, event.wall, at_s, synced, at_s))
        if known is None or before_s is None or synced:
            self._reckon()  # where nothing is known, each line's wall clock may be another

    def moment(self, boot: str, mono_s: float) -> tuple[float, bool]:
        """When it was `mono_s` seconds after that boot, in POSIX seconds; and whether that is known.

        All moments of a boot lie as far apart as they were. Where nothing tells its time, the last wall clock of the boot
        is taken, and the whole boot moved to where no other is before it. Raises KeyError for a boot of which no line is.
        """
        told = self._boots[boot]
        return mono_s + told.guess_s, told.offset_s is not None

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

    def _note(self, told: BootTimes) -> None:
        boot = self._boots.setdefault(told.boot, _Boot(told.first_mono_s, told.last_mono_s))
        boot.first_mono_s = min(boot.first_mono_s, told.first_mono_s)
        boot.last_mono_s = max(boot.last_mono_s, told.last_mono_s)
        boot.wall, boot.wall_mono_s = told.wall, told.wall_mono_s
        if told.synced:
            boot.synced, boot.synced_mono_s = told.synced, told.synced_mono_s

    def _reckon(self) -> None:
        for boot in self._boots.values():
            if boot.synced and (wall_s := posix_s(boot.synced)) is not None:
                boot.offset_s = wall_s - boot.synced_mono_s
        known_s = -inf
        for boot in self._boots.values():
            boot.not_before_s = known_s
            if boot.offset_s is not None:
                known_s = boot.last_mono_s + boot.offset_s
        known_s = inf
        for boot in reversed(self._boots.values()):
            boot.not_after_s = known_s
            if boot.offset_s is not None:
                known_s = boot.first_mono_s + boot.offset_s
        ended_s = -inf
        for boot in self._boots.values():
            if boot.offset_s is not None:
                boot.guess_s = boot.offset_s
            else:
                stood_s = (posix_s(boot.wall) or 0.0) - boot.wall_mono_s
                boot.guess_s = max(min(stood_s, boot.not_after_s - boot.last_mono_s), ended_s - boot.first_mono_s)
            ended_s = max(ended_s, boot.last_mono_s + boot.guess_s)


def posix_s(wall: str) -> float | None:
    """A line's `wall` in POSIX seconds; None when it is no time."""
    try:
        return datetime.fromisoformat(wall).timestamp()
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Uptime:
    """A moment told without any wall clock: `mono_s` seconds after the boot with that id."""

    boot: str
    mono_s: float
