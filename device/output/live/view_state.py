"""The onlooker: what the loop tells the live page, as values that never change again, and no more than a page can show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from device.clock import Clock, Stamp
from device.output import tally
from device.output.episodes import EpisodeRules, counted_label
from device.output.tally import FrameCounts
from fer_edge.events import Event

if TYPE_CHECKING:
    from device.camera.frame import Frame
    from device.output.live.pixelated_picture import PixelatedPictures
    from device.system.status import Status
    from device.vision.readings import FrameResult, Reading

COLUMN_S = 2.0
COLUMNS = 300  # ten minutes
EVERY_S, _UNWATCHED_S = 0.2, 2.0  # between two snapshots
_EPISODES = 6  # that are over, told with each snapshot
_AWAY_S = 2.0  # a face unseen for longer is told from the beginning again
_TRACKS = 32  # that are remembered
_EPISODE_RULES = EpisodeRules()


@dataclass(frozen=True, slots=True)
class FaceView:
    """A face as it is now: its reading, since when this track is seen, and since when it shows its label."""

    reading: Reading
    label: str
    first_ns: int
    since_ns: int


@dataclass(frozen=True, slots=True)
class FrameView:
    """The last processed frame: its faces, the picture's size in px, its age then, and what each stage took."""

    seq: int
    mono_ns: int
    size_px: tuple[int, int]
    faces: tuple[FaceView, ...]
    skipped: int
    age_s: float | None
    laps_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment. `columns` are bodies of tallies over `COLUMN_S`, the oldest first.

    `run` is the header's body, `started_s` its time, `camera` the body of the last event about the camera; `ended` says why
    the run is over.
    """

    at: Stamp
    boot: str
    started_s: float
    run: Mapping[str, Any]
    camera: Mapping[str, Any]
    status: Status | None = None
    looked: FrameView | None = None
    columns: tuple[Mapping[str, Any], ...] = ()
    episodes: tuple[Mapping[str, Any], ...] = ()
    ended: str = ""


class ViewState:
    """Takes events, frames and turns from the loop, and holds the `latest` snapshot for whoever asks in another thread.

    `watched` is set from there while somebody looks. `patience_s` is as the journal's tallies have it.
    """

    def __init__(self, clock: Clock, patience_s: float, pictures: PixelatedPictures | None = None) -> None:
        self.watched = False
        self.latest = Snapshot(clock.stamp(), clock.boot, 0.0, {}, {})
        self._clock, self._patience_s, self._pictures = clock, patience_s, pictures
        self._tally: tally.Tally | None = None  # of the column that is being filled
        self._counts = FrameCounts()
        self._live, self._started_s = True, 0.0
        self._run: Mapping[str, Any] = {}
        self._camera: Mapping[str, Any] = {}
        self._status: Status | None = None
        self._looked: FrameView | None = None
        self._columns: tuple[Mapping[str, Any], ...] = ()
        self._episodes: tuple[Mapping[str, Any], ...] = ()
        self._ended = ""
        self._known: dict[int, FaceView] = {}  # by track
        self._told_ns = 0  # when `latest` was made

    def event(self, event: Event) -> None:
        """Something was recorded."""
        match event.kind:
            case "header" if self._tally is None:
                self._run, self._live, self._started_s = event.body, event.body["camera"]["live"], event.mono_s
                self._tally = tally.start_tally(round(event.mono_s * 1e9), self._patience_s, COLUMN_S)
            case "camera":
                self._camera = event.body
            case "episode":
                self._episodes = (*self._episodes, event.body)[-_EPISODES:]
                return  # the next frame shows it early enough
            case "end":
                self._ended, self._looked = event.body["reason"], None
            case _:
                return
        self._show(self._clock.mono_ns())

    def frame(self, frame: Frame, seen: FrameResult, laps_s: Mapping[str, float], age_s: float | None) -> None:
        """A frame was processed."""
        faces = tuple(self._shown(reading) for reading in seen.readings)
        size_px = (frame.gray.shape[1], frame.gray.shape[0])
        # The picture itself is not kept: only `pictures` may do that, while they are on.
        self._looked = FrameView(frame.seq, frame.mono_ns, size_px, faces, seen.skipped, age_s, laps_s)
        self._advance(seen.readings, frame.mono_ns)
        if self._pictures is not None and self.watched:
            self._pictures.offer(frame, seen)
        if self._due(now_ns := self._clock.mono_ns()):
            self._show(now_ns)

    def turn(self, status: Status) -> None:
        """A turn of the loop."""
        changed = self._status is None or self._status.state != status.state
        self._status = status
        self._counts = FrameCounts(status.frames.get("read", 0), status.drops)
        now_ns = self._clock.mono_ns()
        if status.state != "running":
            self._looked, self._known = None, {}
            if self._pictures is not None:
                self._pictures.forget()
        if self._live:
            self._advance(None, now_ns, status.state == "paused")
        if changed or self._due(now_ns):
            self._show(now_ns)

    def _shown(self, reading: Reading) -> FaceView:
        label, known = counted_label(reading, _EPISODE_RULES), None
        if reading.track is None:
            return FaceView(reading, label, reading.mono_ns, reading.mono_ns)
        known = self._known.get(reading.track)
        if known is None or reading.mono_ns - known.reading.mono_ns > _AWAY_S * 1e9:
            shown = FaceView(reading, label, reading.mono_ns, reading.mono_ns)
        else:
            since_ns = known.since_ns if known.label == label else reading.mono_ns
            shown = FaceView(reading, label, known.first_ns, since_ns)
        self._known[reading.track] = shown
        if len(self._known) > _TRACKS:  # the one that was not seen for longest
            del self._known[min(self._known, key=lambda track: self._known[track].reading.mono_ns)]
        return shown

    def _advance(self, readings: tuple[Reading, ...] | None, mono_ns: int, paused: bool = False) -> None:
        if self._tally is None:
            return
        self._tally, over = tally.update_tally(self._tally, readings, mono_ns, self._counts, _EPISODE_RULES, paused)
        if over:
            self._columns = (*self._columns, *over)[-COLUMNS:]

    def _due(self, now_ns: int) -> bool:
        return now_ns - self._told_ns >= (EVERY_S if self.watched else _UNWATCHED_S) * 1e9

    def _show(self, now_ns: int) -> None:
        self._told_ns = now_ns
        self.latest = Snapshot(
            self._clock.stamp(now_ns),
            self._clock.boot,
            self._started_s,
            self._run,
            self._camera,
            self._status,
            self._looked,
            self._columns,
            self._episodes,
            self._ended,
        )
