"""The journal: what it promises of a line, in batches, segments and bytes."""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from builders import event, journal_events
from fakes import FakeClock
from journal_items import read_journal

from device.output.journal.journal import Journal
from device.output.tally import FrameCounts, start_tally, update_tally
from fer_edge.errors import UsageError
from fer_edge.events import SCHEMA, Event
from fer_edge.journal.segments import segments

ROOT = Path(__file__).parents[2]
HEADER = event("header", 0, schema=SCHEMA, labels=["angry", "überrascht"])


def write_run(folder: Path, readings: int = 3) -> Path:
    """The segment of a run with a header, some readings and an end."""
    with Journal(folder, FakeClock()) as journal:
        journal.append(HEADER)
        for seq in range(1, readings + 1):
            journal.append(event("reading", seq, label="überrascht", p=[0.25, 0.75]))
        journal.append(event("end", readings + 1, reason="test"))
    assert journal.path is not None
    return journal.path


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of the file at each fdatasync."""
    sizes: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda file: sizes.append(os.fstat(file).st_size))
    return sizes


def test_lines_come_back_as_they_went_in(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert [e.kind for e in journal_events(tmp_path)] == ["header", "reading", "reading", "reading", "end"]
    assert journal_events(tmp_path)[1] == event("reading", 1, label="überrascht", p=[0.25, 0.75])


def test_each_run_has_its_own_segment_whatever_else_lies_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "journal-000007.jsonl").write_bytes(f"{event().line()}\n".encode())
    (tmp_path / "journal-x.jsonl").write_text("no segment")
    assert write_run(tmp_path).name == "journal-000008.jsonl"
    assert write_run(tmp_path).name == "journal-000009.jsonl"
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "journal-000007.jsonl").read_text() == f"{event().line()}\n"


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    segment = write_run(tmp_path / "new" / "log")
    assert stat.S_IMODE(segment.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(segment.stat().st_mode) == 0o600


def test_segment_names_hold_no_time(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["journal-000001.jsonl"]


def test_a_run_without_events_leaves_no_segment(tmp_path: Path) -> None:
    """A camera that does not open must not fill the folder with empty segments, one a restart."""
    with Journal(tmp_path, FakeClock()) as journal:
        assert journal.path is not None and journal.path.exists()
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_a_new_segment_is_forced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut would take the file, whose lines were forced, with its name."""
    named: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda file: named.append(Path(f"/proc/self/fd/{file}").readlink()))
    with Journal(tmp_path, FakeClock()) as journal:
        journal.append(HEADER)
        assert named == [tmp_path]


def test_a_header_is_forced_at_once_and_small_batches_wait(tmp_path: Path, forced: list[int]) -> None:
    clock = FakeClock()
    with Journal(tmp_path, clock, sync_s=30.0) as journal:
        assert journal.path is not None
        journal.append(HEADER)
        assert forced == [journal.path.stat().st_size] and len(forced) == 1
        journal.append(event("tally", 1))
        clock.now_ns += 299_900_000_000
        journal.tick()
        assert len(forced) == 1, "a line of 150 bytes is not worth a block of the card before ten times 30 s"
        clock.now_ns += 200_000_000
        journal.tick()
        assert forced[1:] == [journal.path.stat().st_size]
        clock.now_ns += 3_600_000_000_000
        journal.tick()
        assert len(forced) == 2, "nothing new, nothing to force"
        journal.append(event("end", 2))
    assert forced[2:] == [journal.path.stat().st_size], "and at the end"


def test_a_power_cut_loses_six_minutes_at_most_while_nothing_happens(tmp_path: Path) -> None:
    clock = FakeClock()
    tally, seq, lost_s = start_tally(clock.now_ns), 1, []
    with Journal(tmp_path, clock, sync_s=30.0) as journal:
        journal.append(HEADER)
        assert journal.path is not None
        covered_s, size = clock.now_ns / 1e9, journal.path.stat().st_size
        for _ in range(1800):
            clock.now_ns += 1_000_000_000
            tally, bodies = update_tally(tally, [], clock.now_ns, FrameCounts())
            for body in bodies:
                journal.append(event("tally", seq, **body))
                seq += 1
            journal.tick()
            if journal.path.stat().st_size > size:
                size = journal.path.stat().st_size
                last = list(journal_events(tmp_path))[-1].body
                covered_s = last["from_mono_s"] + last["seconds"]
            lost_s.append(clock.now_ns / 1e9 - covered_s)
    assert 300 < max(lost_s) <= 360


def test_a_medium_batch_waits_sync_s_and_a_large_one_does_not(tmp_path: Path, forced: list[int]) -> None:
    clock = FakeClock()
    with Journal(tmp_path, clock, sync_s=30.0) as journal:
        journal.append(HEADER)
        for seq in range(1, 100):
            journal.append(event("reading", seq, note="x" * 100))
        clock.now_ns += 29_000_000_000
        journal.tick()
        assert len(forced) == 1
        clock.now_ns += 2_000_000_000
        journal.tick()
        assert len(forced) == 2
        for seq in range(100, 600):  # a recording read as fast as it goes: no time passes
            journal.append(event("reading", seq, note="x" * 100))
        assert forced[2] - forced[1] == pytest.approx(64 << 10, abs=300)


def test_sync_s_0_forces_each_line(tmp_path: Path, forced: list[int]) -> None:
    with Journal(tmp_path, FakeClock(), sync_s=0.0) as journal:
        journal.append(HEADER)
        for seq in range(1, 5):
            journal.append(event("reading", seq))
    assert len(forced) == 5


def test_limits_may_change_while_it_runs(tmp_path: Path, forced: list[int]) -> None:
    with Journal(tmp_path, FakeClock()) as journal:
        journal.append(HEADER)
        journal.set_limits(0.0, 1 << 20, None)
        journal.append(event("reading", 1))
        assert len(forced) == 2
        with pytest.raises(UsageError, match=r"1,048,576 bytes or more, not 1,000"):
            journal.set_limits(30.0, 1000, None)


def test_every_segment_begins_with_the_header(tmp_path: Path) -> None:
    clock = FakeClock()
    with Journal(tmp_path, clock, budget_bytes=2 << 20) as journal:
        journal.append(HEADER)
        for seq in range(1, 4001):
            journal.append(event("reading", seq, note="x" * 60))
    parts = segments(tmp_path)
    assert len(parts) >= 3
    assert all(part.stat().st_size <= (2 << 20) // 8 for part in parts)
    first = [Event.parse(part.read_text().splitlines()[0]) for part in parts]
    assert first[0] == HEADER
    for before, part, header in zip(parts, parts[1:], first[1:], strict=False):
        assert header.kind == "header" and header.seq == 0
        assert header.body == HEADER.body | {"continues": before.name}
        assert header.mono_s == Event.parse(part.read_text().splitlines()[1]).mono_s
    events = [item for item in read_journal(tmp_path) if isinstance(item, Event)]
    assert [e.seq for e in events if e.kind == "reading"] == list(range(1, 4001)), "each once, across the segments"


def test_a_segment_lasts_a_day_at_most(tmp_path: Path) -> None:
    clock = FakeClock()
    with Journal(tmp_path, clock) as journal:
        journal.append(HEADER)
        for seq in range(1, 50):
            clock.now_ns += 3_600_000_000_000
            journal.append(event("tally", seq))
            journal.tick()
    assert len(segments(tmp_path)) == 3


def test_a_new_header_starts_a_new_segment(tmp_path: Path) -> None:
    """The bundle was replaced: no line may be read by another's labels."""
    with Journal(tmp_path, FakeClock()) as journal:
        journal.append(HEADER)
        journal.append(event("reading", 1))
        journal.append(event("header", 2, schema=SCHEMA, labels=["a", "b"]))
        journal.append(event("reading", 3))
    one, other = ([Event.parse(line) for line in path.read_text().splitlines()] for path in segments(tmp_path))
    assert [e.seq for e in one] == [0, 1] and [e.seq for e in other] == [2, 3]
    assert "continues" not in other[0].body


@pytest.mark.parametrize("budget_bytes", [1 << 20, 2 << 20])
def test_the_oldest_segments_are_deleted_to_keep_the_budget(memory_path: Path, budget_bytes: int) -> None:
    largest = 0
    with Journal(memory_path, FakeClock(), budget_bytes=budget_bytes) as journal:
        journal.append(HEADER)
        for seq in range(1, 15_001):
            journal.append(event("reading", seq, note="x" * 60))
            if seq % 100 == 0:
                largest = max(largest, sum(path.stat().st_size for path in segments(memory_path)))
    assert budget_bytes * 0.7 < largest <= budget_bytes
    seqs = [item.seq for item in read_journal(memory_path) if isinstance(item, Event) and item.kind == "reading"]
    assert seqs == list(range(15_001 - len(seqs), 15_001)), "what is left is the newest, without a hole"


def test_a_lower_budget_applies_from_the_next_start(memory_path: Path) -> None:
    with Journal(memory_path, FakeClock(), budget_bytes=8 << 20) as journal:
        for seq in range(10_000):
            journal.append(event("reading", seq, note="x" * 60))
    assert sum(path.stat().st_size for path in segments(memory_path)) > 3 << 19
    with Journal(memory_path, FakeClock(), budget_bytes=1 << 20):
        assert sum(path.stat().st_size for path in segments(memory_path)) <= 1 << 20


def test_thousands_of_short_runs_keep_the_budget(tmp_path: Path) -> None:
    """A process that is restarted in a loop: each run's few bytes take a block of the disk."""
    for number in range(1, 601):
        (tmp_path / f"journal-{number:06d}.jsonl").write_text(f"{event().line()}\n")
    with Journal(tmp_path, FakeClock(), budget_bytes=1 << 20):
        assert len(segments(tmp_path)) <= (1 << 20) // 4096


def test_a_segment_that_takes_a_block_more_than_its_bytes_keeps_the_budget(memory_path: Path) -> None:
    """225 blocks of earlier runs and a segment of 131,657 bytes, in 33 blocks: without room to spare, 3,511 bytes too many."""
    budget_bytes = 225 * 4096 + 131_657
    for number in range(1, 301):
        (memory_path / f"journal-{number:06d}.jsonl").write_text(f"{event().line()}\n")
    with Journal(memory_path, FakeClock(), budget_bytes=budget_bytes) as journal:
        journal.append(HEADER)
        assert journal.path is not None
        for seq in itertools.count(1):
            journal.append(event("reading", seq, note="x" * 60))
            journal.sync()
            if journal.path.name != "journal-000301.jsonl":
                break
            blocks = [-(-path.stat().st_size // 4096) for path in segments(memory_path)]
            assert sum(blocks) * 4096 <= budget_bytes
    assert blocks[-1] == 33


def test_a_second_writer_is_rejected(tmp_path: Path) -> None:
    with Journal(tmp_path, FakeClock()) as one:
        one.append(HEADER)
        with pytest.raises(UsageError, match=r"written by another fer-edge; stop that one.*--log") as refused:
            Journal(tmp_path, FakeClock()).__enter__()
        assert str(tmp_path) in str(refused.value)
        assert len(segments(tmp_path)) == 1, "and it left no trace"
        one.append(event("end", 1))
    with Journal(tmp_path, FakeClock()) as other:
        other.append(HEADER)
    assert len(segments(tmp_path)) == 2


def test_a_killed_writer_s_folder_is_free_at_once(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from device.clock import SystemClock; "
        "from device.output.journal.journal import Journal\n"
        "with Journal(Path(sys.argv[1]), SystemClock()):\n    print('in', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "in\n"
        with pytest.raises(UsageError, match="another fer-edge"):
            Journal(tmp_path, FakeClock()).__enter__()
        writer.kill()
        writer.wait()
        with Journal(tmp_path, FakeClock()) as journal:
            journal.append(HEADER)
    assert journal.trouble is None


@pytest.mark.parametrize("place", ["a file", "below a file", "/proc/fer-edge", "/sys/fer-edge"])
def test_an_impossible_folder_is_rejected(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    folder = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "log"}.get(place, Path(place))
    with pytest.raises(UsageError, match=r"journal in .* cannot be written .*--log"), Journal(folder, FakeClock()):
        raise AssertionError("entered without a folder")


def test_a_closed_journal_accepts_no_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FakeClock())
    with pytest.raises(UsageError, match="closed"):
        journal.append(HEADER)
    with journal:
        pass
    with pytest.raises(UsageError, match="closed"):
        journal.append(HEADER)


def test_a_jumping_wall_clock_affects_no_timer(tmp_path: Path, forced: list[int]) -> None:
    clock = FakeClock()
    clock.state = "synced"
    with Journal(tmp_path, clock, keep_days=3) as journal:
        journal.append(HEADER)
        for seq in range(1, 201):
            clock.wall_s += (-1) ** seq * 365 * 86_400
            clock.now_ns += 10_000_000_000
            journal.append(event("tally", seq))
    assert len(forced) == 2 + (200 * 10 - 10) // 310, "every 300 s after the line that began the batch, to 10 s"
    assert len(segments(tmp_path)) == 1
