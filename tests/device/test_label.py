"""`fer-edge label`: the rows of `run`, for any number of processes, whatever breaks or ends in between."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import trim_by_edit_list, write_raw_video, write_timed_video, write_video
from processes import ROOT, wait_until

from device.config import Settings
from device.label import label
from device.recorded.files import LabelOptions, Recording, find_recordings, finished_result
from device.recorded.labeller import ROW_SETTINGS, Labeller, LabelOutcome, LabelTask
from device.recorded.rows import ParquetTable, columns
from device.run import run
from fer_edge.errors import UsageError
from fer_edge.synthetic_face import face_frame
from tests.memory_sink import MemorySink

CSV = LabelOptions()
ENVIRON = {**os.environ, "XDG_CONFIG_HOME": "/nonexistent"}


def faces(number: int, from_s: float = 0.0, fps: float = 10.0) -> Iterator[np.ndarray]:
    return (face_frame(from_s + n / fps) for n in range(number))


def both(number: int) -> Iterator[np.ndarray]:
    """Two faces side by side, one the other's mirror image."""
    return (np.hstack([half := face_frame(n / 10, 320, 480), half[:, ::-1]]) for n in range(number))


def videos(folder: Path) -> Path:
    """A folder with three videos in it, in two levels."""
    (folder / "more").mkdir(parents=True)
    write_video(folder / "a.mp4", faces(20))
    write_video(folder / "b.avi", faces(14, 3.0), code="MJPG")
    write_video(folder / "more" / "a.mp4", both(12))
    return folder


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "fer_edge", *map(str, words)]


def ran(*words: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """The command `label`, at its end."""
    return subprocess.run(
        command("label", *words), capture_output=True, text=True, cwd=ROOT, env=ENVIRON, check=False, **more
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def as_read(body: dict[str, Any], labels: list[str]) -> dict[str, str]:
    """The cells that a reading of `run` should have in a table, less its time."""
    cells = {name: body[name] for name in ("frame", "track", "score", "label", "steady", "quality")}
    cells |= dict(zip(("x", "y", "width", "height"), body["xywh"], strict=True))
    cells |= {f"p_{label}": p for label, p in zip(labels, body["p"], strict=True)}
    cells |= {"steady_p": max(body["steady_p"]), "why": body.get("why", "")}
    return {name: str(cell) for name, cell in cells.items()}


def assert_equal_to_run(rows: list[dict[str, str]], lines: list[dict[str, Any]]) -> None:
    """Each row is a reading of that run, at the same place in the video."""
    header = next(line for line in lines if line["kind"] == "header")
    readings = [line for line in lines if line["kind"] == "reading"]
    assert rows and len(rows) == len(readings)
    start_s = readings[0]["mono_s"] - float(rows[0]["time_s"])
    for row, body in zip(rows, readings, strict=True):
        values = dict(row)
        assert float(values.pop("time_s")) == pytest.approx(body["mono_s"] - start_s, abs=0.002)
        assert values == as_read(body, header["labels"])


@pytest.fixture(scope="module")
def labeller(bundle_path: Path) -> Labeller:
    return Labeller(Settings(bundle=bundle_path))


def labelled(labeller: Labeller, video: Path, out: Path, options: LabelOptions = CSV) -> LabelOutcome:
    """What becomes of one video in this process."""
    out.mkdir(exist_ok=True)
    return labeller.label(LabelTask(Recording.at(video, video.name), out, out / "fresh", options), lambda _: None)


def a_scene_with_cuts() -> Iterator[np.ndarray]:
    yield from faces(25)
    yield from (np.full((480, 640), 60, np.uint8) for _ in range(10))
    yield from (np.clip(frame * 0.2, 0, 255).astype(np.uint8) for frame in faces(20, 9.0))
    yield from both(15)


def test_the_label_command_gives_the_rows_of_the_run_command(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", faces(40))
    words = ("run", "--camera", clip, "--per-frame", "--json", "--log", tmp_path / "log")
    environ = {**ENVIRON, "RUNTIME_DIRECTORY": str(tmp_path / "run")}
    seen = subprocess.run(command(*words), capture_output=True, text=True, cwd=ROOT, env=environ, check=True)
    ended = ran(clip, "--out", tmp_path / "out")
    assert ended.returncode == 0 and ended.stdout == f"{tmp_path / 'out' / 'clip.mp4.csv'}\n", ended.stderr
    assert_equal_to_run(rows_of(tmp_path / "out/clip.mp4.csv"), [json.loads(line) for line in seen.stdout.splitlines()])


@pytest.mark.parametrize(
    ("values", "frames"),
    [
        ({}, a_scene_with_cuts),
        ({"max_faces": 1, "detector": "haar"}, lambda: both(20)),
        ({"max_faces": 1}, lambda: both(20)),
        ({"region": (0.0, 0.0, 0.5, 1.0), "flip": "horizontal", "smooth_s": 1.0}, lambda: both(20)),
    ],
)
def test_the_rows_of_a_recording_are_the_readings_of_a_run(
    tmp_path: Path, bundle_path: Path, values: dict[str, Any], frames: Callable[[], Iterator[np.ndarray]]
) -> None:
    clip = write_video(tmp_path / "clip.mp4", frames(), fps=12.5)
    seen = MemorySink()
    settings = Settings(str(clip), bundle=bundle_path, log=tmp_path / "log", runtime=tmp_path / "run", **values)
    assert run(settings, sink=seen) == 0
    summary = labelled(Labeller(settings), clip, tmp_path / "out").summary
    assert summary is not None
    lines = [{"kind": event.kind, "mono_s": event.mono_s, **event.body} for event in seen.events]
    assert_equal_to_run(rows_of(tmp_path / "out/clip.mp4.csv"), lines)
    end = lines[-1]
    assert summary.frames == end["frames"]["processed"]
    assert summary.frames_without_face == end["frames"]["processed"] - end["frames"]["with_face"]
    assert summary.faces_skipped == end["faces_skipped"]
    assert summary.rows.rows == end["readings"]


@pytest.mark.parametrize(("form", "more"), [("csv", []), ("parquet", ["--annotate"])])
def test_tables_are_identical_for_any_number_of_processes(tmp_path: Path, form: str, more: list[str]) -> None:
    folder = videos(tmp_path / "in")
    made = []
    for jobs in (1, 2, 3):
        out = tmp_path / f"out{jobs}"
        ended = ran(folder, "--out", out, "--jobs", str(jobs), "--format", form, *more)
        assert ended.returncode == 0, ended.stderr
        assert [Path(line).relative_to(out).as_posix() for line in ended.stdout.splitlines()] == [
            f"a.mp4.{form}",
            f"b.avi.{form}",
            f"more/a.mp4.{form}",
        ]
        made.append(contents(out))
    suffixes = [f".{form}", f".{form}.json", *([".labelled.mp4"] if more else [])]
    assert set(made[0]) == {f"{name}{end}" for name in ("a.mp4", "b.avi", "more/a.mp4") for end in suffixes}
    assert made[0] == made[1] == made[2]


def test_the_summary_beside_a_table_has_provenance_and_counts(tmp_path: Path, labeller: Labeller) -> None:
    def late() -> Iterator[np.ndarray]:
        yield from (np.full((480, 640), 90, np.uint8) for _ in range(7))
        yield from faces(8)

    clip = write_video(tmp_path / "clip.mp4", late())
    labelled(labeller, clip, tmp_path / "out")
    summary = json.loads((tmp_path / "out/clip.mp4.csv.json").read_text())
    assert (summary["frames"], summary["frames_without_face"], summary["seconds"], summary["whole"]) == (
        15,
        7,
        1.5,
        True,
    )
    assert summary["source"] == {"name": "clip.mp4", "bytes": clip.stat().st_size, "mtime_ns": clip.stat().st_mtime_ns}
    assert summary["video"] == {"width_px": 640, "height_px": 480, "fps": 10.0, "container_frames": 15}
    assert set(summary["made_by"]) == {
        *("software", "bundle", "labels", "preprocess", "detector", "runtime", "settings", "versions")
    }
    rows = (tmp_path / "out/clip.mp4.csv").read_text()
    assert summary["rows"]["columns"] == rows.splitlines()[0].split(",") and summary["rows"]["rows"] == 8
    assert summary["rows"]["bytes"] == len(rows) and "\r" not in rows


def test_every_setting_that_affects_rows_is_part_of_the_provenance() -> None:
    """By the source of what labels: each `settings.NAME` in it."""
    files = [
        *(ROOT / "device/vision").glob("*.py"),
        ROOT / "device/camera/framing.py",
        ROOT / "device/recorded/labeller.py",
    ]
    used = {
        node.attr
        for file in files
        if file.name != "cpu_budget.py"  # of live frames that are left out
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("settings")
    }
    assert used - {"bundle", "detector", "stuck_s"} == set(
        ROW_SETTINGS
    )  # the two are compared by what they turned out to be


def test_times_are_those_of_the_container(tmp_path: Path, labeller: Labeller) -> None:
    times_ms = [0, 40, 80, 200, 240, 900, 940, 980, 2000, 2033, 2066]
    for name in ("phone.mp4", "phone.mkv"):
        clip = write_timed_video(tmp_path / name, ((ms, face_frame(ms / 1000)) for ms in times_ms))
        summary = labelled(labeller, clip, tmp_path / "out").summary
        rows = rows_of(tmp_path / f"out/{name}.csv")
        assert summary is not None and summary.whole
        assert summary.seconds == pytest.approx(2.066 + 0.033), "the last frame lasts as long as the one before it"
        assert [float(row["time_s"]) for row in rows] == [ms / 1000 for ms in times_ms]
        assert [int(row["frame"]) for row in rows] == list(range(len(times_ms)))


RAW = [("clip.h264", "h264", "libx264"), ("clip.mjpeg", "mjpeg", "mjpeg")]


@pytest.mark.parametrize(("name", "form", "code"), RAW)
def test_a_raw_recording_has_the_rate_that_was_given(
    tmp_path: Path, bundle_path: Path, name: str, form: str, code: str
) -> None:
    clip = write_raw_video(tmp_path / name, faces(6), form, code)
    rated = Labeller(Settings(bundle=bundle_path, raw_fps=12.5))
    summary = labelled(rated, clip, tmp_path / "out").summary
    assert summary is not None and summary.whole and summary.frames == 6
    assert (summary.video.fps, summary.video.assumed_fps, summary.seconds) == (12.5, None, 0.48)
    assert [float(row["time_s"]) for row in rows_of(tmp_path / f"out/{name}.csv")] == [n * 0.08 for n in range(6)]


def test_a_raw_recording_without_a_rate_is_reported(tmp_path: Path, bundle_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, form, code in RAW:
        write_raw_video(folder / name, faces(3), form, code)
    write_video(folder / "timed.avi", faces(3), code="MJPG")
    stream = io.StringIO()
    results = label([folder], tmp_path / "out", Settings(bundle=bundle_path), stream=stream)
    assert [result.summary and result.summary.video.assumed_fps for result in results] == [25.0, 25.0, None]
    said = [line for line in stream.getvalue().splitlines() if "without times" in line]
    assert all(name in line and "25 frames/s are assumed" in line for (name, *_), line in zip(RAW, said, strict=True))
    assert all("--raw-fps" in line for line in said)


def test_a_clip_that_was_trimmed_by_its_edit_list_is_whole(tmp_path: Path, labeller: Labeller) -> None:
    times_ms = range(0, 3000, 100)
    clip = write_timed_video(tmp_path / "phone.mp4", ((ms, face_frame(ms / 1000)) for ms in times_ms))
    trimmed = labelled(labeller, trim_by_edit_list(clip, 0.4), tmp_path / "out").summary
    assert trimmed is not None and trimmed.whole
    assert 11 <= trimmed.frames <= 13 and trimmed.video.container_frames == 30


def test_parquet_has_the_same_rows_and_the_summary_as_metadata(tmp_path: Path, labeller: Labeller) -> None:
    import pyarrow.parquet as pq

    clip = write_video(tmp_path / "clip.mp4", both(10))
    for form in ("csv", "parquet"):
        labelled(labeller, clip, tmp_path / "out", LabelOptions(form))
    found = pq.read_table(tmp_path / "out/clip.mp4.parquet")
    texts = [{name: "" if cell is None else str(cell) for name, cell in row.items()} for row in found.to_pylist()]
    assert texts == rows_of(tmp_path / "out/clip.mp4.csv")
    kinds = {str(field.type) for field in found.schema}
    assert kinds == {"int64", "double", "string"}
    metadata = json.loads(pq.read_metadata(tmp_path / "out/clip.mp4.parquet").metadata[b"fer-edge"])
    beside = json.loads((tmp_path / "out/clip.mp4.parquet.json").read_text())
    assert {name: beside[name] for name in ("made_by", "source", "video", "frames", "seconds")} == {
        name: metadata[name] for name in ("made_by", "source", "video", "frames", "seconds")
    }


# What happens between two calls, and whether the file is read again.
def nothing(clip: Path, out: Path) -> None:
    pass


def touched(clip: Path, out: Path) -> None:
    os.utime(clip, ns=(0, clip.stat().st_mtime_ns + 1_000_000))


def longer(clip: Path, out: Path) -> None:
    write_video(clip, faces(6))


def no_rows(clip: Path, out: Path) -> None:
    (out / "clip.mp4.csv").unlink()


def torn_rows(clip: Path, out: Path) -> None:
    os.truncate(out / "clip.mp4.csv", 100)


def no_sidecar(clip: Path, out: Path) -> None:
    (out / "clip.mp4.csv.json").unlink()


def nested_sidecar(clip: Path, out: Path) -> None:
    (out / "clip.mp4.csv.json").write_text("[" * 100_000)


def torn_sidecar(clip: Path, out: Path) -> None:
    os.truncate(out / "clip.mp4.csv.json", 100)


@pytest.mark.parametrize(
    ("between", "values", "options", "again"),
    [
        (nothing, {}, LabelOptions(), False),
        (nothing, {"budget_bytes": 1 << 20, "health_s": 3.0}, LabelOptions(), False),
        (nothing, {"smooth_s": 0.5}, LabelOptions(), True),
        (nothing, {"region": (0, 0, 0.9, 1.0)}, LabelOptions(), True),
        (nothing, {"detector": "haar"}, LabelOptions(), True),
        (nothing, {"bundle": Path("nano")}, LabelOptions(), True),
        (nothing, {}, LabelOptions(annotate=True), True),
        (nothing, {}, LabelOptions("parquet"), True),
        (touched, {}, LabelOptions(), True),
        (longer, {}, LabelOptions(), True),
        (no_rows, {}, LabelOptions(), True),
        (torn_rows, {}, LabelOptions(), True),
        (no_sidecar, {}, LabelOptions(), True),
        (torn_sidecar, {}, LabelOptions(), True),
        (nested_sidecar, {}, LabelOptions(), True),
    ],
)
def test_a_finished_result_is_made_again_only_when_it_would_differ(
    tmp_path: Path,
    bundle_path: Path,
    between: Callable[[Path, Path], None],
    values: dict[str, Any],
    options: LabelOptions,
    again: bool,
) -> None:
    clip, out = write_video(tmp_path / "clip.mp4", faces(4)), tmp_path / "out"
    first = labelled(Labeller(Settings(bundle=bundle_path)), clip, out)
    assert (
        finished_result(Recording.at(clip, clip.name), out, CSV, Labeller(Settings(bundle=bundle_path)).made_by)
        == first.summary
    )
    between(clip, out)
    then, recording = Labeller(Settings(**{"bundle": bundle_path, **values})), Recording.at(clip, clip.name)
    assert (finished_result(recording, out, options, then.made_by) is None) == again
    summary = labelled(then, clip, out, options).summary
    assert summary is not None and finished_result(recording, out, options, then.made_by) == summary


def test_the_result_of_another_video_is_replaced_with_a_message(
    tmp_path: Path, labeller: Labeller, capsys: pytest.CaptureFixture[str]
) -> None:
    for camera, frames in (("hall", 3), ("hall", 3), ("door", 4)):
        (tmp_path / camera).mkdir(exist_ok=True)
        clip = tmp_path / camera / "clip.mp4"
        label([clip if clip.exists() else write_video(clip, faces(frames))], tmp_path / "out", labeller.settings)
        told = "other videos of the same name, or of these before they changed, which are replaced: clip.mp4"
        assert (told in capsys.readouterr().err) == (camera == "door")


@pytest.mark.parametrize("same", [True, False])
def test_the_pictures_of_another_video_do_not_stay_beside_its_table(
    same: bool, tmp_path: Path, labeller: Labeller
) -> None:
    first, second = tmp_path / "hall", tmp_path / ("hall" if same else "door")
    for folder, count in ((first, 3), (second, 4)):
        folder.mkdir(exist_ok=True)
        if not (folder / "clip.mp4").exists():
            write_video(folder / "clip.mp4", faces(count))
    label([first / "clip.mp4"], tmp_path / "out", labeller.settings, LabelOptions(annotate=True))
    copy = tmp_path / "out/clip.mp4.labelled.mp4"
    assert copy.exists()
    changed = replace(labeller.settings, max_faces=1)
    label([second / "clip.mp4"], tmp_path / "out", changed)
    assert copy.exists() == same


def test_a_finished_result_is_not_touched(tmp_path: Path, labeller: Labeller) -> None:
    folder, out = videos(tmp_path / "in"), tmp_path / "out"
    first = label([folder], out, labeller.settings, jobs=2)
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.rglob("*")}
    (folder / "new.mp4").write_bytes((folder / "a.mp4").read_bytes())
    second = label([folder], out, labeller.settings)
    assert [result.state for result in first] == ["labelled"] * 3
    assert {result.source.name: result.state for result in second} == {
        "a.mp4": "was labelled",
        "b.avi": "was labelled",
        "new.mp4": "labelled",
    }
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in before if path != out} == {
        path: known for path, known in before.items() if path != out
    }


def test_broken_files_are_named_and_the_others_labelled(tmp_path: Path) -> None:
    folder = videos(tmp_path / "in")
    video_bytes = (folder / "a.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(video_bytes[: len(video_bytes) // 2])
    (folder / "empty.mov").touch()
    (folder / "text.mkv").write_text("this is no video\n" * 100)
    ended = ran(folder, "--out", tmp_path / "out", "--json", "--jobs", "2")
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    states = {Path(line["source"]).name: line["state"] for line in lines}
    assert states == {"a.mp4": "labelled", "b.avi": "labelled"} | dict.fromkeys(
        ("cut.mp4", "empty.mov", "text.mkv"), "failed"
    )
    for name in ("cut.mp4", "empty.mov", "text.mkv"):
        assert f"{name} was skipped: " in ended.stderr
        assert not (tmp_path / f"out/{name}.csv").exists()
    assert "3 of 6 could not be read to the end" in ended.stderr
    assert len(rows_of(tmp_path / "out/more/a.mp4.csv")) == 24


def cut_short(folder: Path) -> Path:
    """A download that stopped."""
    video_bytes = write_video(folder / "whole.mkv", faces(30), code="MJPG").read_bytes()
    (folder / "part.mkv").write_bytes(video_bytes[: len(video_bytes) // 2])
    return folder / "part.mkv"


def damaged(folder: Path) -> Path:
    """A card that lost some sectors in the middle."""
    clip = write_video(folder / "card.mp4", faces(30))
    content = bytearray(clip.read_bytes())
    third = len(content) // 3
    content[third : third + third // 2] = bytes(third // 2)
    clip.write_bytes(content)
    return clip


@pytest.mark.parametrize("made", [cut_short, damaged])
def test_a_file_that_ends_early_is_named(tmp_path: Path, labeller: Labeller, made: Callable[[Path], Path]) -> None:
    """Its rows are written, and the result states that they are not complete."""
    clip, reported = made(tmp_path), []
    results = label([clip], tmp_path / "out", labeller.settings, on_result=reported.append)
    assert reported == results and "its container states 30" in results[0].problem
    assert 3 < len(rows_of(results[0].rows)) < 28
    (again,) = label([clip], tmp_path / "out", labeller.settings)
    assert again.state == "was labelled" and again.problem == results[0].problem


def test_a_long_time_without_a_frame_is_named(
    tmp_path: Path, labeller: Labeller, capsys: pytest.CaptureFixture[str]
) -> None:
    """Matroska keeps the times of the frames after a damaged part, so that the last one is at the stated end."""
    clip = write_video(tmp_path / "card.mkv", faces(60), code="MJPG")
    content = bytearray(clip.read_bytes())
    third = len(content) // 3
    content[third : 2 * third] = bytes(third)
    clip.write_bytes(content)
    (result,) = label([clip], tmp_path / "out", labeller.settings)
    assert result.summary is not None and result.summary.gap_s is not None
    before_s, after_s = result.summary.gap_s
    assert 1.0 < after_s - before_s < 5.0
    assert f"card.mkv has no frame from {before_s:.1f} to {after_s:.1f} s" in capsys.readouterr().err
    times = sorted({float(row["time_s"]) for row in rows_of(result.rows)})
    assert not [at for at in times if before_s < at < after_s]
    (again,) = label([clip], tmp_path / "out", labeller.settings)
    assert again.state == "was labelled" and again.summary == result.summary


def ran_unread(*words: str | Path) -> tuple[int, str]:
    """The exit code of the command `label` and what it wrote on stderr; the reader of its stdout is gone, as in `… | head`."""
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        command("label", *words), stdout=write, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRON, check=False
    )
    os.close(write)
    return ended.returncode, ended.stderr


def test_all_tables_are_written_when_nobody_reads_stdout(tmp_path: Path) -> None:
    folder, out, joined = videos(tmp_path / "in"), tmp_path / "out", tmp_path / "joined"
    code, spoken = ran_unread(folder, "--out", out, "--shard", "1/1")
    assert code == 0 and "3 labelled, 46 frames" in spoken
    assert len(list(out.rglob("*.csv"))) == 4, "three tables and the index"
    code, spoken = ran_unread("merge", out, "--out", joined, "--json")
    assert code == 0 and "3 labelled, 46 frames" in spoken
    (folder / "broken.mp4").write_bytes(b"no video")
    code, spoken = ran_unread(folder, "--out", out)
    assert code == 2 and "1 of 4 could not be read to the end" in spoken


def test_a_file_that_changes_while_it_is_read_has_no_result(tmp_path: Path, labeller: Labeller) -> None:
    clip, out = write_video(tmp_path / "clip.mkv", faces(4), code="MJPG"), tmp_path / "out"
    out.mkdir()
    task = LabelTask(Recording.at(clip, clip.name), out, out / "fresh", LabelOptions())
    found = labeller.label(task, lambda _: touched(clip, out))
    assert found.summary is None and "changed while it was read" in found.problem
    assert contents(out) == {} and not task.scratch.exists()


def test_a_decoder_crash_fails_only_its_own_file(tmp_path: Path) -> None:
    """The process that reads a file is killed as a fault in a decoder would; the files after it are done by another."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_video(folder / "a.mp4", faces(400))
    write_video(folder / "b.mp4", faces(4))
    with started(folder, tmp_path / "out") as process:
        wait_until(process, lambda: any((tmp_path / "out").glob(".label-*/0/a.mp4.csv")))
        (child,) = workers_of(process.pid)
        os.kill(child, signal.SIGSEGV)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "a.mp4 was skipped" in err and "SIGSEGV" in err
    assert set(contents(tmp_path / "out")) == {"b.mp4.csv", "b.mp4.csv.json"}


def started(*words: str | Path) -> subprocess.Popen[str]:
    """The command `label` with its results in the last of the words, as the leader of a group of processes of its own."""
    *paths, out = words
    return subprocess.Popen(
        command("label", *paths, "--out", out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=ENVIRON,
        start_new_session=True,
    )


def workers_of(parent: int) -> list[int]:
    """The processes that it started to read with."""
    tasks = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in tasks if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def is_there(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def unfinished(out: Path) -> list[str]:
    """The tables of unfinished results; a folder that is removed meanwhile is passed over."""
    return [
        name for folder, _, names in os.walk(out) if "/.label-" in folder for name in names if name.endswith(".csv")
    ]


@pytest.mark.parametrize(
    ("how", "code"), [("Ctrl-C", 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_an_interrupted_command_leaves_no_partial_table_and_can_be_continued(
    tmp_path: Path, how: str | signal.Signals, code: int
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    write_video(folder / "a.mp4", faces(4))
    write_video(folder / "b.mp4", faces(1000))  # long enough to be interrupted on a busy machine
    write_video(folder / "c.mp4", faces(1000))
    with started(folder, "--jobs", "2", out) as process:
        wait_until(process, lambda: len(unfinished(out)) == 2 and (out / "a.mp4.csv.json").exists())
        children = workers_of(process.pid)
        assert len(children) == 2
        if isinstance(how, str):
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        else:
            process.send_signal(how)
        _, err = process.communicate(timeout=30)
    assert process.returncode == code and "Traceback" not in err, err
    end = time.monotonic() + 10
    while any(map(is_there, children)):
        assert time.monotonic() < end, "a process that reads outlived the one that started it"
        time.sleep(0.01)
    assert set(contents(out)) == {"a.mp4.csv", "a.mp4.csv.json"}
    assert isinstance(how, signal.Signals) or not list(out.glob(".label-*"))
    write_video(folder / "b.mp4", faces(5))
    write_video(folder / "c.mp4", faces(5))
    again = ran(folder, "--out", out)
    assert again.returncode == 0 and "1 of 3 were labelled already" in again.stderr
    assert len(contents(out)) == 6 and not list(out.glob(".label-*"))


@pytest.mark.parametrize("annotate", [False, True])
def test_a_full_disk_is_an_error_and_leaves_no_files(tmp_path: Path, annotate: bool) -> None:
    """A limit on the size of files stands for it: what does not fit is refused in the same call."""
    clip = write_video(tmp_path / "clip.mp4", faces(30))
    limit = 20_000 if annotate else 1500

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    ended = ran(clip, "--out", tmp_path / "out", *(["--annotate"] if annotate else []), preexec_fn=full)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert ("is the disk full?" if annotate else "cannot be written: File too large") in ended.stderr
    assert contents(tmp_path / "out") == {} and not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{}/missing.mp4", "--out", "{}/out"], "cannot be read: No such file"),
        (
            ["http:/user:secret@h/a.mp4", "http:/u:secret@i/a.mp4", "--out", "{}/out"],
            "an address cannot be read: No such",
        ),
        (["rtsp://user:secret@h/a.mp4", "--out", "{}/out"], "an address cannot be read: No such"),
        (["{}/nothing", "--out", "{}/out"], "has no video"),
        (["/dev/null", "--out", "{}/out"], "/dev/null is not a file"),
        (["{}/clip.mp4", "--out", "{}/clip.mp4"], "cannot be written to: File exists"),
        (["{}/clip.mp4", "{}/other/clip.mp4", "--out", "{}/out"], "would have the same name"),
        (["{}/clip.mp4", "--out", "{}/out", "--jobs", "0"], "--jobs must be 1 or more"),
        (["{}/clip.mp4", "--out", "{}/out", "--show-faces"], "needs --annotate"),
        (["merge", "{}/a", "--out", "{}/out", "--format", "csv", "--annotate"], "leave out --format, --annotate"),
        (["merge", "{}/a", "--out", "{}/out", "--explain-privacy"], "leave out --explain-privacy"),
        (["merge", "~nobody-of-this-name/a", "--out", "{}/out"], "~nobody-of-this-name/a"),
        (["{}/clip.mp4", "--out", "{}/out", "--detector", "none"], "there is no detector “none”"),
        (["{}/clip.mp4", "--out", "{}/out", "--bundle", "{}"], "is not a bundle"),
    ],
)
def test_a_wrong_argument_is_an_error_with_advice(tmp_path: Path, words: list[str], message: str) -> None:
    for folder in ("nothing", "other"):
        (tmp_path / folder).mkdir()
    for clip in (tmp_path / "clip.mp4", tmp_path / "other" / "clip.mp4"):
        write_video(clip, faces(2))
    ended = ran(*(word.format(tmp_path) for word in words))
    assert ended.returncode == 2 and message in ended.stderr and "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr
    assert ended.stdout == "" and not contents(tmp_path / "out")


def test_parquet_without_its_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # what Python takes for not installed
    clip = write_video(tmp_path / "clip.mp4", faces(2))
    with pytest.raises(UsageError, match=r"pip install 'fer-edge\[parquet\]'"):
        label([clip], tmp_path / "out", Settings(), LabelOptions("parquet"))
    assert not (tmp_path / "out").exists()


def test_a_folder_stands_for_the_videos_below_it(tmp_path: Path) -> None:
    names = ("b.mp4", "A.MP4", "b.mkv", "deep/er/c.webm", "odd.name")
    others = (".hidden.mp4", "notes.txt", "b.mp4.labelled.mp4", "b.mp4.csv")
    for name in (*names, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_recordings([tmp_path, tmp_path / "odd.name", tmp_path / "b.mp4", tmp_path / "deep/../b.mkv"])
    assert [recording.name for recording in found] == ["A.MP4", "b.mkv", "b.mp4", "deep/er/c.webm", "odd.name"]


def test_memory_does_not_grow_with_a_recording(tmp_path: Path, bundle_path: Path) -> None:
    """Ten times the frames, 300 kB each, with pictures too, and less than a tenth of them more memory."""
    write_video(tmp_path / "short.mp4", faces(30))
    write_video(tmp_path / "long.mp4", faces(300))
    script = f"""
import resource
from pathlib import Path
from device.config import Settings
from device.recorded.files import LabelOptions, Recording
from device.recorded.labeller import Labeller, LabelTask
labeller, out = Labeller(Settings(bundle=Path({str(bundle_path)!r}))), Path({str(tmp_path)!r})
for name in ("short.mp4", "long.mp4"):
    task = LabelTask(Recording.at(out / name, name), out, out / "fresh", LabelOptions("parquet", annotate=True))
    print(labeller.label(task, lambda _: None).summary.frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    stdout = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (short, short_kb), (long, long_kb) = (map(int, line.split()) for line in stdout.splitlines())
    assert (short, long) == (30, 300)
    assert long_kb - short_kb < 0.1 * (long - short) * 640 * 480 / 1000


def test_parquet_is_written_in_row_groups(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    cells: list[Any] = [0, 0.0, 1, 2, 3, 4, 5, 0.9, "a", 0.6, 0.4, "a", 0.7, None, 1.0]
    with ParquetTable(tmp_path / "rows.parquet", ("a", "b")) as table:
        for number in range(40_000):
            table.add([number, *cells[1:]])
    found = pq.ParquetFile(tmp_path / "rows.parquet")
    assert found.num_row_groups == 3 and found.metadata.num_rows == 40_000
    assert found.read(["frame"])["frame"].to_pylist() == list(range(40_000))


def documented() -> list[list[str]]:
    """The commands of the part on recorded video in what a Pi's owner reads."""
    text = (ROOT / "device/README.md").read_text()
    part = text.partition("## Recorded video\n")[2].partition("\n## ")[0]
    return [line.partition("#")[0].split() for line in part.splitlines() if line.startswith("fer-edge ")]


@pytest.mark.parametrize("words", documented(), ids=" ".join)
def test_the_documented_commands_run_as_typed(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "videos/deep").mkdir(parents=True)
    write_video(tmp_path / "party.mp4", faces(3))
    write_video(tmp_path / "videos/deep/one.mkv", faces(3), code="MJPG")
    environ = {**ENVIRON, "PYTHONPATH": str(ROOT)}
    completed = subprocess.run(
        command(*words[1:]), cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stderr
    (rows,) = (tmp_path / line for line in completed.stdout.splitlines())
    assert rows.exists() and rows.parent.is_relative_to(tmp_path / "labels")
    assert ("--annotate" in words) == (tmp_path / "labels/party.mp4.labelled.mp4").exists()


def test_the_documentation_lists_every_column(tmp_path: Path, bundle_path: Path) -> None:
    from fer_edge.bundle import Bundle

    text = (ROOT / "device/README.md").read_text().partition("| column | what |")[2].partition("\n\n")[0]
    cells = " ".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    labels = Bundle.load(bundle_path).labels
    assert set(re.findall(r"`(\w+)`", cells)) == {
        name for name in columns(labels) if not name.startswith("p_") or name == f"p_{labels[0]}"
    }
