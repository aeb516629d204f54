"""Labels one recording at a time with the pipeline of `run`: every frame, in order, at the recording's own times."""

from __future__ import annotations

import errno
import platform
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device.camera.capture import Capture
from device.camera.framing import Framing
from device.camera.replay import VideoFile
from device.camera.source import EndOfStream
from device.clock import SystemClock
from device.config import Settings
from device.output.event_bodies import reading_body
from device.recorded.annotate import AnnotatedVideo
from device.recorded.files import LabelOptions, Recording, commit_results, face_rendering
from device.recorded.remote import fetch
from device.recorded.rows import columns, open_table, reading_row
from device.recorded.summary import AnnotatedFile, LabelSummary, Provenance, RowCount, Setting, VideoProperties
from device.vision.pipeline import Pipeline
from device.vision.search import SearchState
from fer_edge import __version__
from fer_edge.errors import CameraNotOpened, RestartNeeded, UsageError
from fer_edge.face_crop import PREPROCESS_ID

if TYPE_CHECKING:
    from fer_edge.golden_check import Verification

# The settings on which rows depend; the others concern cameras and journals.
ROW_SETTINGS: tuple[str, ...] = ("rotate_deg", "flip", "region", "threads", "min_score", "begin_score", "far_px")
ROW_SETTINGS += (
    "unsure_below",
    "min_quality",
    "prior",
    "smooth_s",
    "min_dwell_s",
    "max_faces",
    "search_s",
    "sweep_s",
    "raw_fps",
)
_ORIGIN_NS = 1_000_000_000  # the time at which every recording begins, on its own clock; 0 would mean never
_FRAME_TIMEOUT_S = 0.25


class _FixedOriginClock(SystemClock):
    """The clock of a recording: the same file has the same times whenever it is read."""

    def mono_ns(self) -> int:
        return _ORIGIN_NS


@dataclass(frozen=True, slots=True)
class LabelTask:
    """A recording to label, the folder for its results, and the scratch folder in which they are written first."""

    recording: Recording
    out: Path
    scratch: Path
    options: LabelOptions


@dataclass(frozen=True, slots=True)
class LabelOutcome:
    """The summary of a labelled recording, or the `problem` of one that could not be read."""

    summary: LabelSummary | None
    problem: str = ""


def not_written(recording: Recording, error: OSError) -> LabelOutcome:
    """The outcome of a recording whose results cannot have their name. Raises UsageError for other errors of writing."""
    if error.errno == errno.ENAMETOOLONG:  # of this recording alone
        return LabelOutcome(None, "its name is too long for the names of its results; give it a shorter one")
    raise UsageError(
        f"the results of {recording.shown} cannot be written: {error.strerror or error}; free some space, or name another "
        "folder with --out"
    ) from error


ProgressCallback = Callable[[float], None]  # gets the finished share of a recording, 0–1; may raise to stop


class Labeller:
    """A loaded and verified pipeline and its provenance: two labellers with equal `made_by` make the same rows."""

    def __init__(self, settings: Settings) -> None:
        """Raises BundleRefused or UsageError when a network cannot be loaded or does not reproduce its golden vectors."""
        import cv2
        import numpy as np

        from fer_edge.bundle import Bundle
        from fer_edge.detection.registry import find_detector
        from fer_edge.golden_check import verify

        self.settings = settings
        bundle = Bundle.load(settings.bundle)
        self.pipeline = Pipeline(find_detector(settings.detector, settings.threads, settings.far_px), bundle)
        self.pipeline.require_prior(settings)
        self.verified: Verification = verify(bundle)
        self.made_by = Provenance(
            software=f"fer-edge {__version__}",
            bundle={"name": bundle.name, "sha256": bundle.sha256},
            labels=tuple(bundle.labels),
            preprocess=PREPROCESS_ID,
            detector=self.pipeline.detector.name,
            runtime=bundle.classifier.runtime.id,
            settings={
                name: _json_value(getattr(settings, name))
                for name in ROW_SETTINGS
                if name != "raw_fps" or settings.raw_fps is not None  # most recordings do not depend on it
            },
            versions={
                "python": platform.python_version(),
                "numpy": np.__version__,
                "opencv": cv2.__version__,
                "machine": platform.machine(),
            },
        )

    def label(self, task: LabelTask, on_progress: ProgressCallback) -> LabelOutcome:
        """Labels the recording and returns the outcome; without a problem its results are in place.

        Raises UsageError when they cannot be written, and what `on_progress` raises; no partial result is left then.
        """
        import cv2

        shown = task.recording.shown
        try:
            task.scratch.mkdir()
            if task.recording.remote is not None:
                (folder := task.scratch / "fetched").mkdir()
                copy = fetch(task.recording.remote, folder, lambda: on_progress(0.0))
                task = replace(task, recording=replace(task.recording, path=copy))
            summary = self._write_results(task, on_progress)
            if not task.recording.is_unchanged():
                return LabelOutcome(None, "it changed while it was read; run again when it is complete")
            commit_results(task.scratch, task.recording, task.out, task.options, summary)
        except (CameraNotOpened, cv2.error) as error:
            return LabelOutcome(None, str(error).replace(str(task.recording.path), "it").replace(shown, "it"))
        except RestartNeeded:
            return LabelOutcome(None, f"its decoder did not respond for {self.settings.stuck_s:g} s")
        except OSError as error:
            return not_written(task.recording, error)
        finally:
            shutil.rmtree(task.scratch, ignore_errors=True)
        return LabelOutcome(summary)

    def _write_results(self, task: LabelTask, on_progress: ProgressCallback) -> LabelSummary:
        recording, options, settings = task.recording, task.options, self.settings
        labels, framing = self.pipeline.bundle.labels, Framing.from_settings(settings)
        table_path = task.scratch / recording.rows(task.out, options).name
        video_path = task.scratch / "annotated.mp4"  # a name that OpenCV can write, whatever that of the recording
        source = VideoFile(recording.path, _FixedOriginClock(), settings.raw_fps)
        state = SearchState(is_recording=True)
        frames = without_face = skipped = written = 0
        time_s = before_s = 0.0
        with ExitStack() as stack:
            capture = stack.enter_context(Capture(source, settings, SystemClock()))
            table = stack.enter_context(open_table(options.form, table_path, labels))
            annotated = None
            if options.annotate:
                copy = AnnotatedVideo(
                    video_path, self.pipeline.detector, source.fps, options.show_faces, settings.far_px
                )
                annotated = stack.enter_context(copy)
            while True:
                on_progress(_done_share(frames, source.reported_frames))
                try:
                    frame = capture.next_frame(_FRAME_TIMEOUT_S)
                except EndOfStream:
                    break
                if frame is None:
                    continue
                if framing:
                    frame = replace(frame, gray=framing.apply(frame.gray))
                state, result = self.pipeline.process(state, frame, settings)
                before_s, time_s = time_s, (frame.mono_ns - _ORIGIN_NS) / 1e9
                for reading in result.readings:
                    table.add(reading_row(reading_body(reading, None), time_s))
                if annotated:
                    annotated.add(frame, time_s, result.readings, state)
                frames += 1
                without_face += not result.readings
                skipped += result.skipped
                written += len(result.readings)
            # the last frame is shown for as long as the one before it, but for at most an average frame
            last_s = min(source.frame_interval_s, time_s - before_s) if frames > 1 else source.frame_interval_s
            summary = LabelSummary(
                made_by=self.made_by,
                source=recording.state(),
                video=_video_properties(source),
                frames=frames,
                frames_without_face=without_face,
                faces_skipped=skipped,
                seconds=round(time_s + last_s, 6),
                whole=source.is_whole(frames, time_s + last_s),
                rows=RowCount(written, tuple(columns(labels))),
                gap_s=source.gap_s,
            )
            table.add_summary(summary)
        if options.annotate:
            video_path = video_path.rename(task.scratch / recording.annotated(task.out).name)
        return replace(
            summary,
            rows=replace(summary.rows, bytes=table_path.stat().st_size),
            annotated=AnnotatedFile(video_path.stat().st_size, face_rendering(options)) if options.annotate else None,
        )


def _json_value(value: Any) -> Setting:
    """A setting as JSON returns it, so that a stored summary can be compared."""
    return list(value) if isinstance(value, tuple) else value


def _video_properties(source: VideoFile) -> VideoProperties:
    description = source.describe()
    return VideoProperties(
        width_px=description.width_px,
        height_px=description.height_px,
        fps=round(source.fps, 6),
        container_frames=source.reported_frames,
        assumed_fps=source.assumed_fps,
    )


def _done_share(frames: int, reported: int) -> float:
    return min(1.0, frames / reported) if reported > 0 else 0.0
