"""Purging: what tells of a time before the moment is gone, all else stays, and a crash leaves one state or the other."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock
from journal_items import read_journal

from device.output.journal.journal import Journal
from fer_edge.errors import UsageError
from fer_edge.events import SCHEMA, Event
from fer_edge.journal.clock_correction import ClockCorrection, Uptime
from fer_edge.journal.purge import PurgeResult, purge
from fer_edge.journal.segments import lock_folder, segment_lines, segment_name, segments
from fer_edge.log.items import LoggedMinute
from fer_edge.log.runs import read_runs
from fer_edge.log.time_window import parse_moment
from tests.simulated_device import SimulatedDevice, utc_s

JOURNALS = Path(__file__).parents[1] / "fixtures" / "journals"
ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minute: float, kind: str = "tally", boot: str = "a", clock: str = "synced", seq: int = 1, **body: Any) -> Event:
    """An event so many minutes after noon, in a boot that began at eleven."""
    wall = (NOON + timedelta(minutes=minute)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Event(kind, seq, boot, 3600 + minute * 60, wall, clock, body)


def write(folder: Path, number: int, *lines: Event | bytes) -> Path:
    path = folder / segment_name(number)
    path.write_bytes(b"".join(line if isinstance(line, bytes) else f"{line.line()}\n".encode() for line in lines))
    return path


def header(minute: float, **more: Any) -> Event:
    return at(minute, "header", schema=SCHEMA, **more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three segments: minutes 1 to 10, 11 to 20, 21 to 30 after noon."""
    for number in (1, 2, 3):
        first = number * 10 - 9
        write(tmp_path, number, header(first - 0.5), *(at(first + n, seq=1 + n) for n in range(10)))
    return tmp_path


def minutes(folder: Path) -> list[float]:
    return [
        round((item.mono_s - 3600) / 60, 1)
        for item in read_journal(folder)
        if isinstance(item, Event) and item.kind != "header"
    ]


@pytest.mark.parametrize(
    ("before", "left", "told"),
    [
        (0.0, list(range(1, 31)), PurgeResult(0, 0, 0, 0)),
        (4.0, list(range(4, 31)), PurgeResult(3, 0, 0, 1)),
        (4.5, list(range(5, 31)), PurgeResult(4, 0, 0, 1)),
        (11.0, list(range(11, 31)), PurgeResult(10, 0, 1, 0)),
        (15.0, list(range(15, 31)), PurgeResult(14, 0, 1, 1)),
        (99.0, [], PurgeResult(30, 0, 3, 0)),
    ],
)
@pytest.mark.parametrize("how", ["wall", "uptime"])
def test_lines_before_the_moment_are_removed(
    folder: Path, before: float, left: list[int], told: PurgeResult, how: str
) -> None:
    untouched = {path.name: path.stat().st_ino for path in segments(folder)}
    limit = NOON + timedelta(minutes=before) if how == "wall" else Uptime("a", 3600 + before * 60)
    assert purge(folder, limit) == told
    assert minutes(folder) == left
    for path in segments(folder):
        assert Event.parse(path.read_text().splitlines()[0]).kind == "header", "a segment keeps what explains it"
    same = [path.name for path in segments(folder) if path.stat().st_ino == untouched[path.name]]
    assert len(same) == 3 - told.removed - told.rewritten, "what has nothing to lose is not written"
    others = [path.name for path in folder.iterdir() if not path.name.startswith("journal-")]
    assert others == ([] if left else ["highest-number"])


def test_a_rewritten_segment_keeps_its_mode(folder: Path) -> None:
    for path in segments(folder):
        path.chmod(0o600)
    purge(folder, NOON + timedelta(minutes=5))
    assert {stat.S_IMODE(path.stat().st_mode) for path in segments(folder)} == {0o600}


@pytest.mark.parametrize("off_by_s", [-400 * 86_400.0, 400 * 86_400.0])
def test_a_purge_removes_what_the_views_show_before_the_moment(off_by_s: float, tmp_path: Path) -> None:
    """The clock is wrong for ten minutes, then set by something whose state is unknown to the device."""
    life = SimulatedDevice(tmp_path / "log", utc_s("2026-03-05T10:00:00"), "kitchen")
    life.set_clock(synced=False, off_by_s=off_by_s)
    life.start()
    life.watch(600, "happy")
    life.set_clock(synced=False)
    life.watch(600, "sad")
    life.end()

    def shown() -> list[float]:
        items = read_runs(life.folder, ClockCorrection(life.folder))
        return [round(item.from_s) for item in items if isinstance(item, LoggedMinute)]

    before = shown()
    assert len(before) == 20 and before[0] == utc_s("2026-03-05T10:00:00")
    purge(life.folder, datetime(2026, 1, 1, tzinfo=UTC))
    assert shown() == before
    purge(life.folder, datetime(2026, 3, 5, 10, 5, tzinfo=UTC))
    assert shown() == before[5:]


def test_a_line_about_an_earlier_time_is_removed(tmp_path: Path) -> None:
    episode = at(10, "episode", start_mono_s=3600 + 60.0, end_mono_s=3600 + 590.0)
    tally = at(10.1, "tally", from_mono_s=3600 + 540.0)
    write(tmp_path, 1, header(0), episode, replace(tally, seq=2), at(11, seq=3))
    assert purge(tmp_path, NOON + timedelta(minutes=9.5)).lines == 2
    assert minutes(tmp_path) == [11]


def purged(folder: Path) -> dict[tuple[str, int], int]:
    """By segment and seq: how many numbers after a line it says to be purged."""
    found = [(path, item) for path in segments(folder) for _, item in segment_lines(path) if isinstance(item, Event)]
    return {(path.name, item.seq): item.body["purged"] for path, item in found if "purged" in item.body}


def test_the_line_before_removed_ones_says_how_many(tmp_path: Path) -> None:
    """A gap line accounts for the lines that it reports; a duplicate for none; at the journal's beginning nothing is noted."""
    old = {"start_mono_s": 3600.0}
    gap = at(8, "gap", seq=9, reason="full", lost={"tally": 3}, **old)
    write(tmp_path, 1, header(0), at(1, seq=1), at(6, seq=2), at(6.5, seq=3, **old), b"torn\n", at(7, seq=4))
    write(
        tmp_path,
        2,
        header(7.5, continues=segment_name(1)),
        at(7, seq=4),
        at(7.6, seq=5, **old),
        at(7.7, seq=6, **old),
        gap,
    )
    write(tmp_path, 3, header(9, continues=segment_name(2)), at(9, seq=10))
    assert purge(tmp_path, NOON + timedelta(minutes=5)) == PurgeResult(6, 0, 0, 2)
    assert purged(tmp_path) == {(segment_name(1), 2): 2, (segment_name(2), 1): 5}, "the second one in the header"
    left = [item.seq for item in read_journal(tmp_path) if isinstance(item, Event) and item.kind != "header"]
    assert left == [2, 4, 10]
    before = {path.name: path.read_bytes() for path in segments(tmp_path)}
    purge(tmp_path, NOON + timedelta(minutes=5))
    assert {path.name: path.read_bytes() for path in segments(tmp_path)} == before
    purge(tmp_path, NOON + timedelta(minutes=6.5))
    assert purged(tmp_path) == {(segment_name(2), 1): 5}


def test_what_an_earlier_purge_removed_is_known_after_another(tmp_path: Path) -> None:
    old = {"start_mono_s": 3600.0}
    write(
        tmp_path, 1, header(0), at(6, seq=1, purged=2), at(7, seq=4, **old), at(8, seq=5, purged=1, **old), at(9, seq=7)
    )
    purge(tmp_path, NOON + timedelta(minutes=5))
    assert purged(tmp_path) == {(segment_name(1), 1): 5}


def test_a_line_before_the_segment_of_a_running_instance_says_how_many(tmp_path: Path) -> None:
    """The segment that is being written is not changed, nor need it be; one before it is, if only for that."""
    old = {"start_mono_s": 3600.0}
    write(tmp_path, 1, header(0), at(6, seq=1), at(7, seq=2))
    write(tmp_path, 2, header(7.5, continues=segment_name(1)), at(8, seq=3, **old))
    write(tmp_path, 3, header(9, continues=segment_name(2)), at(9, seq=4))
    running = segments(tmp_path)[-1].stat()
    held = lock_folder(tmp_path)
    try:
        assert purge(tmp_path, NOON + timedelta(minutes=5)) == PurgeResult(1, 0, 1, 1)
    finally:
        os.close(held)
    assert purged(tmp_path) == {(segment_name(1), 2): 1} and segments(tmp_path)[-1].stat() == running


def test_a_moment_may_be_in_any_zone(folder: Path) -> None:
    berlin = timezone(timedelta(hours=1))
    assert purge(folder, datetime(2026, 3, 1, 13, 4, tzinfo=berlin)).lines == 3
    with pytest.raises(UsageError, match="no time zone; add Z"):
        purge(folder, datetime(2026, 3, 1, 13, 4))


def test_lines_from_before_the_clock_was_set_are_judged_by_their_right_time(tmp_path: Path) -> None:
    early = replace(at(1, clock="unsynced"), wall="1970-01-01T00:00:01.000Z")
    late = replace(at(8, clock="unsynced", seq=2), wall="1970-01-01T00:08:00.000Z")
    write(tmp_path, 1, header(0), early, late, at(9, seq=3))
    assert purge(tmp_path, NOON + timedelta(minutes=5)) == PurgeResult(1, 0, 0, 1)
    assert minutes(tmp_path) == [8, 9]


def test_a_boot_without_a_synced_clock_is_judged_by_its_neighbours(tmp_path: Path) -> None:
    """It shows 1970, but it came after yesterday's lines, which stay: so it stays."""
    lost = replace(at(1, boot="b", clock="unsynced"), wall="1970-01-01T00:00:01.000Z")
    write(tmp_path, 1, header(0), at(1))
    write(tmp_path, 2, replace(header(0), boot="b", clock="unsynced"), lost)
    assert purge(tmp_path, NOON) == PurgeResult(0, 0, 0, 0)
    assert purge(tmp_path, NOON + timedelta(days=1)) == PurgeResult(2, 1, 2, 0), "said to be doubtful"
    assert segments(tmp_path) == []
    assert str(PurgeResult(2, 1, 2, 0)) == (
        "2 lines removed (1 of them by a clock that may not have been set); 2 segments removed, 0 rewritten"
    )


def test_an_uptime_removes_earlier_boots_and_keeps_later_ones(tmp_path: Path) -> None:
    for number, boot in enumerate("abc", 1):
        write(tmp_path, number, replace(header(0), boot=boot), at(1, boot=boot), at(2, boot=boot, seq=2))
    purge(tmp_path, Uptime("b", 3600 + 90.0))
    assert [(i.boot, i.mono_s) for i in read_journal(tmp_path) if isinstance(i, Event) and i.kind == "tally"] == [
        ("b", 3720.0), ("c", 3660.0), ("c", 3720.0),
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"no line in .* is of the boot z"):
        purge(tmp_path, Uptime("z", 1.0))


def test_a_damaged_line_is_removed_with_the_line_before_it(tmp_path: Path) -> None:
    old, kept, torn = b'{"old', b'{"kept', b"\x00" * 10
    write(
        tmp_path,
        1,
        old + b"1\n",
        header(0),
        old + b"2\n",
        at(1),
        old + b"3\n",
        at(5, seq=2),
        kept + b"1\n",
        at(6, seq=3),
        kept,
    )
    write(tmp_path, 2, torn, b"\n", kept + b"2\n", header(10), at(11))
    assert purge(tmp_path, NOON + timedelta(minutes=3)).rewritten == 1
    text = b"".join(path.read_bytes() for path in segments(tmp_path))
    assert b"old" not in text and text.count(b"kept") == 3


def test_a_journal_of_damage_alone_stays(tmp_path: Path) -> None:
    write(tmp_path, 1, b"\x00" * 100)
    assert purge(tmp_path, NOON) == PurgeResult(0, 0, 0, 0)
    assert len(segments(tmp_path)) == 1


def test_a_segment_of_another_schema_stops_the_purge(folder: Path) -> None:
    write(folder, 4, at(40, "header", schema=SCHEMA + 1), at(41))
    with pytest.raises(UsageError, match=r"update fer-edge.* Nothing was removed"):
        purge(folder, NOON + timedelta(minutes=15))
    assert len(segments(folder)) == 4 and minutes(folder) == list(range(1, 31))


def test_the_fixture_can_be_purged(tmp_path: Path) -> None:
    log = tmp_path / "log"
    shutil.copytree(JOURNALS / "v1", log)
    events = [item for item in read_journal(log) if isinstance(item, Event)]
    cameras = [item for item in events if item.kind == "camera"]
    middle = cameras[len(cameras) // 2]
    purge(log, Uptime(middle.boot, middle.mono_s))
    left = [item for item in read_journal(log) if isinstance(item, Event)]
    assert 0 < len(left) < len(events) and (middle.boot, middle.seq) in {(event.boot, event.seq) for event in left}
    purge(log, datetime(2100, 1, 1, tzinfo=UTC))
    assert segments(log) == []


def test_a_purge_beside_a_running_instance(tmp_path: Path) -> None:
    """All but the segment being written may be purged; where that holds old lines too, nothing is."""
    write(tmp_path, 1, header(0), *(at(n, seq=n) for n in range(1, 11)))
    clock = FakeClock()
    with Journal(tmp_path, clock) as journal:
        journal.append(header(20))
        journal.append(at(21, seq=1))
        journal.sync()
        assert purge(tmp_path, NOON + timedelta(minutes=5)) == PurgeResult(4, 0, 0, 1)
        with pytest.raises(
            UsageError, match=r"000002.jsonl is being written by a running .* 1 lines .* Nothing was removed"
        ):
            purge(tmp_path, NOON + timedelta(minutes=22))
        assert minutes(tmp_path) == [5, 6, 7, 8, 9, 10, 21]
        journal.append(at(22, seq=2))
    assert minutes(tmp_path) == [5, 6, 7, 8, 9, 10, 21, 22], "the writer went on undisturbed"
    assert purge(tmp_path, NOON + timedelta(minutes=22)) == PurgeResult(7, 0, 1, 1)


def test_after_a_purge_of_everything_the_numbers_go_on(folder: Path) -> None:
    """A copy from before the purge has segments 1 to 3."""
    for number in (4, 5):
        purge(folder, datetime(2100, 1, 1, tzinfo=UTC))
        assert segments(folder) == []
        with Journal(folder, FakeClock()) as journal:
            journal.append(header(20))
        assert [path.name for path in segments(folder)] == [segment_name(number)]


@pytest.mark.parametrize("noted", ["", "4\n", "none", "9" * 40, "-7"])
def test_a_damaged_note_of_the_highest_number_does_not_stop_a_run(folder: Path, noted: str) -> None:
    (folder / "highest-number").write_text(noted)
    with Journal(folder, FakeClock()) as journal:
        journal.append(header(40))
    assert len(segments(folder)) == 4


def test_no_instance_starts_in_the_middle_of_a_purge(folder: Path) -> None:
    held = lock_folder(folder)
    try:
        with pytest.raises(UsageError, match="another fer-edge"):
            Journal(folder, FakeClock()).__enter__()
    finally:
        os.close(held)


KILLED = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from fer_edge.journal.purge import purge
before = Path.replace
def replace(self, target):
    if self.name.endswith("2.jsonl.purged"):
        os.kill(os.getpid(), signal.SIGKILL)
    return before(self, target)
Path.replace = replace
purge(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]))
"""


def test_a_purge_that_is_killed_leaves_each_segment_old_or_new(folder: Path) -> None:
    write(folder, 1, header(0), at(1), at(30, seq=2))
    write(folder, 2, header(1), at(2), at(31, seq=2))
    limit = NOON + timedelta(minutes=25)
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), limit.isoformat()], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (folder / ".journal-000002.jsonl.purged").exists()
    assert minutes(folder)[:3] == [30, 2, 31]
    assert purge(folder, limit).rewritten == 2
    assert minutes(folder)[:2] == [30, 31]
    assert [path.name for path in folder.iterdir() if path.suffix == ".purged"] == [], "and what was left over is gone"


def test_what_a_killed_purge_left_is_gone_after_one_that_removes_its_segment(folder: Path) -> None:
    """The left-over of an earlier moment holds lines that the later moment is about."""
    (folder / ".journal-000002.jsonl.purged").write_bytes((folder / "journal-000002.jsonl").read_bytes())
    purge(folder, NOON + timedelta(minutes=25))
    assert [path.name for path in folder.iterdir()] == ["journal-000003.jsonl"]


def test_a_rewritten_segment_is_forced_before_its_name_and_the_folder_after(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    force, rename = os.fsync, Path.replace

    def forced(descriptor: int) -> None:
        steps.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        force(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        steps.append(f"{path.name} becomes {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", forced)
    monkeypatch.setattr(Path, "replace", renamed)
    purge(folder, NOON + timedelta(minutes=15))
    fresh = ".journal-000002.jsonl.purged"
    assert steps == [fresh, f"{fresh} becomes journal-000002.jsonl", folder.name]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        purge(tmp_path / "nothing", NOON)
    assert purge(tmp_path, NOON) == PurgeResult(0, 0, 0, 0)


BOOT = "5a232664-f1e7-4c31-aed3-edab87607a56"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", NOON - timedelta(days=30)),
        ("12h", NOON - timedelta(hours=12)),
        ("15min", NOON - timedelta(minutes=15)),
        ("2026-01-31T12:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        (f"{BOOT}:120.5", Uptime(BOOT, 120.5)),
    ],
)
def test_moments_are_parsed(text: str, expected: datetime | Uptime) -> None:
    assert parse_moment(text, NOON) == expected


def test_a_day_is_local() -> None:
    assert parse_moment("2026-01-31", NOON) == datetime(2026, 1, 31).astimezone()


@pytest.mark.parametrize("text", ["", "yesterday", "30", "-3d", "2026-13-01", "boot:3", "99999999999999999999d"])
def test_a_text_that_is_not_a_moment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a moment; give 2026-01-31"):
        parse_moment(text, NOON)


def test_an_age_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match="is not a moment"):
        parse_moment("999999d", NOON)
