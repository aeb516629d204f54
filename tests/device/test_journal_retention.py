"""Retention: which segments go for their age, when clocks were wrong, jumped, or never set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from builders import event
from fakes import FakeClock
from journal_items import read_journal

from device.output.journal.journal import Journal
from device.output.journal.retention import least_ages_s
from fer_edge.events import SCHEMA, Event
from fer_edge.journal.segments import segments

DAY_S = 86_400.0


def at(boot: str, mono_s: float, day: float, clock: str = "synced") -> Event:
    """An event of a boot, whose wall clock shows that day of January 2026 (0: the first) or, below 0, 1970."""
    wall = f"2026-01-{int(day) + 1:02d}T{int(day % 1 * 24):02d}:00:00.000Z" if day >= 0 else "1970-01-01T00:00:00.000Z"
    return replace(event(), boot=boot, mono_s=mono_s, wall=wall, clock=clock)


@pytest.mark.parametrize(
    ("ends", "now", "trusted", "ages"),
    [
        ([], at("a", 100, 0), True, []),
        # within a boot mono_s alone tells, whatever the wall clock says
        ([at("a", 50, 0), at("a", 90, 0)], at("a", 100, 20), True, [50, 10]),
        ([at("a", 50, -1, "unsynced")], at("a", 100, 20), True, [50]),
        # an earlier boot is at least as old as this one is long, and as the wall clocks tell where both are set
        ([at("a", 500, 0)], at("b", 100, 20), False, [100]),
        ([at("a", 500, 0)], at("b", 100, 20), True, [20 * DAY_S]),
        ([at("a", 500, 0, "unsynced")], at("b", 100, 20), True, [100]),
        ([at("a", 500, 0, "unknown")], at("b", 100, 20), True, [100]),
        # a known age is the least of all that came before
        ([at("x", 10, -1, "unsynced"), at("a", 500, 0)], at("b", 100, 20), True, [20 * DAY_S + 500, 20 * DAY_S]),
        # boots add up: 300 s of b after a's end, 100 s of c
        ([at("a", 500, 0, "unsynced"), at("b", 300, 0, "unsynced")], at("c", 100, 0), True, [400, 100]),
        # what cannot be read is as old as what follows it
        ([None, at("a", 40, 0)], at("a", 100, 0), True, [60, 60]),
        # a recording's events run ahead of the clock
        ([at("a", 5000, 0)], at("a", 100, 0), True, [0]),
    ],
)
def test_the_least_age_of_an_event(ends: list[Event | None], now: Event, trusted: bool, ages: list[float]) -> None:
    assert least_ages_s(ends, now, trusted) == pytest.approx(ages)


def run(folder: Path, clock: FakeClock, hours: int = 20, keep_days: float | None = None) -> None:
    """A run of so many hours with a tally in each."""
    with Journal(folder, clock, keep_days=keep_days) as journal:

        def say(seq: int) -> None:
            stamp, kind = clock.stamp(), "tally" if seq else "header"
            journal.append(
                Event(kind, seq, clock.boot, stamp.mono_ns / 1e9, stamp.wall, stamp.clock, {"schema": SCHEMA})
            )

        say(0)
        for seq in range(1, hours + 1):
            for _ in range(6):
                clock.now_ns += 600_000_000_000
                journal.tick()
            say(seq)


def numbers(folder: Path) -> list[int]:
    return [int(path.stem[-6:]) for path in segments(folder)]


def test_keep_days_is_exact_to_the_day_without_a_wall_clock(memory_path: Path) -> None:
    clock = FakeClock()
    clock.state = "unknown"
    run(memory_path, clock, hours=240, keep_days=3)
    first = next(item for item in read_journal(memory_path) if isinstance(item, Event) and item.kind == "tally")
    assert 3.0 <= (clock.now_ns / 1e9 - first.mono_s) / DAY_S <= 4.1


def test_time_off_counts_only_with_synced_clocks(memory_path: Path) -> None:
    clock = FakeClock()
    clock.state = "synced"
    run(memory_path, clock)
    later = FakeClock(boot="another")
    later.wall_s, later.state = clock.wall_s + 30 * DAY_S, "unsynced"
    run(memory_path, later, keep_days=7)
    assert numbers(memory_path) == [1, 2], "nobody knows yet that a month has passed"
    latest = FakeClock(boot="a third")
    latest.wall_s, latest.state = later.wall_s + DAY_S, "synced"
    run(memory_path, latest, keep_days=7)
    assert numbers(memory_path) == [2, 3]


@pytest.mark.parametrize("years", [1, -1])
def test_a_wall_clock_that_jumps_deletes_nothing(memory_path: Path, years: int) -> None:
    clock = FakeClock()
    clock.state = "synced"
    run(memory_path, clock)
    later = FakeClock(boot="another")
    later.wall_s, later.state = clock.wall_s + 2 * DAY_S, "synced"
    with Journal(memory_path, later, keep_days=7) as journal:
        for _ in range(5):
            later.now_ns += 660_000_000_000
            later.wall_s += years * 365 * DAY_S
            journal.tick()
            later.now_ns += 660_000_000_000
            later.wall_s -= years * 365 * DAY_S
            journal.tick()
    assert numbers(memory_path) == [1]


def test_the_segment_being_written_is_never_deleted(memory_path: Path) -> None:
    clock = FakeClock()
    with Journal(memory_path, clock, keep_days=0.001) as journal:
        journal.append(event("header", 0, schema=SCHEMA))
        clock.now_ns += round(0.9 * DAY_S * 1e9)
        journal.tick()
        assert numbers(memory_path) == [1]
