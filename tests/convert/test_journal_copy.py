"""The copy of a target's journals: no line of it is lost, and no segment of another journal is mixed in."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from convert.deploy.journal_copy import JournalCopy, merged_segment
from fer_edge.cli import main
from fer_edge.errors import UsageError
from fer_edge.events import Event
from fer_edge.journal.segments import segment_lines, segment_name, segment_number, segments
from fer_edge.limits import JOURNAL_SEGMENT_BYTES
from tests.simulated_device import SimulatedDevice, utc_s

START = "2026-03-01T21:10:00"


class Pi:
    """A device with its journal, and a computer that copies it, as `fetch` does: segments that changed arrive whole."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.state, self.folder = folder / "state", folder / "copy"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = SimulatedDevice(self.state, utc_s(START), seed=seed)
        self.asked = 0
        self.copy = JournalCopy(self.folder, "pi:/var/lib/fer-edge")

    def runs(self, times: int = 1, seconds: float = 130) -> None:
        for _ in range(times):
            self.device.start()
            self.device.watch(seconds, "happy", "sad")
            self.device.end()

    def arrives(self) -> None:
        for path in self.state.rglob("journal-*.jsonl"):
            place, arrived = (folder / path.relative_to(self.state) for folder in (self.folder, self.copy.incoming))
            if not place.exists() or place.read_bytes() != path.read_bytes():
                arrived.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, arrived)

    def newest(self) -> dict[str, int]:
        self.asked += 1
        folders = [self.state, *(path for path in self.state.iterdir() if path.is_dir())]
        return {str(folder.relative_to(self.state)): segment_number(segments(folder)[-1]) for folder in folders}

    def fetch(self) -> None:
        self.arrives()
        self.copy.take_over(self.newest)

    def purge(self, before: str, folder: Path | None = None) -> None:
        assert main(["log", "purge", "--log", str(folder or self.state), "--before", before]) == 0


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    pi = Pi(tmp_path)
    pi.runs(2)
    pi.fetch()
    return pi


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def text_lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def numbers(folder: Path) -> list[tuple[int, int]]:
    """Segment and number of each line that is no header."""
    lines = [(segment_number(path), Event.parse(line)) for path in segments(folder) for line in text_lines(path)]
    return [(segment, event.seq) for segment, event in lines if event.kind != "header"]


def whole(folder: Path) -> bool:
    return main(["log", "check", str(folder)]) == 0


def test_segments_that_grew_and_new_ones_are_taken_over(pi: Pi) -> None:
    pi.device.start()
    pi.device.watch(70, "happy")
    pi.device.journal.sync()
    pi.fetch()
    pi.device.watch(70, "happy")
    pi.device.end()
    pi.runs()
    pi.fetch()
    assert contents(pi.folder) == contents(pi.state) and len(segments(pi.folder)) == 4
    assert pi.asked == 0, "the target is asked only where it decides"


def test_a_line_that_was_copied_without_its_end_is_completed(pi: Pi) -> None:
    last = segments(pi.folder)[-1]
    for size in (last.stat().st_size - 7, 20, 0):
        os.truncate(last, size)
        pi.fetch()
        assert contents(pi.folder) == contents(pi.state)


def test_lines_that_a_power_cut_took_from_the_target_stay(pi: Pi) -> None:
    before = contents(pi.folder)
    os.truncate(segments(pi.state)[-1], segments(pi.state)[-1].stat().st_size - 400)
    pi.fetch()
    assert contents(pi.folder) == before


@pytest.mark.parametrize("later", [0, 1, 5])
def test_another_journal_is_refused(pi: Pi, later: int) -> None:
    """Of a new card, or after the journal was deleted in the same boot: the numbers begin again at 1."""
    before = contents(pi.folder)
    other = Pi(pi.folder.parent / "other", seed=2 if later else 1)
    other.device.off(3.0)
    other.runs(1 + later)
    pi.state = other.state
    with pytest.raises(UsageError) as refused:
        pi.fetch()
    first = Event.parse(text_lines(segments(pi.state)[0])[0])
    for part in (
        f"pi:/var/lib/fer-edge/{segment_name(1)} (boot {first.boot}, {first.mono_s:g} s)",
        str(pi.folder / segment_name(1)),
        "--out DIR",
    ):
        assert part in str(refused.value)
    assert contents(pi.folder) == before and not pi.copy.incoming.exists()


def test_another_journal_with_lower_numbers_is_refused(pi: Pi) -> None:
    """The copy begins with a later number, because the target had deleted the older segments."""
    for path in reversed(segments(pi.folder)):
        path.rename(path.with_name(segment_name(segment_number(path) + 40)))
    before = contents(pi.folder)
    with pytest.raises(UsageError, match=r"has the number 2, below that of .*journal-000042\.jsonl: it is of another"):
        pi.fetch()
    assert contents(pi.folder) == before


def test_another_journal_of_one_instance_is_refused_for_all(pi: Pi) -> None:
    for folder, seed in ((pi.state, 5), (pi.folder, 6)):
        door = SimulatedDevice(folder / "door", utc_s(START), "door", seed=seed)
        door.start()
        door.watch(70, "happy")
        door.end()
    pi.runs()
    before = contents(pi.folder)
    with pytest.raises(UsageError, match=r"pi:/var/lib/fer-edge/door/journal-000001.jsonl .* is of another journal"):
        pi.fetch()
    assert contents(pi.folder) == before


@pytest.mark.parametrize(
    "before", ["2026-03-01T21:12:40Z", "2026-03-01T21:11:30Z", "2026-03-01T21:14:00Z", "2027-01-01"]
)
def test_purged_lines_stay_in_the_copy(pi: Pi, before: str) -> None:
    everything = numbers(pi.folder)
    pi.purge(before)
    assert set(numbers(pi.state)) < set(everything)
    pi.device.off(60)
    pi.runs()
    for _ in range(2):
        pi.fetch()
        assert numbers(pi.folder) == sorted({*everything, *numbers(pi.state)}) and whole(pi.folder)
    assert len(segments(pi.folder)) == 3


def test_lines_that_were_purged_before_they_were_copied_are_known_as_such(pi: Pi) -> None:
    """The episode of the moment goes with it, and the lines between the copy's last and the next ones."""
    last = segments(pi.folder)[-1]
    lines = last.read_bytes().splitlines(keepends=True)
    last.write_bytes(b"".join(lines[:3]))
    middle = [Event.parse(line) for line in text_lines(segments(pi.state)[-1])]
    gone = [event for event in middle if 2 < event.seq <= 5]
    segments(pi.state)[-1].write_text(
        "".join(
            f"{(replace(event, body=event.body | {'purged': 4}) if event.seq == 1 else event).line()}\n"
            for event in middle
            if event not in gone and event.seq != 2
        )
    )
    assert whole(pi.state) and [event.seq for event in gone] == [3, 4, 5]
    for _ in range(2):
        pi.fetch()
        assert whole(pi.folder)
    assert [number for segment, number in numbers(pi.folder) if segment == 2][:3] == [1, 2, 6]


def test_a_copy_that_was_purged_gets_new_lines_and_missing_segments(pi: Pi) -> None:
    pi.purge("2026-03-01T21:13:00Z", pi.folder)
    assert [segment_number(path) for path in segments(pi.folder)] == [2]
    pi.fetch()
    assert pi.asked == 1 and contents(pi.folder) == {
        name: content for name, content in contents(pi.state).items() if name.startswith("journal")
    }


def test_what_an_interrupted_fetch_left_is_no_journal_and_is_taken_over(pi: Pi) -> None:
    pi.runs()
    pi.arrives()
    (pi.copy.incoming / ".part").mkdir()
    (pi.copy.incoming / ".part" / segment_name(9)).write_bytes(b"{")
    before = numbers(pi.folder)
    assert main(["log", "check", "--json", str(pi.folder)]) == 0 and numbers(pi.folder) == before
    pi.copy.take_over(pi.newest)
    assert numbers(pi.folder) == numbers(pi.state) and (pi.copy.incoming / ".part" / segment_name(9)).exists()


def test_a_damaged_segment_of_the_target_does_not_replace_the_copys(pi: Pi) -> None:
    before = contents(pi.folder)
    segments(pi.state)[0].write_bytes(b"\0" * 3000 + b"\n")
    pi.runs()
    pi.fetch()
    after = contents(pi.folder)
    assert before.items() <= after.items() and len(after) == 3


def test_a_huge_segment_is_not_compared_line_by_line(pi: Pi) -> None:
    before, first = contents(pi.folder), segments(pi.state)[0]
    head, *_ = first.read_bytes().splitlines(keepends=True)
    with first.open("wb") as file:
        file.write(head)
        file.truncate(JOURNAL_SEGMENT_BYTES)
        file.seek(JOURNAL_SEGMENT_BYTES)
        file.write(b"\n")
    with pytest.raises(UsageError, match="is of another journal"):
        pi.fetch()
    assert contents(pi.folder) == before


@pytest.mark.parametrize("seq", [10**20, 1 << 60, -1, True])
def test_a_number_that_no_journal_has_damages_no_line_of_the_copy(seq: int, pi: Pi) -> None:
    """A target that was taken over says that it purged lines, and goes on with a number beyond all readers."""
    place = segments(pi.folder)[-1]
    before = text_lines(place)
    later = [json.loads(line) for line in before]
    hostile = [before[0], json.dumps(later[2] | {"purged": 5}), json.dumps(later[-1] | {"seq": seq})]
    merged = merged_segment(place, write(pi.folder / "hostile", hostile))
    (pi.folder / "merged").write_bytes(merged or place.read_bytes())
    items = [item for _, item in segment_lines(pi.folder / "merged")]
    events = [item for item in items if isinstance(item, Event)]
    assert len(events) >= len(before), "every line of the copy can still be read"


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
