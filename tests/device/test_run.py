"""The loop from source to journal, on real videos, a real stream, images and the drawn face."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import journal_events, write_image, write_video
from fakes import FakeClock, NetworkCamera, ScriptedSource, network_camera

from device.camera.frame import Frame
from device.camera.source import SourceDescription, SourceLost
from device.camera.synthetic import SyntheticCamera
from device.clock import SystemClock
from device.config import Settings
from device.run import run
from device.system.status_record import Status
from device.vision.readings import FrameResult
from fer_edge import __version__
from fer_edge.bundle import Bundle
from fer_edge.detection.registry import find_detector
from fer_edge.errors import BundleRefused, FerEdgeError, NotEnoughData, RestartNeeded, UsageError
from fer_edge.events import Event
from fer_edge.face_crop import PREPROCESS_ID
from fer_edge.golden_vectors import CROP_TOLERANCE, Golden
from fer_edge.reader import Reader
from fer_edge.synthetic_face import face_frame
from tests.memory_sink import MemorySink

BLACK = np.zeros((480, 640), np.uint8)
ROOT = Path(__file__).parents[2]


def settings_of(camera: str, bundle: Path, log: Path, **values: Any) -> Settings:
    """A run that keeps a line for each reading, and whose files for others stand beside its journal."""
    return Settings(
        camera, **{"bundle": bundle, "log": log, "runtime": log.parent / "run", "per_frame": True, **values}
    )


def events_of(camera: Path | str, tmp_path: Path, bundle_path: Path, **values: Any) -> list[Event]:
    """What the journal holds after a run that ended well."""
    settings = settings_of(str(camera), bundle_path, tmp_path / "log", **values)
    assert run(settings) == 0
    return journal_events(tmp_path / "log")


def of(kind: str, events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == kind]


def check(events: list[Event]) -> dict[str, Any]:
    """The body of the end line, after checking what holds of every run's journal."""
    assert [event.seq for event in events] == list(range(len(events)))
    assert len({event.boot for event in events}) == 1
    assert [event.kind for event in events[:2]] == ["header", "camera"]
    assert events[-1].kind == "end"
    tallies = of("tally", events)
    assert tallies and abs(sum(t.body["seconds"] for t in tallies) - _spanned_s(events)) < 0.5, (
        "every second is told of"
    )
    for t in tallies:
        tally_s = t.body["observed_s"] + t.body["unavailable_s"] + t.body["paused_s"]
        assert abs(tally_s - t.body["seconds"]) < 0.01
    assert [event.body["state"] for event in of("camera", events)][:: len(of("camera", events)) - 1] == [
        "opened",
        "closed",
    ]
    end = events[-1].body
    frames = end["frames"]
    assert frames["read"] == frames["processed"] + sum(end["drops"].values())
    assert end["readings"] == len(of("reading", events))
    labels = events[0].body["labels"]
    for reading in of("reading", events):
        p = reading.body["p"]
        assert len(p) == len(labels) and abs(sum(p) - 1) < 0.001
        assert p[labels.index(reading.body["label"])] == max(p)
    return end


def _spanned_s(events: list[Event]) -> float:
    """From the camera's opening to the end."""
    return events[-1].mono_s - events[1].mono_s


def test_a_real_mp4(tmp_path: Path, bundle_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", (face_frame(n / 10) for n in range(30)), fps=10.0)
    events = events_of(clip, tmp_path, bundle_path)
    end = check(events)
    assert end["reason"] == "the recording ended"
    assert end["frames"]["read"] == end["frames"]["processed"] == 30
    assert end["drops"] == {}
    assert end["frames"]["with_face"] >= 28
    readings = of("reading", events)
    start_s = events[1].mono_s
    positions = [reading.mono_s - start_s for reading in readings]
    frames = [reading.body["frame"] for reading in readings]
    offset = positions[0] - frames[0] / 10
    assert 0 <= offset < 1
    assert positions == pytest.approx([offset + frame / 10 for frame in frames], abs=0.003), "the video's own times"
    assert all(reading.body["age_ms"] is None for reading in readings)
    assert [e.mono_s for e in events] == sorted(e.mono_s for e in events), "no line goes back in time"
    assert [e.wall for e in events] == sorted(e.wall for e in events)


def test_the_limit_of_memory_is_as_before_after_a_run(
    tmp_path: Path, bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "")  # the run sets it: put back after the test
    clip = write_video(tmp_path / "clip.mp4", [BLACK, BLACK])
    watcher, before = LimitWatcher(), resource.getrlimit(resource.RLIMIT_DATA)
    settings = settings_of(str(clip), bundle_path, tmp_path / "log")
    assert run(settings, observers=[watcher], limit_memory=True) == 0
    during = watcher.limits.pop()
    assert not watcher.limits and during != before, "one limit for the whole run"
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize("command", ["run", "collect"])
def test_a_run_of_the_command_line_has_a_limit_of_memory(command: str, tmp_path: Path, bundle_path: Path) -> None:
    words = [sys.executable, "-m", "fer_edge", command, "--camera", "synthetic", "--bundle", str(bundle_path)]
    words += ["--log", str(tmp_path / "log"), "-q"]
    if command == "collect":
        words += ["--faces", str(tmp_path / "faces"), "--store-pictures-of-faces"]
    environ = {**os.environ, "FER_EDGE_RUNTIME": str(tmp_path / "run")}
    with subprocess.Popen(words, cwd=ROOT, env=environ) as process:
        try:
            limits, end_s = Path(f"/proc/{process.pid}/limits"), time.monotonic() + 60
            while not re.search(r"^Max data size +\d+ ", limits.read_text(), re.M):
                assert process.poll() is None and time.monotonic() < end_s
                time.sleep(0.05)
        finally:
            process.terminate()
    assert process.returncode == 0


class LimitWatcher:
    """An observer of a run that notes the limits of this process's data."""

    def __init__(self) -> None:
        self.limits: set[tuple[int, int]] = set()

    def on_frame(self, _frame: Frame, _seen: FrameResult, _laps_s: Mapping[str, float], _age_s: float | None) -> None:
        self.limits.add(resource.getrlimit(resource.RLIMIT_DATA))

    def on_turn(self, status: Status) -> None:
        pass


def test_the_header_says_what_made_the_readings(tmp_path: Path, bundle_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", [BLACK])
    header = events_of(clip, tmp_path, bundle_path)[0].body
    bundle = Bundle.load(bundle_path)
    assert header["software"] == f"fer-edge {__version__}"
    assert header["bundle"] == {"name": bundle.name, "sha256": bundle.sha256}
    assert header["labels"] == list(bundle.labels)
    assert header["preprocess"] == PREPROCESS_ID
    assert header["detector"] == find_detector().name
    assert header["runtime"] == bundle.classifier.runtime.id
    assert header["verified"]["runtime"].startswith(f"{header['runtime']}, default, ")
    assert header["verified"]["compared_with"] in Golden.load(bundle_path / "golden.npz").logits
    assert header["verified"]["crop_levels"] <= CROP_TOLERANCE
    assert header["camera"]["live"] is False
    assert "position in the video" in header["camera"]["time"]
    assert str(tmp_path) not in json.dumps(header), "a folder may name a person"
    marks = list(header["start_s"].values())
    assert list(header["start_s"]) == ["import", "model", "verified", "camera"] and marks == sorted(marks)


def test_the_labels_are_those_of_the_frames(tmp_path: Path, bundle_path: Path) -> None:
    """The loop, through a folder of lossless images, against the bundle's own answer for the same images.

    A black one between them is a cut, after which nothing of the one before is known.
    """
    folder = tmp_path / "images"
    folder.mkdir()
    frames = [face_frame(t) for t in (0.0, 2.5, 7.5, 10.0)]
    for number, frame in enumerate(frames):
        write_image(folder / f"{number}.png", frame)
        write_image(folder / f"{number}-after.png", BLACK)
    (folder / "torn.png").write_bytes((folder / "0.png").read_bytes()[:100])
    events = events_of(folder, tmp_path, bundle_path)
    end = check(events)
    assert (end["frames"]["read"], end["drops"]) == (9, {"unreadable": 1})
    reader = Reader(bundle_path)
    expected = [prediction for frame in frames for prediction in reader.read(frame)]
    readings = of("reading", events)
    assert len(readings) == len(expected) >= 3
    for reading, prediction in zip(readings, expected, strict=True):
        assert prediction.face is not None
        assert reading.body["xywh"] == list(prediction.face.xywh)
        assert reading.body["label"] == prediction.best_label
        assert reading.body["p"] == pytest.approx(list(prediction.probabilities.values()), abs=1e-4)


def test_a_real_stream(tmp_path: Path, bundle_path: Path) -> None:
    with network_camera(face_frame, fps=20.0) as camera:
        address = camera.address("someone:secret@")
        events = events_of(address, tmp_path, bundle_path, duration_s=2.0, open_s=10.0)
    end = check(events)
    assert end["reason"] == "2 s are over"
    assert 2.0 <= end["seconds"] < 10.0
    assert end["frames"]["with_face"] >= 5
    assert events[0].body["camera"]["live"] is True
    assert all(reading.body["age_ms"] >= 0 for reading in of("reading", events))
    (segment,) = (tmp_path / "log").glob("*.jsonl")
    assert "secret" not in segment.read_text() and "someone" not in segment.read_text()


class StopsTheCamera(MemorySink):
    """A sink that switches a network camera off after so many readings, and notes who spoke when."""

    def __init__(self, camera: NetworkCamera, after: int) -> None:
        super().__init__()
        self._camera, self._after = camera, after

    def append(self, event: Event) -> None:
        super().append(event)
        if len(self.of_kind("reading")) == self._after and event.kind == "reading":
            self._camera.stop()


def test_a_stream_that_ends_for_good_asks_for_a_restart(tmp_path: Path, bundle_path: Path) -> None:
    camera = NetworkCamera(face_frame)
    settings = settings_of(camera.address(), bundle_path, tmp_path / "log", open_s=10.0, stall_s=1.0, reopen_s=0.5)
    with pytest.raises(RestartNeeded, match="did not come back"):
        run(settings, sink=StopsTheCamera(camera, 3))
    events = journal_events(tmp_path / "log")
    end = check(events)
    assert [e.body["state"] for e in of("camera", events)] == ["opened", "lost", "closed"]
    assert of("camera", events)[1].body["reason"]
    assert end["reason"].startswith("RestartNeeded: the camera was lost")
    assert end["readings"] >= 3


def test_the_synthetic_face_is_read_at_its_frame_rate(tmp_path: Path, bundle_path: Path) -> None:
    events = events_of("synthetic", tmp_path, bundle_path, duration_s=1.5, fps=10.0)
    end = check(events)
    assert 5 <= end["frames"]["processed"] <= 16
    assert end["frames"]["with_face"] >= 0.9 * end["frames"]["processed"]
    assert list(end["start_s"]) == ["import", "model", "verified", "camera", "first_frame", "first_reading"]
    assert list(end["start_s"].values()) == sorted(end["start_s"].values())


class CostlyFrames(SystemClock):
    """A clock by which each processed frame costs a quarter of a second of processor time, and nothing else does.

    As an observer it notes how old the run's status says the last frame is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spent_ns, self.ages_s = 0, list[float]()

    def cpu_ns(self) -> int:
        return self.spent_ns

    def on_frame(self, _frame: Frame, _seen: FrameResult, _laps_s: Mapping[str, float], _age_s: float | None) -> None:
        self.spent_ns += 250_000_000

    def on_turn(self, status: Status) -> None:
        if status.frame_mono_s is not None and status.state == "running":
            self.ages_s.append(self.mono_ns() / 1e9 - status.frame_mono_s)

    def on_settings(self, settings: Settings) -> None:
        pass


def test_a_small_budget_loses_no_seen_time(tmp_path: Path, bundle_path: Path) -> None:
    """A frame is processed each 2.5 s, of ten that arrive each second."""
    clock = CostlyFrames()
    values = {"cpu_budget": 10.0, "duration_s": 9.0, "min_quality": 0.0}
    settings = settings_of("synthetic", bundle_path, tmp_path / "log", **values)
    assert run(settings, clock=clock, observers=[clock]) == 0
    events = journal_events(tmp_path / "log")
    end = check(events)
    assert end["frames"]["processed"] <= 6 and end["drops"]["budget"] > 30
    (tally,) = (event.body for event in of("tally", events))
    assert tally["unavailable_s"] < 2 and tally["face_s"] > 4, "but before the first frame"
    assert sorted(clock.ages_s)[len(clock.ages_s) * 9 // 10] < 1.5, "also dropped frames show that the camera works"


def test_a_slow_loop_counts_dropped_frames(tmp_path: Path, bundle_path: Path) -> None:
    """Frames come while the loop is held up in a sink; it then takes the newest, and the account is complete."""
    gate = threading.Semaphore(1)
    source = ScriptedSource([face_frame(0.0)] * 6, live=True, clock=SystemClock(), gate=gate)

    class HoldsUp(MemorySink):
        def append(self, event: Event) -> None:
            super().append(event)
            if event.kind == "reading" and len(self.of_kind("reading")) == 1:
                assert source.stored.acquire(timeout=10)
                for _ in range(5):
                    gate.release()
                    assert source.stored.acquire(timeout=10)

    memory = HoldsUp()
    settings = settings_of("synthetic", bundle_path, tmp_path / "log", duration_s=1.0)
    assert run(settings, source=source, sink=memory) == 0
    end = check(memory.events)
    assert end["drops"] == {"busy": 4}
    assert [e.body["frame"] for e in memory.of_kind("reading")] == [0, 5]


@pytest.mark.parametrize("as_json", [False, True])
def test_once_prints_one_reading(
    tmp_path: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    events = events_of("synthetic", tmp_path, bundle_path, once=True, json=as_json)
    check(events)
    (reading,) = of("reading", events)
    (line,) = capsys.readouterr().out.splitlines()
    if as_json:
        assert line == reading.line()
    else:
        assert reading.body["label"] in line


def test_once_on_a_black_video_fails(tmp_path: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_video(tmp_path / "black.mp4", [BLACK] * 5)
    with pytest.raises(NotEnoughData, match=r"no face was found .*5 frames") as refused:
        run(settings_of(str(clip), bundle_path, tmp_path / "log", once=True))
    assert refused.value.exit_code == 6
    assert capsys.readouterr().out == ""
    assert check(journal_events(tmp_path / "log"))["frames"]["with_face"] == 0


def test_once_waits_ten_seconds_and_no_longer(tmp_path: Path, bundle_path: Path) -> None:
    clock = FakeClock()

    class FourASecond(ScriptedSource):
        def read(self) -> Frame | None:
            clock.now_ns += 250_000_000
            return super().read()

    source = FourASecond([BLACK] * 1000, live=False, clock=clock)
    with pytest.raises(NotEnoughData, match="stopped after 10 s"):
        run(settings_of("synthetic", bundle_path, tmp_path / "log", once=True), clock=clock, source=source)
    end = check(journal_events(tmp_path / "log"))
    assert 10.0 <= end["seconds"] < 12.0
    assert 35 <= end["frames"]["processed"] <= 45


def test_readings_go_to_stdout_and_messages_to_stderr(
    tmp_path: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_video(tmp_path / "clip.mp4", (face_frame(n / 10) for n in range(5)))
    readings = of("reading", events_of(clip, tmp_path, bundle_path, detail="frames"))
    captured = capsys.readouterr()
    opened, *lines, closed = captured.out.splitlines()
    assert "camera clip.mp4 opened" in opened and "camera clip.mp4 closed" in closed
    assert len(lines) == len(readings) >= 4
    assert all(r.body["label"] in line for r, line in zip(readings, lines, strict=True))
    spoken = [line for line in captured.err.splitlines() if line.startswith("fer-edge: ")]
    assert len(spoken) == 2 and "clip.mp4" in spoken[0] and "5 frames" in spoken[1]


def test_json_is_the_journal(tmp_path: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_video(tmp_path / "clip.mp4", [face_frame(0.0)] * 3)
    events_of(clip, tmp_path, bundle_path, json=True)
    (segment,) = (tmp_path / "log").glob("*.jsonl")
    assert capsys.readouterr().out == segment.read_text()


def test_an_unexpected_error_still_ends_the_journal(tmp_path: Path, bundle_path: Path) -> None:
    source = ScriptedSource([BLACK, ZeroDivisionError("a bug")], live=False, clock=SystemClock())
    with pytest.raises(ZeroDivisionError):
        run(settings_of("synthetic", bundle_path, tmp_path / "log"), source=source)
    assert check(journal_events(tmp_path / "log"))["reason"] == "ZeroDivisionError: a bug"


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"bundle": "nothing"}, UsageError, "not a bundle"),
        ({"log": "file"}, UsageError, "journal in"),
        ({"detector": "dlib"}, UsageError, "dlib"),
    ],
)
def test_missing_files_and_cameras_are_reported(
    tmp_path: Path, bundle_path: Path, values: dict[str, str], error: type[FerEdgeError], words: str
) -> None:
    (tmp_path / "file").touch()
    given: dict[str, Any] = {"bundle": bundle_path, "log": tmp_path / "log"}
    given |= {key: value if key == "detector" else tmp_path / value for key, value in values.items()}
    with pytest.raises(error, match=words):
        run(Settings("synthetic", runtime=tmp_path / "run", **given))


def edited(folder: Path, tmp_path: Path, **values: Any) -> Path:
    """A copy of a bundle with other values in bundle.json, which no hash covers but its own."""
    copy = Path(shutil.copytree(folder, tmp_path / "edited"))
    spec = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").write_text(json.dumps({**spec, **values}))
    return copy


def test_a_bundle_that_fails_verification_opens_no_camera(tmp_path: Path, bundle_path: Path) -> None:
    spec = json.loads((bundle_path / "bundle.json").read_text())["input"]
    spec["mappings"]["haar"]["dx"] += 2 / spec["side"]
    bundle = edited(bundle_path, tmp_path, input=spec)
    source = ScriptedSource([BLACK], live=False, clock=SystemClock())
    with pytest.raises(BundleRefused, match=r"golden frame \d is not the golden crop.* maps haar.s boxes by dx"):
        run(settings_of("synthetic", bundle, tmp_path / "log"), source=source)
    assert (source.opens, list((tmp_path / "log").glob("*.jsonl"))) == (0, [])


def test_an_unproved_runtime_is_reported_and_runs(
    tmp_path: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"runtime": "litert", "version": "0.1", "kernels": "default", "machine": "vax", "verdict": "pass"}
    bundle = edited(bundle_path, tmp_path, runtimes=[row])
    events = events_of(write_video(tmp_path / "clip.mp4", [BLACK]), tmp_path, bundle)
    assert events[0].body["verified"]["proved"] is False
    assert "edge-mixed was not compared with its float model on litert " in capsys.readouterr().err


def test_a_run_works_in_another_thread(tmp_path: Path, bundle_path: Path) -> None:
    """Signals are the main thread's; a program that embeds the loop ends it by its duration."""
    codes: list[int] = []
    settings = settings_of("synthetic", bundle_path, tmp_path / "log", duration_s=0.3)
    thread = threading.Thread(
        target=lambda: codes.append(run(settings, source=SyntheticCamera(settings, SystemClock())))
    )
    thread.start()
    thread.join(60)
    assert codes == [0]


def test_what_the_driver_gives_instead_of_what_was_requested_is_reported_and_logged(
    tmp_path: Path, bundle_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Rounding(ScriptedSource):
        """A camera of 64×48 at 15 frames a second, whatever is requested."""

        settings = settings_of("scripted", bundle_path, tmp_path / "log", width_px=80, height_px=60, fps=10.0)

        def describe(self) -> SourceDescription:
            given = SourceDescription("usb", "scripted", width_px=64, height_px=48, fps=15.0)
            return given.compared_with(self.settings)

    source = Rounding([1, SourceLost("unplugged"), 2, None], live=False, clock=SystemClock())
    source.live = True
    settings = replace(Rounding.settings, duration_s=2.0)
    assert run(settings, source=source) == 0
    events = journal_events(tmp_path / "log")
    requested = {"requested_width_px": 80, "requested_height_px": 60, "requested_fps": 10.0}
    cameras = [event.body for event in of("camera", events)]
    assert [(body["state"], body.get("reason")) for body in cameras] == [
        ("opened", None),
        ("lost", "unplugged"),
        ("back", None),
        ("closed", None),
    ]
    for camera in (events[0].body["camera"], cameras[0]["camera"], cameras[2]["camera"]):
        assert requested.items() <= camera.items()
    messages = capfd.readouterr().err
    assert messages.count("the camera gives 64×48 at 15 frames a second, not 80×60 at 10 as requested") == 1
    assert "the camera was lost (unplugged)" in messages and re.search(r"the camera is back after \d+\.\d s", messages)
