"""Metrics: what a run counted so far, as plain numbers; `families` makes Prometheus' series of them.

Fed as a sink by events and as a watcher by frames and turns, and so equal to the journal. Other threads may read at any
time: the loop only ever adds to a number or puts one value in another's place, and nobody waits for anybody.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from device.clock import Clock
from device.system.status import STATES
from device.vision.quality import QUALITY_REASONS
from fer_edge.events import UNSURE, Event

if TYPE_CHECKING:
    from device.camera.frame import Frame
    from device.output.journal.journal import Journal
    from device.system.health import Health
    from device.system.status import Status
    from device.vision.readings import FrameResult

BUCKET_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
STAGES = ("gate", "detect", "crop", "classify", "smooth", "write")
DROPS = ("busy", "unread", "unreadable", "budget", "hot")
STOPPED = "stopped"
CAMERA_STATES = (*(state for state in STATES if state != "stopping"), STOPPED)
TIME_KINDS = ("observed", "unavailable", "paused")


@dataclass(slots=True)
class Histogram:
    """Seconds, counted by the first of BOUNDS_S that they do not exceed; one more for what is beyond the last."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKET_BOUNDS_S) + 1))
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one more."""
        self.counts[bisect_left(BUCKET_BOUNDS_S, seconds)] += 1
        self.sum_s += seconds


class RunMetrics:
    """A sink and a watcher that counts. `camera` is the run's name, `health` gives the machine's at the last look.

    Series are by what the bundle and this program name, never by a track or by what somebody outside sent: their number
    is bounded. Before the header came, nothing is known of labels.
    """

    def __init__(self, camera: str, clock: Clock, journal: Journal, health: Callable[[], Health | None]) -> None:
        self.camera, self._clock, self._journal, self._health = camera, clock, journal, health
        self.about: dict[str, str] = {}  # what made the readings
        self.state = CAMERA_STATES[0]
        self.losses, self.gaps_s = 0, 0.0
        self.read = self.processed = self.idle = self.with_face = 0
        self.drops: Mapping[str, int] = {}
        self.faces = self.skipped = 0
        self.ages = Histogram()
        self.stages = {stage: Histogram() for stage in STAGES}
        self.readings: dict[str, int] = {}
        self.steady: dict[str, int] = {}
        self.unsure = dict.fromkeys((*QUALITY_REASONS, "confidence"), 0)
        self.episodes: dict[str, int] = {}
        self.labels_s: dict[str, float] = {}
        self.spent_s = dict.fromkeys(TIME_KINDS, 0.0)
        self._frame_ns: int | None = None
        self._started_ns = clock.started_ns()

    @property
    def uptime_s(self) -> float:
        """Seconds since the process started; the wall clock, which a Pi sets late, has no part in it."""
        return (self._clock.mono_ns() - self._started_ns) / 1e9

    @property
    def waited_s(self) -> float | None:
        """Seconds since the last live frame was taken; None before the first, for a recording, and once it stopped."""
        frame_ns = self._frame_ns
        return None if frame_ns is None or self.state == STOPPED else (self._clock.mono_ns() - frame_ns) / 1e9

    @property
    def health(self) -> Health | None:
        """The machine's, at the last look."""
        return self._health()

    @property
    def journal(self) -> tuple[int, int, bool]:
        """Bytes written, lines lost, and whether it can be written."""
        return self._journal.written_bytes, self._journal.lost.total(), self._journal.trouble is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def tick(self) -> None:
        """Nothing was put off."""

    def frame(self, frame: Frame, seen: FrameResult, laps_s: Mapping[str, float], age_s: float | None) -> None:
        """Counts a frame, its age and its stages."""
        self.processed += 1
        self.idle += seen.idle
        self.with_face += bool(seen.readings)
        self.faces = len(seen.readings)
        self.skipped += seen.skipped
        for stage, seconds in laps_s.items():
            if stage not in self.stages:  # a stage that the pipeline adds needs no change here
                self.stages[stage] = Histogram()
            self.stages[stage].add(seconds)
        if age_s is not None:
            self.ages.add(age_s)
            self._frame_ns = frame.mono_ns

    def turn(self, status: Status) -> None:
        """Takes over what others count."""
        self.state = status.state
        self.read, self.drops = status.frames["read"], status.drops
        if status.state != "running":
            self.faces = 0  # what was there when it was last looked is there no more

    def append(self, event: Event) -> None:
        """Counts what the event tells."""
        body = event.body
        match event.kind:
            case "reading":
                self._reading(body)
            case "episode":
                _increment(self.episodes, body["label"])
            case "tally":
                for name in TIME_KINDS:
                    self.spent_s[name] += body[f"{name}_s"]
                for label, seconds in body["labels_s"].items():
                    _increment(self.labels_s, label, seconds)
            case "camera":
                self.losses += body["state"] == "lost"
                self.gaps_s += body["gap_s"] if body["state"] == "back" else 0.0
            case "header":
                self._header(body)
            case "end":
                self.read, self.drops = body["frames"]["read"], body["drops"]
                self.stopped()

    def stopped(self) -> None:
        """The run is over."""
        self.state, self.faces = STOPPED, 0

    def _header(self, body: Mapping[str, Any]) -> None:
        bundle, labels = body["bundle"], body["labels"]
        # each at 0, so that a series begins before the first of it, and its first rise is seen as one
        self.readings, self.episodes = dict.fromkeys(labels, 0), dict.fromkeys(labels, 0)
        self.steady = dict.fromkeys([*labels, UNSURE], 0)
        self.labels_s = dict.fromkeys([*labels, UNSURE], 0.0)
        self.about = {
            "version": body["software"].removeprefix("fer-edge "),
            "bundle": bundle["name"],
            "bundle_sha256": bundle["sha256"],
            "runtime": body["runtime"],
            "detector": body["detector"],
        }

    def _reading(self, body: Mapping[str, Any]) -> None:
        _increment(self.readings, body["label"])
        if steady := body.get("steady"):
            _increment(self.steady, steady)
        if why := body.get("why"):
            _increment(self.unsure, why)


def _increment(counts: dict[str, Any], name: str, more: float = 1) -> None:
    counts[name] = counts.get(name, 0) + more
