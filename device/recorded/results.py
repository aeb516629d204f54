"""The results of the recordings of one call, reported in the order of the recordings, whoever labels them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from device.camera.replay import ASSUMED_TEXT, gap_text
from device.recorded.files import LabelOptions, Recording, finished_result, has_result_of_other_file
from device.recorded.labeller import LabelOutcome
from device.recorded.progress import Progress
from device.recorded.summary import LabelSummary, Provenance
from fer_edge.detection.download import fallback_warning
from fer_edge.folder_files import in_sentence


@dataclass(frozen=True, slots=True)
class LabelResult:
    """The result of one recording: `state` is `labelled`, `was labelled` (by an earlier call, still valid) or `failed`.

    `source` is its path, or its address without credentials. `problem` says why it failed, or that it ended early.
    """

    source: Path | str
    rows: Path
    state: str
    summary: LabelSummary | None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """The result as `fer-edge label --json` prints it."""
        names = ("frames", "frames_without_face", "faces_skipped", "seconds", "whole")
        return {
            "source": str(self.source),
            "state": self.state,
            "rows": str(self.rows) if self.summary else None,
            "problem": self.problem or None,
            **{name: getattr(self.summary, name, None) for name in names},
        }


@dataclass(slots=True)
class Results:
    """Results so far, and those that were `reported` in order. `waiting`: indexes of recordings, the next one last.

    `wanted_detector` is the detector that was asked for; None is the best one.
    """

    recordings: Sequence[Recording]
    out: Path
    options: LabelOptions
    progress: Progress
    on_result: Callable[[LabelResult], None]
    wanted_detector: str | None = None
    reported: list[LabelResult] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    finished: dict[int, LabelResult] = field(default_factory=dict)
    read_bytes: int = 0  # of the recordings that this call finished

    def begin(self, made_by: Provenance, remark: str | None) -> None:
        """Takes over the finished results of earlier calls that have this provenance; all others wait."""
        if remark:
            self.progress.message(remark)
        if warning := fallback_warning(made_by.detector, self.wanted_detector):
            self.progress.message(warning)
        for number, recording in enumerate(self.recordings):
            if (summary := finished_result(recording, self.out, self.options, made_by)) is not None:
                self._add(number, "was labelled", summary)
            else:
                self.waiting.append(number)
        self.waiting.reverse()
        if self.finished:
            self.progress.message(f"{len(self.finished)} of {len(self.recordings)} were labelled already")
        waiting = [self.recordings[number] for number in reversed(self.waiting)]
        if others := [each.name for each in waiting if has_result_of_other_file(each, self.out, self.options)]:
            self.progress.message(
                f"{self.out} has results of other videos of the same name, or of these before they changed, which are"
                f" replaced: {in_sentence(others)}"
            )
        self.progress.begin(sum(self.recordings[number].bytes for number in self.waiting))

    @property
    def complete(self) -> bool:
        """Whether every recording has a result."""
        return len(self.reported) == len(self.recordings)

    def finish(self, number: int, outcome: LabelOutcome) -> None:
        """Adds the outcome of a recording, and reports what is due."""
        if outcome.summary is None:
            self.progress.message(f"{self.recordings[number].shown} was skipped: {outcome.problem}")
            self._add(number, "failed", None, outcome.problem)
        else:
            self._add(number, "labelled", outcome.summary)

    def show_progress(self, busy: Sequence[tuple[Recording, float]]) -> None:
        """Shows the progress; `busy` has the recordings that are being read, each with its finished share."""
        part = sum(recording.bytes * share for recording, share in busy)
        names = ", ".join(recording.name for recording, _ in busy)
        done = f"{len(self.finished)} of {len(self.recordings)} done"
        self.progress.show(self.read_bytes + part, f"{done}; {names}")

    def _add(self, number: int, state: str, summary: LabelSummary | None, problem: str = "") -> None:
        recording = self.recordings[number]
        if summary is not None and not summary.whole:
            problem = f"it ended after {summary.frames} frames; its container states {summary.video.container_frames}"
            self.progress.message(f"{recording.shown} is not complete: {problem}")
        elif summary is not None and summary.gap_s is not None:
            self.progress.message(f"{recording.shown} {gap_text(summary.gap_s)}")
        if summary is not None and summary.video.assumed_fps is not None:
            self.progress.message(f"{recording.shown} {ASSUMED_TEXT}")
        source = recording.path if recording.remote is None else recording.shown
        rows = recording.rows(self.out, self.options)
        self.finished[number] = LabelResult(source, rows, state, summary, problem)
        self.read_bytes += recording.bytes if state != "was labelled" else 0
        self.progress.clear()  # results may be printed to the same terminal
        while (result := self.finished.get(len(self.reported))) is not None:
            self.reported.append(result)
            self.on_result(result)
