"""Lines of a journal that another program wrote or altered: each is damaged or harmless, and no reader fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders import event
from fakes import FakeClock
from journal_items import read_journal

from device.output.journal.journal import Journal
from device.output.journal.repair import repair_segment
from fer_edge.cli import main
from fer_edge.errors import UsageError
from fer_edge.event_bodies import body_error, missing_fields
from fer_edge.events import SCHEMA, Event
from fer_edge.journal.segments import DamagedLine, read_lines, segment_name
from fer_edge.limits import JOURNAL_LINE_BYTES

ROOT = Path(__file__).parents[2]
LINES = [
    line
    for segment in sorted((ROOT / "tests/fixtures/journals/v1").glob("*.jsonl"))
    for line in segment.read_text().splitlines()
]
VALUES = (
    None,
    True,
    -1,
    5e-324,
    1e308,
    2**63,
    10**400,
    "",
    "\ud800",
    "\u202e",
    "x" * 5000,
    [],
    [[]],
    ["a"],
    {},
    {"a": []},
)
READERS = (
    ("summary", "--by", "hour"),
    ("query", "tallies", "--json"),
    ("query", "episodes", "--csv"),
    ("query", "readings"),
    ("query", "events", "--expression", "happy", "--track", "1", "--min-quality", "0.5"),
    ("query", "blind"),
    ("tail", "-n", "1000"),
    ("check",),
    ("plot",),
)


def journal_of(folder: Path, lines: list[str]) -> Path:
    (folder / segment_name(1)).write_text("".join(f"{line}\n" for line in lines))
    return folder


@pytest.mark.parametrize("kind", sorted({json.loads(line)["kind"] for line in LINES}))
@pytest.mark.usefixtures("capsys")
def test_no_altered_field_ends_a_reader_in_a_traceback(tmp_path: Path, kind: str) -> None:
    """Each field of a line of each kind has each value once; all altered lines are in one journal, between whole ones."""
    line = next(line for line in LINES if json.loads(line)["kind"] == kind)
    fields = json.loads(line)
    altered = [fields | {name: value} for name in fields if name != "kind" for value in VALUES]
    altered += [{key: value for key, value in fields.items() if key != name} for name in fields]
    lines = [LINES[0], *(text for each in altered for text in (json.dumps(each), line)), LINES[-1]]
    folder = journal_of(tmp_path, lines)
    codes = {reader: main(["log", *reader, "--utc", str(folder)]) for reader in READERS}
    assert set(codes.values()) <= {0, 6, 7}, codes
    assert codes[("check",)] == 7


@pytest.mark.parametrize("folder", ["v1"])
def test_whole_lines_pass(folder: str) -> None:
    events = [item for item in read_journal(ROOT / "tests/fixtures/journals" / folder) if isinstance(item, Event)]
    assert len({event.kind for event in events}) == 12
    assert {missing_fields(event.kind, event.body) for event in events} == {""}


@pytest.mark.parametrize(
    ("kind", "body", "problem"),
    [
        ("tally", {"seconds": float("inf")}, "seconds is inf"),
        ("tally", {"labels_s": {"happy": "long"}}, "labels_s is {'happy': 'long'}"),
        ("reading", {"p": []}, "p is []"),
        ("reading", {"p": [0.5, float("nan")]}, "p is [0.5, nan]"),
        ("reading", {"xywh": [1, 2, 3]}, "xywh is [1, 2, 3]"),
        ("header", {"labels": "happy"}, "labels is 'happy'"),
        ("header", {"verified": {"proved": []}}, "verified is {'proved': []}"),
        ("gap", {"lost": [3]}, "lost is [3]"),
        ("weather", {"label": ["a list"]}, "label is ['a list']"),
        ("weather", {"sky": ["blue"]}, ""),
        ("episode", {"quality": None, "track": None}, ""),
    ],
)
def test_a_body_is_typed(kind: str, body: dict[str, Any], problem: str) -> None:
    assert body_error(kind, body) == problem


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        LINES[1].replace('"seq":', '"a":' + "[" * 400 + "]" * 400 + "," + '"b":' + "[" * 400 + "]" * 400 + ',"seq":'),
        LINES[1].replace('"seq":', '"steps":NaN,"seq":'),
        LINES[1].replace('"seq":', '"steps":-Infinity,"seq":'),
        LINES[1].replace('"seq":', '"at":"\\ud83d","seq":'),
        LINES[1].replace('"seq":', '"at":"' + "x" * 5000 + '\\ud83d","seq":'),
        LINES[1].replace('"mono_s":', '"mono_s":1' + "0" * 20),
    ],
)
def test_a_line_that_is_not_json_of_the_schema_is_refused(text: str) -> None:
    Event.parse(LINES[1])
    with pytest.raises(UsageError, match="not a line of a journal") as refused:
        Event.parse(text)
    assert len(str(refused.value)) < 400


def test_an_event_with_nan_is_not_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        event("reading", 1, p=[float("nan")]).line()


def test_a_deep_last_line_is_cut_off_at_the_start_of_a_run(memory_path: Path) -> None:
    with Journal(memory_path, FakeClock()) as journal:
        journal.append(event("header", 0, schema=SCHEMA))
        journal.append(event("tally", 1))
    segment = memory_path / segment_name(1)
    whole = segment.read_bytes()
    segment.write_bytes(whole + b"[" * 200_000 + b"\n")
    with Journal(memory_path, FakeClock()) as journal:
        assert [repair.cut_bytes for repair in journal.repairs] == [200_001]
    assert segment.read_bytes() == whole


@pytest.mark.usefixtures("capsys")
def test_a_huge_line_is_one_damage_and_never_in_memory(memory_path: Path) -> None:
    """Of 60 MB, once at the end, without a newline, and once with whole lines around it."""
    segment = memory_path / segment_name(1)
    huge = b"x" * 60_000_000
    lines = "".join(f"{line}\n" for line in LINES[:3]).encode()
    segment.write_bytes(lines + huge)
    assert repair_segment(segment) is None, "it is no torn line of a run"
    assert segment.stat().st_size == len(lines) + len(huge)
    segment.write_bytes(lines + huge + b"\n" + LINES[3].encode() + b"\n")
    damaged = [item for item in read_journal(memory_path) if isinstance(item, DamagedLine)]
    assert [str(item) for item in damaged] == [f"{segment.name}, line 4: is longer than 1,048,576 bytes"]
    with segment.open("rb") as file:
        parts = list(read_lines(file))
    assert b"".join(raw for _, raw, _ in parts) == segment.read_bytes()
    assert max(len(raw) for _, raw, _ in parts) == JOURNAL_LINE_BYTES and parts[-1][0] == 5
    assert main(["log", "tail", str(memory_path)]) == 0
