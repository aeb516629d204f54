"""`fer-edge collect` stores crops of faces on request alone, as the model sees them, bounded, for their owner only."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builders import reading as a_reading
from collected_faces import face, png
from fakes import FakeClock
from processes import ROOT
from small_disk import mounted

from device.camera.frame import Frame
from device.clock import SystemClock
from device.config import Settings
from device.output.collected.crop_ages import correct_ages
from device.output.collected.face_folder import FaceFolder, class_name
from device.output.collected.face_limits import FaceLimits
from device.output.collected.face_store import FaceCollection, FaceStore
from device.run import run
from device.vision.pipeline import Pipeline
from device.vision.readings import FrameResult
from device.vision.search import SearchState
from fer_edge.bundle import Bundle
from fer_edge.cli import main
from fer_edge.detection.registry import find_detector
from fer_edge.errors import UsageError
from fer_edge.synthetic_face import face_frame

CONSENT = "--store-pictures-of-faces"


@pytest.fixture
def folder(tmp_path: Path) -> FaceFolder:
    return FaceFolder.create(tmp_path / "faces", 14)


@pytest.fixture(scope="module")
def pipeline(bundle_path: Path, blazeface: object) -> Pipeline:
    return Pipeline(find_detector(), Bundle.load(bundle_path))


def collected(tmp_path: Path, pipeline: Pipeline, seconds: range, **limits: Any) -> tuple[FaceFolder, list[str]]:
    """The folder after one drawn face was seen once in each of these seconds, and what was logged."""
    clock, said, state = FakeClock(), list[str](), SearchState()
    collection = FaceCollection(tmp_path / "faces", FaceLimits(**limits))
    with FaceStore(collection, 0.5, clock, said.append).observe(pipeline) as store:
        for second in seconds:
            clock.now_ns = (5 + second) * 10**9
            frame = Frame(second, clock.now_ns, face_frame(second / 10))
            state, result = pipeline.process(state, frame, Settings())
            assert len(result.readings) == 1
            store.on_frame(frame, result, {}, None)
    return FaceFolder.open(tmp_path / "faces"), said


def rows(folder: FaceFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder.path / "index.jsonl").read_text().splitlines()]


def test_a_crop_is_what_the_model_saw_one_each_few_seconds(tmp_path: Path, pipeline: Pipeline) -> None:
    folder, said = collected(tmp_path, pipeline, range(10), every_s=3)
    names = folder.waiting()
    assert len(names) == 4 and said == []  # in the seconds 0, 3, 6, 9
    for row, second in zip(rows(folder), (0, 3, 6, 9), strict=True):
        _, result = pipeline.process(SearchState(), Frame(0, 10**9, face_frame(second / 10)), Settings())
        stored = cv2.imdecode(np.frombuffer(folder.read(row["file"]), np.uint8), cv2.IMREAD_UNCHANGED)
        assert stored.shape == (48, 48) and stored.dtype == np.uint8
        p = float(pipeline.bundle.classify(stored[None]).max())
        assert row["p"] == pytest.approx(p, abs=1e-3), "the stored crop is the one that was classified"
        assert row["label"] in pipeline.bundle.labels and row["quality"] > 0.5 and len(row["xywh"]) == 4
        assert result.readings[0].face.xywh[2] == pytest.approx(row["xywh"][2], rel=0.1)


def test_nobody_else_can_read_any_of_it(tmp_path: Path, pipeline: Pipeline) -> None:
    mask = os.umask(0)
    try:
        folder, _ = collected(tmp_path, pipeline, range(2), every_s=1)
        folder.label(folder.waiting()[0], "my class")
    finally:
        os.umask(mask)
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in (folder.path, *folder.path.rglob("*"))}
    assert len(found) == 8 and folder.path / "labelled/my class" in found
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in found.items()), found


@pytest.mark.parametrize(
    ("limits", "stored"), [({"max_pictures": 2}, 2), ({"max_size": 10_000}, 5), ({}, 8)], ids=["faces", "bytes", "none"]
)
def test_the_folder_is_bounded(tmp_path: Path, limits: dict[str, int], stored: int) -> None:
    clock, said = FakeClock(), list[str]()
    store = FaceStore(FaceCollection(tmp_path / "faces", FaceLimits(**limits)), 0.5, clock, said.append)
    with store.observe(NoisyCrops()) as open_store:  # type: ignore[arg-type]
        for track in range(8):
            reading = a_reading("happy", track=track, quality=1.0)
            open_store.on_frame(Frame(track, 10**9, np.zeros((9, 9), np.uint8)), FrameResult((reading,)), {}, None)
    count, size = FaceFolder.open(tmp_path / "faces").size()
    assert count == stored == store.stored and size <= limits.get("max_size", 10**9)
    assert said == (
        [] if stored == 8 else ["the folder of faces is full; no more are stored until some are deleted or expire"]
    )


def test_the_limit_is_that_of_the_folder_and_not_of_a_run(tmp_path: Path) -> None:
    collection = FaceCollection(tmp_path / "faces", FaceLimits(max_pictures=2))
    for run_number in range(3):
        with FaceStore(collection, 0.5, FakeClock(), lambda _: None).observe(NoisyCrops()) as store:  # type: ignore[arg-type]
            for track in range(8):
                reading = a_reading("happy", track=10 * run_number + track, quality=1.0)
                store.on_frame(Frame(track, 10**9, np.zeros((9, 9), np.uint8)), FrameResult((reading,)), {}, None)
        assert FaceFolder.open(tmp_path / "faces").size()[0] == 2


def test_the_next_collect_deletes_what_has_expired(folder: FaceFolder) -> None:
    folder.add(face(), png())
    os.utime(folder.unlabelled / folder.waiting()[0], (0, 0))
    with FaceStore(FaceCollection(folder.path), 0.5, FakeClock(), print).observe(NoisyCrops()):  # type: ignore[arg-type]
        assert folder.waiting() == []


def test_months_of_faces_take_no_memory(tmp_path: Path) -> None:
    """Each face has a track of its own; what is remembered of one is forgotten when its next crop would be due."""
    limits = FaceLimits(max_pictures=1)
    with FaceStore(FaceCollection(tmp_path / "faces", limits), 0.5, FakeClock(), print).observe(NoisyCrops()) as store:  # type: ignore[arg-type]

        def see(tracks: range) -> None:
            for track in tracks:
                reading = replace(a_reading("happy", track=track, quality=1.0), mono_ns=track * 10 * 10**9)
                store.on_frame(Frame(track, reading.mono_ns, NOISE), FrameResult((reading,)), {}, None)

        see(range(100))
        tracemalloc.start()
        see(range(100, 10_000))
        grown_bytes = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    assert grown_bytes < 100_000


NOISE = np.random.default_rng(0).integers(0, 200, (40, 40), np.uint8)


class NoisyCrops:
    """In the place of a pipeline: crops of noise."""

    def crop(self, *_: object) -> tuple[np.ndarray, int]:
        return NOISE, 40


def test_crops_expire_while_nobody_is_in_view(tmp_path: Path) -> None:
    clock, said = FakeClock(), list[str]()
    store = FaceStore(FaceCollection(tmp_path / "faces"), 0.5, clock, said.append, check_s=0.01)
    with store.observe(NoisyCrops()) as open_store:  # type: ignore[arg-type]
        reading = a_reading("happy", track=1, quality=1.0)
        open_store.on_frame(Frame(0, 10**9, np.zeros((9, 9), np.uint8)), FrameResult((reading,)), {}, None)
        folder = FaceFolder.open(tmp_path / "faces")
        until(lambda: len(folder.waiting()) == 1)
        clock.now_ns += 15 * 86_400 * 10**9
        until(lambda: folder.waiting() == [])
    assert said == []


@pytest.mark.parametrize("step_s", [21 * 86_400, -21 * 86_400], ids=["was behind", "was ahead"])
def test_a_crop_does_not_expire_early_or_late_because_the_clock_was_set(step_s: int, tmp_path: Path) -> None:
    clock = FakeClock()
    store = FaceStore(FaceCollection(tmp_path / "faces"), 0.5, clock, print, check_s=0.01)
    with store.observe(NoisyCrops()) as open_store:  # type: ignore[arg-type]
        reading = a_reading("happy", track=1, quality=1.0)
        open_store.on_frame(Frame(0, 10**9, np.zeros((9, 9), np.uint8)), FrameResult((reading,)), {}, None)
        folder = FaceFolder.open(tmp_path / "faces")
        until(lambda: len(folder.waiting()) == 1)
        crop = folder.unlabelled / folder.waiting()[0]
        until(lambda: store.stored == 1)
        os.utime(crop, (time.time() - step_s,) * 2)  # as it was written, before the clock was set
        clock.now_ns += 2 * 3600 * 10**9
        until(lambda: abs(time.time() - 2 * 3600 - crop.stat().st_mtime) < 60)
        clock.now_ns += 13 * 86_400 * 10**9
        until(lambda: abs(time.time() - 13 * 86_400 - 2 * 3600 - crop.stat().st_mtime) < 60)
        clock.now_ns += 86_400 * 10**9
        until(lambda: folder.waiting() == [])


def test_a_crop_keeps_its_age_where_the_clock_is_set_before_or_after_the_end(tmp_path: Path) -> None:
    """A collection of a minute on a Pi whose clock was three weeks behind; then the review, or the next collection."""
    clock = SystemClock()
    reading = replace(a_reading("happy", track=1, quality=1.0), mono_ns=clock.mono_ns())
    store = FaceStore(FaceCollection(tmp_path / "faces"), 0.5, clock, print)
    with store.observe(NoisyCrops()) as open_store:  # type: ignore[arg-type]
        open_store.on_frame(Frame(0, reading.mono_ns, np.zeros((9, 9), np.uint8)), FrameResult((reading,)), {}, None)
        until(lambda: store.stored == 1)
        folder = FaceFolder.open(tmp_path / "faces")
        crop = folder.unlabelled / folder.waiting()[0]
        os.utime(crop, (time.time() - 21 * 86_400,) * 2)
    assert abs(time.time() - crop.stat().st_mtime) < 60, "set within the run"
    os.utime(crop, (time.time() - 21 * 86_400,) * 2)
    correct_ages(folder, SystemClock())
    assert folder.prune(14) == 0 and folder.waiting() == [crop.name]
    row = json.loads((folder.path / "index.jsonl").read_text())
    for damaged in ({**row, "boot": "another"}, {**row, "mono_s": "x"}, {**row, "file": "../x"}, [], row["boot"]):
        (folder.path / "index.jsonl").write_text(json.dumps(damaged) + "\n{\n")
        os.utime(crop, (time.time() - 7 * 86_400,) * 2)
        correct_ages(folder, SystemClock())
        assert time.time() - crop.stat().st_mtime > 6 * 86_400


def test_on_a_full_disk_a_collection_goes_on_and_its_old_crops_expire(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "256k") as disk:
        folder = FaceFolder.create(disk / "faces", FaceLimits().expire_days)
        folder.add(face(), png())
        os.utime(folder.unlabelled / folder.waiting()[0], (0, 0))
        with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
            while file.write(bytes(1024)):
                pass
        with FaceStore(FaceCollection(disk / "faces"), 0.5, FakeClock(), print).observe(NoisyCrops()):  # type: ignore[arg-type]
            assert folder.waiting() == []
        (disk / "more").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
        with pytest.raises(
            UsageError, match=r"faces/fer-edge-faces\.json cannot be written \(No space left on device\)"
        ):
            FaceFolder.create(disk / "faces", 7)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_folder_is_of_one_collecting_process(tmp_path: Path) -> None:
    collection = FaceCollection(tmp_path / "faces")
    first, second = (FaceStore(collection, 0.5, FakeClock(), print) for _ in range(2))
    with first, pytest.raises(UsageError, match="another `fer-edge collect` stores faces in"), second:
        pass
    with second:
        pass


def test_poor_crops_and_faces_without_a_track_are_not_stored(tmp_path: Path) -> None:
    store = FaceStore(FaceCollection(tmp_path / "faces"), 0.5, FakeClock(), print)
    with store.observe(NoisyCrops()) as open_store:  # type: ignore[arg-type]
        for track, quality in ((1, 0.49), (2, None), (None, 1.0), (3, 0.5)):
            reading = a_reading("happy", track=track, quality=quality)
            open_store.on_frame(Frame(0, 10**9, np.zeros((9, 9), np.uint8)), FrameResult((reading,)), {}, None)
    assert [row["track"] for row in rows(FaceFolder.open(tmp_path / "faces"))] == [3]


def test_a_reload_changes_the_quality_that_is_required(tmp_path: Path) -> None:
    store = FaceStore(FaceCollection(tmp_path / "faces"), 0.5, FakeClock(), print)
    with store.observe(NoisyCrops()) as open_store:  # type: ignore[arg-type]
        for track, min_quality in ((1, 0.5), (2, 0.3), (3, 0.5)):
            open_store.on_settings(Settings(min_quality=min_quality))
            result = FrameResult((a_reading("happy", track=track, quality=0.4),))
            open_store.on_frame(Frame(0, 10**9, np.zeros((9, 9), np.uint8)), result, {}, None)
    assert [row["track"] for row in rows(FaceFolder.open(tmp_path / "faces"))] == [2]


def test_crops_without_a_label_expire_and_labelled_ones_stay(folder: FaceFolder) -> None:
    for number in range(4):
        folder.add(face(f"2026112715565869{number}-1.png"), png(number))
    old, new, labelled, _ = folder.waiting()
    folder.label(labelled, "happy")
    (folder.unlabelled / ".unfinished.png").write_bytes(b"")
    for path in (folder.unlabelled / old, folder.labelled / "happy" / labelled, folder.unlabelled / ".unfinished.png"):
        os.utime(path, (0, time.time() - 14.1 * 86_400))
    assert folder.prune(14) == 1
    assert folder.waiting() == [new, "20261127155658693-1.png"] and folder.counts() == {"happy": 1}
    assert not (folder.unlabelled / ".unfinished.png").exists()
    assert [row["file"] for row in rows(folder)] == [new, labelled, "20261127155658693-1.png"], "nor in the index"
    assert folder.expire_days() == 14


def test_a_foreign_folder_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir(mode=0o700)
    (tmp_path / "photos" / "me.png").write_bytes(png())
    with pytest.raises(UsageError, match=r"already holds me\.png"):
        FaceFolder.create(tmp_path / "photos", 14)
    with pytest.raises(UsageError, match="is not a folder of `fer-edge collect"):
        FaceFolder.open(tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["me.png"]
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(UsageError, match="others can read"):
        FaceFolder.create(tmp_path / "open", 14)
    with pytest.raises(UsageError, match="is not a folder"):
        FaceFolder.create(tmp_path / "photos" / "me.png", 14)
    with pytest.raises(UsageError, match="cannot be made"):
        FaceFolder.create(tmp_path / "no" / "where", 14)


def test_no_link_is_followed(tmp_path: Path, folder: FaceFolder) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "secret.png").write_bytes(png())
    folder.add(face(), png())
    (folder.labelled / "happy").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (folder.unlabelled / "2-1.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(UsageError, match="is not a folder"):
        folder.label(face().file, "happy")
    with pytest.raises(OSError):
        folder.read("2-1.png")
    assert (
        folder.waiting() == [face().file] and folder.counts() == {} and list((tmp_path / "elsewhere").iterdir()) == []
    )
    with pytest.raises(UsageError, match="is not a folder"):
        FaceFolder.create(tmp_path / "link", 14)


@pytest.mark.parametrize("name", ["../x.png", ".x.png", "a/b.png", "x.txt", "", "x" * 90 + ".png", "é.png"])
def test_a_crop_has_a_plain_name(name: str, folder: FaceFolder) -> None:
    for step in (folder.read, folder.delete, lambda n: folder.label(n, "happy")):
        with pytest.raises(UsageError, match="is not the name of a crop"):
            step(name)


@pytest.mark.parametrize("label", ["", "a/b", "..", ".x", "train", "Test", "unsure", "None", " a", "a\n", "x" * 200])
def test_a_class_that_no_training_would_read_is_refused(label: str) -> None:
    with pytest.raises(UsageError):
        class_name(label)


def test_the_classes_are_those_that_a_training_reads(folder: FaceFolder) -> None:
    from convert.data.loader import load, remarks

    for number, label in enumerate(["awake", "müde", "awake", "müde", "none"]):
        folder.add(face(f"{number}-1.png"), png(10 * number))
        folder.label(f"{number}-1.png", label)
    samples = load(folder.labelled, classes="own")
    assert samples.labels == ("awake", "müde") and samples.y.tolist() == [0, 0, 1, 1]
    assert sorted(samples.x[:, 0, 0, 0].tolist()) == [0, 10, 20, 30], "the very pixels"
    assert "left out as none of awake, müde: none 1" in remarks(samples)


def test_a_label_is_undone_and_two_of_one_name_are_never_one(folder: FaceFolder) -> None:
    folder.add(face(), png(1))
    folder.label(face().file, "happy")
    assert folder.counts() == {"happy": 1} and folder.waiting() == []
    folder.unlabel(face().file, "happy")
    assert folder.counts() == {} and folder.waiting() == [face().file]
    folder.label(face().file, "happy")
    folder.add(face(), png(2))
    with pytest.raises(FileExistsError):
        folder.label(face().file, "happy")
    assert folder.size()[0] == 2, "neither is lost"


def test_it_is_refused_unless_asked_for_in_so_many_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["collect"]) == 2 and main(["collect", CONSENT]) == 2
    assert main(["collect", "--faces", "faces", "--camera", "synthetic"]) == 2
    assert f"add {CONSENT}" in capsys.readouterr().err
    for argument in ("--store", CONSENT[:-1]):
        with pytest.raises(SystemExit):
            main(["collect", "--faces", "faces", argument])
    for name in ("faces", "consent", "collection", "store_pictures_of_faces"):
        (tmp_path / "own.toml").write_text(f"{name} = true\n")
        assert main(["collect", "--config", "own.toml", "--faces", "faces"]) == 2
    assert main(["collect", "--faces", "faces", "--every", "0", CONSENT]) == 2
    assert "--every must be from 0.1 to 86,400, not 0" in capsys.readouterr().err
    capsys.readouterr()
    limits = ["--max-pictures", "5", "--max-size", "1MB"]
    assert main(["collect", "--faces", "faces", *limits, "--explain-privacy"]) == 0
    assert "at most 5 and 1 MB" in " ".join(capsys.readouterr().out.split())
    assert main(["collect", "--faces", "faces", "review", "faces"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["own.toml"]


def test_a_run_without_a_collection_stores_nothing_but_its_journal(tmp_path: Path) -> None:
    settings = Settings("synthetic", log=tmp_path / "log", runtime=tmp_path / "run", duration_s=1.5)
    assert run(settings) == 0
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".jsonl", ".json", ".lock"}


def test_a_run_says_that_it_stores_faces_at_its_start_and_on_the_live_page(tmp_path: Path, blazeface: object) -> None:
    command = [sys.executable, "-m", "fer_edge", "collect", "--faces", "faces", CONSENT, "--camera", "synthetic"]
    command += ["--every", "0.5", "--live", "127.0.0.1:0", "--log", str(tmp_path / "log")]
    environ = {**os.environ, "RUNTIME_DIRECTORY": str(tmp_path / "run"), "PYTHONPATH": str(ROOT)}
    ran = subprocess.Popen(
        command, cwd=tmp_path, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        assert ran.stderr is not None
        first = ran.stderr.readline()
        assert "pictures of faces are stored in faces: one of each face every 0.5 s, at most 2,000" in first
        assert "deleted after 14 days; the people in view must know of it and agree" in first
        port = int(ran.stderr.readline().split("http://127.0.0.1:")[1].split("/")[0])
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/state")
        state = json.loads(connection.getresponse().read())
        assert state["run"]["storing"] == "This run stores pictures of the faces in view (fer-edge collect)."
        connection.close()
        while len(list((tmp_path / "faces" / "unlabelled").iterdir())) < 2:
            assert ran.poll() is None
            time.sleep(0.05)
    finally:
        ran.terminate()
        said = ran.communicate(timeout=30)[1]
    assert "faces wait for a label: `fer-edge collect review faces`" in said and ran.returncode == 0
