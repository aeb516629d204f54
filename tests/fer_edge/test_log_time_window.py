"""Moments and windows as people type them, and that what the documentation says of the log can be typed."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from journal_items import read_journal

from fer_edge.cli import main
from fer_edge.errors import UsageError
from fer_edge.events import KINDS, Event
from fer_edge.log.event_text import duration_text, end_text, event_sentence
from fer_edge.log.time_window import TimeWindow, TimeZone
from tests.generated_month import simulate_example_day
from tests.simulated_device import utc_s

ROOT = Path(__file__).parents[2]
UTC = TimeZone(utc=True)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-03-01T12:00", UTC, "2026-03-01T12:00"),
        ("2026-03-01T12:00", TimeZone(), "2026-03-01T11:00"),
        ("2026-07-01", TimeZone(), "2026-06-30T22:00"),
        ("2026-03-01T12:00+05:00", TimeZone(), "2026-03-01T07:00"),
        ("2026-03-01T12:00Z", TimeZone(), "2026-03-01T12:00"),
    ],
)
def test_a_moment_is_local_unless_it_has_a_zone(text: str, zone: TimeZone, expected: str) -> None:
    assert TimeWindow.of(text, None, None, zone).since_s == utc_s(expected)


@pytest.mark.parametrize(("text", "ago_s"), [("2h", 7200), ("15min", 900), ("30d", 30 * 86_400), ("90s", 90)])
def test_a_moment_may_be_an_age(text: str, ago_s: float) -> None:
    window = TimeWindow.of(text, None, None, UTC)
    assert UTC.now() - UTC.at(window.since_s) == pytest.approx(timedelta(seconds=ago_s), abs=timedelta(seconds=30))


@pytest.mark.parametrize(
    "given", [("0" * 8 + "-0000-4000-8000-" + "0" * 12 + ":5", None), ("2h", "3h"), ("soon", None)]
)
def test_a_text_that_is_not_a_window_is_refused(given: tuple[str, str | None]) -> None:
    with pytest.raises(UsageError):
        TimeWindow.of(*given, None, UTC)


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("between", "from_", "to", "hours"),
    [
        ("08:00-10:00", "2026-03-02T00:00", "2026-03-04T00:00", 4),
        ("22:00-02:00", "2026-03-02T00:00", "2026-03-03T00:00", 4),
        ("01:00-04:00", "2026-03-28T23:00", "2026-03-29T22:00", 2),  # the night that has no hour from 2 to 3
        ("01:00-04:00", "2026-10-24T22:00", "2026-10-25T23:00", 4),  # and the one that has it twice
    ],
)
def test_parts_of_days_follow_the_time_zone(between: str, from_: str, to: str, hours: float) -> None:
    pieces = TimeWindow.of(None, None, between, TimeZone()).pieces(utc_s(from_), utc_s(to))
    assert sum(end_s - start_s for start_s, end_s in pieces) == hours * 3600


@pytest.mark.parametrize(
    ("zone", "between", "from_", "to", "hours"),
    [
        ("Europe/Berlin", "02:00-03:00", "2026-03-28T23:00", "2026-03-29T22:00", 0),  # the clock shows no such time
        ("America/New_York", "02:00-03:00", "2026-03-08T05:00", "2026-03-09T04:00", 0),
        ("America/New_York", "02:00-03:00", "2026-11-01T04:00", "2026-11-02T05:00", 1),
        ("America/New_York", "01:00-02:00", "2026-11-01T04:00", "2026-11-02T05:00", 2),  # the clock shows it twice
        ("Europe/Berlin", "02:30-02:15", "2026-10-24T22:00", "2026-10-25T23:00", 24.5),  # of 25 h, a quarter twice less
        ("Europe/Berlin", "03:00-02:00", "2026-03-28T23:00", "2026-03-29T22:00", 23),
        ("Europe/Berlin", "18:00-24:00", "2026-03-28T23:00", "2026-03-30T22:00", 12),
        ("Europe/Berlin", "00:00-24:00", "2026-10-24T22:00", "2026-10-26T23:00", 49),
        (
            "Australia/Lord_Howe",
            "01:30-02:00",
            "2026-04-04T13:00",
            "2026-04-05T13:30",
            1,
        ),  # back by half an hour, to 1:30
        ("Africa/Cairo", "00:00-01:00", "2026-04-23T22:00", "2026-04-24T21:00", 0),  # midnight itself is leapt over
        ("UTC", "22:00-02:00", "2026-03-02T00:00", "2026-03-04T00:00", 8),
    ],
)
def test_a_part_of_the_day_is_what_the_clock_shows(
    monkeypatch: pytest.MonkeyPatch, zone: str, between: str, from_: str, to: str, hours: float
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        window = TimeWindow.of(None, None, between, TimeZone())
        pieces = window.pieces(utc_s(from_), utc_s(to))
        assert sum(end_s - start_s for start_s, end_s in pieces) == hours * 3600
        assert all(start_s < end_s for start_s, end_s in pieces)
        assert all(before[1] < after[0] for before, after in pairwise(pieces)), "pieces that touch are one"
        minutes = [utc_s(from_) + 60 * n for n in range(round((utc_s(to) - utc_s(from_)) / 60))]
        assert sum(window.holds(at_s) for at_s in minutes) == hours * 60
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["24:00-02:00", "18:00-24:01", "08:00", "08:00-10:00-12:00", "08:00+01:00-10:00", "-"])
def test_a_text_that_is_no_part_of_a_day_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a part of a day; give 08:00-18:30, or 18:00-24:00"):
        TimeWindow.of(None, None, text, UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min"), (190, "3 min 10 s"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_durations_in_words(seconds: float, said: str) -> None:
    assert duration_text(seconds) == said


def test_every_kind_of_event_has_a_sentence() -> None:
    told = {}
    for item in read_journal(ROOT / "tests/fixtures/journals/v1"):
        if isinstance(item, Event):
            told[item.kind] = event_sentence(item, ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"])
    assert told.keys() == KINDS.keys()
    assert told["gap"] == "lines were lost (File exists): 12 episode, 3 tally"
    assert told["clock"] == "wall clock moved by +1,767,225,600.0 s, unsynced → synced"
    assert all("{" not in words for words in told.values()), "a kind was told by its fields alone"
    assert event_sentence(Event("weather", 1, "b", 1.0, "w", "synced", {"sky": "blue"})) == "sky blue"


@pytest.mark.parametrize(
    ("reason", "words"),
    [("12 s are over", "stopped after 12 s"), ("0.5 s are over", "stopped after 0.5 s"), ("a bug", "a bug")],
)
def test_the_end_of_a_run_in_words(reason: str, words: str) -> None:
    assert end_text(reason) == words


def documented() -> list[str]:
    section = (ROOT / "device/README.md").read_text().partition("\n## Reading the log\n")[2].partition("\n## ")[0]
    shown = [line.partition("  #")[0] for line in section.splitlines() if line.startswith("fer-edge log ")]
    asked = [cell.strip(" `") for line in section.splitlines() for cell in line.split("|") if "`fer-edge log " in cell]
    return [*asked, *shown]  # the last one purges


def test_the_documented_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the generated day of the picture; the four questions are among them."""
    assert len(documented()) == 17
    folder = simulate_example_day(tmp_path / "house" / "kitchen").folder
    (tmp_path / "kitchen").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(folder))
    for command in documented():
        assert main(shlex.split(command)[1:]) == 0, command
    assert {"timeline.png", "episodes.parquet"} <= {path.name for path in tmp_path.iterdir()}
