"""Archives: `log export --partition` and the same answers from `log query`, again after a journal lost its beginning."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from fer_edge.cli import main
from fer_edge.commands.log_options import ROW_KINDS
from fer_edge.events import Event
from fer_edge.journal.segments import lock_folder, segment_name, segments
from tests.generated_month import simulate_days
from tests.simulated_device import SimulatedDevice, utc_s

PAGE = Path(__file__).parents[2] / "docs/pages/many-devices.md"
START = "2026-03-01T21:10:00"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three devices: half a generated day, one with each frame's readings, and one that has another label."""
    folder = tmp_path_factory.mktemp("house")
    simulate_days(SimulatedDevice(folder / "hall", utc_s(START), "hall", seed=3), 0.5, 1.4)
    porch = SimulatedDevice(folder / "porch", utc_s(START), "porch", per_frame=True)
    porch.start()
    porch.watch(40, "fear", quality=0.5)
    porch.lose(3 * 3600.0)  # over midnight
    porch.watch(20, "sad", "happy", quality=0.9)
    porch.crash(600)
    porch.boot(power_off_s=86_400.0, synced=False, wall_s=0.0)
    porch.start()
    porch.watch(90, "happy")
    porch.end()
    yard = SimulatedDevice(folder / "yard & gate", utc_s(START), "yard & gate")
    yard.start()
    yard.watch(100, "angry", "neutral")
    yard.end()
    (segment,) = segments(folder / "yard & gate")
    segment.write_text(segment.read_text().replace('"angry"', '"contempt"'))
    return folder


@pytest.fixture(scope="module")
def archive(house: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive") / "house"
    export(house, folder)
    return folder


def export(house: Path, archive: Path, what: str = "all") -> None:
    assert main(["log", "export", what, "--partition", "device,day", "--out", str(archive), str(house)]) == 0


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["log", "query", *arguments]) == 0
    return capsys.readouterr().out


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_full_disk_leaves_no_empty_folders(house: Path, tmp_path: Path) -> None:
    arguments = ["log", "export", "all", "--partition", "device,day", "--out", str(tmp_path / "archive"), str(house)]
    full = subprocess.run(
        [sys.executable, "-m", "fer_edge", *arguments],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )
    assert full.returncode == 2 and "Traceback" not in full.stderr and "the output cannot be written" in full.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", [["--json", "--utc"], ["--csv"], []], ids=["json", "csv", "text"])
@pytest.mark.parametrize("what", ROW_KINDS)
def test_an_archive_answers_as_the_journals_do(
    house: Path, archive: Path, capsys: pytest.CaptureFixture[str], what: str, form: list[str]
) -> None:
    rows = answer(capsys, what, *form, str(house))
    assert rows.count("\n") > 3
    assert answer(capsys, what, *form, str(archive)) == rows


@pytest.mark.parametrize(
    ("what", "arguments"),
    [
        *((what, ["--since", "2026-03-02T06:00", "--until", "2026-03-02T08:30"]) for what in ROW_KINDS),
        *((what, ["--since", "2026-03-01T23:00", "--until", "2026-03-02T00:00:30"]) for what in ROW_KINDS),
        *((what, ["--between", "21:00-06:00", "--device", "porch"]) for what in ROW_KINDS),
        *((what, ["--expression", "happy", "--expression", "unsure"]) for what in ("episodes", "readings", "events")),
        *((what, ["--track", "1", "--min-quality", "0.6"]) for what in ("episodes", "readings", "events")),
        ("events", ["--kind", "camera", "--kind", "header"]),
        ("episodes", ["--device", "yard & gate", "--min-quality", "0.8"]),
    ],
)
def test_every_selection_is_the_same_in_both(
    house: Path, archive: Path, capsys: pytest.CaptureFixture[str], what: str, arguments: list[str]
) -> None:
    rows = answer(capsys, what, "--json", "--utc", *arguments, str(house))
    assert answer(capsys, what, "--json", "--utc", *arguments, str(archive)) == rows
    assert rows or what in ("readings", "episodes", "blind")


@pytest.mark.parametrize("what", ["tallies", "episodes", "events"])
def test_labels_that_differ_in_case_alone_keep_their_values(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """DuckDB takes their columns for one. A folder's name became the label of a first bundle."""
    house = tmp_path / "house"
    hall = SimulatedDevice(house / "hall", utc_s(START), "hall")
    hall.start()
    hall.watch(100, "happy")
    hall.end()
    hall.boot(power_off_s=3600.0)
    hall.start()
    hall.watch(40, "sad")
    hall.watch(20, "happy")
    hall.end()
    first, *_ = segments(house / "hall")
    first.write_text(first.read_text().replace('"happy"', '"Happy"'))
    export(house, tmp_path / "archive")
    rows = answer(capsys, what, "--json", "--utc", str(house))
    assert answer(capsys, what, "--json", "--utc", str(tmp_path / "archive")) == rows
    assert ("Happy" in rows and '"happy"' in rows) or what == "tallies"


def test_an_archive_of_a_folder_whose_name_is_no_text(house: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"m\xe9")
    shutil.copytree(house, folder)
    export(folder, tmp_path / "archive")


def test_export_of_an_archive_is_the_same_file(house: Path, archive: Path, tmp_path: Path) -> None:
    for folder, name in ((house, "a.csv"), (archive, "b.csv")):
        assert main(["log", "export", "tallies", "--out", str(tmp_path / name), str(folder)]) == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes() != b""


def test_other_programs_find_devices_and_days_in_the_paths(
    house: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's own SQL, against the sums of the rows."""
    found: dict[str, float] = {}
    for device, day, observed_s, _ in duckdb.sql(sql_of_the_page(archive)).fetchall():
        assert str(day) in ("2026-03-01", "2026-03-02", "2026-03-03")
        found[device] = found.get(device, 0.0) + observed_s
    rows = [json.loads(line) for line in answer(capsys, "tallies", "--json", str(house)).splitlines()]
    for device in ("hall", "porch", "yard & gate"):
        assert found.pop(device) == pytest.approx(sum(row["observed_s"] for row in rows if row["device"] == device))
    assert not found
    assert {name.rpartition("/")[2] for name in contents(archive)} == {"rows-0.parquet"}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in archive.rglob("*.parquet"))


def sql_of_the_page(archive: Path) -> str:
    return PAGE.read_text().split("```sql\n")[1].split("```")[0].replace("'archive/", f"'{archive}/")


def test_the_pages_shares_are_those_of_the_summary_where_faces_overlap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two and three faces at once, and another device with a label more: of the first, rows lack that label's column."""
    for name, scenes in (
        ("hall", [("happy", "happy"), ("happy", "neutral", "neutral"), ("unsure", "happy")]),
        ("yard", [("angry", "happy"), ("happy",)]),
        ("cellar", []),
    ):
        device = SimulatedDevice(tmp_path / "house" / name, utc_s(START), name)
        device.start()
        for labels in scenes:
            device.watch(200, *labels)
        device.idle(100)
        device.end()
    (segment,) = segments(tmp_path / "house/yard")
    segment.write_text(segment.read_text().replace('"angry"', '"contempt"'))
    export(tmp_path / "house", tmp_path / "archive")
    rows = {device: share for device, _, _, share in duckdb.sql(sql_of_the_page(tmp_path / "archive")).fetchall()}
    capsys.readouterr()
    for name in ("hall", "yard"):
        assert main(["log", "summary", "--json", str(tmp_path / "house" / name)]) == 0
        found = json.loads(capsys.readouterr().out)
        assert rows.pop(name) == pytest.approx(found["shares"]["happy"], abs=1e-3), found
    assert rows == {"cellar": None}


def test_exporting_again_changes_no_byte(house: Path, archive: Path) -> None:
    before = contents(archive)
    export(house, archive)
    assert contents(archive) == before
    assert not list(archive.glob(".export-*"))


def without_purged(lines: str) -> list[str]:
    """Rows of events without the count of purged lines, which a purge adds to a line that it leaves."""
    rows = [json.loads(line) for line in lines.splitlines()]
    for row in rows:
        row.get("body", {}).pop("purged", None)
    return [json.dumps(row) for row in rows]


@pytest.mark.parametrize("purged", ["segment", "21:14:00", "21:11:07", "21:18:39"])
def test_rows_outlive_the_lines_of_the_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str], purged: str) -> None:
    device = SimulatedDevice(tmp_path / "house/hall", utc_s(START), "hall", per_frame=True)
    for label in ("happy", "sad"):
        device.start()
        device.watch(150, label)
        device.idle(200)
        device.watch(150, "fear")
        device.end()
        device.off(300)
    export(tmp_path / "house", tmp_path / "archive")
    before = {what: without_purged(answer(capsys, what, "--json", str(tmp_path / "archive"))) for what in ROW_KINDS}
    if purged == "segment":  # as the retention does
        segments(device.folder)[0].unlink()
    else:
        assert main(["log", "purge", "--log", str(device.folder), "--before", f"2026-03-01T{purged}Z"]) == 0
    assert without_purged(answer(capsys, "events", "--json", str(tmp_path / "house"))) != before["events"]
    device.start()
    device.watch(60, "angry")
    device.end()
    for _ in range(2):
        export(tmp_path / "house", tmp_path / "archive")
        for what in ("episodes", "tallies", "readings", "events"):
            after = without_purged(answer(capsys, what, "--json", str(tmp_path / "archive")))
            now = without_purged(answer(capsys, what, "--json", str(tmp_path / "house")))
            assert sorted(after) == sorted({*before[what], *now}), what
            assert len(after) > len(now) and after[-1] == now[-1]
            # a purge leaves the run's header, which then stands before the lines that it left
            assert purged != "segment" or after[: len(before[what])] == before[what]


def split(folder: Path, lines: int) -> None:
    """Divides the only segment of a journal into segments of so many lines each, as a run of days writes them."""
    (segment,) = segments(folder)
    header, *others = [Event.parse(line) for line in segment.read_text().splitlines()]
    for number, first in enumerate(range(0, len(others), lines), 1):
        part = others[first : first + lines]
        head = header
        if number > 1:
            body = header.body | {"continues": segment_name(number - 1)}
            head = replace(header, mono_s=part[0].mono_s, wall=part[0].wall, body=body)
        text = "".join(f"{event.line()}\n" for event in (head, *part))
        (folder / segment_name(number)).write_text(text)


@pytest.fixture(params=["late", "lost", "paused"])
def blind(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A journal with ten minutes without observation."""
    device = SimulatedDevice(tmp_path / "hall", utc_s(START), "hall")
    device.start()
    device.idle(130)
    if request.param == "late":
        for _ in range(10):
            device.hang(50)
            device.idle(10)
    elif request.param == "paused":
        device.pause(600)
    else:
        device.lose(600)
    device.idle(130)
    device.end()
    return device.folder


def blind_s(folder: Path, capsys: pytest.CaptureFixture[str]) -> float:
    return sum(json.loads(row)["seconds"] for row in answer(capsys, "blind", "--json", str(folder)).splitlines())


@pytest.mark.parametrize("lines", [1, 2])
def test_blind_time_is_counted_once_whatever_the_journal_deletes(
    blind: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: int
) -> None:
    split(blind, lines)
    true_s = blind_s(blind, capsys)
    assert true_s > 400
    for segment in [None, *segments(blind)[:-1]]:
        if segment is not None:
            segment.unlink()
        export(blind, tmp_path / "archive", "blind")
        assert blind_s(tmp_path / "archive", capsys) == pytest.approx(true_s, abs=1.5), f"without {segment}"
    before = contents(tmp_path / "archive")
    export(blind, tmp_path / "archive", "blind")
    assert contents(tmp_path / "archive") == before


@pytest.mark.parametrize("blind", ["late", "lost"], indirect=True)
def test_blind_time_that_goes_on_after_its_beginning_was_deleted_is_counted_once(
    blind: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split(blind, 1)
    every, true_s = segments(blind), blind_s(blind, capsys)
    for segment in every[8:]:  # not yet written
        shutil.move(segment, tmp_path / segment.name)
    export(blind, tmp_path / "archive", "blind")
    assert 0 < blind_s(tmp_path / "archive", capsys) < true_s
    for segment in every[8:]:
        shutil.move(tmp_path / segment.name, segment)
    for segment in every[:6]:
        segment.unlink()
    for _ in range(2):
        export(blind, tmp_path / "archive", "blind")
        assert blind_s(tmp_path / "archive", capsys) == pytest.approx(true_s, abs=1.5)


def test_a_line_with_an_earlier_time_than_the_line_before_it_is_stored_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a frame that waited while the clock was set: its line is later in the journal, and its time earlier."""
    device = SimulatedDevice(tmp_path / "hall", utc_s(START), "hall")
    device.start()
    device.watch(300, "happy", "neutral")
    device.end()
    split(tmp_path / "hall", 6)
    _, second, *_ = segments(tmp_path / "hall")
    header, first, *others = second.read_text().splitlines()
    lines = [json.loads(line) for line in (first, *others)]
    lines[0]["mono_s"] = max(line["mono_s"] for line in lines[:2]) + 0.1
    second.write_text("".join(f"{line}\n" for line in (header, *(json.dumps(line) for line in lines))))
    export(tmp_path, tmp_path / "archive")
    before = events_in(tmp_path / "archive", capsys)
    segments(tmp_path / "hall")[0].unlink()
    for _ in range(3):
        export(tmp_path / "hall", tmp_path / "archive")
    assert events_in(tmp_path / "archive", capsys) == before


def events_in(archive: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[int, str, float]]:
    rows = map(json.loads, answer(capsys, "events", "--json", str(archive)).splitlines())
    return sorted((row["seq"], row["kind"], row["mono_s"]) for row in rows)


def test_a_moved_row_leaves_no_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A clock that is set after the export moves the rows of its boot to another day."""
    device = SimulatedDevice(tmp_path / "hall", utc_s(START), "hall")
    device.boot(power_off_s=0.0, synced=False, wall_s=0.0)
    device.start()
    device.watch(100, "happy")
    device.end()
    export(tmp_path / "hall", tmp_path / "archive")
    assert [day.name for day in (tmp_path / "archive/episodes/device=hall").iterdir()] == ["day=1970-01-01"]
    device.set_clock()
    device.start()
    device.watch(100, "sad")
    device.end()
    export(tmp_path / "hall", tmp_path / "archive")
    assert [day.name for day in (tmp_path / "archive/episodes/device=hall").iterdir()] == ["day=2026-03-01"]
    for what in ROW_KINDS:
        rows = answer(capsys, what, "--csv", str(tmp_path / "hall"))
        assert answer(capsys, what, "--csv", str(tmp_path / "archive")) == rows


def short(folder: Path, name: str = "camera", seed: int = 0) -> SimulatedDevice:
    """A journal of one run; another seed makes other boots."""
    device = SimulatedDevice(folder, utc_s(START) + seed, name, seed=seed)
    run_again(device)
    return device


def run_again(device: SimulatedDevice) -> None:
    device.start()
    device.watch(90, "happy")
    device.end()


def refusal(capsys: pytest.CaptureFixture[str], archive: Path, *arguments: str | Path) -> str:
    """The sentence with which an export of all kinds is refused, after which the archive is as before."""
    before = contents(archive)
    capsys.readouterr()
    command = ["log", "export", "all", "--partition", "device,day", "--out", archive, *arguments]
    assert main([str(word) for word in command]) == 2
    assert contents(archive) == before
    return capsys.readouterr().err


def in_archive(archive: Path) -> set[str]:
    return {folder.name for folder in archive.glob("*/device=*")}


def test_a_journal_gets_no_second_name_in_an_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Alone it is called as in its header; beside another one with the same name, as its folder."""
    house, archive = tmp_path / "house", tmp_path / "archive"
    kitchen = short(house / "kitchen", seed=1)
    export(house, archive)
    short(house / "hall", seed=2)
    run_again(kitchen)
    said = refusal(capsys, archive, house, "--device", "kitchen")
    assert f"as device=camera already (boot {kitchen.clock.boot})" in said
    assert f"Rename the folders {archive}/*/device=camera to device=kitchen, or remove them" in said
    for folder in archive.glob("*/device=camera"):
        folder.rename(folder.with_name("device=kitchen"))
    export(house, archive)
    assert in_archive(archive) == {"device=kitchen", "device=hall"}
    for what in ROW_KINDS:
        assert answer(capsys, what, "--csv", str(archive)) == answer(capsys, what, "--csv", str(house))


@pytest.mark.parametrize("boots", ["other", "shared"])
def test_two_journals_get_no_common_name_in_an_archive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], boots: str
) -> None:
    """Each of them exported alone is called `camera`."""
    house, archive = tmp_path / "house", tmp_path / "archive"
    kitchen = short(house / "kitchen", seed=1)
    export(kitchen.folder, archive)
    if boots == "other":
        short(house / "hall", seed=2)
    else:  # another instance of the same machine with the same name
        hall = SimulatedDevice(house / "hall", utc_s(START), "camera", seed=1)
        hall.off(500)
        run_again(hall)
    said = refusal(capsys, archive, house / "hall")
    assert f"another journal as device=camera (its boot {kitchen.clock.boot} " in said
    assert "Give each device a name of its own (`fer-edge deploy --name`, after `sudo systemctl stop fer-edge`" in said
    assert "`name` in its settings" not in said, "a deploy refuses it"
    export_one = ["log", "export", "all", "--partition", "device,day", "--out", str(archive), "--device", "hall"]
    assert main([*export_one, str(house)]) == 0
    assert in_archive(archive) == {"device=camera", "device=hall"}


def test_several_instances_of_a_pi_are_exported_each_by_itself(tmp_path: Path) -> None:
    """They have the same boots, and may have begun in the same millisecond."""
    for name in ("camera", "door"):
        short(tmp_path / "pi" / name, name, seed=1)
        export(tmp_path / "pi" / name, tmp_path / "archive")
    assert in_archive(tmp_path / "archive") == {"device=camera", "device=door"}


@pytest.mark.parametrize("how", ["purged", "expired", "moved", "new card"])
def test_a_journal_that_changed_is_exported_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Nothing that is in the archive is left, or the folder has another place."""
    journal, archive = tmp_path / "kitchen", tmp_path / "archive"
    device = short(journal, seed=1)
    export(journal, archive)
    rows = len(answer(capsys, "tallies", "--csv", str(archive)).splitlines())
    if how == "purged":
        assert main(["log", "purge", "--log", str(journal), "--before", "2027-01-01"]) == 0
    elif how == "expired":
        segments(journal)[0].unlink()
    if how in ("purged", "expired"):
        device.boot(power_off_s=3600.0)
        run_again(device)
    elif how == "new card":
        shutil.rmtree(journal)
        short(journal, seed=2)
    else:
        run_again(device)
        journal = journal.rename(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    export(Path(journal.name), archive)
    assert in_archive(archive) == {"device=camera"}
    assert len(answer(capsys, "tallies", "--csv", str(archive)).splitlines()) == 2 * rows - 1


def test_a_new_card_gets_a_name_of_its_own_with_one_rename(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As fleets.md says: the copy of before is renamed, and the new one has its place. The rows do not mix."""
    collected, archive = tmp_path / "collected", tmp_path / "archive"
    short(collected / "door/journal", seed=1)
    hall = short(collected / "hall/journal", seed=2)
    export(collected, archive)
    assert in_archive(archive) == {"device=door", "device=hall"}
    (collected / "door").rename(collected / "door-until-may")
    door = short(collected / "door/journal", seed=3)
    run_again(hall)
    for only in ([], ["--device", "door"]):
        said = refusal(capsys, archive, collected, *only)
        assert f"has the journal in {collected}/door-until-may/journal as device=door already" in said
        assert f"Rename the folders {archive}/*/device=door to device=door-until-may" in said
    for folder in archive.glob("*/device=door"):
        folder.rename(folder.with_name("device=door-until-may"))
    export(collected, archive)
    run_again(door)
    export(collected, archive)
    assert in_archive(archive) == {"device=door", "device=door-until-may", "device=hall"}
    for what in ROW_KINDS:
        assert answer(capsys, what, "--csv", str(archive)) == answer(capsys, what, "--csv", str(collected))


def test_a_copy_of_a_journal_beside_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    house, archive = tmp_path / "house", tmp_path / "archive"
    kitchen = short(house / "kitchen", seed=1)
    shutil.copytree(house / "kitchen", house / "kitchen-copy")
    run_again(kitchen)
    said = refusal(capsys, archive, house)
    assert f"{house}/kitchen and {house}/kitchen-copy have the same journal (boot {kitchen.clock.boot})" in said
    assert not archive.exists()
    one = ["log", "export", "all", "--partition", "device,day", "--out", str(archive), "--device", "kitchen"]
    assert main([*one, str(house)]) == 0
    assert in_archive(archive) == {"device=kitchen"}


def test_an_archive_without_origins_is_taken_over(house: Path, archive: Path, tmp_path: Path) -> None:
    """Such as one that was exported before files had them."""
    shutil.copytree(archive, tmp_path / "copy")
    for file in (tmp_path / "copy").rglob("*.parquet"):
        pq.write_table(pq.read_table(file, partitioning=None).replace_schema_metadata(None), file)
    export(house, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(archive)


def test_what_is_no_request_for_an_archive_is_refused(
    house: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = ["--partition", "device,day", "--out", str(tmp_path / "new")]
    (tmp_path / "file").write_text("")
    for arguments, word in (
        (["export", "tallies", *to, "--since", "2d", str(house)], "leave out the filters"),
        (["export", "episodes", *to, "--expression", "sad", str(house)], "leave out the filters"),
        (["export", "all", "--out", str(tmp_path / "x.csv"), str(house)], "“all” needs --partition"),
        (["export", "all", *to[:3], str(tmp_path / "file"), str(house)], "is a file"),
        (["export", "all", *to, str(archive)], "is an archive"),
        (["summary", str(archive)], "is an archive"),
        (["query", "blind", str(archive), str(house)], "is an archive"),
        (["query", "blind", "--device", "cellar", str(archive)], "there are hall, porch, yard & gate"),
    ):
        assert main(["log", *arguments]) == 2, arguments
        assert word in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_file_that_is_none_of_an_archive_is_reported(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    shutil.copytree(archive, tmp_path / "copy")
    file = sorted((tmp_path / "copy/blind/device=porch").glob("*/*"))[-1]
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-20])
    else:
        duckdb.sql("SELECT 1 AS a").write_parquet(str(file))
    assert main(["log", "query", "blind", str(tmp_path / "copy")]) == 2
    assert "cannot be read" in (found := capsys.readouterr().err) and "export it again" in found


def test_two_exports_of_a_device_do_not_mix(house: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = lock_folder(archive / "episodes/device=hall")
    try:
        assert main(["log", "export", "episodes", "--partition", "device,day", "--out", str(archive), str(house)]) == 2
        assert "another process exports" in capsys.readouterr().err
    finally:
        os.close(lock)
