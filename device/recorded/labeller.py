"""One recording at a time through the pipeline of `run`: every frame, in order, at the recording's own times."""

from __future__ import annotations

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
from device.recorded.rows import columns, open_table, reading_row
from device.vision.pipeline import Pipeline
from device.vision.search import SearchState
from fer_edge import __version__
from fer_edge.errors import CameraNotOpened, RestartNeeded, UsageError
from fer_edge.preprocess import PREPROCESS_ID

if TYPE_CHECKING:
    from fer_edge.verify import Verification

# The settings on which rows depend; what others say is of cameras and journals.
ROW_SETTINGS: tuple[str, ...] = ("rotate_deg", "flip", "region", "threads", "min_score", "unsure_below", "min_quality")
ROW_SETTINGS += ("smooth_s", "dwell_s", "max_faces", "search_s", "sweep_s")
_ORIGIN_NS = 1_000_000_000  # when every recording begins, on a clock of its own: not 0, which stands for never
_FRAME_TIMEOUT_S = 0.25
_WHOLE_SHARE = (
    0.95  # share of the frames or of the length that a container tells of, from which on it was read to its end
)


class _FixedOriginClock(SystemClock):
    """The clock that a recording is stamped by, so that the same file has the same times whenever it is read."""

    def mono_ns(self) -> int:
        return _ORIGIN_NS


@dataclass(frozen=True, slots=True)
class LabelTask:
    """A recording to label, the folder for its results, and the empty one in which they are written first."""

    recording: Recording
    out: Path
    fresh: Path
    wanted: LabelOptions


@dataclass(frozen=True, slots=True)
class LabelOutcome:
    """What became of a recording: what is told beside its rows, or, where it could not be read, the `problem`."""

    told: dict[str, Any] | None
    problem: str = ""


ProgressCallback = Callable[[float], None]  # told the share of a recording that is done, 0–1; may raise to stop


class Labeller:
    """A pipeline that was loaded and checked, and what made it: two with the same `made_by` give the same rows."""

    def __init__(self, settings: Settings) -> None:
        """Raises BundleRefused or UsageError when a network cannot be loaded, or does not do what it was proved to do."""
        import cv2
        import numpy as np

        from fer_edge.bundle import Bundle
        from fer_edge.detection.registry import find_detector
        from fer_edge.verify import verify

        self.settings = settings
        bundle = Bundle.load(settings.bundle)
        self.pipeline = Pipeline(find_detector(settings.detector, settings.threads), bundle)
        self.verified: Verification = verify(bundle)
        self.made_by: dict[str, Any] = {
            "software": f"fer-edge {__version__}",
            "bundle": {"name": bundle.name, "sha256": bundle.sha256},
            "labels": list(bundle.labels),
            "preprocess": PREPROCESS_ID,
            "detector": self.pipeline.detector.name,
            "runtime": bundle.classifier.runtime.id,
            "settings": {name: _json_value(getattr(settings, name)) for name in ROW_SETTINGS},
            "versions": {
                "python": platform.python_version(),
                "numpy": np.__version__,
                "opencv": cv2.__version__,
                "machine": platform.machine(),
            },
        }

    def label(self, task: LabelTask, tell: ProgressCallback) -> LabelOutcome:
        """What became of the recording, its results being in their places unless there was a problem.

        Raises UsageError when they cannot be written, and whatever `tell` raises; nothing half-written is left then.
        """
        import cv2

        try:
            task.fresh.mkdir()
            told = self._written(task, tell)
            if not task.recording.is_as_it_was():
                return LabelOutcome(None, "it was written to while it was read; run again when it is whole")
            commit_results(task.fresh, task.recording, task.out, task.wanted, told)
        except (CameraNotOpened, cv2.error) as error:
            return LabelOutcome(None, str(error).replace(str(task.recording.path), "it"))
        except RestartNeeded:
            return LabelOutcome(None, f"its decoder did not return for {self.settings.stuck_s:g} s")
        except OSError as error:
            raise UsageError(
                f"the results of {task.recording.path} cannot be written: {error.strerror or error}; make room, or name "
                "another folder with --out"
            ) from error
        finally:
            shutil.rmtree(task.fresh, ignore_errors=True)
        return LabelOutcome(told)

    def _written(self, task: LabelTask, tell: ProgressCallback) -> dict[str, Any]:
        recording, wanted, settings = task.recording, task.wanted, self.settings
        labels, framing = self.pipeline.bundle.labels, Framing.from_settings(settings)
        rows = task.fresh / recording.rows(task.out, wanted).name
        video = task.fresh / recording.annotated(task.out).name
        source = VideoFile(recording.path, _FixedOriginClock())
        state = SearchState(is_recording=True)
        frames = without_face = skipped = written = 0
        time_s = 0.0
        with ExitStack() as stack:
            capture = stack.enter_context(Capture(source, settings, SystemClock()))
            into = stack.enter_context(open_table(wanted.form, rows, labels))
            annotated = None
            if wanted.annotate:
                video_of = AnnotatedVideo(video, self.pipeline.detector, source.fps, wanted.show_faces)
                annotated = stack.enter_context(video_of)
            while True:
                tell(_done_share(frames, source.reported_frames))
                try:
                    frame = capture.next_frame(_FRAME_TIMEOUT_S)
                except EndOfStream:
                    break
                if frame is None:
                    continue
                if framing:
                    frame = replace(frame, gray=framing.apply(frame.gray))
                state, seen = self.pipeline.process(state, frame, settings)
                time_s = (frame.mono_ns - _ORIGIN_NS) / 1e9
                for reading in seen.readings:
                    into.add(reading_row(reading_body(reading, None), time_s))
                if annotated:
                    annotated.add(frame, time_s, seen.readings, state)
                frames += 1
                without_face += not seen.readings
                skipped += seen.skipped
                written += len(seen.readings)
            told: dict[str, Any] = {
                "made_by": self.made_by,
                "source": recording.describe(),
                "video": _video_summary(source),
                "frames": frames,
                "frames_without_face": without_face,
                "faces_skipped": skipped,
                "seconds": round(time_s + source.frame_interval_s, 6),
                "whole": _is_whole(frames, time_s + source.frame_interval_s, source),
                "rows": {"rows": written, "columns": list(columns(labels))},
            }
            into.tell(told)
        told["rows"] = {**told["rows"], "bytes": rows.stat().st_size}
        told["annotated"] = (
            {"bytes": video.stat().st_size, "faces": face_rendering(wanted)} if wanted.annotate else None
        )
        return told


def _json_value(value: Any) -> Any:
    """A setting as JSON gives it back, so that what was read can be compared."""
    return list(value) if isinstance(value, tuple) else value


def _video_summary(source: VideoFile) -> dict[str, Any]:
    """What the container says of itself."""
    description = source.describe()
    return {
        "width_px": description.width_px,
        "height_px": description.height_px,
        "fps": round(source.fps, 6),
        "frames_told": source.reported_frames,
    }


def _done_share(frames: int, told: int) -> float:
    return min(1.0, frames / told) if told > 0 else 0.0


def _is_whole(frames: int, seconds: float, source: VideoFile) -> bool:
    """Whether so much was read as the container tells of: frames, or seconds where it counts those only roughly."""
    told = source.reported_frames
    return told <= 0 or frames >= told * _WHOLE_SHARE or seconds >= told * source.frame_interval_s * _WHOLE_SHARE
