"""`log tail`: the last lines, and each new one, once and in order, whatever becomes of the segments meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from builders import event

from fer_edge.cli import main
from fer_edge.events import Event
from fer_edge.journal.clock_correction import ClockCorrection
from fer_edge.journal.segments import segment_name
from fer_edge.log.follow import Follower, last_events
from fer_edge.log.items import LoggedEvent
from tests.simulated_device import SimulatedDevice, header_body, utc_s

ROOT = Path(__file__).parents[2]
NOON = "2026-03-01T12:00:00"


def head(**more: object) -> Event:
    return event("header", 0, **{**header_body("kitchen"), **more})


def add(folder: Path, number: int, *lines: Event | bytes) -> Path:
    """Appends to a segment."""
    path = folder / segment_name(number)
    with path.open("ab") as file:
        file.write(b"".join(line if isinstance(line, bytes) else f"{line.line()}\n".encode() for line in lines))
    return path


def new(follower: Follower) -> list[int | str]:
    """The seq of each new line; of a damaged one its segment and number."""
    return [
        told.event.seq if isinstance(told, LoggedEvent) else f"{told.segment}:{told.number}" for told in follower.poll()
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    add(tmp_path, 1, head(), event("pause", 1), event("resume", 2))
    return tmp_path


@pytest.fixture
def follower(folder: Path) -> Follower:
    return Follower(folder, ClockCorrection(folder))


def test_each_line_is_read_once(folder: Path, follower: Follower) -> None:
    assert new(follower) == [0, 1, 2] and new(follower) == []
    add(folder, 1, event("pause", 3))
    assert new(follower) == [3] and new(follower) == []


def test_a_line_waits_for_its_end(folder: Path, follower: Follower) -> None:
    line = f"{event('pause', 3).line()}\n".encode()
    add(folder, 1, line[:20])
    assert new(follower) == [0, 1, 2]
    add(folder, 1, line[20:50])
    assert new(follower) == []
    add(folder, 1, line[50:], event("resume", 4))
    assert new(follower) == [3, 4]


def test_reading_continues_in_the_next_segment(folder: Path, follower: Follower) -> None:
    assert new(follower) == [0, 1, 2]
    add(folder, 1, event("pause", 3))
    add(folder, 2, head(continues=segment_name(1)), event("pause", 3), event("resume", 4))
    assert new(follower) == [3, 4], "neither the header nor a line over again"
    add(folder, 3, head(), event("pause", 1))
    assert new(follower) == [0, 1], "another run"


def test_a_torn_end_is_named_when_there_is_a_next_segment(folder: Path, follower: Follower) -> None:
    add(folder, 1, b'{"kind":"pau')
    assert new(follower) == [0, 1, 2]
    add(folder, 2, head(), event("pause", 1))
    assert new(follower) == [f"{segment_name(1)}:4", 0, 1]


def test_a_torn_end_that_was_cut_off_is_ignored(folder: Path, follower: Follower) -> None:
    path = add(folder, 1, b'{"kind":"pau')
    assert new(follower) == [0, 1, 2]
    os.truncate(path, path.stat().st_size - 12)
    add(folder, 1, event("pause", 3))
    assert new(follower) == [3]


def test_removed_segments_are_skipped(folder: Path, follower: Follower) -> None:
    assert new(follower) == [0, 1, 2]
    (folder / segment_name(1)).unlink()
    assert new(follower) == []
    add(folder, 2, head(), event("pause", 1))
    (folder / segment_name(2)).unlink()
    add(folder, 5, head(), event("pause", 1))
    assert new(follower) == [0, 1]


def test_a_purged_segment_is_not_read_again(folder: Path, follower: Follower) -> None:
    assert new(follower) == [0, 1, 2]
    path = folder / segment_name(1)
    beside = path.with_name(".purged")
    beside.write_bytes(f"{head().line()}\n{event('resume', 2).line()}\n{event('pause', 3).line()}\n".encode())
    beside.replace(path)
    assert new(follower) == [3]


def test_a_folder_that_is_missing_for_a_while_is_followed(folder: Path, follower: Follower) -> None:
    assert new(follower) == [0, 1, 2]
    aside = folder.with_name("aside")
    folder.rename(aside)
    assert new(follower) == []
    aside.rename(folder)
    add(folder, 1, event("pause", 3))
    assert new(follower) == [3]


@pytest.mark.parametrize("number", [1, 4])
def test_a_new_journal_in_the_same_folder_is_followed_from_its_beginning(folder: Path, number: int) -> None:
    """As on a new card, or after the folder was deleted: the numbers begin again at 1."""
    (folder / segment_name(1)).rename(folder / segment_name(number))
    follower = Follower(folder, ClockCorrection(folder))
    assert new(follower) == [0, 1, 2]
    (folder / segment_name(number)).unlink()
    assert new(follower) == [], "an empty folder may be unmounted"
    other = replace(head(), boot="another boot", mono_s=7.0)
    add(folder, 1, other, replace(event("pause", 1), boot="another boot"))
    assert new(follower) == [0, 1]
    add(folder, 1, replace(event("resume", 2), boot="another boot"))
    add(folder, 2, replace(other, mono_s=8.0, body=other.body | {"continues": segment_name(1)}), event("pause", 3))
    assert new(follower) == [2, 3]


@pytest.mark.parametrize("newest", ["empty", "torn", "header", "read"])
def test_nothing_is_read_again_when_the_newest_segment_goes_away(folder: Path, newest: str) -> None:
    """As after a purge or a disk's repair; the first segments are those of another boot and of this one."""
    (folder / segment_name(1)).rename(folder / segment_name(2))
    earlier = [replace(line, boot="earlier") for line in (head(), event("pause", 1))]
    add(folder, 1, *earlier)
    header = replace(head(), mono_s=500.0)
    lines = {"empty": [], "torn": [header.line().encode()], "header": [header]}
    path = add(folder, 3, *lines.get(newest, [header, replace(event("pause", 1), mono_s=501.0)]))
    last, follower = last_events(folder, ClockCorrection(folder), 0, lambda _: True)
    assert last == [] and new(follower) == []
    path.unlink()
    assert new(follower) == []
    later = replace(head(), mono_s=600.0)
    add(folder, 4, later, replace(event("resume", 1), mono_s=601.0))
    assert new(follower) == ([f"{segment_name(3)}:1"] if newest == "torn" else []) + [0, 1]


@pytest.mark.parametrize("newest", ["empty", "read"])
def test_a_purge_of_the_newest_segment_alone_repeats_nothing(folder: Path, newest: str) -> None:
    follower = Follower(folder, ClockCorrection(folder))
    add(folder, 2, *([replace(head(), mono_s=500.0)] if newest == "read" else []))
    assert new(follower) == ([0, 1, 2, 0] if newest == "read" else [0, 1, 2])
    (folder / segment_name(2)).unlink()
    assert new(follower) == []
    add(folder, 2, replace(head(), mono_s=600.0), replace(event("pause", 1), mono_s=601.0))
    assert new(follower) == [0, 1]


def test_a_new_journal_of_the_same_boot_is_followed_from_its_beginning(folder: Path) -> None:
    """The folder was deleted and the service started again. The header of its first segment may not be there yet."""
    (folder / segment_name(1)).rename(folder / segment_name(4))
    follower = Follower(folder, ClockCorrection(folder))
    assert new(follower) == [0, 1, 2]
    (folder / segment_name(4)).unlink()
    add(folder, 1)
    assert new(follower) == []
    add(folder, 1, replace(head(), mono_s=600.0), replace(event("pause", 1), mono_s=601.0))
    assert new(follower) == [0, 1]


def test_damage_is_named(folder: Path, follower: Follower) -> None:
    add(folder, 1, b"\x00\x00\n", event("pause", 3))
    add(folder, 2, head(schema=99), event("pause", 1))
    add(folder, 3, head(), event("pause", 1))
    add(folder, 2, event("resume", 2))
    assert new(follower) == [0, 1, 2, "journal-000001.jsonl:4", 3, "journal-000002.jsonl:1", 0, 1], (
        "nothing of a segment of another schema is printed"
    )


@pytest.mark.parametrize(("n", "expected"), [(0, []), (1, [4]), (3, [1, 2, 4]), (100, [1, 2, 4])])
def test_the_last_lines_are_those_that_pass_the_filter(folder: Path, n: int, expected: list[int]) -> None:
    add(folder, 2, head(continues=segment_name(1)), event("clock", 3), event("pause", 4))
    kept, follower = last_events(
        folder, ClockCorrection(folder), n, lambda told: told.event.kind in ("pause", "resume")
    )
    assert [told.event.seq for told in kept if isinstance(told, LoggedEvent)] == expected
    add(folder, 2, event("resume", 5))
    assert new(follower) == [5]


def whole_journal(folder: Path, count: int) -> None:
    """A run of many segments with 4 lines each, a minute apart: every second one begins with a line of the one before."""
    seq = 0
    for number in range(1, count + 1):
        lines = [event("pause", seq)] if number > 1 and number % 2 else []
        lines += [event("resume" if seq + n == 2 else "pause", seq + n) for n in range(1, 5 - len(lines))]
        more = {"continues": segment_name(number - 1)} if number > 1 else {}
        timed = [replace(line, mono_s=60.0 * line.seq, wall=wall(60.0 * line.seq)) for line in (head(**more), *lines)]
        add(folder, number, *timed)
        seq = lines[-1].seq


def wall(mono_s: float) -> str:
    return datetime.fromtimestamp(utc_s(NOON) + mono_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize(("kind", "n"), [("resume", 10), ("pause", 10), ("pause", 30), ("pause", 1000), ("header", 10)])
def test_each_segment_is_read_once(tmp_path: Path, kind: str, n: int) -> None:
    """However few lines pass the filter; and what is found is what reading from the beginning finds."""
    whole_journal(tmp_path, 20)
    read: list[int] = []

    def is_wanted(told: LoggedEvent) -> bool:
        read.append(told.event.seq)
        return told.event.kind == kind

    every = [told for told in Follower(tmp_path, ClockCorrection(tmp_path)).poll() if isinstance(told, LoggedEvent)]
    expected = [told for told in every if told.event.kind == kind][-n:]
    found, follower = last_events(tmp_path, ClockCorrection(tmp_path), n, is_wanted)
    assert [told.event for told in found if isinstance(told, LoggedEvent)] == [told.event for told in expected]
    assert len(read) == len(set(read)), "no line is read twice"
    assert len(read) == len(every) or (n in (10, 30) and kind == "pause" and len(read) < n + 5)
    if n == 1000:
        assert {told.run.number for told in found if isinstance(told, LoggedEvent)} == {1}, "it is one run"
    last = every[-1].event.seq
    add(tmp_path, 21, head(continues=segment_name(20)), event("pause", last), event("resume", last + 1))
    assert new(follower) == [last + 1]


def test_segments_before_the_selected_time_are_not_read(tmp_path: Path) -> None:
    whole_journal(tmp_path, 20)
    read: list[int] = []

    def is_wanted(told: LoggedEvent) -> bool:
        read.append(told.event.seq)
        return False

    *_, last = new(Follower(tmp_path, ClockCorrection(tmp_path)))
    assert isinstance(last, int)
    since_s = utc_s(NOON) + 60.0 * (last - 9)
    assert last_events(tmp_path, ClockCorrection(tmp_path), 10, is_wanted, since_s)[0] == []
    assert set(range(last - 9, last + 1)) <= set(read) and min(read) > last - 16


def test_a_run_whose_header_is_damaged_is_shown(tmp_path: Path) -> None:
    add(tmp_path, 1, head(), *(event("pause", seq) for seq in range(1, 9)))
    add(tmp_path, 2, b"\x00\x00\n", event("pause", 1), event("resume", 2))
    found, _ = last_events(tmp_path, ClockCorrection(tmp_path), 5, lambda _: True)
    assert [told.event.seq if isinstance(told, LoggedEvent) else told.number for told in found] == [7, 8, 1, 1, 2]


def test_tail_reads_the_selected_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole_journal(tmp_path, 20)
    assert main(["log", "tail", "--json", "--utc", "-n", "99", "--since", "2026-03-01T12:50", str(tmp_path)]) == 0
    told = [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()]
    assert told == list(range(50, told[-1] + 1))


def test_tail_prints_text_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    life = SimulatedDevice(tmp_path / "log", utc_s("2026-03-01T09:10:00"), "kitchen")
    life.start()
    life.watch(30, "happy")
    life.watch(30, "sad", quality=0.3)
    life.end()
    folder = str(tmp_path / "log")
    assert main(["log", "tail", folder, "--utc", "--kind", "episode"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("2026-03-01 09:10:") and "happy 80% for 29.0 s" in out
    assert "times are UTC" in err
    assert main(["log", "tail", folder, "--json", "--expression", "sad", "-n", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["device"], told["kind"], told["body"]["label"]) == ("kitchen", "episode", "sad")
    assert main(["log", "tail", folder, "--kind", "weather"]) == 2
    assert "there is no kind weather" in capsys.readouterr().err


def test_tail_follows_a_writer_until_it_is_interrupted(folder: Path) -> None:
    command = [sys.executable, "-m", "fer_edge", "log", "tail", "-f", "-n", "1", "--json", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert json.loads(process.stdout.readline())["seq"] == 2
            add(folder, 1, event("pause", 3))
            assert json.loads(process.stdout.readline())["seq"] == 3
            add(folder, 2, head(), event("pause", 1))
            assert json.loads(process.stdout.readline())["kind"] == "header"
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()  # or leaving the block would wait for it
