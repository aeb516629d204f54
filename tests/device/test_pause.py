"""A pause ends what was seen before it, and is recorded once the camera is closed, which no other thread uses meanwhile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import journal_events, write_image, write_video
from fakes import ScriptedSource

from device.camera.source import SourceLost
from device.clock import SystemClock
from device.config import Settings
from device.run import run
from device.system.control import Pause
from device.system.status_record import Status
from fer_edge.errors import RestartNeeded
from fer_edge.synthetic_face import face_frame

LONG_S = 30.0


class Finished(Exception):
    """Ends a run whose script is at its end."""


class Stalling(ScriptedSource):
    """A camera whose reading blocks after `frames` frames, until the test sets `leave`; `intrusions` counts calls meanwhile."""

    def __init__(self, script: list[Any], frames: int, clock: SystemClock) -> None:
        super().__init__(script, live=True, clock=clock)
        self.frames, self.intrusions = frames, 0
        self.entered, self.leave = threading.Event(), threading.Event()

    @property
    def blocked(self) -> bool:
        return self.entered.is_set() and not self.leave.is_set()

    def open(self) -> None:
        self.intrusions += self.blocked
        super().open()

    def read(self) -> Any:
        self.intrusions += self.blocked
        if self._seq == self.frames and not self.leave.is_set():
            self.entered.set()
            self.leave.wait(LONG_S)
        return super().read()

    def close(self) -> None:
        self.intrusions += self.blocked
        super().close()


class Skipping(SystemClock):
    """A clock that a test puts forward."""

    ahead_ns = 0

    def mono_ns(self) -> int:
        return super().mono_ns() + self.ahead_ns


class Turns:
    """Counts the turns of a loop."""

    def __init__(self) -> None:
        self.turns = threading.Semaphore(0)

    def on_frame(self, *_: Any) -> None:
        pass

    def on_turn(self, _: Status) -> None:
        self.turns.release()

    def pass_by(self) -> None:
        """Returns after three turns from now."""
        while self.turns.acquire(blocking=False):
            pass
        for _ in range(3):
            assert self.turns.acquire(timeout=LONG_S)


def settings_of(tmp_path: Path, bundle_path: Path, **values: Any) -> Settings:
    return Settings(
        "scripted", bundle=bundle_path, log=tmp_path / "log", runtime=tmp_path / "run", detector="haar", **values
    )


def states(tmp_path: Path) -> list[str]:
    """The changes of the camera and the pauses in the journal, in order."""
    events = journal_events(tmp_path / "log")
    return [e.body.get("state", e.kind) for e in events if e.kind in ("camera", "pause", "resume", "end")]


def test_a_resume_during_a_stalled_read_waits_for_its_end(tmp_path: Path, bundle_path: Path) -> None:
    source = Stalling([1, 2, 3, Finished()], 2, SystemClock())
    settings = settings_of(tmp_path, bundle_path)
    pause, turns = Pause(settings.name, tmp_path / "run", tmp_path / "log"), Turns()

    def disturb() -> None:
        assert source.entered.wait(LONG_S)
        pause.set()
        turns.pass_by()  # none of them may touch the source
        pause.clear()
        turns.pass_by()
        source.leave.set()

    other = threading.Thread(target=disturb)
    other.start()
    with pytest.raises(Finished):
        run(settings, source=source, observers=[turns])
    other.join(LONG_S)
    assert source.intrusions == 0
    assert (source.opens, source.closes) == (2, 2)
    assert states(tmp_path) == ["opened", "closed", "pause", "resume", "opened", "closed", "end"]


@pytest.mark.parametrize("kind", ["video", "folder"])
def test_a_recording_goes_on_where_it_was_paused(kind: str, tmp_path: Path, bundle_path: Path) -> None:
    """Opened again, it would begin again."""
    frames = [face_frame(number / 10) for number in range(30)]
    if kind == "video":
        camera = write_video(tmp_path / "clip.mp4", frames)
    else:
        (camera := tmp_path / "pictures").mkdir()
        for number, frame in enumerate(frames):
            write_image(camera / f"{number:03d}.png", frame)
    settings = replace(settings_of(tmp_path, bundle_path, per_frame=True), camera=str(camera))
    pause = Pause(settings.name, tmp_path / "run", tmp_path / "log")
    ages_s: list[float] = []

    class Pausing(Turns):
        """Pauses after ten frames, for some turns."""

        seen = paused = 0

        def on_frame(self, *_: Any) -> None:
            self.seen += 1
            if self.seen == 10:
                pause.set()

        def on_turn(self, status: Status) -> None:
            if status.frame_mono_s is not None:
                ages_s.append(SystemClock().mono_ns() / 1e9 - status.frame_mono_s)
            self.paused += status.state == "paused"
            if self.paused == 3:
                pause.clear()

    pausing = Pausing()
    assert run(settings, observers=[pausing]) == 0
    events = journal_events(tmp_path / "log")
    (end,) = [event.body for event in events if event.kind == "end"]
    assert end["frames"]["read"] == end["frames"]["processed"] == pausing.seen == 30 and pausing.paused >= 3
    numbers = [event.body["frame"] for event in events if event.kind == "reading"]
    assert numbers == sorted(set(numbers)) and len(numbers) > 20
    assert states(tmp_path) == ["opened", "pause", "resume", "closed", "end"]
    assert [event.mono_s for event in events] == sorted(event.mono_s for event in events)
    assert min(ages_s) >= 0


def test_a_driver_that_does_not_return_ends_the_run_and_the_next_one_starts_paused(
    tmp_path: Path, bundle_path: Path
) -> None:
    clock = Skipping()
    source = Stalling([1, 2], 1, SystemClock())
    settings = settings_of(tmp_path, bundle_path)
    pause, turns = Pause(settings.name, tmp_path / "run", tmp_path / "log"), Turns()

    def disturb() -> None:
        assert source.entered.wait(LONG_S)
        pause.set()
        turns.pass_by()
        clock.ahead_ns += 16_000_000_000

    other = threading.Thread(target=disturb)
    other.start()
    with pytest.raises(RestartNeeded, match="the camera does not close"):
        run(settings, source=source, clock=clock, observers=[turns])
    other.join(LONG_S)
    assert source.intrusions == 0 and "pause" not in states(tmp_path)
    source.leave.set()
    following = ScriptedSource([1], live=True, clock=SystemClock())
    assert run(settings_of(tmp_path, bundle_path, duration_s=0.3), source=following) == 0
    assert following.opens == 0
    assert states(tmp_path)[-2:] == ["pause", "end"]


class Interrupted:
    """Shows a run six pictures, then pauses it or lets it lose its camera for `passing_s` and more, and shows it six more.

    It acts at the turns of the loop, in whose thread it is, so that each picture is processed before the next one is taken.
    `watchdog` is the socket that systemd hears on, `fed` how often it was fed during the interruption.
    """

    def __init__(
        self, pause: Pause | None, gate: threading.Semaphore, clock: Skipping, passing_s: int, watchdog: socket.socket
    ) -> None:
        self.fed = 0
        self._pause, self._gate, self._clock, self._passing_s = pause, gate, clock, passing_s
        self._watchdog = watchdog
        self._shown = 0
        self._story = self._act()
        next(self._story)

    def on_frame(self, *_: Any) -> None:
        pass

    def on_turn(self, status: Status) -> None:
        self._story.send(status)

    def _act(self) -> Generator[None, Status, None]:
        yield from self._show(6)
        if self._pause is not None:
            self._pause.set()
        else:
            self._gate.release()  # for the loss
        while (yield).state == "running":
            pass
        self._count_fed()
        self._clock.ahead_ns += self._passing_s * 1_000_000_000
        for _ in range(3):
            assert (yield).state == ("lost" if self._pause is None else "paused")
        self.fed = self._count_fed()
        if self._pause is not None:
            self._pause.clear()
        yield from self._show(12)
        while True:
            self._gate.release()  # for the end of the script
            yield

    def _show(self, upto: int) -> Generator[None, Status, None]:
        while (processed := (yield).frames["processed"]) < upto:
            if processed == self._shown:
                self._shown += 1
                self._gate.release()

    def _count_fed(self) -> int:
        count = 0
        with suppress(BlockingIOError):
            while True:
                count += self._watchdog.recv(4096) == b"WATCHDOG=1"
        return count


@pytest.mark.parametrize(("how", "passing_s"), [("pause", 0), ("pause", 100), ("lost", 0), ("lost", 20)])
def test_faces_before_and_after_a_pause_or_a_loss_are_not_matched(
    how: str, passing_s: int, tmp_path: Path, bundle_path: Path, blazeface: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, gate = Skipping(), threading.Semaphore(0)
    pictures: list[Any] = [face_frame(2.0)] * 12
    if how == "lost":
        pictures.insert(6, SourceLost("unplugged"))
    source = ScriptedSource([*pictures, Finished()], live=True, clock=clock, gate=gate)
    settings = settings_of(tmp_path, bundle_path, per_frame=True, hold_s=0.0, unsure_below=0.0, min_quality=0.0)
    settings = replace(settings, detector=Settings().detector)
    request = Pause(settings.name, tmp_path / "run", tmp_path / "log") if how == "pause" else None
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as watchdog:
        watchdog.bind(str(tmp_path / "notify"))
        interrupted = Interrupted(request, gate, clock, passing_s, watchdog)
        with pytest.raises(Finished):
            run(settings, source=source, clock=clock, observers=[interrupted])
    if passing_s:
        assert interrupted.fed, "systemd would end the process"
    events = journal_events(tmp_path / "log")
    assert [e.body["track"] for e in events if e.kind == "reading"] == [1] * 6 + [2] * 6
    assert [(e.body["track"], e.body["ended"]) for e in events if e.kind == "episode"] == [(1, how), (2, "end")]
    end = next(e.body for e in events if e.kind == "end")
    assert end["frames"]["read"] == 12, "of both captures together"
    spent = {name: sum(e.body[name] for e in events if e.kind == "tally") for name in ("paused_s", "unavailable_s")}
    if how == "pause":
        (resume,) = (e.body for e in events if e.kind == "resume")
        assert resume["paused_s"] >= passing_s <= spent["paused_s"] and spent["unavailable_s"] < 100
        assert states(tmp_path) == ["opened", "closed", "pause", "resume", "opened", "closed", "end"]
    else:
        assert spent["paused_s"] == 0 and spent["unavailable_s"] >= passing_s
        assert states(tmp_path) == ["opened", "lost", "back", "closed", "end"]
