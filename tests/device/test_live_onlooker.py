"""What the loop hands to the live page, and how it reaches those who look: sums, moments, who is slow, who is gone."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import event, reading
from fakes import FakeClock

from device.camera.frame import Frame
from device.output.live.view_state import COLUMNS, ViewState
from device.output.live.viewers import Viewers
from device.system.status import Status
from device.vision.readings import FrameResult, Reading

GRAY = np.zeros((48, 64), np.uint8)
MS = 1_000_000


def begun(live: bool = True) -> tuple[ViewState, FakeClock]:
    """An onlooker that was told of a run's beginning, 12.5 s after boot, and the clock that stands there."""
    clock = FakeClock(12_500 * MS)
    onlooker = ViewState(clock, 2.0)
    onlooker.event(event("header", labels=["happy", "sad", "neutral"], camera={"live": live}, name="camera"))
    return onlooker, clock


def status(state: str = "running", **drops: int) -> Status:
    return Status(state, "drawn", "/log", None, {"read": 5, "processed": 4, "with_face": 1}, drops)


def look(onlooker: ViewState, clock: FakeClock, seconds: float, *labels: str) -> None:
    """Frames of so many seconds, ten a second, with these faces, as the loop tells of them."""
    for _ in range(round(seconds * 10)):
        clock.now_ns += 100 * MS
        onlooker.turn(status())
        faces = tuple(reading(label, track) for track, label in enumerate(labels, 1))
        at = tuple(_at(face, clock.now_ns) for face in faces)
        onlooker.frame(Frame(0, clock.now_ns, GRAY), FrameResult(at), {"detect": 0.01}, 0.02)


def _at(face: Reading, mono_ns: int) -> Reading:
    return replace(face, mono_ns=mono_ns)


def test_a_column_is_two_seconds_of_the_journals_own_sums() -> None:
    onlooker, clock = begun()
    onlooker.watched = True
    look(onlooker, clock, 2, "happy")
    look(onlooker, clock, 1, "sad", "happy")
    look(onlooker, clock, 1)
    look(onlooker, clock, 0.2)
    first, second = onlooker.latest.columns
    assert first["labels_s"] == {"happy": pytest.approx(1.9)} and first["unavailable_s"] == pytest.approx(0.1)
    assert second["labels_s"] == {"happy": pytest.approx(1), "sad": pytest.approx(1)} and second[
        "face_s"
    ] == pytest.approx(1)
    assert second["frames"]["processed"] == 20 and second["from_mono_s"] == 14.5


def test_a_pause_and_a_camera_that_gives_nothing_are_told_apart_and_no_face_stays() -> None:
    onlooker, clock = begun()
    onlooker.watched = True
    look(onlooker, clock, 2, "happy")
    assert onlooker.latest.looked is not None and onlooker.latest.looked.faces
    for state, name in (("paused", "paused_s"), ("lost", "unavailable_s")):
        for _ in range(24):
            clock.now_ns += 250 * MS
            onlooker.turn(status(state))
        assert onlooker.latest.looked is None and onlooker.latest.status == status(state)
        assert onlooker.latest.columns[-1][name] == 2.0, state


def test_a_recording_is_told_in_its_own_time() -> None:
    onlooker, clock = begun(live=False)
    clock.now_ns += 60_000 * MS  # it took a minute to read
    onlooker.turn(status())
    assert onlooker.latest.columns == ()


def test_the_last_ten_minutes_are_kept() -> None:
    onlooker, clock = begun()
    for _ in range(COLUMNS + 20):
        clock.now_ns += 2_000 * MS
        onlooker.turn(status("paused"))
    assert len(onlooker.latest.columns) == COLUMNS
    assert onlooker.latest.columns[-1]["from_mono_s"] == pytest.approx(12.5 + 2 * (COLUMNS + 19))


def test_since_when_a_face_is_seen_and_shows_its_label() -> None:
    onlooker, clock = begun()
    onlooker.watched = True
    look(onlooker, clock, 1, "happy")
    look(onlooker, clock, 1, "sad")
    (face,) = onlooker.latest.looked.faces  # type: ignore[union-attr]
    seen_s, held_s = ((face.reading.mono_ns - ns) / 1e9 for ns in (face.first_ns, face.since_ns))
    assert (face.label, seen_s, held_s) == ("sad", pytest.approx(1.9, abs=0.25), pytest.approx(0.9, abs=0.25))
    look(onlooker, clock, 3)
    look(onlooker, clock, 0.5, "sad")
    (face,) = onlooker.latest.looked.faces  # type: ignore[union-attr]
    assert face.reading.mono_ns - face.first_ns < 500 * MS, "it was away for too long to be the same"


def test_tracks_are_forgotten() -> None:
    onlooker, clock = begun()
    for track in range(1000):
        clock.now_ns += 100 * MS
        onlooker.frame(
            Frame(0, clock.now_ns, GRAY), FrameResult((_at(reading("happy", track), clock.now_ns),)), {}, None
        )
    assert len(onlooker._known) <= 32


def test_a_moment_is_told_five_times_a_second_and_seldom_while_nobody_looks() -> None:
    for watched, most, least in ((True, 51, 40), (False, 6, 5)):
        onlooker, clock = begun()
        onlooker.watched = watched
        told = [onlooker.latest]
        for _ in range(1000):
            clock.now_ns += 10 * MS
            onlooker.turn(status())
            onlooker.frame(Frame(0, clock.now_ns, GRAY), FrameResult(), {}, None)
            if onlooker.latest is not told[-1]:
                told.append(onlooker.latest)
        assert least <= len(told) <= most


class Wire:
    """A stream that takes everything, or nothing once it is `stuck`."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.stuck = self.was_cut = False

    def send(self, data: bytes) -> asyncio.Future[None]:
        kind, body = data.decode().removesuffix("\n\n").split("\n")
        self.taken.append((kind.removeprefix("event: "), json.loads(body.removeprefix("data: "))))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.stuck:
            done.set_result(None)
        return done

    def cut(self) -> None:
        self.was_cut = True


def test_who_is_slow_is_told_everything_anew_and_who_takes_nothing_is_let_go() -> None:
    async def lived() -> None:
        onlooker, clock = begun()
        viewers, quick, slow = Viewers(onlooker, None, clock), Wire(), Wire()
        viewers.join(quick)
        viewer = viewers.join(slow)
        assert viewer is not None and onlooker.watched
        look(onlooker, clock, 2.2)
        slow.stuck = True
        viewers.once()
        look(onlooker, clock, 4)
        viewers.once()
        assert [kind for kind, _ in quick.taken] == ["whole", "now", "now"]
        assert [len(told["columns"]) for _, told in quick.taken] == [0, 1, 2], "each column once"
        assert [kind for kind, _ in slow.taken] == ["whole", "now"]
        slow.stuck = False
        assert viewer.busy is not None
        viewer.busy.set_result(None)
        look(onlooker, clock, 1)
        viewers.once()
        assert slow.taken[-1][0] == "whole" and len(slow.taken[-1][1]["columns"]) == 3, "what it missed is made up for"
        slow.stuck = True
        look(onlooker, clock, 1)
        viewers.once()
        look(onlooker, clock, 11)
        viewers.once()
        assert slow.was_cut and len(viewers) == 1 and viewer.gone.is_set() and not quick.was_cut
        viewers.leave(next(iter(viewers._all)))
        assert not onlooker.watched

    asyncio.run(lived())


def test_silence_of_the_loop_is_told() -> None:
    async def lived() -> None:
        onlooker, clock = begun()
        viewers, wire = Viewers(onlooker, None, clock), Wire()
        viewers.join(wire)
        viewers.once()
        for _ in range(10):
            clock.now_ns += 500 * MS
            viewers.once()
        told = [told["now"]["silent_s"] for kind, told in wire.taken if kind == "now"]
        assert told == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "once a second, however often it is asked"

    asyncio.run(lived())
