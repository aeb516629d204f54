"""Crashes: a segment cut at every byte, and a writer killed at random moments."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from builders import event
from fakes import FakeClock
from journal_items import read_journal
from killed_writer import kill_journal_writer

from device.output.journal.journal import Journal
from device.output.journal.repair import repair_segment
from device.output.journal.segment_writer import SegmentWriter
from fer_edge.events import SCHEMA, Event
from fer_edge.journal.segments import segments

KILLS = 20


def a_segment(folder: Path, lines: int = 4) -> Path:
    with Journal(folder, FakeClock()) as journal:
        journal.append(event("header", 0, schema=SCHEMA, labels=["angry", "überrascht"]))
        for seq in range(1, lines):
            journal.append(event("reading", seq, label="überrascht"))
    assert journal.path is not None
    return journal.path


def test_a_truncated_segment_keeps_every_whole_line(memory_path: Path) -> None:
    segment = a_segment(memory_path)
    content = segment.read_bytes()
    lines = content.splitlines(keepends=True)
    assert len(lines) == 4
    for size in range(len(content) + 1):
        segment.write_bytes(content[:size])
        complete_lines = b"".join(line for n, line in enumerate(lines) if len(b"".join(lines[: n + 1])) <= size)
        with Journal(memory_path, FakeClock()) as journal:  # the next start
            repairs = [(found.segment, found.cut_bytes) for found in journal.repairs]
            changed = size > len(complete_lines) or not size  # an empty segment is reported too
            assert repairs == ([(segment.name, size - len(complete_lines))] if changed else [])
            journal.append(event("header", 0, schema=SCHEMA))
        assert (segment.read_bytes() if segment.exists() else b"") == complete_lines
        items = list(read_journal(memory_path))
        assert [item for item in items if not isinstance(item, Event)] == [], "repaired, nothing is damaged"
        assert len(items) == complete_lines.count(b"\n") + 1
        assert journal.path is not None
        journal.path.unlink()


@pytest.mark.parametrize(
    ("end", "cut"),
    [
        (b"\x00" * 5000, True),  # a power cut: the size was written, the bytes were not
        (b"\x00" * 100 + b"\n", True),
        (b'{"kind":"reading"\n{"torn', True),
        (b"\xff\xfe\n", True),
        (b"x" * 200_000, True),  # more than is looked at at once
        (b"x\n" * 40_000, True),
        (b"[1]\n3\n", True),
        (b'{"kind":"of a newer version","new":1}\n', False),
        (b"", False),
    ],
)
def test_bytes_after_the_last_line_are_cut_off(tmp_path: Path, end: bytes, cut: bool) -> None:
    segment = a_segment(tmp_path, lines=1000)
    content = segment.read_bytes()
    segment.write_bytes(content + end)
    repair = repair_segment(segment)
    assert segment.read_bytes() == (content if cut else content + end)
    assert (repair is not None) == cut
    if repair is not None:
        assert repair.cut_bytes == len(end)
        assert str(repair).startswith(f"{segment.name} ended in the middle of a line") and f"{len(end)} bytes" in str(
            repair
        )
        assert repair.body() == {"segment": segment.name, "cut_bytes": len(end)}


@pytest.mark.parametrize("beyond_bytes", [0, 1])
def test_a_file_without_a_line_is_deleted_only_where_all_of_it_was_searched(tmp_path: Path, beyond_bytes: int) -> None:
    """Four times the size of a segment is searched: a file beyond it is none of a run."""
    size = (4 << 20) + beyond_bytes
    (tmp_path / "journal-000001.jsonl").write_bytes(b"x" * size)
    repair = repair_segment(tmp_path / "journal-000001.jsonl")
    assert [path.stat().st_size for path in segments(tmp_path)] == [size] * beyond_bytes
    assert (repair is None) == bool(beyond_bytes)


def test_damage_in_the_middle_is_not_repaired(tmp_path: Path) -> None:
    segment = a_segment(tmp_path)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(lines[0] + b"\x00" * 50 + b"\n" + lines[2])
    assert repair_segment(segment) is None


def test_a_killed_writer_loses_no_synced_line(memory_path: Path) -> None:
    """`make soak` kills 200."""
    rng = random.Random(5)
    for seed in range(KILLS):
        folder = memory_path / str(seed)
        before = a_segment(folder)
        content = before.read_bytes()
        killed = kill_journal_writer(folder, seed, rng.uniform(0.0, 0.03))
        assert killed.wrong() == ""
        assert before.read_bytes() == content, "the run before it was not touched"
        shutil.rmtree(folder)


def test_a_link_and_a_second_name_of_a_file_are_not_repaired(tmp_path: Path) -> None:
    """Somebody who may write in the journal's folder links a segment to a file of root."""
    secret = tmp_path / "shadow"
    secret.write_text("root:*:1:")
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "journal-000001.jsonl").symlink_to(secret)
    (folder / "journal-000002.jsonl").hardlink_to(secret)
    for segment in sorted(folder.iterdir()):
        assert repair_segment(segment) is None
    assert segments(folder) == [folder / "journal-000002.jsonl"], "a link is no segment"
    writer = SegmentWriter(folder)
    writer.lock_and_repair()
    (folder / "journal-000003.jsonl").symlink_to(secret)
    writer.start_segment()
    assert writer.path == folder / "journal-000004.jsonl"
    writer.release()
    assert secret.read_text() == "root:*:1:"
