"""The loop itself: each turn takes a frame, hands it on, and looks after what is due and what was asked from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from device.camera.capture import Capture
from device.camera.frame import Frame
from device.camera.framing import Framing
from device.camera.source import EndOfStream, Source
from device.clock import Clock, clock_monotonic_ns
from device.config import Settings, merge_reloaded
from device.heartbeat import Heartbeat
from device.output.episodes import EpisodeRules
from device.output.event_aggregator import EventAggregator
from device.output.event_bodies import header_body, reading_body
from device.output.frame_observers import FrameObservers
from device.output.journal.journal import Journal
from device.output.sinks import EventRecorder, FanOut
from device.output.tally import FrameCounts
from device.run_totals import RunTotals
from device.signals import SignalRequests
from device.system.control import Pause
from device.system.status import Status
from device.vision.cpu_budget import CpuBudget
from device.vision.pipeline import Pipeline
from device.vision.search import SearchState
from fer_edge.console import message
from fer_edge.errors import FerEdgeError, UsageError

if TYPE_CHECKING:
    from fer_edge.verify import Verification

_TURN_S = 0.25  # how long a signal may have to wait for the loop to look
_PATIENCE_S, _PATIENCE_FRAMES = 2.0, 3  # a frame later than that is missing


@dataclass(slots=True)
class Loop:
    """A run between its opened camera and its `end` line. `capture` is None while it is paused."""

    settings: Settings
    clock: Clock
    source: Source
    capture: Capture | None
    pipeline: Pipeline
    verified: Verification
    recorder: EventRecorder
    sinks: FanOut
    journal: Journal
    heartbeat: Heartbeat
    pause: Pause
    asked: SignalRequests
    totals: RunTotals
    reread: Callable[[], Settings] | None
    watchers: FrameObservers
    framing: Framing = field(init=False)
    account: EventAggregator = field(init=False)
    start_ns: int = field(init=False)
    paused_ns: int = field(init=False, default=0)  # since when
    pace: CpuBudget = field(init=False)
    state: SearchState = field(init=False)  # what the pipeline remembers

    def __post_init__(self) -> None:
        self.start_ns = self.clock.mono_ns()
        self.framing = Framing.from_settings(self.settings)
        self.pace = CpuBudget(self.clock)
        self.state = SearchState(recorded=not self.source.live)
        begun_ns = (self.capture.opened_ns if self.capture else 0) or self.start_ns
        patience_s = max(_PATIENCE_S, _PATIENCE_FRAMES / self.settings.fps)
        self.account = EventAggregator(
            self.recorder.record, self.clock, EpisodeRules(hold_s=self.settings.hold_s), begun_ns, patience_s
        )

    def run(self) -> str:
        """Why the run ended, after its `end` line was written."""
        reason = "a bug"
        try:
            self._begin()
            reason = self._turns()
        except BrokenPipeError:
            reason = "the reader of stdout went away"
            raise
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            seconds = (self.clock.mono_ns() - self.start_ns) / 1e9
            self.heartbeat.notifier.stopping(reason)
            # A recording's run is told in the recording's time to the end, so that no line goes back in time.
            at_ns = None if self.source.live else self.totals.last_frame_ns
            self._close(at_ns)
            now_ns = self.clock.mono_ns() if at_ns is None else at_ns
            self.account.finish(now_ns, self.counts(), paused=bool(self.paused_ns))
            self.recorder.record("end", self.totals.end(reason, seconds, self.counts()), at_ns)
        return reason

    def counts(self) -> FrameCounts:
        """What all captures of the run read and dropped."""
        totals, now = self.totals, self.capture
        drops = totals.drops if now is None else totals.drops + now.drops
        return FrameCounts(totals.read + (now.read if now else 0), drops, totals.idle, totals.skipped)

    def _begin(self) -> None:
        opened_ns = self.capture.opened_ns if self.capture and self.capture.opened_ns else None
        self.recorder.record(
            "header",
            header_body(self.settings, self.pipeline, self.verified, self.source, self.framing, self.totals.start_s),
            opened_ns,
        )
        for repair in self.journal.repairs:
            message(str(repair))
            self.recorder.record("repair", repair.body(), opened_ns)
        if opened_ns:
            self._camera("opened", opened_ns)
        if self.capture is None:
            self._told_to_pause()

    def _turns(self) -> str:
        settings, asked = self.settings, self.asked
        first_ns: int | None = None
        while True:
            now_ns = self.clock.mono_ns()
            if asked.stop:
                return f"stopped by {asked.stop}"
            if settings.duration_s is not None and now_ns - self.start_ns >= settings.duration_s * 1e9:
                return f"{settings.duration_s:g} s are over"
            if settings.once and first_ns is not None and now_ns - first_ns >= settings.once_s * 1e9:
                return f"{settings.once_s:g} s are over"
            self._look_around()
            left_s = _TURN_S if settings.duration_s is None else settings.duration_s - (now_ns - self.start_ns) / 1e9
            frame = None
            try:
                frame = self._take(min(_TURN_S, left_s))
            except EndOfStream:
                return "the recording ended"
            finally:
                self._changes()
            if frame is None:
                if self.source.live:
                    self.account.moment(self.clock.mono_ns(), self.counts(), paused=self.capture is None)
                continue
            if first_ns is None:
                first_ns = now_ns
                self.totals.mark("first_frame", self.clock)
            if self._has_time(frame):
                self._frame(frame)
            self.heartbeat.notifier.feed_watchdog()
            if settings.once and self.totals.readings:
                return "one reading"

    def _take(self, timeout_s: float) -> Frame | None:
        if self.capture is not None:
            return self.capture.next_frame(timeout_s)
        self.clock.sleep(timeout_s)
        return None

    def _has_time(self, frame: Frame) -> bool:
        """Whether the frame is to be processed, by the budget and the heat; a recording waits until there is time."""
        self.pace.look(self.heartbeat.health, self.settings.hot_c)
        if not self.source.live:
            if (wait_s := self.pace.wait_s(self.settings)) > 0:
                self.clock.sleep(wait_s)
            return True
        if why := self.pace.refusal(frame.mono_ns, self.settings):
            self.totals.drops[why] += 1
        return not why

    def _frame(self, frame: Frame) -> None:
        if self.framing:
            frame = replace(frame, gray=self.framing.apply(frame.gray))
        self.state, seen = self.pipeline.step(self.state, frame, self.settings, self.watchers.begin())
        readings, totals = seen.readings, self.totals
        totals.processed += 1
        totals.idle += seen.idle
        totals.skipped += seen.skipped
        totals.with_face += bool(readings)
        totals.faces += len(readings)
        totals.last_frame_ns = frame.mono_ns
        tell = self.recorder.record if self.settings.per_frame else self.recorder.show
        for reading in readings[:1] if self.settings.once else readings:
            if not totals.readings:
                totals.mark("first_reading", self.clock)
            totals.readings += 1
            age_ms = (self.clock.mono_ns() - frame.mono_ns) / 1e6 if self.source.live else None
            tell("reading", reading_body(reading, age_ms), reading.mono_ns)
        self.account.frame(readings, frame.mono_ns, self.counts())
        self.watchers.frame(frame, seen, self.source.live)

    def _look_around(self) -> None:
        """What may be due at any turn: batches of lines, signs of life, and what was asked from outside."""
        self.sinks.tick()
        if self.asked.reload:
            self.asked.reload = False
            self._reload()
        if self.pause.requested() != (self.capture is None):
            if self.capture is not None:
                self._pause()
            else:
                self._resume()
        away = self.capture is None or self.capture.lost
        if away:
            self.heartbeat.notifier.feed_watchdog_without_frame()
        self.watchers.turn(self.heartbeat.update(self._status(), self.settings, self.recorder.record))

    def _pause(self) -> None:
        self._forget()
        self.account.interrupt("pause", self.clock.mono_ns())
        self._close(None)
        self._told_to_pause()

    def _told_to_pause(self) -> None:
        self.paused_ns = self.clock.mono_ns()
        self.recorder.record("pause", {"by": "fer-edge pause"})
        message("paused; `fer-edge resume` ends it")

    def _resume(self) -> None:
        paused_s = (self.clock.mono_ns() - self.paused_ns) / 1e9
        self.account.moment(self.clock.mono_ns(), self.counts(), paused=True)
        self.capture = Capture(self.source, self.settings, self.clock).__enter__()
        self.paused_ns = 0
        self.recorder.record("resume", {"by": "fer-edge resume", "paused_s": round(paused_s, 3)})
        if self.capture.opened_ns:
            self._camera("opened", self.capture.opened_ns)
        message("resumed")

    def _close(self, at_ns: int | None) -> None:
        """Closes the camera, if it is open, and adds what it counted to the totals."""
        if self.capture is None:
            return
        self.capture.close()
        self._camera("closed", at_ns)
        counts = self.counts()
        self.totals.read, self.totals.drops = counts.read, Counter(counts.drops)
        self.capture = None

    def _reload(self) -> None:
        """Takes over what may change while it runs; what is wrong is said, and changes nothing."""
        self.heartbeat.notifier.reloading(clock_monotonic_ns())
        try:
            if self.reread is None:
                raise UsageError("there are no settings to read again")
            self.settings, left = merge_reloaded(self.settings, self.reread())
            self.journal.limit(self.settings.sync_s, self.settings.budget_bytes, self.settings.keep_days)
            self.account.rules = EpisodeRules(hold_s=self.settings.hold_s)
            later = f"; at the next start: {', '.join(left)}" if left else ""
            message(f"settings read again{later}")
            self._look_at_bundle()
        except FerEdgeError as error:
            message(f"{error}; nothing was changed")
        self.heartbeat.notifier.ready("running")

    def _look_at_bundle(self) -> None:
        from fer_edge.bundle import Bundle

        old = self.pipeline.bundle
        try:
            new = Bundle.load(self.settings.bundle)
        except FerEdgeError as error:
            message(f"{error}; the bundle that was loaded stays in use")
            return
        if new.sha256 != old.sha256:
            message(f"another bundle lies in {new.path}; the one that was loaded stays in use until the next start")

    def _changes(self) -> None:
        while self.capture is not None and (change := self.capture.next_change()) is not None:
            words = {"lost": "was lost", "back": "is back", "waiting": "is not there yet"}[change.state]
            message(f"the camera {words} ({change.reason})")
            if change.state != "back":
                self._forget()
                self.account.interrupt("lost", self.clock.mono_ns())
            self._camera(change.state, reason=change.reason, gap_s=round(change.gap_s, 3))

    def _forget(self) -> None:
        """Who was seen before the camera went away is nobody that is seen after it."""
        self.state = self.state.nobody()

    def _camera(self, state: str, mono_ns: int | None = None, **more: Any) -> None:
        self.recorder.record("camera", {"state": state, **more, "camera": self.source.describe().to_json()}, mono_ns)

    def _status(self) -> Status:
        capture, totals, counts = self.capture, self.totals, self.counts()
        state = "running"
        if capture is None:
            state = "paused"
        elif capture.lost:
            state = "lost" if capture.opened_ns else "waiting"
        frame_s = None if totals.last_frame_ns is None else totals.last_frame_ns / 1e9
        frames = {"read": counts.read, "processed": totals.processed, "with_face": totals.with_face}
        trouble, lost = self.journal.trouble, self.journal.lost.total()
        camera, folder = self.source.describe().name, str(self.journal.folder)
        return Status(state, camera, folder, frame_s, frames, dict(counts.drops), trouble, lost)
