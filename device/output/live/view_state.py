"""The state behind the live page: immutable snapshots of what the loop passes, and no more than a page can show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from device.clock import Clock, Stamp
from device.output import tally
from device.output.arrivals import Arrivals
from device.output.live.day import DayBar, add_columns
from device.output.tally import FrameCounts
from fer_edge.events import Event

if TYPE_CHECKING:
    from device.camera.frame import Frame
    from device.output.event_bodies import CameraBody, EpisodeBody, HeaderBody, TallyBody
    from device.output.live.pixelated_picture import PixelatedPictures
    from device.system.status_record import Status
    from device.vision.readings import FrameResult, Reading

COLUMN_S = 2.0
COLUMNS = 300  # ten minutes
EVERY_S, _UNWATCHED_S = 0.2, 2.0  # between two snapshots, with and without a viewer
_EPISODES = 6  # ended ones, in each snapshot
_AWAY_S = 2.0  # a face unseen for longer, and not in the previous processed frame, is shown as new
_MAX_TRACKS = 32  # that are remembered


@dataclass(frozen=True, slots=True)
class FaceView:
    """A face now: its reading, since when its track is visible, and since when it shows its label."""

    reading: Reading
    label: str
    first_ns: int
    since_ns: int


@dataclass(frozen=True, slots=True)
class FrameView:
    """The last processed frame: its faces, the picture's size in px, its age then, and the seconds of each stage."""

    seq: int
    mono_ns: int
    size_px: tuple[int, int]
    faces: tuple[FaceView, ...]
    skipped: int
    age_s: float | None
    stages_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment. `columns` are tallies over `COLUMN_S`, `day` their sums over 24 hours, the oldest first.

    `header` is the header's body, None before it was recorded, `started_s` its time; `camera` the body of the last `camera`
    event; `ended` the reason of the end, empty while the run lasts.
    """

    at: Stamp
    boot: str
    started_s: float = 0.0
    header: HeaderBody | None = None
    camera: CameraBody | None = None
    status: Status | None = None
    frame: FrameView | None = None
    columns: tuple[TallyBody, ...] = ()
    day: tuple[DayBar, ...] = ()
    episodes: tuple[EpisodeBody, ...] = ()
    ended: str = ""
    storing: str = ""  # a sentence about pictures that the run stores


class ViewState:
    """Receives events, frames and turns from the loop, and holds the `latest` snapshot for other threads.

    The server sets `watched` while there are viewers. `patience_s` is the same as for the journal's tallies.
    """

    def __init__(
        self, clock: Clock, patience_s: float, pictures: PixelatedPictures | None = None, storing: str = ""
    ) -> None:
        self.watched = False
        self.latest = Snapshot(clock.stamp(), clock.boot, storing=storing)
        self._clock, self._patience_s, self._pictures = clock, patience_s, pictures
        self._tally: tally.Tally | None = None  # of the column that is being filled
        self._counts = FrameCounts()
        self._live, self._started_s = True, 0.0
        self._header: HeaderBody | None = None
        self._camera: CameraBody | None = None
        self._status: Status | None = None
        self._frame: FrameView | None = None
        self._columns: tuple[TallyBody, ...] = ()
        self._day: tuple[DayBar, ...] = ()
        self._episodes: tuple[EpisodeBody, ...] = ()
        self._ended = ""
        self._faces: dict[int, FaceView] = {}  # by track
        self._snapshot_ns = 0  # when `latest` was taken

    def on_event(self, event: Event) -> None:
        """Updates the state by a recorded event."""
        match event.kind:
            case "header" if self._tally is None:
                self._live = event.body["camera"]["live"]
                self._header, self._started_s = cast("HeaderBody", event.body), event.mono_s
                self._tally = tally.start_tally(round(event.mono_s * 1e9), self._patience_s, COLUMN_S)
            case "camera":
                self._camera = cast("CameraBody", event.body)
            case "episode":
                self._episodes = (*self._episodes, cast("EpisodeBody", event.body))[-_EPISODES:]
                return  # the next frame's snapshot shows it early enough
            case "end":
                self._ended, self._frame = event.body["reason"], None
            case _:
                return
        self._take_snapshot(self._clock.mono_ns())

    def on_frame(self, frame: Frame, result: FrameResult, stages_s: Mapping[str, float], age_s: float | None) -> None:
        """Updates the state by a processed frame."""
        faces = tuple(self._face_view(reading) for reading in result.readings)
        # The picture itself is not stored: only `pictures` may do that, while they are enabled.
        self._frame = FrameView(
            seq=frame.seq,
            mono_ns=frame.mono_ns,
            size_px=(frame.gray.shape[1], frame.gray.shape[0]),
            faces=faces,
            skipped=result.skipped,
            age_s=age_s,
            stages_s=stages_s,
        )
        self._advance(result.readings, frame.mono_ns)
        if self._pictures is not None and self.watched:
            self._pictures.offer(frame, result)
        if self._is_due(now_ns := self._clock.mono_ns()):
            self._take_snapshot(now_ns)

    def on_turn(self, status: Status) -> None:
        """Updates the state at a turn of the loop."""
        changed = self._status is None or self._status.state != status.state
        self._status = status
        self._counts = FrameCounts(status.frames.get("read", 0), status.drops)
        now_ns = self._clock.mono_ns()
        if status.state != "running":
            self._frame, self._faces = None, {}
            if self._pictures is not None:
                self._pictures.clear()
        if self._live:
            self._add_dropped_frame(status)
            self._advance(None, now_ns, status.state == "paused")
        if changed or self._is_due(now_ns):
            self._take_snapshot(now_ns)

    def _face_view(self, reading: Reading) -> FaceView:
        label = reading.steady
        if reading.track is None:
            return FaceView(reading, label, reading.mono_ns, reading.mono_ns)
        known = self._faces.get(reading.track)
        if known is None or not self._is_present(known.reading.mono_ns, reading.mono_ns):
            view = FaceView(reading, label, reading.mono_ns, reading.mono_ns)
        else:
            since_ns = known.since_ns if known.label == label else reading.mono_ns
            view = FaceView(reading, label, known.first_ns, since_ns)
        self._faces[reading.track] = view
        if len(self._faces) > _MAX_TRACKS:  # forgets the one that was unseen for longest
            del self._faces[min(self._faces, key=lambda track: self._faces[track].reading.mono_ns)]
        return view

    def _is_present(self, seen_ns: int, mono_ns: int) -> bool:
        arrivals = Arrivals() if self._tally is None else self._tally.arrivals
        return arrivals.is_present(seen_ns, mono_ns, round(_AWAY_S * 1e9))

    def _add_dropped_frame(self, status: Status) -> None:
        """Adds the last frame to the columns if the loop dropped it; a processed one was passed by `on_frame`."""
        if self._tally is None or status.frame_mono_s is None:
            return
        arrived_ns, last_ns = round(status.frame_mono_s * 1e9), self._tally.arrivals.last_ns or 0
        if arrived_ns > last_ns + 1_000_000:  # seconds are rounded
            self._tally, ended = tally.add_dropped_frame(self._tally, arrived_ns, self._counts)
            self._add_columns(ended)

    def _advance(self, readings: tuple[Reading, ...] | None, mono_ns: int, paused: bool = False) -> None:
        if self._tally is None:
            return
        self._tally, ended = tally.update_tally(self._tally, readings, mono_ns, self._counts, paused)
        self._add_columns(ended)

    def _add_columns(self, ended: list[TallyBody]) -> None:
        if ended:
            self._columns = (*self._columns, *ended)[-COLUMNS:]
            self._day = add_columns(self._day, ended)

    def _is_due(self, now_ns: int) -> bool:
        return now_ns - self._snapshot_ns >= (EVERY_S if self.watched else _UNWATCHED_S) * 1e9

    def _take_snapshot(self, now_ns: int) -> None:
        self._snapshot_ns = now_ns
        self.latest = Snapshot(
            at=self._clock.stamp(now_ns),
            boot=self._clock.boot,
            started_s=self._started_s,
            header=self._header,
            camera=self._camera,
            status=self._status,
            frame=self._frame,
            columns=self._columns,
            day=self._day,
            episodes=self._episodes,
            ended=self._ended,
            storing=self.latest.storing,
        )
