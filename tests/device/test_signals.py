"""SIGTERM at every stage of a run: it ends at once and well, and everything that happened is in the journal."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from builders import journal_events
from fakes import NetworkCamera
from processes import run_state, start_run, wait_until

from fer_edge.synthetic_face import face_frame

OPEN_S = 2.0  # for so long opening may hold up the end: a call into a driver cannot be interrupted
SOON_S = OPEN_S + 3.0

Stage = tuple[str, dict[str, Any], Callable[[Path], bool]]  # camera, settings, and whether the stage is reached


@contextmanager
def loading() -> Iterator[Stage]:
    """The networks are being loaded and verified."""
    yield "synthetic", {}, lambda folder: run_state(folder) == "starting"


@contextmanager
def opening() -> Iterator[Stage]:
    """The camera takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        sockets: list[socket.socket] = []

        def reached(_: Path) -> bool:
            try:
                sockets.append(server.accept()[0])
            except BlockingIOError:
                return False
            return True

        yield f"http://127.0.0.1:{server.getsockname()[1]}/", {"open_s": OPEN_S}, reached
        for one in sockets:
            one.close()


@contextmanager
def waiting() -> Iterator[Stage]:
    """There is no camera yet."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
    settings = {"wait_camera": True, "open_s": OPEN_S}
    yield address, settings, lambda folder: run_state(folder) == "waiting"


@contextmanager
def running() -> Iterator[Stage]:
    yield "synthetic", {}, lambda folder: run_state(folder) == "running"


@contextmanager
def writing() -> Iterator[Stage]:
    """Each line is forced to the disk at once, so that most of the time goes there."""
    settings = {"per_frame": True, "sync_s": 0.0, "fps": 200.0}
    yield "synthetic", settings, lambda folder: sum(1 for _ in lines(folder)) > 20


@contextmanager
def paused() -> Iterator[Stage]:
    yield "synthetic", {"paused": True}, lambda folder: run_state(folder) == "paused"


@contextmanager
def lost() -> Iterator[Stage]:
    """The camera went away and is tried again."""
    camera = NetworkCamera(face_frame)

    def reached(folder: Path) -> bool:
        if run_state(folder) == "running":
            camera.stop()
        return run_state(folder) == "lost"

    settings = {"open_s": OPEN_S, "stall_s": 1.0, "health_s": 0.2}
    yield camera.address(), settings, reached


def lines(folder: Path) -> Iterator[str]:
    for segment in (folder / "log").glob("*.jsonl"):
        yield from segment.read_text().splitlines()


KINDS = {
    loading: ["opened", "closed"],
    opening: None,  # a run begins with its camera
    waiting: ["waiting", "closed"],
    running: ["opened", "closed"],
    writing: ["opened", "closed"],
    paused: [],
    lost: ["opened", "lost", "closed"],
}


@pytest.mark.parametrize("stage", KINDS, ids=lambda stage: stage.__name__)
def test_everything_is_written(tmp_path: Path, stage: Callable[[], Any]) -> None:
    with stage() as (camera, settings, reached):
        process = start_run(tmp_path, camera, "--bundle", "nano", **settings)
        wait_until(process, lambda: reached(tmp_path))
        asked_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, spoken = process.communicate(timeout=60)
        took_s = time.monotonic() - asked_s
    assert "Traceback" not in spoken
    assert process.returncode == 0, spoken
    assert "stopped by SIGTERM" in spoken
    assert took_s < SOON_S
    assert not list((tmp_path / "run").glob("*.status.json")), "nobody takes it for one that runs"
    events = journal_events(tmp_path / "log")
    if KINDS[stage] is None:
        assert events == []
        return
    assert [event.seq for event in events] == list(range(len(events)))
    assert (events[0].kind, events[-1].kind) == ("header", "end")
    assert events[-1].body["reason"] == "stopped by SIGTERM"
    assert [event.body["state"] for event in events if event.kind == "camera"] == KINDS[stage]
    frames, drops = events[-1].body["frames"], events[-1].body["drops"]
    assert frames["read"] == frames["processed"] + sum(drops.values())
