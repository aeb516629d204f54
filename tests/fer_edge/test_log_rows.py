"""`log query` and `log export`: rows with the right times and fields, filtered, in every form; and the four questions."""

from __future__ import annotations

import csv
import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from fer_edge.cli import main
from fer_edge.commands.log_options import ROW_KINDS
from fer_edge.events import UNSURE
from fer_edge.log.devices import devices
from fer_edge.log.rows import column_names, labels_of
from fer_edge.log.tables import write_text
from fer_edge.log.time_window import TimeZone
from tests.simulated_device import SimulatedDevice, utc_s

JOURNALS = Path(__file__).parents[1] / "fixtures" / "journals"
NINE = "2026-03-01T09:10:00"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two devices: a hall with everything in it, a porch with each frame's readings, at the same time."""
    folder = tmp_path_factory.mktemp("house")
    life = SimulatedDevice(folder / "hall", utc_s(NINE), "hall")
    life.start()
    life.watch(100, "happy", quality=0.9)
    life.watch(60, "sad", quality=0.3)
    life.watch(40, UNSURE, why="blurred")
    life.lose(400.1)
    life.idle(3000)
    life.pause(600)
    life.watch(300, "happy", "neutral")
    life.health(True, ("undervoltage",), 71.0)
    life.idle(100)
    life.health(False, (), 55.0)
    life.idle(100)
    life.end()
    life.off(700)
    life.start()
    life.watch(60, "angry")
    life.end()
    porch = SimulatedDevice(folder / "porch", utc_s(NINE), "porch", per_frame=True)
    porch.start()
    porch.watch(30, "fear", quality=0.5)
    porch.end()
    return folder


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["log", "query", *arguments, "--json", "--utc"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_names_of_columns_are_cleaned_in_a_table() -> None:
    stream = io.StringIO()
    write_text([{"hap\x1b[2Jpy": 1.0}], ["hap\x1b[2Jpy"], TimeZone(), stream)
    assert stream.getvalue().splitlines()[0] == "hap\\x1b[2Jpy"


def test_episodes_have_their_own_times(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hall = rows(capsys, "episodes", str(house / "hall"))
    assert [(row["label"], row["from"], row["to"]) for row in hall][:2] == [
        ("happy", "2026-03-01T09:10:01.000Z", "2026-03-01T09:11:40.000Z"),
        ("sad", "2026-03-01T09:11:41.000Z", "2026-03-01T09:12:40.000Z"),
    ]
    assert hall[0]["p"] == pytest.approx(0.8) == hall[0]["p_happy"] and hall[0]["quality"] == pytest.approx(0.9)
    assert hall[0]["time_known"] is True and hall[0]["run"] == 1 and hall[-1]["run"] == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--expression", "sad"], ["sad"]),
        (["--expression", "sad", "--expression", "angry"], ["sad", "angry"]),
        (["--min-quality", "0.85"], ["happy"]),
        (["--track", "2"], ["sad"]),
        (["--until", "2026-03-01T09:11:40"], ["happy"]),
        (["--since", "2026-03-01T10:00"], ["happy", "neutral", "angry"]),
        (["--between", "09:00-10:00"], ["happy", "sad"]),
        (["--device", "hall", "--expression", "fear"], []),
        (["--device", "porch"], ["fear"]),
    ],
)
def test_rows_are_filtered(
    house: Path, arguments: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(house) if "--device" in arguments else str(house / "hall")
    assert [row["label"] for row in rows(capsys, "episodes", folder, *arguments)] == expected


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--expression", "hapy"], "no journal here has the label hapy; there are angry, "),
        (["--min-quality", "nan"], "a quality is a number from 0 to 1, not nan"),
        (["--min-quality", "5"], "a quality is a number from 0 to 1, not 5"),
    ],
)
def test_a_filter_that_nothing_can_pass_is_refused(
    house: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["log", "query", "episodes", str(house), *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert main(["log", "query", "episodes", str(house), "--expression", UNSURE]) == 0


def test_each_row_names_its_device(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = [row["device"] for row in rows(capsys, "tallies", str(house))]
    assert set(told) == {"hall", "porch"} and told == sorted(told), "one device after the other, overlapping or not"


def test_tallies_sum_to_the_observed_time(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = rows(capsys, "tallies", str(house / "hall"))
    assert sum(row["s_happy"] for row in told) == pytest.approx(400)
    assert sum(row[f"s_{UNSURE}"] for row in told) == pytest.approx(40)
    assert sum(row["unsure_by"].get("blurred", 0) for row in told) == pytest.approx(40)
    assert sum(row["unavailable_s"] for row in told) == pytest.approx(400.1, abs=0.1)
    assert sum(row["paused_s"] for row in told) == pytest.approx(600)


def test_a_tally_has_the_counts_of_its_minute(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    life = SimulatedDevice(tmp_path / "hall", utc_s(NINE), "hall")
    life.start()
    life.watch(60, "happy")
    life.frames_idle, life.faces_skipped = 7, 5
    life.watch(45, "happy", "sad")
    life.watch(15, UNSURE, why="blurred")
    life.end()
    row = rows(capsys, "tallies", str(tmp_path))[1]
    labels = {name: row.pop(name) for name in list(row) if name.startswith("s_")}
    assert {name: seconds for name, seconds in labels.items() if seconds} == {
        "s_happy": 45.0, "s_sad": 45.0, f"s_{UNSURE}": 15.0,
    }  # fmt: skip
    assert row == {
        "device": "hall",
        "run": 1,
        "from": "2026-03-01T09:11:00.000Z",
        "to": "2026-03-01T09:12:00.000Z",
        "time_known": True,
        "observed_s": 60.0,
        "unavailable_s": 0.0,
        "paused_s": 0.0,
        "face_s": 60.0,
        "unsure_by": {"blurred": 15.0},
        "faces_max": 2,
        "faces_skipped": 5,
        "frames_read": 61,  # one of them was dropped
        "frames_processed": 60,
        "frames_idle": 7,
        "drops": {"busy": 1},
    }


def test_readings_are_listed_where_they_were_logged(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = rows(capsys, "readings", str(house))
    assert len(told) == 30 and {row["device"] for row in told} == {"porch"}
    assert (told[0]["label"], told[0]["frame_label"], told[0]["width"], told[0]["age_ms"]) == (
        "fear",
        "fear",
        160,
        41.5,
    )
    assert len(rows(capsys, "readings", str(JOURNALS / "v1"))) == 3
    assert main(["log", "query", "readings", str(house / "hall")]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 and "no rows" in err


def test_events_are_filtered_by_kind(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = rows(capsys, "events", str(house / "hall"), "--kind", "health", "--kind", "pause")
    assert [row["kind"] for row in told] == ["pause", "health", "health"]
    assert told[1]["what"] == "machine: undervoltage, 71 °C, 12.0 GB free"


@pytest.mark.parametrize("what", ROW_KINDS)
def test_every_form_has_the_same_rows(
    house: Path, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pyarrow.parquet as pq

    folder, names = str(house), column_names(what, labels_of(devices([house])))
    told = rows(capsys, what, folder)
    assert told
    assert main(["log", "query", what, folder, "--csv", "--utc"]) == 0
    sheet = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    files = {ending: tmp_path / f"rows.{ending}" for ending in ("jsonl", "csv", "parquet")}
    for path in files.values():
        assert main(["log", "export", what, "--utc", "--out", str(path), folder]) == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [json.loads(line) for line in files["jsonl"].read_text().splitlines()] == told
    assert list(csv.DictReader(files["csv"].read_text().splitlines())) == sheet
    table = pq.read_table(files["parquet"])
    assert table.column_names == names == list(sheet[0]) and table.num_rows == len(sheet) == len(told)
    time = "from" if "from" in names else "at"
    stamps = [stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z") for stamp in table[time].to_pylist()]
    assert stamps == [row[time] for row in told] == [row[time] for row in sheet]
    numbers = {"episodes": "dwell_s", "tallies": "observed_s", "readings": "p", "events": "seq", "blind": "seconds"}
    of = numbers[what]
    assert table[of].to_pylist() == [row[of] for row in told] == [type(told[0][of])(row[of]) for row in sheet]


def test_an_export_is_written_whole_or_not_at_all(
    house: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.csv"
    out.write_text("before")
    for arguments, word in [
        (["--out", str(tmp_path / "rows.xlsx")], "ends with none of"),
        (["--out", str(tmp_path / "nowhere" / "rows.csv")], "not a folder"),
        (["--out", str(out), "--since", "later"], "is not a moment"),
        (["--out", str(out), "--since", "2026-03-02", "--until", "2026-03-01"], "is not before"),
        (["--out", str(out), "--between", "morning"], "not a part of a day"),
        (["--out", str(out), "--device", "attic"], "there are hall, porch"),
    ]:
        assert main(["log", "export", "episodes", str(house), *arguments]) == 2
        assert word in capsys.readouterr().err
    assert out.read_text() == "before" and [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_a_folder_without_a_journal_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for action in (["tail"], ["query", "blind"], ["summary"], ["plot"], ["check"]):
        assert main(["log", *action, str(tmp_path)]) == 2
        assert "no journal" in capsys.readouterr().err
        assert main(["log", *action, str(tmp_path / "nowhere")]) == 2
        assert "nowhere" in capsys.readouterr().err


def test_the_default_folder_is_the_one_that_run_writes(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "nowhere"))
    assert main(["log", "tail"]) == 2
    assert f"there is no journal in {tmp_path / 'nowhere'}" in capsys.readouterr().err
    monkeypatch.setenv("STATE_DIRECTORY", str(house))
    assert main(["log", "tail", "--name", "porch", "-n", "1"]) == 0
    assert "the run ended" in capsys.readouterr().out


def test_a_damaged_line_is_reported_and_skipped(
    house: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (house / "porch" / "journal-000001.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal-000001.jsonl").write_bytes(b"".join([*text[:5], b"\x00\x00\n", *text[5:]]))
    assert main(["log", "query", "readings", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 30
    assert "journal-000001.jsonl, line 6: is empty, as after a power cut; skipped" in err


# A person who has only a folder of journals asks four questions, and types one command for each.


def test_the_blind_times_are_listed(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = rows(capsys, "blind", str(house / "hall"))
    assert [(row["state"], row["from"][11:19], row["to"][11:19], round(row["seconds"])) for row in told] == [
        ("unavailable", "09:13:20", "09:20:00", 400),
        ("paused", "10:10:00", "10:20:00", 600),
        ("stopped", "10:28:20", "10:40:00", 700),
    ]
    assert [row["why"] for row in told] == ["camera: no picture for 5.1 s", "fer-edge pause", "stopped by SIGTERM"]


def test_expressions_are_summed_by_hour(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "summary", str(house / "hall"), "--by", "hour", "--utc", "--json"]) == 0
    nine, ten = json.loads(capsys.readouterr().out)["parts"]
    assert nine["shares"] == pytest.approx(
        {"happy": 0.5, "sad": 0.3, UNSURE: 0.2, "angry": 0, "neutral": 0}, abs=1e-3
    ) or (nine["shares"] == pytest.approx({"happy": 0.5, "sad": 0.3, UNSURE: 0.2}, abs=1e-3))
    assert ten["shares"] == pytest.approx({"happy": 300 / 660, "neutral": 300 / 660, "angry": 60 / 660}, abs=1e-3)
    assert main(["log", "summary", str(house / "hall"), "--by", "hour", "--utc"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["from", "observed", "blind", "presence"]
    assert "50.0%" in first and "6 min 40 s" in first and "45.5%" in second


def test_the_uncertainty_is_summarised(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "summary", str(house / "hall"), "--utc"]) == 0
    out = capsys.readouterr().out
    faces_s = 100 + 60 + 40 + 2 * 300 + 60
    assert f"unsure for {40 / faces_s:.1%} of the face time; causes: blurred {40 / faces_s:.1%}" in out
    assert out.startswith("instance hall: 2026-")
    assert "mean probability of the label shown 0.80" in out and "mean quality of the face 0.78 of 1" in out


def test_the_reliability_is_summarised(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "check", str(house / "hall"), "--utc"]) == 0
    out = capsys.readouterr().out
    assert "whole: nothing is missing" in out and "2 runs (2 with an end)" in out and ": verified" in out
    assert main(["log", "summary", str(house / "hall"), "--utc"]) == 0
    out = capsys.readouterr().out
    assert "all times are by a synchronized clock" in out and "verified at start" in out
    assert "undervoltage 1 min 40 s" in out and "highest temperature 71 °C" in out
