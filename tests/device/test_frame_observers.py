"""Who looks on from inside the loop: each processed frame with its stages' times, each turn's state; nobody costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from builders import write_video
from fakes import FakeClock

from device.camera.frame import Frame
from device.config import Settings
from device.output.frame_observers import FrameObservers
from device.run import run
from device.system.status_record import Status
from device.vision.readings import FrameResult
from fer_edge.synthetic_face import face_frame


class Noted:
    """A watcher that keeps what it was shown."""

    def __init__(self) -> None:
        self.frames: list[tuple[Frame, FrameResult, dict[str, float], float | None]] = []
        self.states: list[str] = []

    def on_frame(self, frame: Frame, result: FrameResult, stages_s: Mapping[str, float], age_s: float | None) -> None:
        self.frames.append((frame, result, dict(stages_s), age_s))

    def on_turn(self, status: Status) -> None:
        self.states.append(status.state)

    def on_settings(self, settings: Settings) -> None:
        pass


def test_an_observer_is_called_for_each_frame_and_each_turn(tmp_path: Path, bundle_path: Path) -> None:
    video, noted = write_video(tmp_path / "v.mp4", [face_frame(n / 10) for n in range(12)]), Noted()
    settings = Settings(str(video), bundle=bundle_path, log=tmp_path / "log", runtime=tmp_path / "run")
    assert run(settings, observers=[noted]) == 0
    assert len(noted.frames) == 12 and set(noted.states) == {"running"} and len(noted.states) >= 12
    with_face = [(laps, age) for _, seen, laps, age in noted.frames if seen.readings]
    assert with_face and all(
        list(laps) == ["gate", "detect", "crop", "classify", "smooth", "write"] for laps, _ in with_face
    )
    assert all(0 <= lap < 10 for laps, _ in with_face for lap in laps.values())
    assert {age for *_, age in noted.frames} == {None}, "a recording's frames have no age"


def test_a_live_frame_has_an_age(tmp_path: Path, bundle_path: Path) -> None:
    noted = Noted()
    settings = Settings("synthetic", bundle=bundle_path, log=tmp_path / "log", runtime=tmp_path / "run", duration_s=1.0)
    ran = threading.Thread(target=run, args=(settings,), kwargs={"observers": [noted]})
    ran.start()
    ran.join()
    ages = [age for *_, age in noted.frames]
    assert ages and all(age is not None and 0 < age < 5 for age in ages)


def test_a_run_without_observers_measures_no_times() -> None:
    clock = FakeClock()
    assert FrameObservers(clock).start_frame() is None
    assert FrameObservers(clock, [Noted()]).start_frame() is not None
