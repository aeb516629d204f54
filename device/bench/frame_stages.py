"""The work of the loop on one frame, by stages, as `fer-edge bench` times it.

    read      converts a frame from YUYV, the uncompressed format of USB cameras, to gray; JPEG costs more, a CSI camera's copy
              less. Waiting is not included. (JPEG is not measured, because the device package has no image encoder.)
    gate      whether the picture changed, and where
    detect    searches the whole picture at intervals, and follows the detected faces
    crop      the square of each face that the classifier sees, and its quality
    classify  the probabilities of each face
    smooth    the label over the last moments
    write     episodes, tallies, the line on stdout, and the journal's batch in memory; `time_forced_writes` times its write

The pipeline itself reports all stages but the first and the last; a stage that is added there is timed without a change here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from device.bench.timing import CallTimes
from device.camera.frame import Frame
from device.clock import Clock
from device.config import Settings
from device.output.arrivals import patience_s
from device.output.episodes import EpisodeRules
from device.output.event_aggregator import EventAggregator
from device.output.event_bodies import reading_body
from device.output.journal.journal import Journal
from device.output.sinks import EventRecorder, FanOut, JsonLinesSink
from device.output.tally import FrameCounts
from device.vision.pipeline import Pipeline, StageCallback
from device.vision.readings import FrameResult, Reading
from device.vision.search import SearchState
from fer_edge.detection.types import Face
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

SCENE_FRAMES = 16  # of a scene; then the same backwards, so that nothing jumps
_FORCED_WRITES, _LINES = 5, 60  # of a batch of readings each
_NOISE_LEVELS = 2.0  # gray levels: sensor noise in a lit room


def face_scene(settings: Settings) -> tuple[np.ndarray, ...]:
    """YUYV frames, uint8 (H, W, 2), of a moving synthetic face."""
    from fer_edge.synthetic_face import face_frame

    size = settings.width_px, settings.height_px
    return _as_yuyv(face_frame(number / settings.fps, *size) for number in range(SCENE_FRAMES))


def still_scene(settings: Settings) -> tuple[np.ndarray, ...]:
    """YUYV frames, uint8 (H, W, 2), of a wall."""
    import numpy as np

    wall = np.linspace(140, 100, settings.width_px)[None] - np.linspace(0, 30, settings.height_px)[:, None]
    return _as_yuyv(wall for _ in range(SCENE_FRAMES))


def _as_yuyv(pictures: Iterable[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Gray pictures (H, W) of 0 to 255 as YUYV frames with sensor noise."""
    import numpy as np

    rng = np.random.default_rng(0)
    frames = []
    for picture in pictures:
        noise = rng.standard_normal(picture.shape, np.float32) * np.float32(_NOISE_LEVELS)
        gray = np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
        frames.append(np.stack([gray, np.full_like(gray, 128)], 2))  # no colour
    return tuple(frames)


@dataclass(slots=True)
class FrameWork:
    """The loop's work on the frames of a scene; made by `open_frame_work`.

    Frame times are spaced by the settings' fps, however long the work takes.
    """

    settings: Settings
    clock: Clock
    pipeline: Pipeline
    scene: tuple[np.ndarray, ...]
    recorder: EventRecorder
    sinks: FanOut
    aggregator: EventAggregator
    start_ns: int
    processed: int = 0  # frames
    state: SearchState = field(default_factory=SearchState)

    def process_next(self, on_stage: StageCallback) -> FrameResult:
        """Processes the next frame and returns its result; `on_stage` gets the name of each stage as it ends."""
        frame = self._read()
        on_stage("read")
        self.state, result = self.pipeline.process(self.state, frame, self.settings, on_stage)
        self._write(frame, result)
        on_stage("write")
        return result

    def _read(self) -> Frame:
        import cv2

        last = len(self.scene) - 1
        place = self.processed % (2 * last)
        gray = cv2.cvtColor(self.scene[min(place, 2 * last - place)], cv2.COLOR_YUV2GRAY_YUY2)
        return Frame(self.processed, self.start_ns + round(self.processed * 1e9 / self.settings.fps), gray)

    def _write(self, frame: Frame, result: FrameResult) -> None:
        record = self.recorder.record if self.settings.per_frame else self.recorder.send_unrecorded
        for reading in result.readings:
            age_ms = (self.clock.mono_ns() - frame.mono_ns) / 1e6
            record("reading", reading_body(reading, age_ms), reading.mono_ns)
        self.processed += 1
        self.aggregator.add_frame(result.readings, frame.mono_ns, FrameCounts(self.processed))
        self.sinks.tick()


@contextmanager
def open_frame_work(
    pipeline: Pipeline,
    scene: Callable[[Settings], tuple[np.ndarray, ...]],
    settings: Settings,
    clock: Clock,
    folder: Path,
) -> Iterator[FrameWork]:
    """The work on `scene`, with a journal in `folder`, which is created; its content is of no use afterwards."""
    journal = Journal(folder, clock, settings.sync_s, settings.budget_bytes, settings.keep_days)
    with Path(os.devnull).open("w") as stdout, FanOut([journal, lines := JsonLinesSink(stdout)]) as sinks:
        recorder, start_ns = EventRecorder(sinks, clock, [lines]), clock.mono_ns()
        rules = EpisodeRules(hold_s=settings.hold_s)
        aggregator = EventAggregator(recorder.record, clock, rules, start_ns, patience_s(settings.fps))
        yield FrameWork(settings, clock, pipeline, scene(settings), recorder, sinks, aggregator, start_ns)


def time_forced_writes(folder: Path, clock: Clock, labels: Sequence[str]) -> tuple[int, CallTimes]:
    """The bytes of a batch of 60 journal lines (readings), and the times of 5 synced writes of such a batch.

    The loop writes a batch every half minute or less often; on a card it may take longer than many frames. Raises UsageError
    when the folder cannot be written.
    """
    import numpy as np

    p, face = np.full(len(labels), 1 / len(labels), np.float32), Face((0, 0, 100, 100), 0.9)
    reading = Reading(0, 0, face, labels[0], p, labels[0], 1, 1.0, p)
    spans_ns, batch_bytes = [], 0
    with Journal(folder, clock, sync_s=3600.0) as journal:
        recorder = EventRecorder(journal, clock)
        for _ in range(_FORCED_WRITES):
            events = [recorder.record("reading", reading_body(reading, None)) for _ in range(_LINES)]
            batch_bytes = sum(len(event.line().encode()) + 1 for event in events)
            start_ns = clock.mono_ns()
            journal.sync()
            spans_ns.append(clock.mono_ns() - start_ns)
            if journal.trouble:
                raise UsageError(f"{journal.trouble}; the benchmark writes some kilobytes there; free some space")
    return batch_bytes, CallTimes.of(spans_ns)
