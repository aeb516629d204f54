"""The logbook: every released journal is read for ever, damage is named and passed over, and lines get their right times."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from builders import event
from journal_items import read_journal

from fer_edge.errors import UsageError
from fer_edge.events import SCHEMA, Event
from fer_edge.journal.clock_correction import ClockCorrection, posix_s
from fer_edge.journal.segments import DamagedLine, last_event, segment_name

JOURNALS = Path(__file__).parents[1] / "fixtures" / "journals"


def write(folder: Path, number: int, *lines: Event | bytes) -> Path:
    """A segment with those lines; bytes stand as they are."""
    path = folder / segment_name(number)
    path.write_bytes(b"".join(line if isinstance(line, bytes) else f"{line.line()}\n".encode() for line in lines))
    return path


def seqs(folder: Path) -> list[int]:
    return [item.seq for item in read_journal(folder) if isinstance(item, Event) and item.kind != "header"]


def test_every_schema_has_its_journals() -> None:
    assert sorted(path.name for path in JOURNALS.iterdir() if path.is_dir()) == [f"v{n + 1}" for n in range(SCHEMA)]


def test_schema_1_is_read_as_it_was_written() -> None:
    items = list(read_journal(JOURNALS / "v1"))
    events = [item for item in items if isinstance(item, Event)]
    assert len(events) == len(items) == 64
    from fer_edge.events import KINDS

    assert {item.kind for item in events} == set(KINDS), "every kind is among them"
    (gap,) = [item for item in events if item.kind == "gap"]
    assert gap.body["lost"] == {"episode": 12, "tally": 3}
    before = events[events.index(gap) - 2]
    assert gap.seq - before.seq == sum(gap.body["lost"].values()), "what is missing is what was counted"


def test_segments_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (1_000_001, 999_999, 2, 10):
        write(tmp_path, number, event("reading", 0, number=number))
    (tmp_path / "journal-000003.jsonl.bak").touch()
    assert [item.body["number"] for item in read_journal(tmp_path) if isinstance(item, Event)] == [
        2,
        10,
        999_999,
        1_000_001,
    ]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (b"\x00" * 40 + b"\n", "is empty, as after a power cut"),
        (b'{"kind":"read\n', 'is not an event: b\'{"kind":"read\\n\''),
        (b'{"kind":"reading","seq":"1","boot":"b","mono_s":1,"wall":"w","clock":"c"}\n', "is not an event"),
        (b'{"kind":"reading","seq":1,"boot":"b","mono_s":null,"wall":"w","clock":"c"}\n', "is not an event"),
        (b"\xff\xff\n", "is not an event"),
        (b"[]\n", "is not an event"),
        (b"\n", "is empty"),
    ],
)
def test_a_damaged_line_is_named_and_the_others_are_read(tmp_path: Path, damage: bytes, why: str) -> None:
    write(tmp_path, 1, event("header", 0, schema=SCHEMA), event("reading", 1), damage, event("reading", 2))
    items = list(read_journal(tmp_path))
    assert [item.seq for item in items if isinstance(item, Event)] == [0, 1, 2]
    (told,) = [item for item in items if isinstance(item, DamagedLine)]
    assert (told.segment, told.number) == ("journal-000001.jsonl", 3) and told.why.startswith(why)
    assert isinstance(items[2], DamagedLine), "where it was"


def test_a_segment_without_a_header_is_read(tmp_path: Path) -> None:
    write(tmp_path, 1, event("header", 0, schema=SCHEMA), event("reading", 7))
    write(tmp_path, 2, b'{"kind":"hea\x00\x00\x00\n', event("reading", 1), event("reading", 2))
    assert seqs(tmp_path) == [7, 1, 2]


def test_a_segment_of_another_schema_is_reported_once(tmp_path: Path) -> None:
    write(tmp_path, 1, event("header", 0, schema=SCHEMA), event("reading", 1))
    write(tmp_path, 2, event("header", 0, schema=SCHEMA + 1), event("reading", 1), event("reading", 2))
    write(tmp_path, 3, event("header", 0, schema=SCHEMA), event("reading", 5))
    items = list(read_journal(tmp_path))
    assert [str(item) for item in items if isinstance(item, DamagedLine)] == [
        f"journal-000002.jsonl, line 1: has schema {SCHEMA + 1}, this version reads {SCHEMA}; update fer-edge"
    ]
    assert seqs(tmp_path) == [1, 5]


def test_a_duplicate_line_is_read_once(tmp_path: Path) -> None:
    """A batch that reached the card although the force failed is written again, in the next segment."""
    write(tmp_path, 1, event("header", 0, schema=SCHEMA), event("reading", 1), event("reading", 2))
    again = event("header", 0, schema=SCHEMA, continues="journal-000001.jsonl")
    write(tmp_path, 2, again, event("reading", 2), event("reading", 3))
    write(tmp_path, 3, event("header", 0, schema=SCHEMA), event("reading", 1))
    assert seqs(tmp_path) == [1, 2, 3, 1]


def test_an_empty_journal_has_no_lines_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, 1)
    assert list(read_journal(tmp_path)) == []
    with pytest.raises(FileNotFoundError):
        list(read_journal(tmp_path / "nothing"))


def test_the_last_event_is_read_from_the_end_of_the_file(tmp_path: Path) -> None:
    many = [event("reading", n, note="x" * 100) for n in range(2000)]
    assert last_event(write(tmp_path, 1, *many, b'{"torn')) == many[-1]
    assert last_event(write(tmp_path, 2, b"\x00" * 100_000)) is None
    assert last_event(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("sizes", "torn"),
    [((100, 9_000, 100), 0), ((100, 9_000), 0), ((100, 60_000), 0), ((100, 100), 9_000), ((100,), 0), ((20_000,), 0)],
)
def test_the_last_event_is_found_behind_long_lines(sizes: tuple[int, ...], torn: int, tmp_path: Path) -> None:
    lines = [event("reading", n, note="x" * size) for n, size in enumerate(sizes)]
    assert last_event(write(tmp_path, 1, *lines, b"y" * torn)) == lines[-1]


def test_an_event_further_from_the_end_than_64_kib_is_not_looked_for(tmp_path: Path) -> None:
    assert last_event(write(tmp_path, 1, event("reading", 0), event("reading", 1, note="x" * 70_000))) is None


def test_the_end_of_a_segment_is_enough_for_its_last_event(tmp_path: Path) -> None:
    """Retention does this for each closed segment of a card, again and again."""
    segment = write(tmp_path, 1, *(event("reading", n, note="x" * 100) for n in range(2000)))
    before = _bytes_read()
    assert last_event(segment) is not None
    assert _bytes_read() - before < 20_000


def _bytes_read() -> int:
    """What this process has read so far, from files and from the kernel's table itself."""
    return int(Path("/proc/self/io").read_text().splitlines()[0].removeprefix("rchar: "))


def dated(boot: str, mono_s: float, wall: str, clock: str) -> Event:
    return replace(event(), boot=boot, mono_s=mono_s, wall=wall, clock=clock)


def shown(calendar: ClockCorrection, line: Event) -> tuple[float, bool]:
    return calendar.moment(line.boot, line.mono_s)


def iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()[:19]


def test_lines_from_before_the_clock_was_set_get_their_right_time(tmp_path: Path) -> None:
    early = dated("a", 10.0, "1970-01-01T00:00:10.000Z", "unsynced")
    later = dated("a", 40.0, "2026-03-01T12:00:40.000Z", "synced")
    write(tmp_path, 1, early, later)
    calendar = ClockCorrection(tmp_path)
    assert [(iso(at_s), known) for at_s, known in (shown(calendar, line) for line in (early, later))] == [
        ("2026-03-01T12:00:10", True), ("2026-03-01T12:00:40", True),
    ]  # fmt: skip
    assert iso(calendar.moment("a", 5.0)[0]) == "2026-03-01T12:00:05"


def test_a_clock_step_and_its_reversal_leave_the_times_right(tmp_path: Path) -> None:
    lines = [
        dated("a", 10.0, "2026-03-01T12:00:10.000Z", "synced"),
        dated("a", 20.0, "2027-03-01T12:00:20.000Z", "synced"),
        dated("a", 30.0, "2025-03-01T12:00:30.000Z", "unknown"),
        dated("a", 40.0, "2026-03-01T12:00:40.000Z", "synced"),
    ]
    write(tmp_path, 1, *lines[:2])
    write(tmp_path, 2, *lines[2:])
    calendar = ClockCorrection(tmp_path)
    assert [iso(shown(calendar, line)[0])[-8:] for line in lines] == ["12:00:10", "12:00:20", "12:00:30", "12:00:40"]
    assert {iso(shown(calendar, line)[0])[:10] for line in lines} == {"2026-03-01"}


def test_a_boot_without_a_synced_clock_lies_between_its_neighbours(tmp_path: Path) -> None:
    lost = dated("b", 10.0, "1970-01-01T00:00:10.000Z", "unsynced")
    ahead = dated("b", 20.0, "2030-01-01T00:00:00.000Z", "unknown")
    write(tmp_path, 1, dated("a", 100.0, "2026-03-01T12:00:00.000Z", "synced"))
    write(tmp_path, 2, lost, ahead)
    write(tmp_path, 3, dated("c", 50.0, "2026-03-05T12:00:50.000Z", "synced"))
    calendar = ClockCorrection(tmp_path)
    assert calendar.boots == ("a", "b", "c")
    assert [(iso(at_s), known) for at_s, known in (shown(calendar, line) for line in (lost, ahead))] == [
        ("2026-03-05T12:00:40", False), ("2026-03-05T12:00:50", False),
    ], "ten seconds apart, and before the next boot"  # fmt: skip


def test_without_any_synced_clock_the_wall_clock_is_used(tmp_path: Path) -> None:
    line = dated("a", 10.0, "2026-03-01T12:00:00.000Z", "unknown")
    write(tmp_path, 1, line)
    at_s, known = shown(ClockCorrection(tmp_path), line)
    assert (iso(at_s), known) == ("2026-03-01T12:00:00", False)
    assert posix_s("no time") is None


def test_boots_without_a_synced_clock_follow_each_other(tmp_path: Path) -> None:
    """As on a Pi without a network, which starts in 1970 each time: no second is two boots'."""
    for number, boot in enumerate("abc", 1):
        first, last = (dated(boot, 60.0 * n, f"1970-01-01T00:0{n}:00.000Z", "unsynced") for n in (0, 2))
        write(tmp_path, number, first, last)
    calendar = ClockCorrection(tmp_path)
    told = [calendar.moment(boot, mono_s) for boot in "abc" for mono_s in (0.0, 120.0)]
    assert told == [(0, False), (120, False), (120, False), (240, False), (240, False), (360, False)]
    assert "b" in calendar and "d" not in calendar


@pytest.mark.parametrize(
    "last",
    [
        dated("a", 30.0, "20Z6-03-01T12:00:30.000Z", "synced").line(),
        dated("a", 30.0, "2026-13-01T12:00:30.000Z", "synced").line(),
        dated("a", 30.0, "2126-03-01T12:00:30.000Z", "synced").line(),
        dated("a", 30.0, "2036-03-01T12:00:30.000Z", "synced").line()[:-3],
        dated("a", 30.0, "2036-03-01T12:00:30.000Z", "synced").line() + "}",
    ],
)
@pytest.mark.parametrize("clock", ["synced", "unsynced"])
def test_a_damaged_clock_moves_no_other_line(last: str, clock: str, tmp_path: Path) -> None:
    lines = [dated("a", at, f"2026-03-01T12:00:{at:.0f}.000Z", clock).line() for at in (10.0, 20.0)]
    write(tmp_path, 1, *(f"{line}\n".encode() for line in (*lines, last.replace("synced", clock))))
    at_s, known = ClockCorrection(tmp_path).moment("a", 10.0)
    assert (iso(at_s), known) == ("2026-03-01T12:00:10", clock == "synced")


def test_a_segment_without_a_whole_line_keeps_the_clock_of_its_boot(tmp_path: Path) -> None:
    write(tmp_path, 1, dated("a", 10.0, "2026-03-01T12:00:10.000Z", "unsynced"))
    write(tmp_path, 2, dated("a", 20.0, "20Z6-03-01T12:00:20.000Z", "unsynced"))
    assert iso(ClockCorrection(tmp_path).moment("a", 10.0)[0]) == "2026-03-01T12:00:10"


def test_a_wall_clock_that_is_no_time_is_a_damaged_line(tmp_path: Path) -> None:
    line = dated("a", 10.0, "20Z6-03-01T12:00:00.000Z", "synced")
    with pytest.raises(UsageError, match="not a line of a journal"):
        Event.parse(line.line())


def test_a_later_line_corrects_the_times_of_its_boot(tmp_path: Path) -> None:
    write(tmp_path, 1, dated("a", 10.0, "1970-01-01T00:00:10.000Z", "unsynced"))
    calendar = ClockCorrection(tmp_path)
    assert calendar.moment("a", 10.0) == (10.0, False)
    calendar.learn(dated("a", 40.0, "2026-03-01T12:00:40.000Z", "synced"))
    at_s, known = calendar.moment("a", 10.0)
    assert (iso(at_s), known) == ("2026-03-01T12:00:10", True)
    calendar.learn(dated("b", 5.0, "1970-01-01T00:00:05.000Z", "unsynced"))
    assert iso(calendar.moment("b", 5.0)[0]) == "2026-03-01T12:00:40"


def test_lines_learnt_without_a_synced_clock_give_the_times_of_a_fresh_pass(tmp_path: Path) -> None:
    """Each of them may have another wall clock, of which the last one counts."""
    lines = [
        dated("a", 10.0, "1970-01-01T00:00:10.000Z", "unsynced"),
        dated("a", 20.0, "2026-03-01T12:00:20.000Z", "unsynced"),
        dated("a", 30.0, "2026-03-01T15:00:30.000Z", "unknown"),
    ]
    write(tmp_path, 1, lines[0])
    calendar = ClockCorrection(tmp_path)
    for number, wall in ((1, "2026-03-01T12:00:10"), (2, "2026-03-01T15:00:10")):
        calendar.learn(lines[number])
        write(tmp_path, 1, *lines[: number + 1])
        at_s, known = calendar.moment("a", 10.0)
        assert (iso(at_s), known) == (wall, False)
        assert (at_s, known) == ClockCorrection(tmp_path).moment("a", 10.0)


def test_only_lines_of_the_requested_kinds_are_read(tmp_path: Path) -> None:
    write(tmp_path, 1, event("header", 0, schema=SCHEMA), event("reading", 1), b"damaged\n", event("tally", 2))
    write(tmp_path, 2, event("header", 0, schema=SCHEMA), event("reading", 1))
    told = [item.kind if isinstance(item, Event) else "damage" for item in read_journal(tmp_path, {"header", "tally"})]
    assert told == ["header", "damage", "tally", "header"]


def test_lines_of_another_program_are_read(tmp_path: Path) -> None:
    """Fields in another order, with spaces: the quick look at a line's beginning is no more than quick."""
    other = b'{ "wall": "2026-03-01T12:00:10.000Z", "clock": "synced", "seq": 1, "mono_s": 10, "boot": "a", "kind": "pause" }\n'
    write(tmp_path, 1, event("header", 0, schema=SCHEMA), other)
    (told,) = [item for item in read_journal(tmp_path, {"pause"}) if isinstance(item, Event) and item.kind == "pause"]
    assert iso(ClockCorrection(tmp_path).moment("a", told.mono_s)[0]) == "2026-03-01T12:00:10"
