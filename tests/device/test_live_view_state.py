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
from device.system.status_record import Status
from device.vision.readings import FrameResult, Reading

GRAY = np.zeros((48, 64), np.uint8)
MS = 1_000_000


def begun(live: bool = True) -> tuple[ViewState, FakeClock]:
    """A view state after the header of a run, 12.5 s after boot, and its clock."""
    clock = FakeClock(12_500 * MS)
    view_state = ViewState(clock, 2.0)
    view_state.on_event(event("header", labels=["happy", "sad", "neutral"], camera={"live": live}, name="camera"))
    return view_state, clock


def status(state: str = "running", **drops: int) -> Status:
    return Status(state, "drawn", "/log", None, {"read": 5, "processed": 4, "with_face": 1}, drops)


def look(view_state: ViewState, clock: FakeClock, seconds: float, *labels: str) -> None:
    """Frames of so many seconds, ten a second, with these faces, as the loop passes them."""
    for _ in range(round(seconds * 10)):
        clock.now_ns += 100 * MS
        view_state.on_turn(status())
        faces = tuple(reading(label, track) for track, label in enumerate(labels, 1))
        at = tuple(_at(face, clock.now_ns) for face in faces)
        view_state.on_frame(Frame(0, clock.now_ns, GRAY), FrameResult(at), {"detect": 0.01}, 0.02)


def _at(face: Reading, mono_ns: int) -> Reading:
    return replace(face, mono_ns=mono_ns)


def test_a_column_is_a_tally_of_two_seconds() -> None:
    view_state, clock = begun()
    view_state.watched = True
    look(view_state, clock, 2, "happy")
    look(view_state, clock, 1, "sad", "happy")
    look(view_state, clock, 1)
    look(view_state, clock, 0.2)
    first, second = view_state.latest.columns
    assert first["labels_s"] == {"happy": pytest.approx(1.9)} and first["unavailable_s"] == pytest.approx(0.1)
    assert second["labels_s"] == {"happy": pytest.approx(1), "sad": pytest.approx(1)} and second[
        "face_s"
    ] == pytest.approx(1)
    assert second["frames"]["processed"] == 20 and second["from_mono_s"] == 14.5


def test_a_pause_and_a_lost_camera_are_distinct_and_remove_the_faces() -> None:
    view_state, clock = begun()
    view_state.watched = True
    look(view_state, clock, 2, "happy")
    assert view_state.latest.frame is not None and view_state.latest.frame.faces
    for state, name in (("paused", "paused_s"), ("lost", "unavailable_s")):
        for _ in range(24):
            clock.now_ns += 250 * MS
            view_state.on_turn(status(state))
        assert view_state.latest.frame is None and view_state.latest.status == status(state)
        assert view_state.latest.columns[-1][name] == 2.0, state


def test_a_recording_uses_its_own_time() -> None:
    view_state, clock = begun(live=False)
    clock.now_ns += 60_000 * MS  # it took a minute to read
    view_state.on_turn(status())
    assert view_state.latest.columns == ()


def test_the_columns_cover_ten_minutes() -> None:
    view_state, clock = begun()
    for _ in range(COLUMNS + 20):
        clock.now_ns += 2_000 * MS
        view_state.on_turn(status("paused"))
    assert len(view_state.latest.columns) == COLUMNS
    assert view_state.latest.columns[-1]["from_mono_s"] == pytest.approx(12.5 + 2 * (COLUMNS + 19))


def test_a_face_has_the_start_of_its_track_and_of_its_label() -> None:
    view_state, clock = begun()
    view_state.watched = True
    look(view_state, clock, 1, "happy")
    look(view_state, clock, 1, "sad")
    (face,) = view_state.latest.frame.faces  # type: ignore[union-attr]
    seen_s, held_s = ((face.reading.mono_ns - ns) / 1e9 for ns in (face.first_ns, face.since_ns))
    assert (face.label, seen_s, held_s) == ("sad", pytest.approx(1.9, abs=0.25), pytest.approx(0.9, abs=0.25))
    look(view_state, clock, 3)
    look(view_state, clock, 0.5, "sad")
    (face,) = view_state.latest.frame.faces  # type: ignore[union-attr]
    assert face.reading.mono_ns - face.first_ns < 500 * MS, "it was away for too long to be the same"


def test_dropped_frames_keep_the_columns_and_the_faces() -> None:
    """As while the processor is hot: each second a frame arrives, every fifth is processed."""
    view_state, clock = begun()
    look(view_state, clock, 0.1, "happy")
    first_s = clock.now_ns / 1e9
    for second in range(1, 45):
        for _ in range(4):
            clock.now_ns += 250 * MS
            view_state.on_turn(replace(status(), frame_mono_s=first_s + second - 1))
        if second % 5 == 0:
            face = _at(reading("happy", 1), clock.now_ns)
            view_state.on_frame(Frame(0, clock.now_ns, GRAY), FrameResult((face,)), {}, 0.02)
    columns = view_state.latest.columns
    assert sum(column["labels_s"].get("happy", 0.0) for column in columns) == pytest.approx(40 - 0.1)
    assert sum(column["unavailable_s"] for column in columns) == pytest.approx(0.1)
    assert view_state.latest.frame is not None
    (shown,) = view_state.latest.frame.faces
    assert shown.first_ns == round(first_s * 1e9), "the same face"


def test_old_tracks_are_forgotten() -> None:
    view_state, clock = begun()
    for track in range(1000):
        clock.now_ns += 100 * MS
        view_state.on_frame(
            Frame(0, clock.now_ns, GRAY), FrameResult((_at(reading("happy", track), clock.now_ns),)), {}, None
        )
    assert len(view_state._faces) <= 32


def test_snapshots_are_frequent_only_with_viewers() -> None:
    for watched, most, least in ((True, 51, 40), (False, 6, 5)):
        view_state, clock = begun()
        view_state.watched = watched
        snapshots = [view_state.latest]
        for _ in range(1000):
            clock.now_ns += 10 * MS
            view_state.on_turn(status())
            view_state.on_frame(Frame(0, clock.now_ns, GRAY), FrameResult(), {}, None)
            if view_state.latest is not snapshots[-1]:
                snapshots.append(view_state.latest)
        assert least <= len(snapshots) <= most


class Wire:
    """A stream that takes everything, or nothing once it is `stuck`."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.stuck = self.aborted = False

    def send(self, data: bytes) -> asyncio.Future[None]:
        kind, body = data.decode().removesuffix("\n\n").split("\n")
        self.taken.append((kind.removeprefix("event: "), json.loads(body.removeprefix("data: "))))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.stuck:
            done.set_result(None)
        return done

    def abort(self) -> None:
        self.aborted = True


def test_a_slow_viewer_gets_the_full_state_and_a_stuck_one_is_disconnected() -> None:
    async def lived() -> None:
        view_state, clock = begun()
        viewers, quick, slow = Viewers(view_state, None, clock), Wire(), Wire()
        viewers.add(quick)
        viewer = viewers.add(slow)
        assert viewer is not None and view_state.watched
        look(view_state, clock, 2.2)
        slow.stuck = True
        viewers.send_update()
        look(view_state, clock, 4)
        viewers.send_update()
        assert [kind for kind, _ in quick.taken] == ["whole", "now", "now"]
        assert [len(message["columns"]) for _, message in quick.taken] == [0, 1, 2], "each column once"
        assert [kind for kind, _ in slow.taken] == ["whole", "now"]
        slow.stuck = False
        assert viewer.pending_write is not None
        viewer.pending_write.set_result(None)
        look(view_state, clock, 1)
        viewers.send_update()
        assert slow.taken[-1][0] == "whole" and len(slow.taken[-1][1]["columns"]) == 3, "what it missed is made up for"
        slow.stuck = True
        look(view_state, clock, 1)
        viewers.send_update()
        look(view_state, clock, 11)
        viewers.send_update()
        assert slow.aborted and len(viewers) == 1 and viewer.closed.is_set() and not quick.aborted
        viewers.remove(next(iter(viewers._all)))
        assert not view_state.watched

    asyncio.run(lived())


def test_a_viewer_that_came_before_the_header_gets_the_full_state_with_it() -> None:
    """The port is open while the camera opens; only then the run is described."""

    async def lived() -> None:
        clock = FakeClock(12_500 * MS)
        view_state = ViewState(clock, 2.0)
        viewers, early = Viewers(view_state, None, clock), Wire()
        viewers.add(early)
        view_state.on_turn(status("starting"))
        viewers.send_update()
        view_state.on_event(event("header", labels=["happy", "sad"], camera={"live": True}, name="camera"))
        look(view_state, clock, 1)
        viewers.send_update()
        look(view_state, clock, 1)
        viewers.send_update()
        assert [kind for kind, _ in early.taken] == ["whole", "now", "whole", "now"]
        assert [body["run"]["labels"] for kind, body in early.taken if kind == "whole"] == [None, ["happy", "sad"]]

    asyncio.run(lived())


def test_a_silent_loop_is_reported() -> None:
    async def lived() -> None:
        view_state, clock = begun()
        viewers, wire = Viewers(view_state, None, clock), Wire()
        viewers.add(wire)
        viewers.send_update()
        for _ in range(10):
            clock.now_ns += 500 * MS
            viewers.send_update()
        silent_s = [silent_s["now"]["silent_s"] for kind, silent_s in wire.taken if kind == "now"]
        assert silent_s == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "once a second, for any rate of requests"

    asyncio.run(lived())
