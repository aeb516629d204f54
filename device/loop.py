"""The main loop: each turn processes a frame, does the periodic work, and follows requests from outside."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from device.camera.capture import Capture
from device.camera.frame import Frame
from device.camera.framing import Framing
from device.camera.source import CameraChange, EndOfStream
from device.config import Settings
from device.output.arrivals import patience_s
from device.output.episodes import EpisodeRules
from device.output.event_aggregator import EventAggregator
from device.output.event_bodies import CameraBody, header_body, reading_body
from device.output.tally import FrameCounts
from device.reload import reload_settings
from device.system.status_record import Status
from device.vision.cpu_budget import CpuBudget, starvation_problems
from device.vision.prior import prior_in_use
from device.vision.search import SearchState
from fer_edge.console import message
from fer_edge.instance_name import name_option
from fer_edge.text_cleaning import clean

if TYPE_CHECKING:
    from device.run_parts import RunParts

_TURN_S = 0.25  # for which a signal may have to wait
_CHANGE_TEXTS = {"lost": "was lost", "back": "is back", "waiting": "is not there yet"}


class Loop:
    """A run between its opened camera and its `end` line."""

    def __init__(self, parts: RunParts) -> None:
        self._parts = parts
        self._clock, self._source, self._totals = parts.clock, parts.source, parts.totals
        self._recorder, self._heartbeat = parts.recorder, parts.heartbeat
        self._settings: Settings = parts.settings
        self._capture: Capture | None = parts.capture  # None while paused
        self._held: Capture | None = None  # that of a recording while paused: opened again, it would begin again
        self._start_ns = self._clock.mono_ns()
        self._paused_since_ns = 0  # 0 while not paused
        self._difference = ""  # of the camera from what was requested, as last reported
        self._processed_ns, self._drop_reason = 0, ""  # of the last processed frame; of a frame dropped since
        self._framing = Framing.from_settings(self._settings)
        self._budget = CpuBudget(self._clock)
        self._search_state = SearchState(is_recording=not self._source.live)
        opened_ns = (self._capture.opened_ns if self._capture else 0) or self._start_ns
        rules = EpisodeRules(hold_s=self._settings.hold_s)
        self._aggregator = EventAggregator(
            self._recorder.record, self._clock, rules, opened_ns, patience_s(self._settings.fps), self._prior
        )

    def run(self) -> str:
        """Why the run ended, after its `end` line was recorded."""
        reason = "a bug"
        try:
            self._record_start()
            reason = self._run_turns()
        except BrokenPipeError:
            reason = "the reader of stdout went away"
            raise
        except BaseException as error:
            reason = clean(f"{type(error).__name__}: {error}", 500)
            raise
        finally:
            seconds = (self._clock.mono_ns() - self._start_ns) / 1e9
            self._heartbeat.notifier.stopping(reason)
            # The run of a recording ends in the recording's own time, so that no line goes back in time.
            at_ns = None if self._source.live else self._totals.last_frame_ns
            self._close_camera(at_ns)
            now_ns = self._clock.mono_ns() if at_ns is None else at_ns
            self._aggregator.finish(now_ns, self.counts(), paused=bool(self._paused_since_ns))
            self._recorder.record("end", self._totals.end_body(reason, seconds, self.counts()), at_ns)
        return reason

    def counts(self) -> FrameCounts:
        """What all captures of the run read and dropped."""
        totals, capture = self._totals, self._capture or self._held
        drops = totals.drops if capture is None else totals.drops + capture.drops
        return FrameCounts(totals.read + (capture.read if capture else 0), drops, totals.idle, totals.skipped)

    def _record_start(self) -> None:
        parts, capture = self._parts, self._capture
        opened_ns = (capture.opened_ns or None) if capture else None
        header = header_body(
            self._settings, parts.pipeline, parts.verification, self._source, self._framing, self._totals.start_s
        )
        self._recorder.record("header", header, opened_ns)
        for repair in parts.journal.repairs:
            message(str(repair))
            self._recorder.record("repair", repair.body(), opened_ns)
        if opened_ns:
            self._record_camera("opened", opened_ns)
        if capture is None:
            self._record_pause()

    def _run_turns(self) -> str:
        """Why the loop ended."""
        settings, requests = self._settings, self._parts.requests
        first_ns: int | None = None
        while True:
            now_ns = self._clock.mono_ns()
            if requests.stop:
                return f"stopped by {requests.stop}"
            if settings.duration_s is not None and now_ns - self._start_ns >= settings.duration_s * 1e9:
                return f"{settings.duration_s:g} s are over"
            if settings.once and first_ns is not None and now_ns - first_ns >= settings.once_s * 1e9:
                return f"{settings.once_s:g} s are over"
            self._do_periodic_work()
            left_s = _TURN_S if settings.duration_s is None else settings.duration_s - (now_ns - self._start_ns) / 1e9
            frame = None
            try:
                frame = self._next_frame(min(_TURN_S, left_s))
            except EndOfStream:
                return "the recording ended"
            finally:
                self._record_camera_changes()
            if frame is None:
                if self._source.live:
                    self._aggregator.advance(self._clock.mono_ns(), self.counts(), paused=self._capture is None)
                continue
            if first_ns is None:
                first_ns = now_ns
                self._totals.mark_reached("first_frame", self._clock)
            # a recording's time may be ahead of the clock
            self._totals.arrived_ns = min(frame.mono_ns, self._clock.mono_ns())
            if self._is_within_budget(frame):
                self._process(frame)
            self._heartbeat.notifier.feed_watchdog()
            if settings.once and self._totals.readings:
                return "one reading"

    def _next_frame(self, timeout_s: float) -> Frame | None:
        if self._capture is not None:
            return self._capture.next_frame(timeout_s)
        self._clock.sleep(timeout_s)
        return None

    def _is_within_budget(self, frame: Frame) -> bool:
        """Whether the frame is to be processed, by the budget and the heat; a recording waits until it may be."""
        self._budget.update_health(self._heartbeat.health, self._settings.hot_c)
        if not self._source.live:
            if (wait_s := self._budget.wait_s(self._settings)) > 0:
                self._clock.sleep(wait_s)
            return True
        if reason := self._budget.drop_reason(frame.mono_ns, self._settings):
            self._drop_reason = reason
            self._totals.drops[reason] += 1
            self._aggregator.add_dropped_frame(frame.mono_ns, self.counts())
        return not reason

    def _process(self, frame: Frame) -> None:
        parts, settings, totals = self._parts, self._settings, self._totals
        if self._framing:
            frame = replace(frame, gray=self._framing.apply(frame.gray))
        self._search_state, result = parts.pipeline.process(
            self._search_state, frame, settings, parts.observers.start_frame()
        )
        totals.add_frame(frame.mono_ns, result)
        self._processed_ns, self._drop_reason = frame.mono_ns, ""
        send = self._recorder.record if settings.per_frame else self._recorder.send_unrecorded
        for reading in result.readings[:1] if settings.once else result.readings:
            if not totals.readings:
                totals.mark_reached("first_reading", self._clock)
            totals.readings += 1
            age_ms = (self._clock.mono_ns() - frame.mono_ns) / 1e6 if self._source.live else None
            send("reading", reading_body(reading, age_ms), reading.mono_ns)
        self._aggregator.add_frame(result.readings, frame.mono_ns, self.counts())
        parts.observers.on_frame(frame, result, self._source.live)

    def _do_periodic_work(self) -> None:
        """The work of each turn: batches of lines, heartbeat, and requests from outside."""
        parts, requests = self._parts, self._parts.requests
        parts.sinks.tick()
        if requests.reload:
            requests.reload = False
            self._reload()
        if self._capture is None:
            if not parts.pause.requested():
                self._resume()
        elif not self._source.live:
            if parts.pause.requested():
                self._held, self._capture = self._capture, None
                self._record_pause(self._totals.last_frame_ns)
        elif (self._capture.stopping or parts.pause.requested()) and self._capture.stop():
            self._pause()
        if (capture := self._capture) is None or capture.lost or capture.stopping or capture.silent:
            self._heartbeat.notifier.feed_watchdog_without_frame()
        parts.observers.on_turn(self._heartbeat.update(self._status(), self._settings, self._recorder.record))

    def _pause(self) -> None:
        self._search_state = self._search_state.reset()
        self._aggregator.pause(self._clock.mono_ns(), self.counts())
        self._close_camera(None)
        self._record_pause()

    def _record_pause(self, at_ns: int | None = None) -> None:
        self._paused_since_ns = self._clock.mono_ns()
        self._recorder.record("pause", {"by": "fer-edge pause"}, at_ns)
        message(f"paused; `fer-edge resume{name_option(self._settings.name)}` ends it")

    def _resume(self) -> None:
        at_ns = None
        if self._held is None:
            capture = Capture(self._source, self._settings, self._clock).__enter__()
            self._aggregator.advance(self._clock.mono_ns(), self.counts(), paused=True)  # with the time to open it
            self._capture = capture
        else:  # it goes on where it was, and in its own time nothing was paused
            self._capture, self._held, at_ns = self._held, None, self._totals.last_frame_ns
        paused_s = (self._clock.mono_ns() - self._paused_since_ns) / 1e9
        self._paused_since_ns = 0
        self._recorder.record("resume", {"by": "fer-edge resume", "paused_s": round(paused_s, 3)}, at_ns)
        if at_ns is None and (opened_ns := self._capture.opened_ns):  # which is 0 again once no picture comes
            self._record_camera("opened", opened_ns)
        message("resumed")

    def _close_camera(self, at_ns: int | None) -> None:
        """Closes the camera, if it is open, and adds its counts to the totals."""
        self._capture, self._held = self._capture or self._held, None
        if self._capture is None:
            return
        self._capture.close()
        self._record_camera("closed", at_ns)
        counts = self.counts()
        self._totals.read, self._totals.drops = counts.read, Counter(counts.drops)
        self._capture = None

    def _reload(self) -> None:
        self._heartbeat.notifier.reloading(self._parts.clock.awake_ns())
        reload_settings(self._parts, self._settings, self._apply)
        self._heartbeat.notifier.ready("running")

    def _apply(self, settings: Settings) -> None:
        if settings.prior != self._settings.prior:
            now_ns = self._clock.mono_ns() if self._source.live else self._totals.last_frame_ns or self._start_ns
            self._aggregator.end_tally(now_ns, self.counts())  # which has the prior before
        self._settings = settings
        self._aggregator.rules = EpisodeRules(hold_s=settings.hold_s)

    def _record_camera_changes(self) -> None:
        while self._capture is not None and (change := self._capture.next_change()) is not None:
            remark = f"({change.reason})" if change.reason else f"after {change.gap_s:.1f} s"
            message(f"the camera {_CHANGE_TEXTS[change.state]} {remark}")
            if change.state != "back":
                self._search_state = self._search_state.reset()  # faces before and after a loss are not matched
                self._aggregator.interrupt("lost", self._clock.mono_ns())
            self._record_camera(change.state, change=change)

    def _record_camera(self, state: str, mono_ns: int | None = None, change: CameraChange | None = None) -> None:
        description = self._source.describe()
        body: CameraBody = {"state": state, "camera": description.to_json()}
        if change is not None:
            body["gap_s"] = round(change.gap_s, 3)
            if change.reason:
                body["reason"] = change.reason
        self._recorder.record("camera", body, mono_ns)
        if state in ("opened", "back") and (difference := description.difference()) != self._difference:
            self._difference = difference
            message(f"the camera {difference or 'gives the size and frame rate that were requested'}")

    def _status(self) -> Status:
        capture, totals, counts, journal = self._capture, self._totals, self.counts(), self._parts.journal
        state = "running"
        if capture is None:
            state = "paused"
        elif capture.lost:
            state = "lost" if capture.opened_ns else "waiting"
        since_ns = max(self._processed_ns, capture.opened_ns if capture else 0)
        starved_s = ((totals.arrived_ns or 0) - since_ns) / 1e9 if state == "running" else 0.0
        return Status(
            state=state,
            camera=self._source.describe().name,
            journal=str(journal.folder),
            frame_mono_s=None if totals.arrived_ns is None else totals.arrived_ns / 1e9,
            frames={"read": counts.read, "processed": totals.processed, "with_face": totals.with_face},
            drops=dict(counts.drops),
            journal_trouble=journal.trouble,
            lines_lost=journal.lost.total(),
            prior=self._prior(),
            problems=starvation_problems(self._drop_reason, starved_s, self._settings.fps),
            outputs={name: output.trouble for name, output in self._parts.outputs.items()},
        )

    def _prior(self) -> dict[str, float] | None:
        return prior_in_use(self._settings.prior, self._search_state.prior, self._parts.pipeline.bundle.spec)
