"""The counts of a run so far, as plain numbers; `prometheus_collector` converts them to Prometheus' series.

Updated as a sink by events and as a frame observer by frames and turns, and so consistent with the journal. Other threads may
read at any time: the loop only adds to a number or replaces a value, and no thread waits for another.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from device.clock import Clock
from device.system.status_record import STATES
from fer_edge.events import TIME_KINDS, UNSURE, Event
from fer_edge.quality import QUALITY_REASONS

if TYPE_CHECKING:
    from device.camera.frame import Frame
    from device.config import Settings
    from device.output.event_bodies import HeaderBody, ReadingBody
    from device.output.journal.journal import Journal
    from device.system.health import Health
    from device.system.status_record import Status
    from device.vision.readings import FrameResult

BUCKET_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
STAGES = ("gate", "detect", "crop", "classify", "smooth", "write")
DROPS = ("busy", "unread", "unreadable", "budget", "hot")
STOPPED = "stopped"
CAMERA_STATES = (*(state for state in STATES if state != "stopping"), STOPPED)


@dataclass(slots=True)
class Histogram:
    """Durations, counted by the first of BUCKET_BOUNDS_S that they do not exceed; the last count is beyond all bounds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKET_BOUNDS_S) + 1))
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one duration."""
        self.counts[bisect_left(BUCKET_BOUNDS_S, seconds)] += 1
        self.sum_s += seconds


@dataclass(frozen=True, slots=True)
class JournalCounts:
    """What the journal wrote and lost, and whether it can be written."""

    written_bytes: int
    lost_lines: int
    writable: bool


class RunMetrics:
    """A sink and a frame observer that counts. `camera` is the run's name, `health` returns the machine's last health.

    Label values come from the bundle and this program, never from a track or from input: the number of series is bounded.
    Before the header there are no expressions.
    """

    def __init__(self, camera: str, clock: Clock, journal: Journal, health: Callable[[], Health | None]) -> None:
        self.camera, self._clock, self._journal, self._health = camera, clock, journal, health
        self.build_info: dict[str, str] = {}  # what makes the readings
        self.state = CAMERA_STATES[0]
        self.losses, self.gaps_s = 0, 0.0
        self.read = self.processed = self.idle = self.with_face = 0
        self.drops: Mapping[str, int] = {}
        self.faces = self.skipped = 0
        self.frame_ages = Histogram()
        self.stages = {stage: Histogram() for stage in STAGES}
        self.readings: dict[str, int] = {}
        self.steady: dict[str, int] = {}
        self.unsure = dict.fromkeys((*QUALITY_REASONS, "confidence"), 0)
        self.episodes: dict[str, int] = {}
        self.labels_s: dict[str, float] = {}
        self.state_s = dict.fromkeys(TIME_KINDS, 0.0)
        self.working: dict[str, bool] = {}  # the run's outputs beside the journal, by name
        self._frame_ns: int | None = None
        self._started_ns = clock.started_ns()

    @property
    def uptime_s(self) -> float:
        """Seconds since the process started, independent of the wall clock, which a Pi sets late."""
        return (self._clock.mono_ns() - self._started_ns) / 1e9

    @property
    def since_last_frame_s(self) -> float | None:
        """Seconds since the last live frame was taken; None before the first, for a recording, and after the end."""
        frame_ns = self._frame_ns
        return None if frame_ns is None or self.state == STOPPED else (self._clock.mono_ns() - frame_ns) / 1e9

    @property
    def health(self) -> Health | None:
        """The machine's health when it was last measured."""
        return self._health()

    @property
    def journal(self) -> JournalCounts:
        """The journal's counts."""
        return JournalCounts(self._journal.written_bytes, self._journal.lost.total(), self._journal.trouble is None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def tick(self) -> None:
        """Does nothing: no work is postponed."""

    def on_frame(self, frame: Frame, result: FrameResult, stages_s: Mapping[str, float], age_s: float | None) -> None:
        """Counts a frame, its age and its stages."""
        self.processed += 1
        self.idle += result.idle
        self.with_face += bool(result.readings)
        self.faces = len(result.readings)
        self.skipped += result.skipped
        for stage, seconds in stages_s.items():
            if stage not in self.stages:  # a stage added to the pipeline needs no change here
                self.stages[stage] = Histogram()
            self.stages[stage].add(seconds)
        if age_s is not None:
            self.frame_ages.add(age_s)
            self._frame_ns = frame.mono_ns

    def on_turn(self, status: Status) -> None:
        """Copies what the loop counts."""
        self.state = status.state
        self.read, self.drops = status.frames["read"], status.drops
        self.working = {name: trouble is None for name, trouble in status.outputs.items()}
        if status.state != "running":
            self.faces = 0  # the faces of the last frame are outdated

    def on_settings(self, settings: Settings) -> None:
        """Does nothing: no setting of the metrics changes during a run."""

    def append(self, event: Event) -> None:
        """Counts the event."""
        body = event.body
        match event.kind:
            case "reading":
                self._count_reading(cast("ReadingBody", body))
            case "episode":
                _increment(self.episodes, body["label"])
            case "tally":
                for name in TIME_KINDS:
                    self.state_s[name] += body[f"{name}_s"]
                for label, seconds in body["labels_s"].items():
                    self.labels_s[label] = self.labels_s.get(label, 0.0) + seconds
            case "camera":
                self.losses += body["state"] == "lost"
                self.gaps_s += body["gap_s"] if body["state"] == "back" else 0.0
            case "header":
                self._read_header(cast("HeaderBody", body))
            case "end":
                self.read, self.drops = body["frames"]["read"], body["drops"]
                self.mark_stopped()

    def mark_stopped(self) -> None:
        """Sets the state at the end of the run."""
        self.state, self.faces = STOPPED, 0

    def _read_header(self, body: HeaderBody) -> None:
        bundle, labels = body["bundle"], body["labels"]
        # each starts at 0, so that its series exists before the first count and Prometheus sees the first increase
        self.readings, self.episodes = dict.fromkeys(labels, 0), dict.fromkeys(labels, 0)
        self.steady = dict.fromkeys([*labels, UNSURE], 0)
        self.labels_s = dict.fromkeys([*labels, UNSURE], 0.0)
        self.build_info = {
            "version": body["software"].removeprefix("fer-edge "),
            "bundle": bundle["name"],
            "bundle_sha256": bundle["sha256"],
            "runtime": body["runtime"],
            "detector": body["detector"],
        }

    def _count_reading(self, body: ReadingBody) -> None:
        _increment(self.readings, body["label"])
        if steady := body.get("steady"):
            _increment(self.steady, steady)
        if why := body.get("why"):
            _increment(self.unsure, why)


def _increment(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1
