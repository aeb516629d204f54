"""A reload of a running loop: what it refuses, who gets the new settings, and which line of the journal tells of it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import event, journal_events, write_video
from fakes import FakeClock, FixedFaces

from device.camera.frame import Frame
from device.config import Settings
from device.config_sources import settings_digest
from device.output.journal.journal import Journal
from device.reload import reload_settings
from device.run import run
from device.system.status_record import Status
from device.vision.pipeline import Pipeline
from device.vision.readings import FrameResult
from fer_edge.bundle import Bundle
from fer_edge.cli import main
from fer_edge.events import SCHEMA, Event
from fer_edge.synthetic_face import face_frame

DAY_NS = 86_400 * 10**9


class Reloader:
    """An observer that requests a reload at some frames, and notes the settings that it gets."""

    def __init__(self, *frames: int) -> None:
        self._frames, self.settings = frames, list[Settings]()

    def on_frame(self, frame: Frame, _seen: FrameResult, _laps_s: Mapping[str, float], _age_s: float | None) -> None:
        if frame.seq in self._frames:
            os.kill(os.getpid(), signal.SIGHUP)

    def on_turn(self, status: Status) -> None:
        pass

    def on_settings(self, settings: Settings) -> None:
        self.settings.append(settings)


@pytest.fixture
def settings(tmp_path: Path, bundle_path: Path) -> Settings:
    clip = write_video(tmp_path / "clip.mp4", (face_frame(n / 10) for n in range(40)))
    folders = {"log": tmp_path / "log", "runtime": tmp_path / "run"}
    return Settings(str(clip), bundle=bundle_path, per_frame=True, detail="none", **folders)


def reloaded(settings: Settings, later: Callable[[], Settings], *frames: int) -> list[Settings]:
    """The settings that an observer got in a run in which they are read again at these frames."""
    reloader = Reloader(*frames)
    assert run(settings, read_settings=later, observers=[reloader]) == 0
    return reloader.settings


def segments(folder: Path) -> list[list[dict[str, Any]]]:
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in sorted(folder.glob("*.jsonl"))]


def test_a_small_face_is_refused_as_at_the_start(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    settings = replace(settings, detector="haar")
    assert reloaded(settings, lambda: replace(settings, far_px=60, hold_s=0.1), 5) == []
    told = capsys.readouterr().err
    assert "small faces are searched for by the detector blazeface-zoomed alone, not by haar" in told
    assert "nothing was changed" in told and "settings read again" not in told
    assert len(segments(settings.log or Path())) == 1


def test_a_reader_of_stdout_that_is_gone_ends_a_run_at_a_reload_too() -> None:
    parts = SimpleNamespace(
        read_settings=lambda: Settings(hold_s=0.5),
        pipeline=SimpleNamespace(require_prior=lambda _: None),
        journal=SimpleNamespace(set_limits=lambda *_: None),
    )

    def gone(_: Settings) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        reload_settings(parts, Settings(), gone)  # type: ignore[arg-type]


def test_the_journal_gets_its_new_limits(settings: Settings, tmp_path: Path) -> None:
    """A line waits for a tenth of the time; of thirty segments of 100 kB, one a day, eight fit, and six are young enough."""
    clock, folder = FakeClock(mono_ns=40 * DAY_NS), tmp_path / "journal"
    folder.mkdir()

    def told(kind: str, mono_s: float, **body: Any) -> Event:
        return replace(event(kind, **body), boot=clock.boot, mono_s=mono_s)

    for number in range(1, 31):
        line = told("tally", (number + 9) * 86_400.0, note="x" * 900).line()
        (folder / f"journal-{number:06d}.jsonl").write_text(f"{line}\n" * 100)
    new = replace(settings, sync_s=3.0, budget_bytes=1 << 20, keep_days=6.5, hold_s=0.1)
    with Journal(folder, clock) as journal:
        journal.append(told("header", 40 * 86_400.0, schema=SCHEMA))
        parts: Any = SimpleNamespace(
            read_settings=lambda: new,
            journal=journal,
            pipeline=Pipeline(FixedFaces(), Bundle.load(settings.bundle)),
            observers=SimpleNamespace(on_settings=lambda _: None),
        )
        reload_settings(parts, settings, lambda _: None)
        journal.append(told("tally", 40 * 86_400.0))
        clock.now_ns += 29 * 10**9
        journal.tick()
        assert len(list(folder.iterdir())) == 31
        clock.now_ns += 2 * 10**9
        journal.tick()
        assert len(list(folder.iterdir())) == 10, "the budget holds from the next segment on"
        clock.now_ns += 600 * 10**9
        journal.tick()
        assert len(list(folder.iterdir())) == 8, "the age is checked every ten minutes"


def test_all_that_looks_on_gets_the_settings(settings: Settings) -> None:
    (got,) = reloaded(settings, lambda: replace(settings, hold_s=0.1, min_quality=0.7, fps=99.0), 5)
    assert got == replace(settings, hold_s=0.1, min_quality=0.7), "fps changes at the next start"


def test_the_journal_tells_of_changed_settings(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    changed = [replace(settings, hold_s=0.1), settings, settings, replace(settings, unsure_below=0.4)]
    assert len(reloaded(settings, iter(changed).__next__, 5, 10, 15, 20)) == 4
    assert settings.log is not None
    first, *later = (lines[0] for lines in segments(settings.log))
    assert [header["continues"] for header in later] == [f"journal-00000{n}.jsonl" for n in (1, 2, 3)]
    assert [header["settings"] for header in later] == [settings_digest(changed[n]) for n in (0, 1, 3)]
    assert first["settings"] == settings_digest(settings)
    assert ["thresholds" in header for header in (first, *later)] == ["thresholds" in first] * 3 + [False]
    assert "thresholds" in first
    ends = [[line["frame"] for line in lines if line["kind"] == "reading"][-1] for lines in segments(settings.log)]
    assert ends == [5, 10, 20, 39], "each reading is in the segment of its settings"
    same = {"seq", "bundle", "labels", "start_s", "camera"}
    assert all({name: header[name] for name in same} == {name: first[name] for name in same} for header in later)
    assert [event.seq for event in journal_events(settings.log) if event.kind != "header"][-1] > 40
    capsys.readouterr()
    assert main(["log", "check", str(settings.log)]) == 0
