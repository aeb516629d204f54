"""Journals with a known ground truth: a simulated device writes them on a fake clock, and notes what happened.

Journal, recorder, aggregator, episodes and tallies are those of `fer-edge run`, and so are the files; only camera and faces are
simulated. `GroundTruth` is recorded in true time and does not depend on how a journal is read.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter, defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from device.output.episodes import EpisodeRules
from device.output.event_aggregator import EventAggregator
from device.output.event_bodies import reading_body
from device.output.journal.journal import Journal
from device.output.sinks import EventRecorder
from device.output.tally import FrameCounts
from device.vision.readings import Reading
from fer_edge.detection.types import Face
from fer_edge.events import SCHEMA, UNSURE
from fer_edge.labels import LABELS
from tests.fakes import FakeClock

CAMERA = {"kind": "usb", "name": "usb:0", "width_px": 640, "height_px": 480, "time": "when read"}
RUNTIME = "litert 2.3.0, default, aarch64"
_MINUTE_S = 60


def header_body(name: str, live: bool = True, bundle: str = "edge", proved: bool = True) -> dict[str, Any]:
    """The body of a header, as `device.output.event_bodies.header_body` builds it from objects that a test does not have."""
    verified = {"runtime": RUNTIME, "compared_with": RUNTIME, "proved": proved, "steps": 0.0, "crop_levels": 0}
    return {
        "schema": SCHEMA,
        "software": "fer-edge 0.1.0",
        "name": name,
        "settings": "0" * 12,
        "bundle": {"name": bundle, "sha256": f"{len(bundle):064x}"},
        "labels": list(LABELS),
        "training_prior": dict.fromkeys(LABELS, 0.143),
        "preprocess": "gray-square-replicate-area/1",
        "detector": "blazeface-zoomed",
        "runtime": "litert 2.3.0",
        "verified": verified,
        "camera": {"live": live, **CAMERA},
        "start_s": {"import": 0.4, "model": 0.5, "camera": 0.9},
    }


@dataclass(slots=True)
class GroundTruth:
    """What happened, in true POSIX seconds: for each hour (by its start) the seconds of each state and of each label."""

    state_s: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    labels_s: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    face_s: Counter[int] = field(default_factory=Counter)
    spans: list[tuple[str, float, float]] = field(default_factory=list)  # in which nothing was observed

    def note(self, state: str, from_s: float, to_s: float, faces: tuple[str, ...] = ()) -> None:
        """Adds a time span with its state and the labels of the faces in it."""
        if state != "observed" and to_s > from_s:
            last = self.spans[-1] if self.spans else None
            joined = last is not None and last[0] == state and abs(last[2] - from_s) < 1e-3
            self.spans[-1 if joined else len(self.spans) :] = [(state, last[1] if joined and last else from_s, to_s)]
        while from_s < to_s:
            hour = int(from_s // 3600 * 3600)
            part_s = min(to_s, hour + 3600) - from_s
            self.state_s[hour][state] += part_s  # type: ignore[assignment]
            self.face_s[hour] += part_s if faces else 0  # type: ignore[assignment]
            for label in faces:
                self.labels_s[hour][label] += part_s  # type: ignore[assignment]
            from_s += part_s

    def total(self, what: defaultdict[int, Counter[str]]) -> Counter[str]:
        """The sum over all hours."""
        every: Counter[str] = Counter()
        for one in what.values():
            every.update(one)
        return every


class SimulatedDevice:
    """A device with its journal in `folder` from `true_s` (POSIX seconds) on: each method is one thing that happens to it.

    A frame comes every `frame_s`. Lines are forced to the disk less often than on a Pi, to make tests faster. The wall clock
    is set from the start unless `boot` says otherwise.
    """

    def __init__(
        self,
        folder: Path,
        true_s: float,
        name: str = "camera",
        frame_s: float = 1.0,
        seed: int = 0,
        per_frame: bool = False,
        sync_s: float = 600.0,
    ) -> None:
        self.folder, self.name, self.frame_s, self.per_frame = folder, name, frame_s, per_frame
        self.sync_s = sync_s
        self.true_s = true_s
        self.truth = GroundTruth()
        self.rng = random.Random(seed)
        self.clock = FakeClock(20_000_000_000, boot="")
        self.boots = 0
        self.crashed = False  # the run before
        self.lost: Counter[str] = Counter()
        self._stack = ExitStack()
        self._read = 0
        self.frames_idle = self.faces_skipped = 0  # as they are counted since the start of the run
        self._track = 0
        self.boot(power_off_s=0.0)

    def boot(self, power_off_s: float, synced: bool = True, wall_s: float | None = None) -> None:
        """The machine is off for that time, then starts; a wall clock that is not set shows `wall_s` at boot."""
        self._pass(("cut off" if self.crashed else "stopped") if self.boots else "nothing", power_off_s)
        self.boots += 1
        self.clock.boot = f"{self.boots:08d}-0000-4000-8000-{self.rng.getrandbits(48):012x}"
        self.clock.now_ns = 20_000_000_000
        self._set(synced, self.true_s - 20.0 if wall_s is None else wall_s)

    def set_clock(self, synced: bool = True, off_by_s: float = 0.0) -> None:
        """Sets the wall clock, with an error of `off_by_s`."""
        self._set(synced, self.true_s - self.clock.now_ns / 1e9 + off_by_s)

    def _set(self, synced: bool, wall_s: float) -> None:
        self.clock.wall_s, self.clock.state = wall_s, "synced" if synced else "unsynced"

    def start(self, ring_bytes: int = 512 << 10, **header: Any) -> None:
        """A run starts, and its camera opens."""
        self.journal = self._stack.enter_context(Journal(self.folder, self.clock, self.sync_s, ring_bytes=ring_bytes))
        self._recorder = EventRecorder(self.journal, self.clock)
        patience_s = 2 * self.frame_s + 0.5
        self._account = EventAggregator(
            self._recorder.record, self.clock, EpisodeRules(), self.clock.now_ns, patience_s
        )
        self._start_ns = self.clock.now_ns
        self.crashed = False
        self._record("header", header_body(self.name, **header))
        for repair in self.journal.repairs:
            self._record("repair", repair.body())
        self._camera("opened")
        self._account.add_frame((), self.clock.now_ns, self._counts())

    def watch(
        self, seconds: float, *labels: str, quality: float = 0.8, p: float = 0.8, why: str = "confidence"
    ) -> None:
        """Frames for that time, each with a face for each label; `why` is the reason of UNSURE."""
        self._track += 1
        begun_s, last_ns = self.true_s, self.clock.now_ns
        for _ in range(round(seconds / self.frame_s)):
            self._pass(None, self.frame_s)
            self._read += 1
            readings = [self._reading(label, self._track + rank, quality, p, why) for rank, label in enumerate(labels)]
            if self.per_frame:
                for reading in readings:
                    self._record("reading", reading_body(reading, 41.5))
            self._account.add_frame(readings, self.clock.now_ns, self._counts())
            self.journal.tick()
        assert self.clock.now_ns > last_ns
        self.truth.note("observed", begun_s, self.true_s, labels)

    def idle(self, seconds: float) -> None:
        """Frames without a face for that time, further apart but within patience, so that months pass quickly."""
        begun_s, left_s = self.true_s, seconds
        while left_s > 0:
            step_s = min(2 * self.frame_s, left_s)
            self._pass(None, step_s)
            left_s -= step_s
            self._read += 1
            self._account.add_frame((), self.clock.now_ns, self._counts())
            self.journal.tick()
        self.truth.note("observed", begun_s, self.true_s)

    def lose(self, seconds: float, reason: str = "no picture for 5.1 s") -> None:
        """The camera is lost for that time, which is noticed after 5.1 s; then it gives a frame again."""
        begun_ns, noticed = self.clock.now_ns, False
        for passed_s in (5.1, *[1.0] * int(seconds - 5.1), (seconds - 5.1) % 1.0):
            self._pass("unavailable", passed_s)
            if not noticed:
                self._account.interrupt("lost", self.clock.now_ns)
                self._camera("lost", reason=reason, gap_s=5.1)
                noticed = True
            self._account.advance(self.clock.now_ns, self._counts())
            self.journal.tick()
        self._camera("back", gap_s=round((self.clock.now_ns - begun_ns) / 1e9, 3))
        self._account.add_frame((), self.clock.now_ns, self._counts())

    def hang(self, seconds: float) -> None:
        """No frame comes for that time, but the camera is not lost: the machine is busy."""
        self._pass("late", seconds)
        self._account.add_frame((), self.clock.now_ns, self._counts())

    def pause(self, seconds: float) -> None:
        """The run is paused for that time."""
        begun_ns = self.clock.now_ns
        self._account.interrupt("pause", begun_ns)
        self._camera("closed")
        self._record("pause", {"by": "fer-edge pause"})
        for _ in range(int(seconds)):
            self._pass("paused", 1.0)
            self._account.advance(self.clock.now_ns, self._counts(), paused=True)
            self.journal.tick()
        self._record("resume", {"by": "fer-edge resume", "paused_s": (self.clock.now_ns - begun_ns) / 1e9})
        self._camera("opened")

    def health(self, undervoltage: bool, throttled: tuple[str, ...] = (), degrees: float = 51.2) -> None:
        """The machine reports its health."""
        body = {"undervoltage": undervoltage, "throttled_now": list(throttled), "throttled_since_boot": list(throttled)}
        self._record("health", {**body, "temperature_c": degrees, "disk_free_bytes": 12_000_000_000})

    def end(self, reason: str = "stopped by SIGTERM") -> None:
        """The run ends regularly."""
        self._camera("closed")
        self._account.finish(self.clock.now_ns, self._counts())
        frames = {"read": self._read, "processed": self._read, "with_face": 0}
        seconds = (self.clock.now_ns - self._start_ns) / 1e9
        self._record("end", {"reason": reason, "seconds": seconds, "frames": frames, "drops": {}, "start_s": {}})
        self._stack.close()

    def off(self, seconds: float) -> None:
        """The machine is on for that time, but no run is."""
        self._pass("cut off" if self.crashed else "stopped", seconds)

    def crash(self, off_s: float, torn: bytes = b"") -> None:
        """The run ends without an `end` line, at the end of a minute, its lines on the disk; then nothing runs for `off_s`.

        `torn` is the incomplete line that it was writing.
        """
        assert (self.clock.now_ns - self._start_ns) % (_MINUTE_S * 10**9) == 0, "not at the end of a minute"
        self.journal.sync()
        left = self.folder.with_name(f".{self.folder.name}.left")
        shutil.copytree(self.folder, left)
        self._stack.close()  # which writes more
        shutil.rmtree(self.folder)
        left.rename(self.folder)
        if torn and self.journal.path is not None:
            with self.journal.path.open("ab") as file:
                file.write(torn)
        self.crashed = True
        self._pass("cut off", off_s)

    def fill_disk(self, minutes: int) -> None:
        """The journal cannot be written for so many minutes without a face; the oldest lines are lost."""
        self.journal.sync()
        aside, before, begun_s = (
            self.folder.with_name(f".{self.folder.name}.aside"),
            self.journal.lost["tally"],
            self.true_s,
        )
        self.folder.rename(aside)
        self.folder.touch()
        for _ in range(minutes * _MINUTE_S):
            self._pass(None, 1.0)
            self._account.add_frame((), self.clock.now_ns, self._counts())
            self.journal.tick()
        self.folder.unlink()
        aside.rename(self.folder)
        lost_s = (self.journal.lost["tally"] - before) * _MINUTE_S
        self.truth.note("missing", begun_s, begun_s + lost_s)
        self.truth.note("observed", begun_s + lost_s, self.true_s)
        self.lost = self.journal.lost

    def _pass(self, state: str | None, seconds: float) -> None:
        if state not in (None, "nothing"):
            self.truth.note(state or "", self.true_s, self.true_s + seconds)
        self.true_s += seconds
        self.clock.now_ns += round(seconds * 1e9)

    def _counts(self) -> FrameCounts:
        counted = self._read + self._read // 50
        return FrameCounts(counted, {"busy": self._read // 50}, self.frames_idle, self.faces_skipped)

    def _reading(self, label: str, track: int, quality: float, p: float, why: str) -> Reading:
        shown = LABELS.index(label if label != UNSURE else "neutral")
        probs = np.full(len(LABELS), (1 - p) / (len(LABELS) - 1), np.float32)
        probs[shown] = p
        unsure = label == UNSURE
        face = Face((200, 120, 160, 160), 0.9)
        return Reading(
            self._read, self.clock.now_ns, face, LABELS[shown], probs, label, track, quality,
            probs, why if unsure else "",
        )  # fmt: skip

    def _camera(self, state: str, **more: Any) -> None:
        self._record("camera", {"state": state, **more, "camera": CAMERA})

    def _record(self, kind: str, body: dict[str, Any]) -> None:
        self._recorder.record(kind, body, self.clock.now_ns)


def utc_s(text: str) -> float:
    """The POSIX seconds of a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
