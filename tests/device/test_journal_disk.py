"""Disks that fill up, turn read-only, lose the journal's folder: the run goes on, and what was lost is counted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from builders import event
from fakes import FakeClock
from journal_items import read_journal

from device.output.journal.journal import Journal
from fer_edge.errors import UsageError
from fer_edge.events import SCHEMA, Event
from fer_edge.journal.segments import segments

ROOT = Path(__file__).parents[2]
HEADER = event("header", 0, schema=SCHEMA, labels=["angry", "happy"])


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """`folder` as a file system of its own, in memory, of that size. Skips where this process may not mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes=64", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True, capture_output=True)


def events_of(folder: Path) -> list[Event]:
    """Every event of a journal in which nothing is damaged."""
    items = list(read_journal(folder))
    assert [item for item in items if not isinstance(item, Event)] == []
    return [item for item in items if isinstance(item, Event)]


def accounted(folder: Path, upto: int) -> list[Event]:
    """The gaps of a journal in which every seq from 1 to `upto` either stands or is counted in a gap."""
    gaps, expected = [], 1
    for item in events_of(folder):
        if item.kind == "header":
            continue
        lost = sum(item.body["lost"].values()) if item.kind == "gap" else 0
        gaps += [item] * bool(lost)
        assert item.seq == expected + max(0, lost - 1), f"seq {item.seq} after {expected - 1}"
        expected = item.seq + 1
    assert expected == upto + 1
    return gaps


def test_a_full_disk_does_not_end_a_run_and_lost_lines_are_counted(tmp_path: Path) -> None:
    clock = FakeClock()
    with mounted(tmp_path / "disk", "64k") as disk:
        with Journal(disk / "log", clock, ring_bytes=16 << 10) as journal:
            journal.append(HEADER)
            (disk / "ballast").write_bytes(b"x" * (36 << 10))
            for seq in range(1, 401):
                clock.now_ns += 1_000_000_000
                journal.append(event("tally" if seq % 2 else "episode", seq, note="x" * 50))
            assert journal.trouble is not None and journal.trouble.endswith("(No space left on device)")
            assert str(disk / "log") in journal.trouble
            before = journal.lost.total()
            assert before > 100
            (disk / "ballast").unlink()
            journal.tick()
            assert journal.trouble is not None, "it was not yet time to try again"
            clock.now_ns += 60_000_000_000
            journal.tick()
            assert journal.trouble is None
            journal.append(event("tally", 401))
        (gap,) = accounted(disk / "log", 401)
        assert gap.body["reason"] == "No space left on device"
        assert sum(gap.body["lost"].values()) == before == journal.lost.total()
        assert abs(gap.body["lost"]["tally"] - gap.body["lost"]["episode"]) <= 1
        assert gap.body["to_mono_s"] == gap.mono_s > gap.body["from_mono_s"]
        assert len(segments(disk / "log")) == 1, "the segment was whole, it goes on in it"


def test_memory_stays_bounded_while_the_disk_is_full(tmp_path: Path) -> None:
    clock = FakeClock()
    with mounted(tmp_path / "disk", "64k") as disk, Journal(disk, clock, ring_bytes=16 << 10) as journal:
        journal.append(HEADER)
        (disk / "ballast").write_bytes(b"x" * (56 << 10))
        for seq in range(1, 5001):
            clock.now_ns += 1_000_000_000
            journal.append(event("tally", seq, note="x" * 50))
        waiting = 5000 - journal.lost["tally"]
        assert 0 < waiting * len(event("tally", 4999, note="x" * 50).line()) <= 16 << 10


@pytest.mark.parametrize("of", ["bytes", "files"])
def test_a_disk_that_is_full_at_the_start(tmp_path: Path, of: str) -> None:
    """A device must not be restarted in a loop for it: it runs, says so, and writes once there is room."""
    clock = FakeClock()
    with mounted(tmp_path / "disk", "64k") as disk:
        ballast = disk / "ballast"
        ballast.mkdir()
        (disk / "log").mkdir()
        with pytest.raises(OSError, match="No space"):
            for number in range(1000):
                (ballast / str(number)).write_bytes(b"x" * 4096 if of == "bytes" else b"")
        with Journal(disk / "log", clock) as journal:
            assert (journal.path is None) == (of == "files")
            journal.append(HEADER)
            journal.append(event("tally", 1))
            assert journal.trouble is not None
            shutil.rmtree(ballast)
            clock.now_ns += 61_000_000_000
            journal.tick()
            assert journal.trouble is None and journal.lost.total() == 0
        assert events_of(disk / "log") == [HEADER, event("tally", 1)]


def test_lines_pending_at_the_end_on_a_full_disk_are_counted(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "16k") as disk:
        with Journal(disk, FakeClock()) as journal:
            journal.append(HEADER)
            (disk / "ballast").write_bytes(b"x" * 8192)
            for seq in range(1, 100):
                journal.append(event("tally", seq, note="x" * 50))
        assert journal.lost == {"tally": 99} and journal.trouble is not None
        assert events_of(disk) == [HEADER]


def test_a_disk_that_was_read_only_is_written_again(tmp_path: Path) -> None:
    """As ext4 does after an error of the card."""
    clock = FakeClock()
    with mounted(tmp_path / "disk", "1m") as disk:
        remount(disk, "ro")
        with pytest.raises(UsageError, match="Read-only file system"):
            Journal(disk, clock).__enter__()
        remount(disk, "rw")
        with Journal(disk / "log", clock, sync_s=1.0) as journal:
            journal.append(HEADER)
            shutil.rmtree(disk / "log")  # no disk turns read-only in the orderly way while a file on it is written
            (disk / "log").touch()
            journal.append(event("tally", 1))
            journal.sync()
            assert journal.trouble is not None
            (disk / "log").unlink()
            remount(disk, "ro")
            for seq in range(2, 50):
                clock.now_ns += 1_000_000_000
                journal.append(event("tally", seq))
            assert journal.trouble is not None and "Read-only file system" in journal.trouble
            remount(disk, "rw")
            clock.now_ns += 61_000_000_000
            journal.tick()
            assert journal.trouble is None
        assert accounted(disk / "log", 49) == [], "memory held them all"
        assert events_of(disk / "log")[0].body["continues"] == "journal-000001.jsonl"


@pytest.mark.parametrize(
    "how", ["removed", "moved", "a file in its place", "the segment removed", "another folder in its place"]
)
def test_a_removed_folder_is_created_again(tmp_path: Path, how: str) -> None:
    clock, folder = FakeClock(), tmp_path / "a" / "log"
    with Journal(folder, clock, sync_s=1.0) as journal:
        assert journal.path is not None
        journal.append(HEADER)
        for seq in range(1, 6):
            clock.now_ns += 20_000_000_000
            journal.append(event("tally", seq))
        journal.sync()
        match how:
            case "removed":
                shutil.rmtree(tmp_path / "a")
            case "moved":
                folder.rename(tmp_path / "elsewhere")
            case "a file in its place":
                shutil.rmtree(folder)
                folder.write_text("mine")
            case "the segment removed":
                journal.path.unlink()
            case "another folder in its place":
                folder.rename(tmp_path / "elsewhere")
                folder.mkdir()
        clock.now_ns += 20_000_000_000
        journal.append(event("tally", 6))
        journal.sync()
        if how == "a file in its place":
            assert journal.trouble is not None
            assert folder.read_text() == "mine"
            folder.unlink()
            clock.now_ns += 61_000_000_000
        journal.append(event("tally", 7))
        journal.sync()
        assert journal.trouble is None
    events = events_of(folder)
    assert events[0].kind == "header" and events[0].body["continues"] == "journal-000001.jsonl"
    assert [e.seq for e in events[1:]] == [6, 7]
    assert [path.name for path in segments(folder)] == ["journal-000002.jsonl"], "no name is used twice in a run"
    if how in ("moved", "another folder in its place"):
        assert [e.seq for e in events_of(tmp_path / "elsewhere")] == [0, 1, 2, 3, 4, 5]


def test_a_new_folder_with_another_writer_is_not_shared(tmp_path: Path) -> None:
    clock, folder = FakeClock(), tmp_path / "log"
    with Journal(folder, clock) as journal:
        journal.append(HEADER)
        shutil.rmtree(folder)
        with Journal(folder, FakeClock()) as other:
            other.append(HEADER)
            journal.append(event("tally", 1))
            journal.sync()
            assert journal.trouble is not None
            assert len(events_of(folder)) == 1
        clock.now_ns += 61_000_000_000
        journal.tick()
        assert journal.trouble is None
    assert [e.kind for e in events_of(folder)] == ["header", "header", "tally"]


LIMITED = """
import resource, sys
from pathlib import Path
from device.clock import SystemClock
from device.output.journal.journal import Journal
from fer_edge.events import Event
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
with Journal(Path(sys.argv[1]), SystemClock(), sync_s=0.0) as journal:
    for seq in range(1, 101):
        journal.append(Event("reading", seq, "b", 1.0, "w", "synced", {}))
print(journal.lost.total(), journal.trouble)
"""


@pytest.mark.parametrize("limit_bytes", [0, 1000])
def test_a_file_at_its_size_limit_holds_no_partial_line(tmp_path: Path, limit_bytes: int) -> None:
    """The kernel cuts real writes short, without a mount: nothing half written stays, and nothing is lost unsaid."""
    command = [sys.executable, "-c", LIMITED, str(tmp_path), str(limit_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    lost, trouble = done.stdout.split(maxsplit=1)
    assert "File too large" in trouble
    seqs = [e.seq for e in events_of(tmp_path)]
    assert seqs == list(range(1, len(seqs) + 1)) and len(seqs) + int(lost) == 100
    assert (len(seqs) >= 10) == (limit_bytes == 1000)
