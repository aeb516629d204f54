"""What a whole run does about the processor's time, several faces, and pictures that cannot be trusted; told in its journal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import journal_events, write_video

from device.config import Settings
from device.run import run
from fer_edge.events import Event
from fer_edge.synthetic_face import face_frame


def journal(camera: str, tmp_path: Path, bundle: Path, **values: Any) -> list[Event]:
    """What the journal holds after a run that ended well."""
    settings = Settings(
        camera, **{"bundle": bundle, "log": tmp_path / "log", "runtime": tmp_path / "run", "per_frame": True, **values}
    )
    assert run(settings) == 0
    return journal_events(tmp_path / "log")


def tallies(events: list[Event], name: str) -> Any:
    return [event.body[name] for event in events if event.kind == "tally"]


def test_a_budget_drops_frames_and_counts_them(tmp_path: Path, bundle_path: Path) -> None:
    """The drawn camera alone takes more than a hundredth of a core."""
    *events, end = journal("synthetic", tmp_path, bundle_path, fps=30.0, duration_s=3.0, cpu_budget=1.0)
    drops, frames = end.body["drops"], end.body["frames"]
    assert drops["budget"] > frames["processed"] > 0
    assert frames["read"] == frames["processed"] + sum(drops.values())
    assert sum(drop.get("budget", 0) for drop in tallies(events, "drops")) == drops["budget"]


def test_heat_drops_frames_and_counts_them(tmp_path: Path, bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `vcgencmd` that says what the firmware says of a Pi that is too hot."""
    command = tmp_path / "vcgencmd"
    command.write_text("#!/bin/sh\necho throttled=0x80004\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    *events, end = journal("synthetic", tmp_path, bundle_path, fps=20.0, duration_s=3.0, health_s=0.5)
    drops, frames = end.body["drops"], end.body["frames"]
    assert drops["hot"] > frames["processed"] > 0
    assert frames["read"] == frames["processed"] + sum(drops.values())
    health = next(event for event in events if event.kind == "health")
    assert health.body["throttled_now"] == ["throttled"]


def test_faces_beyond_max_faces_are_counted(tmp_path: Path, bundle_path: Path) -> None:
    def both(number: int) -> np.ndarray:
        half = face_frame(number / 10, 320, 480)
        return np.hstack([half, half[:, ::-1]])

    clip = write_video(tmp_path / "two.mp4", (both(n) for n in range(20)))
    *events, end = journal(str(clip), tmp_path, bundle_path, max_faces=1)
    readings = [event for event in events if event.kind == "reading"]
    assert len(readings) == 20 and end.body["faces_skipped"] == 20 == sum(tallies(events, "faces_skipped"))
    (tmp_path / "more").mkdir()
    *events, end = journal(str(clip), tmp_path / "more", bundle_path)
    assert end.body["faces_skipped"] == 0 and end.body["faces"] == 40 == len([e for e in events if e.kind == "reading"])
    assert {event.body["track"] for event in events if event.kind == "reading"} == {1, 2}


def test_a_dark_room_is_unsure_and_has_no_episode(tmp_path: Path, bundle_path: Path) -> None:
    frames = [face_frame(2.0 + n / 50) for n in range(30)]
    dim = [np.clip(frame * 0.16 + 3, 0, 255).astype(np.uint8) for frame in frames]
    events = journal(str(write_video(tmp_path / "dim.mkv", dim, code="FFV1")), tmp_path, bundle_path, hold_s=0.5)
    readings = [event.body for event in events if event.kind == "reading"]
    assert len(readings) >= 20 and {body["steady"] for body in readings} == {"unsure"}
    assert {body["why"] for body in readings} == {"dark"} and max(body["quality"] for body in readings) < 0.5
    (labels,), (why,) = tallies(events, "labels_s"), tallies(events, "unsure_s")
    assert list(labels) == ["unsure"] and why == {"dark": labels["unsure"]}
    assert not any(event.kind == "episode" for event in events)
    (tmp_path / "light").mkdir()
    lit = write_video(tmp_path / "lit.mkv", frames, code="FFV1")
    events = journal(str(lit), tmp_path / "light", bundle_path, hold_s=0.5, unsure_below=0.0)
    assert tallies(events, "unsure_s") == [{}] and any(event.kind == "episode" for event in events)


def test_an_empty_room_is_idle(tmp_path: Path, bundle_path: Path) -> None:
    rng = np.random.default_rng(0)
    wall = [np.clip(120 + rng.normal(0, 2, (480, 640)), 0, 255).astype(np.uint8) for _ in range(40)]
    *events, end = journal(str(write_video(tmp_path / "wall.mkv", wall, code="FFV1")), tmp_path, bundle_path)
    assert end.body["frames"] == {"read": 40, "processed": 40, "with_face": 0}
    assert end.body["frames_idle"] == 39 == sum(tallies(events, "frames_idle"))


def test_track_numbers_restart_with_each_run(tmp_path: Path, bundle_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", (face_frame(n / 10) for n in range(5)))
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        events = journal(str(clip), tmp_path / folder, bundle_path)
        assert {event.body["track"] for event in events if event.kind == "reading"} == {1}
