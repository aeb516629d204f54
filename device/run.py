"""The loop: `run` puts source, pipeline and sinks together, and hands each frame from one to the next until the end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any

from device.camera import EndOfStream, Source, choose
from device.camera.capture import Capture
from device.clock import Clock, SystemClock
from device.config import Settings, default_log
from device.output.journal import Journal
from device.output.sinks import FanOut, JsonLines, Recorder, Sink, Terminal
from device.vision.frames import Frame, Reading
from device.vision.pipeline import Pipeline
from fer_edge import __version__
from fer_edge.errors import EXIT_DONE, NotEnoughData
from fer_edge.events import SCHEMA
from fer_edge.preprocess import PREPROCESS_ID

if TYPE_CHECKING:
    from fer_edge.bundle import Bundle

_TURN_S = 0.25  # how long a signal may have to wait for the loop to look


@dataclass(slots=True)
class _Tally:
    """What a run did so far. `start_s`: when each thing was first reached, in seconds since the process started."""

    processed: int = 0
    with_face: int = 0
    faces: int = 0
    readings: int = 0
    start_s: dict[str, float] = field(default_factory=dict)
    last_frame_ns: int | None = None


def run(settings: Settings, clock: Clock | None = None, source: Source | None = None, sink: Sink | None = None) -> int:
    """Exit code 0, after the loop ran to its end: of the recording or the duration, or by SIGINT or SIGTERM.

    `clock` and `source` stand in for this machine's and the one that `settings.camera` names; `sink` is fed beside the
    journal and stdout. Raises CameraNotOpened, BundleRefused or UsageError when it cannot start, NotEnoughData when
    `once` saw no face, RestartMe when a camera was lost for good; the journal is complete then, with an `end` line.
    """
    clock = clock or SystemClock()
    tally = _Tally()
    with _signals() as stop:
        source = source or choose(settings, clock)
        journal = Journal(settings.log or default_log(), clock, settings.sync_s)
        pipeline = _load(settings, clock, tally)
        shown = JsonLines(sys.stdout, {"reading"} if settings.once else None) if settings.json else Terminal(sys.stdout)
        with ExitStack() as stack:
            capture = stack.enter_context(Capture(source, settings, clock))
            _mark(tally, clock, "camera")
            sinks = stack.enter_context(FanOut([journal, *([sink] if sink else []), shown]))
            loop = _Loop(settings, clock, capture, pipeline, Recorder(sinks, clock), sinks, stop, tally)
            camera, bundle = source.describe()["name"], pipeline.bundle.name
            _say(f"camera {camera}, detector {pipeline.detector.name}, bundle {bundle}, journal {journal.path}")
            try:
                reason = loop.run()
            except BrokenPipeError:  # whoever read stdout has had enough: `… | head`
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the last flush would fail again
                return EXIT_DONE
    seen = f"{tally.processed} frames, {tally.with_face} with a face, {capture.drops.total()} dropped"
    if settings.once and not tally.readings and not stop.name:
        raise NotEnoughData(f"no face was seen ({reason}: {seen}); look into the camera, from nearer, with more light")
    _say(f"{reason}: {seen}")
    return EXIT_DONE


def _load(settings: Settings, clock: Clock, tally: _Tally) -> Pipeline:
    """The pipeline, its networks loaded. Here, and not at the top, stand the imports that take long."""
    import cv2  # noqa: F401 - so that its time is counted as what it is
    import numpy  # noqa: F401

    from fer_edge.bundle import Bundle
    from fer_edge.faces import find_detector

    _mark(tally, clock, "import")
    bundle = Bundle.load(settings.bundle)
    _ = bundle.classifier  # loads the model
    detector = find_detector(settings.detector, settings.threads)
    _mark(tally, clock, "model")
    return Pipeline(detector, bundle)


@dataclass(slots=True)
class _Loop:
    """A run between its opened camera and its `end` line."""

    settings: Settings
    clock: Clock
    capture: Capture
    pipeline: Pipeline
    recorder: Recorder
    sinks: FanOut
    stop: _Stop
    tally: _Tally

    def run(self) -> str:
        """Why the run ended, after its `end` line was written."""
        start_ns = self.clock.mono_ns()
        reason = "a bug"
        try:
            header = _header(self.pipeline, self.capture.source, self.tally)
            self.recorder.record("header", header, self.capture.opened_ns)
            self._camera("opened", self.capture.opened_ns)
            reason = self._turns(start_ns)
        except BrokenPipeError:
            reason = "the reader of stdout went away"
            raise
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            seconds = (self.clock.mono_ns() - start_ns) / 1e9
            self.capture.close()
            # A recording's run is told in the recording's time to the end, so that no line goes back in time.
            at_ns = None if self.capture.source.live else self.tally.last_frame_ns
            self._camera("closed", at_ns)
            self.recorder.record("end", self._end(reason, seconds), at_ns)
        return reason

    def _turns(self, start_ns: int) -> str:
        settings, stop = self.settings, self.stop
        first_ns: int | None = None
        while True:
            now_ns = self.clock.mono_ns()
            if stop.name:
                return f"stopped by {stop.name}"
            if settings.duration_s is not None and now_ns - start_ns >= settings.duration_s * 1e9:
                return f"{settings.duration_s:g} s are over"
            if settings.once and first_ns is not None and now_ns - first_ns >= settings.once_s * 1e9:
                return f"{settings.once_s:g} s are over"
            self.sinks.tick()
            left_s = _TURN_S if settings.duration_s is None else settings.duration_s - (now_ns - start_ns) / 1e9
            try:
                frame = self.capture.take(min(_TURN_S, left_s))
            except EndOfStream:
                return "the recording ended"
            finally:
                self._changes()
            if frame is None:
                continue
            if first_ns is None:
                first_ns = now_ns
                _mark(self.tally, self.clock, "first_frame")
            self._frame(frame)
            if settings.once and self.tally.readings:
                return "one reading"

    def _frame(self, frame: Frame) -> None:
        readings = self.pipeline.readings(frame)
        tally = self.tally
        tally.processed += 1
        tally.with_face += bool(readings)
        tally.faces += len(readings)
        tally.last_frame_ns = frame.mono_ns
        for reading in readings[:1] if self.settings.once else readings:
            if not tally.readings:
                _mark(tally, self.clock, "first_reading")
            tally.readings += 1
            live = self.capture.source.live
            age_ms = (self.clock.mono_ns() - frame.mono_ns) / 1e6 if live else None  # a recording's frame has no age
            self.recorder.record("reading", _body(reading, age_ms), reading.mono_ns)

    def _changes(self) -> None:
        while (change := self.capture.change()) is not None:
            _say(f"the camera {'was lost' if change.state == 'lost' else 'is back'} ({change.reason})")
            self._camera(change.state, reason=change.reason, gap_s=round(change.gap_s, 3))

    def _camera(self, state: str, mono_ns: int | None = None, **more: Any) -> None:
        self.recorder.record("camera", {"state": state, **more, "camera": self.capture.source.describe()}, mono_ns)

    def _end(self, reason: str, seconds: float) -> dict[str, Any]:
        tally, capture = self.tally, self.capture
        return {
            "reason": reason,
            "seconds": round(seconds, 3),
            "frames": {"read": capture.read, "processed": tally.processed, "with_face": tally.with_face},
            "drops": dict(capture.drops),
            "faces": tally.faces,
            "readings": tally.readings,
            "start_s": tally.start_s,
        }


def _header(pipeline: Pipeline, source: Source, tally: _Tally) -> dict[str, Any]:
    bundle: Bundle = pipeline.bundle
    return {
        "schema": SCHEMA,
        "software": f"fer-edge {__version__}",
        "bundle": {"name": bundle.name, "sha256": bundle.sha256},
        "labels": list(bundle.labels),
        "preprocess": PREPROCESS_ID,
        "detector": pipeline.detector.name,
        "runtime": bundle.classifier.runtime.id,
        "camera": {"live": source.live, **source.describe()},
        "start_s": dict(tally.start_s),
    }


def _body(reading: Reading, age_ms: float | None) -> dict[str, Any]:
    return {
        "frame": reading.frame,
        "track": reading.track,
        "xywh": list(reading.face.xywh),
        "score": round(reading.face.score, 3),
        "label": reading.label,
        "p": [round(float(p), 4) for p in reading.probs],
        "quality": reading.quality,
        "age_ms": None if age_ms is None else round(age_ms, 1),
    }


@dataclass(slots=True)
class _Stop:
    """The signal that asked for the end, or nothing yet. No lock: a handler may come between any two steps."""

    name: str = ""


@contextmanager
def _signals() -> Iterator[_Stop]:
    """What SIGINT and SIGTERM set while the block runs; a second Ctrl-C interrupts at once, whatever is going on."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers nowhere else
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, _: FrameType | None) -> None:
        stop.name = signal.Signals(number).name
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _mark(tally: _Tally, clock: Clock, name: str) -> None:
    tally.start_s[name] = round((clock.mono_ns() - clock.started_ns()) / 1e9, 3)


def _say(sentence: str) -> None:
    print(f"fer-edge: {sentence}", file=sys.stderr, flush=True)
