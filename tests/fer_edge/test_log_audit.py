"""`log check`: what was taken from a journal is named, with why; and one from which nothing was taken is whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fer_edge.cli import main
from fer_edge.errors import Unhealthy
from fer_edge.journal.purge import purge
from fer_edge.journal.segments import segment_name, segments
from fer_edge.log.audit import JournalAudit, audit_journal
from fer_edge.log.devices import Device
from fer_edge.log.time_window import TimeZone
from tests.simulated_device import SimulatedDevice, utc_s

JOURNALS = Path(__file__).parents[1] / "fixtures" / "journals"
NINE = "2026-03-01T09:10:00"


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs and two boots, everything told of: a clock that was set late, a crash, a torn end that was cut."""
    life = SimulatedDevice(tmp_path_factory.mktemp("eventful") / "log", utc_s(NINE), "kitchen")
    life.boot(0.0, synced=False, wall_s=0.0)
    life.start()
    for _ in range(30):
        life.watch(10, "happy")
        life.watch(10, "sad")
    life.set_clock()
    life.lose(60.1)
    life.pause(90)
    life.end()
    life.off(30)
    life.start()
    life.idle(600)
    life.crash(20, torn=b'{"kind":"tally","seq"')
    life.boot(power_off_s=100)
    life.start()
    life.idle(300)
    life.end()
    return life.folder


@pytest.fixture
def journal(eventful: Path, tmp_path: Path) -> Path:
    """A copy that may be broken."""
    return shutil.copytree(eventful, tmp_path / "log")


def found(folder: Path) -> JournalAudit:
    return audit_journal(Device("kitchen", folder), TimeZone(utc=True))


def missing(folder: Path) -> list[tuple[str, int]]:
    return [(finding.kind, finding.lines) for finding in found(folder).findings if finding.missing]


def edit(folder: Path, number: int, change: Callable[[list[bytes]], object]) -> None:
    """Changes the lines of a segment."""
    path = folder / segment_name(number)
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))


def test_a_complete_journal_is_whole(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = found(journal)
    assert told.whole and (told.runs, told.ended, len(told.boots)) == (3, 2, 2)
    assert {finding.kind for finding in told.findings} == {"model", "clock", "stopped", "cut off", "repair"}
    assert told.state_s["cut off"] == pytest.approx(120, abs=0.1) and told.state_s["unexplained"] == 0
    assert main(["log", "check", str(journal)]) == 0
    assert "whole: nothing is missing" in capsys.readouterr().out


def drop(*places: int) -> Callable[[list[bytes]], object]:
    def change(lines: list[bytes]) -> None:
        for place in sorted(places, reverse=True):
            del lines[place]

    return change


def put(place: int, line: bytes) -> Callable[[list[bytes]], object]:
    return lambda lines: lines.__setitem__(place, line)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (drop(20), [("numbers", 1)]),
        (drop(20, 21, 22, 40), [("numbers", 3), ("numbers", 1)]),
        (put(20, b"\x00\x00\x00\n"), [("damaged", 1)]),
        (put(20, b'{"kind":"episode","seq":20,"boo\n'), [("damaged", 1)]),
        (put(20, b"\xff\xfe\n"), [("damaged", 1)]),
        (put(0, b"not a header\n"), [("damaged", 1), ("header", 0)]),
        (lambda lines: lines.insert(20, b"a line too many\n"), [("damaged", 1)]),
    ],
)
def test_what_is_missing_is_named(
    journal: Path, change: Callable[[list[bytes]], object], expected: list[tuple[str, int]]
) -> None:
    edit(journal, 1, change)
    assert [one for one in missing(journal) if one[0] not in ("missing", "unexplained")] == expected


def test_a_missing_minute_is_unexplained_time(journal: Path) -> None:
    def no_tally(lines: list[bytes]) -> None:
        tallies = [n for n, line in enumerate(lines) if b'"kind":"tally"' in line]
        del lines[tallies[3]]

    edit(journal, 1, no_tally)
    told = found(journal)
    (lost,) = [finding for finding in told.findings if finding.kind == "unexplained"]
    assert lost.seconds == pytest.approx(60) and told.state_s["unexplained"] == pytest.approx(60)
    assert ("numbers", 1) in missing(journal)


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    """Two of a run's: what the second one held is missing by its numbers and by its minutes."""
    life = SimulatedDevice(tmp_path / "log", utc_s(NINE), "kitchen")
    life.start()
    life.journal.set_limits(30.0, 1 << 20, None)  # segments of 128 KiB
    for _ in range(500):
        life.watch(5, "happy")
        life.watch(5, "sad")
    life.end()
    every = segments(life.folder)
    assert len(every) > 2 and not missing(life.folder)
    every[1].unlink()
    told = found(life.folder)
    gone = {finding.kind: finding for finding in told.findings if finding.missing}
    assert gone.keys() == {"numbers", "unexplained"}
    assert gone["numbers"].lines > 200 and gone["unexplained"].seconds > 1000
    every[0].unlink()  # now the oldest are gone, as a budget has it: nothing is missing of what is left
    told = found(life.folder)
    assert told.whole and [finding.kind for finding in told.findings] == ["model", "begins"]


def test_purged_lines_are_not_missing(journal: Path) -> None:
    assert purge(journal, datetime.fromtimestamp(utc_s(NINE) + 300, UTC)).lines > 10
    told = found(journal)
    assert told.whole, told.text()
    assert "begins" in {finding.kind for finding in told.findings}


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> SimulatedDevice:
    """Two runs, the first with episodes of every length, a lost camera, a pause and late frames."""
    life = SimulatedDevice(tmp_path_factory.mktemp("busy") / "log", utc_s(NINE), "kitchen")
    life.start()
    for _ in range(4):
        life.watch(25, "happy", "sad")
        life.watch(7, "sad")
    life.lose(50.1)
    life.watch(65.9, "happy")
    life.pause(40)
    life.hang(100)
    life.watch(20, "sad")
    life.end()
    life.off(30)
    life.start()
    life.watch(70, "happy")
    life.end()
    return life


def test_a_journal_purged_at_any_moment_is_whole(busy: SimulatedDevice, tmp_path: Path) -> None:
    begun_s = utc_s(NINE)
    noted = 0
    for second in range(0, int(busy.true_s - begun_s), 3):
        folder = shutil.copytree(busy.folder, tmp_path / f"{second}")
        purge(folder, datetime.fromtimestamp(begun_s + second + 0.5, UTC))
        told = found(folder)
        assert told.whole, f"{second} s: {told.text()}"
        assert told.from_s is None or told.from_s >= begun_s + second, "nothing of an earlier time is told"
        noted += any(finding.kind == "purged" for finding in told.findings)
    assert noted > 10, "lines were removed among others that stayed"


def test_a_line_that_is_lost_after_a_purge_is_missing(journal: Path) -> None:
    """The numbers that the purge removed are counted, not forgiven as a whole."""
    purge(journal, datetime.fromtimestamp(utc_s(NINE) + 275.5, UTC))
    places = [n for n, line in enumerate(segments(journal)[0].read_bytes().splitlines()) if b'"purged":' in line]
    assert places and found(journal).whole
    edit(journal, 1, drop(places[0] + 1))
    assert ("numbers", 1) in missing(journal)


def test_a_torn_last_line_is_not_missing(journal: Path) -> None:
    last = segments(journal)[-1]
    whole = last.read_bytes()
    last.write_bytes(whole[:-20])
    told = found(journal)
    assert told.whole
    assert {"torn", "open"} <= {finding.kind for finding in told.findings}


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.write_bytes(bytes(path.stat().st_size)), "journal-000002.jsonl cannot be read"),
        (
            lambda path: path.write_bytes(path.read_bytes().replace(b'"schema":1', b'"schema":2')),
            "journal-000002.jsonl, line 1: has schema 2, this version reads 1; update fer-edge",
        ),
        (Path.unlink, ""),
    ],
)
def test_the_time_of_a_run_that_cannot_be_read_is_missing(
    damage: Callable[[Path], object], why: str, tmp_path: Path
) -> None:
    life = SimulatedDevice(tmp_path / "log", utc_s(NINE), "kitchen")
    for _ in range(3):
        life.start()
        life.idle(600)
        life.end()
        life.off(60)
    damage(segments(life.folder)[1])
    told = found(life.folder)
    spans = [finding for finding in told.findings if finding.kind in ("missing", "stopped")]
    notes = [finding for finding in told.findings if finding.kind == "segments"]
    if why:
        (span,) = spans
        assert span.kind == "missing" and span.seconds == pytest.approx(720, abs=2) and span.why.endswith(why)
        assert not notes and "stopped" not in told.state_s
    else:
        (note,) = notes
        assert note.why.startswith("1 segment between journal-000001.jsonl and journal-000003.jsonl: removed by")
        assert told.whole and [span.kind for span in spans] == ["stopped"]


def test_a_segment_of_another_schema_is_named(journal: Path) -> None:
    edit(journal, 2, lambda lines: lines.__setitem__(0, lines[0].replace(b'"schema":1', b'"schema":99')))
    told = found(journal)
    (newer,) = [finding for finding in told.findings if finding.kind == "newer"]
    assert "update fer-edge" in newer.why and not told.whole


def test_the_findings_of_the_fixture(capsys: pytest.CaptureFixture[str]) -> None:
    assert missing(JOURNALS / "v1") == [("gap", 15), ("missing", 0)]
    assert main(["log", "check", str(JOURNALS), "--json"]) == Unhealthy.exit_code == 7
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["device"], found["boots"], found["boots_whose_time_is_known"]) == ("camera", 3, 2)
    assert found["seconds"]["missing"] == 180 and found["unexplained_s"] == 0
    assert "camera is not whole, missing: 15 lines and 3 min unaccounted for" in err


def test_many_findings_of_a_kind_are_cut_short(journal: Path) -> None:
    edit(journal, 1, lambda lines: lines.__setitem__(slice(5, 40), [b"x\n"] * 35))
    text = found(journal).text()
    assert "… and 23 more of damaged; --json has all" in text and "NOT WHOLE" in text
