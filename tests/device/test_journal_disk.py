"""Disks that fill up, turn read-only, lose the journal's folder: the run goes on, and what was lost is counted."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from builders import event
from fakes import FakeClock
from journal_items import read_journal
from small_disk import mounted

from device.output.journal.journal import Journal
from fer_edge.cli import main
from fer_edge.errors import UsageError
from fer_edge.events import SCHEMA, Event
from fer_edge.journal.segments import segments

ROOT = Path(__file__).parents[2]
HEADER = event("header", 0, schema=SCHEMA, labels=["angry", "happy"])


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
        said: list[str] = []
        with Journal(disk / "log", clock, ring_bytes=16 << 10, log=said.append) as journal:
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
            begins, ends = said
            assert begins.endswith(
                "cannot be written (No space left on device); its lines wait in memory and are tried again"
            )
            assert "is written again; lines lost so far: " in ends
            journal.append(event("tally", 401))
        assert len(said) == 2 and not journal.unwritten
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
        said: list[str] = []
        with Journal(disk, FakeClock(), log=said.append) as journal:
            journal.append(HEADER)
            (disk / "ballast").write_bytes(b"x" * 8192)
            for seq in range(1, 100):
                journal.append(event("tally", seq, note="x" * 50))
        assert journal.lost == {"tally": 99} == journal.unwritten and journal.trouble is not None
        (gap,) = accounted(disk, 99)
        assert gap.body["lost"] == {"tally": 99} and gap.body["reason"] == "No space left on device"
        assert "99 tally" in said[-1] and "No space left on device" in said[-1]


def test_a_header_that_is_written_at_the_end_is_not_counted_as_lost(tmp_path: Path) -> None:
    """At the end there is room for the header and a gap line, and not for the other lines."""
    with mounted(tmp_path / "disk", "64k") as disk:
        (disk / "ballast").write_bytes(b"x" * (64 << 10))
        said: list[str] = []
        with Journal(disk / "log", FakeClock(), log=said.append) as journal:
            journal.append(HEADER)
            for seq in range(1, 100):
                journal.append(event("tally", seq, note="x" * 50))
            assert journal.trouble is not None
            os.truncate(disk / "ballast", 56 << 10)
        assert journal.unwritten == {"tally": 99}
        assert said[-1].endswith("(No space left on device): 99 tally; a gap line reports them")
        header, gap = events_of(disk / "log")
        assert header == HEADER and gap.body["lost"] == {"tally": 99}


def test_a_run_that_wrote_nothing_on_a_full_disk_leaves_no_segment(tmp_path: Path) -> None:
    """Its camera did not open, for example: there was no line to write, and none is reported as lost."""
    with mounted(tmp_path / "disk", "64k") as disk:
        with pytest.raises(OSError, match="No space"):
            for number in range(1000):
                (disk / str(number)).touch()
        (disk / "0").unlink()
        said: list[str] = []
        with Journal(disk / "log", FakeClock(), log=said.append) as journal:
            assert journal.trouble is not None
            (disk / "1").unlink()
        assert not journal.unwritten and segments(disk / "log") == []
        assert [line.rpartition("; ")[2] for line in said] == ["its lines wait in memory and are tried again"]


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
        if how in ("removed", "moved", "a file in its place"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700, "for its owner alone, as before"
    events = events_of(folder)
    assert events[0].kind == "header" and events[0].body["continues"] == "journal-000001.jsonl"
    assert [e.seq for e in events[1:]] == [6, 7]
    assert [path.name for path in segments(folder)] == ["journal-000002.jsonl"], "no name is used twice in a run"
    if how in ("moved", "another folder in its place"):
        assert [e.seq for e in events_of(tmp_path / "elsewhere")] == [0, 1, 2, 3, 4, 5]


def block(folder: Path) -> None:
    """Removes a journal's folder and puts a file in its place: nothing can be written until that is removed."""
    shutil.rmtree(folder)
    folder.touch()


def test_the_disk_is_tried_again_each_minute_however_long_it_was_full(tmp_path: Path) -> None:
    clock, folder = FakeClock(), tmp_path / "log"
    with Journal(folder, clock) as journal:
        journal.append(HEADER)
        block(folder)
        for seq in range(1, 541):
            clock.now_ns += 20_000_000_000
            journal.append(event("tally", seq))
        assert journal.trouble is not None, "for nearly three hours"
        folder.unlink()
        clock.now_ns += 60_000_000_000
        journal.tick()
        assert journal.trouble is None


def test_a_disk_that_is_full_for_the_second_time_is_tried_again_after_a_second(tmp_path: Path) -> None:
    clock, folder = FakeClock(), tmp_path / "log"
    with Journal(folder, clock, sync_s=0.0) as journal:
        journal.append(HEADER)
        block(folder)
        for seq in range(1, 20):
            clock.now_ns += 20_000_000_000
            journal.append(event("tally", seq))
        folder.unlink()
        clock.now_ns += 60_000_000_000
        journal.append(event("tally", 20))
        assert journal.trouble is None
        block(folder)
        journal.append(event("tally", 21))
        assert journal.trouble is not None
        folder.unlink()
        clock.now_ns += 900_000_000
        journal.tick()
        assert journal.trouble is not None, "it was not yet time to try again"
        clock.now_ns += 200_000_000
        journal.tick()
        assert journal.trouble is None


def test_a_header_before_a_gap_line_has_the_time_of_that(tmp_path: Path) -> None:
    clock, folder = FakeClock(), tmp_path / "log"
    with Journal(folder, clock, ring_bytes=2 << 10) as journal:
        journal.append(HEADER)
        block(folder)
        for seq in range(1, 101):
            clock.now_ns += 20_000_000_000
            journal.append(event("tally", seq))
        folder.unlink()
    header, gap, *lines = events_of(folder)
    assert (header.kind, gap.kind) == ("header", "gap") and header.body["continues"] == "journal-000001.jsonl"
    assert header.mono_s == gap.mono_s == lines[0].mono_s - 1, "no line is older than the one before it"


def test_a_line_that_memory_cannot_hold_is_counted_as_soon_as_the_disk_is_back(tmp_path: Path) -> None:
    clock, folder = FakeClock(), tmp_path / "log"
    with Journal(folder, clock, ring_bytes=1 << 10) as journal:
        journal.append(HEADER)
        block(folder)
        journal.append(event("tally", 1, note="x" * 2000))
        assert journal.trouble is not None and journal.lost == {"tally": 1}
        folder.unlink()
        clock.now_ns += 61_000_000_000
        journal.tick()
        assert journal.trouble is None
        assert [e.kind for e in events_of(folder)] == ["header", "gap"]


def test_lines_that_wait_are_not_written_under_another_header(tmp_path: Path) -> None:
    """They would be read with its labels; a gap line counts them."""
    clock, folder = FakeClock(), tmp_path / "log"
    with Journal(folder, clock) as journal:
        journal.append(HEADER)
        block(folder)
        journal.append(event("reading", 1))
        journal.append(event("header", 2, schema=SCHEMA, labels=["a", "b"]))
        assert journal.trouble is not None
        folder.unlink()
        clock.now_ns += 61_000_000_000
        journal.append(event("reading", 3))
    header, gap, reading = events_of(folder)
    assert header.body["labels"] == ["a", "b"] and gap.body["lost"] == {"reading": 1} and reading.seq == 3


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
        journal.append(Event("reading", seq, "b", 1.0, "2026-03-01", "synced", {}))
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
    events = events_of(tmp_path)
    if limit_bytes:  # a gap line fits where the lines that it counts did not
        gap = events.pop()
        assert (gap.kind, gap.seq, gap.body["lost"]) == ("gap", 100, {"reading": int(lost)})
    seqs = [e.seq for e in events]
    assert seqs == list(range(1, len(seqs) + 1)) and len(seqs) + int(lost) == 100
    assert (len(seqs) >= 10) == (limit_bytes == 1000)


LIMITED_RUN = """
import resource, sys
from fer_edge.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(["run", "--camera", "synthetic", "--duration", "1", "--log", sys.argv[2], *sys.argv[3:]]))
"""


def limited_run(folder: Path, limit_bytes: int) -> subprocess.CompletedProcess[str]:
    """A run that can write no file beyond that size."""
    command = [sys.executable, "-c", LIMITED_RUN, str(limit_bytes), str(folder / "log")]
    environ = {**os.environ, "RUNTIME_DIRECTORY": str(folder / "run"), "XDG_CONFIG_HOME": "/nonexistent"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environ, check=False)


def test_a_disk_that_is_full_from_the_first_line_to_the_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = limited_run(tmp_path, 0)
    assert done.returncode == 7, done.stderr
    begins, ends, frames = [
        line for line in done.stderr.splitlines() if "journal in " in line or "stopped after " in line
    ]
    assert begins.endswith("cannot be written (File too large); its lines wait in memory and are tried again")
    assert "could not be written (File too large): 1 header, 2 camera, " in ends and "1 tally, 1 end" in ends
    assert "frames" in frames
    assert main(["log", "check", str(tmp_path / "log")]) == 7
    assert "holds no line: its run ended while it could not write any" in capsys.readouterr().out
    (empty,) = segments(tmp_path / "log")
    following = limited_run(tmp_path, resource.RLIM_INFINITY)
    assert following.returncode == 0 and not empty.exists()
    held_no_line = f"{empty.name} held no line: its run could not write any, or was cut off at its start"
    assert held_no_line in following.stderr
    (repair,) = [item for item in events_of(tmp_path / "log") if item.kind == "repair"]
    assert repair.body == {"segment": empty.name, "cut_bytes": 0}
    assert main(["log", "check", str(tmp_path / "log")]) == 7, "the lines of the first run are still missing"
    assert held_no_line in capsys.readouterr().out


def test_a_run_whose_last_lines_did_not_fit_counts_them_in_a_gap_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = limited_run(tmp_path, 1900)
    assert done.returncode == 7, done.stderr
    (gap,) = [item for item in events_of(tmp_path / "log") if item.kind == "gap"]
    assert gap.body["lost"]["end"] == 1 and gap.body["reason"] == "File too large"
    assert main(["log", "check", str(tmp_path / "log")]) == 7
    assert f"NOT WHOLE, missing: {sum(gap.body['lost'].values())} lines" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("command", ["run", "log"])
def test_a_stdout_that_is_full_is_reported_and_ends_no_run(tmp_path: Path, command: str) -> None:
    Journal(tmp_path, FakeClock()).__enter__().append(HEADER)
    arguments = {"run": ["--camera", "synthetic", "--duration", "1"], "log": ["query", "events", str(tmp_path)]}[
        command
    ]
    environ = {**os.environ, "STATE_DIRECTORY": str(tmp_path / "log"), "RUNTIME_DIRECTORY": str(tmp_path / "run")}
    words = [sys.executable, "-m", "fer_edge", command, *arguments]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environ, check=False)
    assert done.returncode == {"run": 7, "log": 2}[command]
    assert done.stderr.count("cannot be written") == 1 and "(No space left on device)" in done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    if command == "run":
        assert events_of(tmp_path / "log")[-1].kind == "end"
