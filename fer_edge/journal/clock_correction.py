"""Reading a journal: its lines in order, and the corrected time of each.

A Pi without a battery starts with a wrong wall clock, so the `wall` of a line may be wrong by decades; `mono_s` never is.
Within one boot the two differ by a constant. The last line of the boot with a synced clock gives that constant. A boot
without a synced clock lies between its neighbours.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path

from fer_edge.events import Event, posix_s
from fer_edge.journal.segments import BootTimes, DamagedLine, boot_times, segment_lines, segments


def read_with_segments(folder: Path, kinds: Container[str] | None = None) -> Iterator[tuple[Path, Event | DamagedLine]]:
    """The events of a journal in order, each with its segment; a line that cannot be read becomes a DamagedLine.

    A duplicate line, left by a crash during writing, is returned once. A segment that is removed meanwhile is skipped. With
    `kinds` lines of other kinds are skipped, as in `segment_lines`. Raises OSError, also when there is no folder.
    """
    last_seq = -1
    for segment in segments(folder):
        try:
            for place, (_, item) in enumerate(segment_lines(segment, kinds)):
                if isinstance(item, DamagedLine) and item.later_part:
                    continue
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
    """The times of one boot. Without an offset its moments lie before `not_after_s`, a POSIX time."""

    first_mono_s: float
    last_mono_s: float
    wall: str = ""  # of its last line, whatever its clock
    wall_mono_s: float = 0.0
    synced: str = ""  # the wall of its last line whose clock was synced
    synced_mono_s: float = 0.0
    offset_s: float | None = None  # wall − mono_s, by that line
    guess_s: float = 0.0  # the same, or a guess where it is not known
    not_after_s: float = inf


class ClockCorrection:
    """The right times of a journal's lines, from one pass over all of them. Raises OSError.

    `boots` lists the boots' ids in order.
    """

    def __init__(self, folder: Path) -> None:
        self._boots: dict[str, _Boot] = {}
        for segment in segments(folder):
            try:
                for seen in boot_times(segment):
                    self._note(seen)
            except FileNotFoundError:  # the running instance deleted it meanwhile
                continue
        self._update_offsets()

    @property
    def boots(self) -> tuple[str, ...]:
        """The ids of the journal's boots, the first one first."""
        return tuple(self._boots)

    def __contains__(self, boot: str) -> bool:
        return boot in self._boots

    def learn(self, event: Event) -> None:
        """Takes a line into account that was written since."""
        known = self._boots.get(event.boot)
        before_s = None if known is None else known.offset_s
        at_s, synced = event.mono_s, event.wall if event.clock == "synced" and posix_s(event.wall) is not None else ""
        self._note(BootTimes(event.boot, at_s, at_s, event.wall, at_s, synced, at_s))
        if known is None or before_s is None or synced:
            self._update_offsets()  # without a synced clock, each line's wall clock may be another

    def moment(self, boot: str, mono_s: float) -> tuple[float, bool]:
        """The POSIX time of `mono_s` seconds after that boot, and whether it is known.

        Moments of a boot keep their distances. Without a synced clock the boot's last wall clock is used, and the whole boot
        is moved behind the boots before it. Raises KeyError for a boot without lines.
        """
        times = self._boots[boot]
        return mono_s + times.guess_s, times.offset_s is not None

    def _note(self, seen: BootTimes) -> None:
        boot = self._boots.setdefault(seen.boot, _Boot(seen.first_mono_s, seen.last_mono_s))
        boot.first_mono_s = min(boot.first_mono_s, seen.first_mono_s)
        boot.last_mono_s = max(boot.last_mono_s, seen.last_mono_s)
        if posix_s(seen.wall) is not None:
            boot.wall, boot.wall_mono_s = seen.wall, seen.wall_mono_s
        if seen.synced:
            boot.synced, boot.synced_mono_s = seen.synced, seen.synced_mono_s

    def _update_offsets(self) -> None:
        for boot in self._boots.values():
            if boot.synced and (wall_s := posix_s(boot.synced)) is not None:
                boot.offset_s = wall_s - boot.synced_mono_s
        limit_s = inf
        for boot in reversed(self._boots.values()):
            boot.not_after_s = limit_s
            if boot.offset_s is not None:
                limit_s = boot.first_mono_s + boot.offset_s
        ended_s = -inf
        for boot in self._boots.values():
            if boot.offset_s is not None:
                boot.guess_s = boot.offset_s
            else:
                wall_offset_s = (posix_s(boot.wall) or 0.0) - boot.wall_mono_s
                boot.guess_s = max(min(wall_offset_s, boot.not_after_s - boot.last_mono_s), ended_s - boot.first_mono_s)
            ended_s = max(ended_s, boot.last_mono_s + boot.guess_s)


@dataclass(frozen=True, slots=True)
class Uptime:
    """A moment without a wall clock: `mono_s` seconds after the boot with that id."""

    boot: str
    mono_s: float
