"""The journal: what it promises of a line once it is written, whatever happens to the file or the disk."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from builders import event, journal_events
from fakes import FakeClock

from device.output.journal import Journal
from fer_edge.errors import UsageError
from fer_edge.events import SCHEMA, Event


def write_run(folder: Path, readings: int = 3) -> Path:
    """The segment of a run with a header, some readings and an end."""
    with Journal(folder, FakeClock()) as journal:
        journal.append(event("header", 0, schema=SCHEMA, labels=["angry", "überrascht"]))
        for seq in range(1, readings + 1):
            journal.append(event("reading", seq, label="überrascht", p=[0.25, 0.75]))
        journal.append(event("end", readings + 1, reason="test"))
    assert journal.path is not None
    return journal.path


def test_lines_come_back_as_they_went_in(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert [e.kind for e in journal_events(tmp_path)] == ["header", "reading", "reading", "reading", "end"]
    assert journal_events(tmp_path)[1] == event("reading", 1, label="überrascht", p=[0.25, 0.75])


def test_a_segment_cut_at_any_byte_keeps_every_line_before_the_cut(tmp_path: Path) -> None:
    segment = write_run(tmp_path)
    whole = segment.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 5
    for size in range(len(whole) + 1):
        segment.write_bytes(whole[:size])
        with Journal(tmp_path, FakeClock()) as journal:  # the next start
            journal.append(event("header", 0, schema=SCHEMA))
            assert journal.path is not None and journal.path != segment
        complete = [line for line in segment.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        expected = [line for n, line in enumerate(lines) if len(b"".join(lines[: n + 1])) <= size]
        assert complete == expected
        assert [Event.parse(line.decode()) for line in complete] == [Event.parse(line.decode()) for line in expected]
        assert segment.read_bytes() == whole[:size], "an older segment was touched"
        journal.path.unlink()


def test_each_run_has_its_own_segment_whatever_else_lies_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "journal-000007.jsonl").write_text('{"torn')
    (tmp_path / "journal-x.jsonl").write_text("no segment")
    assert write_run(tmp_path).name == "journal-000008.jsonl"
    assert write_run(tmp_path).name == "journal-000009.jsonl"
    assert (tmp_path / "journal-000007.jsonl").read_text() == '{"torn'


def test_two_at_once_never_share_a_segment(tmp_path: Path) -> None:
    with Journal(tmp_path, FakeClock()) as one, Journal(tmp_path, FakeClock()) as other:
        assert one.path != other.path


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    segment = write_run(tmp_path / "new" / "log")
    assert stat.S_IMODE(segment.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(segment.stat().st_mode) == 0o600


def test_lines_are_forced_to_the_card_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda file: forced.append(os.fstat(file).st_size))
    clock = FakeClock()
    with Journal(tmp_path, clock, sync_s=30.0) as journal:
        assert journal.path is not None
        journal.append(event("header", 0, schema=SCHEMA))
        assert len(forced) == 1, "a header is safe at once"
        for seq in range(1, 300):
            journal.append(event("reading", seq))
            clock.now_ns += 100_000_000
            assert journal.path.read_bytes().count(b"\n") == seq + 1, "a line outlives the process at once"
        assert len(forced) == 1, "29.9 s since the first unforced line"
        clock.now_ns += 200_000_000
        journal.tick()
        assert forced[1:] == [journal.path.stat().st_size]
        clock.now_ns += 3_600_000_000_000
        journal.tick()
        assert len(forced) == 2, "nothing new, nothing to force"
        journal.append(event("end", 300))
    assert forced[2:] == [journal.path.stat().st_size]


@pytest.mark.parametrize("place", ["a file", "below a file", "/proc/fer-edge", "/sys/fer-edge"])
def test_a_folder_that_cannot_be_written_is_refused_in_a_sentence(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    folder = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "log"}.get(place, Path(place))
    with pytest.raises(UsageError, match=r"journal in .* cannot be written .*--log"), Journal(folder, FakeClock()):
        raise AssertionError("entered without a folder")


FULL = """
import resource, sys
from pathlib import Path
from device.clock import SystemClock
from device.output.journal import Journal
from fer_edge.errors import UsageError
from fer_edge.events import Event
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    with Journal(Path(sys.argv[1]), SystemClock()) as journal:
        for seq in range(1000):
            journal.append(Event("reading", seq, "b", 1.0, "w", "synced", {}))
except UsageError as error:
    sys.exit(f"{seq} {error}")
"""


@pytest.mark.parametrize(("limit_bytes", "lines"), [(0, 0), (1000, 12)])
def test_a_file_that_can_grow_no_more_is_said_in_a_sentence(tmp_path: Path, limit_bytes: int, lines: int) -> None:
    """The kernel refuses real writes, as it does when a card is full."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", FULL, str(tmp_path), str(limit_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 1, done.stderr
    assert "cannot be written (File too large)" in done.stderr
    (segment,) = tmp_path.glob("*.jsonl")
    complete = segment.read_bytes().count(b"\n")
    assert complete == int(done.stderr.split()[0]) and complete >= lines
