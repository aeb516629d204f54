"""`label` runs the pipeline of `run` on recordings, several at a time, and writes a table of rows for each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from device.camera.replay import ASSUMED_TEXT
from device.clock import Clock, SystemClock
from device.config import Settings
from device.recorded.files import LabelOptions, Recording, find_recordings, finished_result, scratch_folder
from device.recorded.labeller import LabelOutcome, LabelTask
from device.recorded.progress import Progress
from device.recorded.rows import require_format
from device.recorded.summary import LabelSummary, Provenance
from device.recorded.workers import Worker, WorkerCrashed, WorkerReady, Workers
from fer_edge.detection.download import fallback_warning
from fer_edge.errors import UsageError

_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class LabelResult:
    """The result of one recording: `state` is `labelled`, `was labelled` (by an earlier call, still valid) or `failed`.

    `problem` says why it failed, or that it ended early.
    """

    source: Path
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


def label(
    paths: Sequence[Path],
    out: Path,
    settings: Settings,
    options: LabelOptions = LabelOptions(),  # noqa: B008 - it is immutable
    jobs: int = 1,
    on_result: Callable[[LabelResult], None] = lambda _: None,
    stream: TextIO | None = None,
    clock: Clock | None = None,
    quiet: bool = False,
) -> list[LabelResult]:
    """Labels the recordings that `paths` name and returns a result for each, in order; the tables are in `out`.

    `jobs` recordings are read at a time. `on_result` gets each result in order, as soon as it and those before it are done;
    progress goes to `stream`, by default stderr, unless `quiet`. Raises UsageError when there is nothing to read or `out`
    cannot be written, BundleRefused for a bundle. A recording that cannot be read is a result with state `failed`. The next
    call repeats what was interrupted.
    """
    if jobs < 1:
        raise UsageError(f"--jobs must be 1 or more, not {jobs}")
    require_format(options.form)
    recordings = find_recordings(paths)
    progress = Progress(stream or sys.stderr, clock or SystemClock(), quiet)
    with scratch_folder(out) as scratch, Workers(settings) as workers:
        label_run = _LabelRun(recordings, out, scratch, options, workers, progress, on_result, settings.detector)
        try:
            label_run.run(jobs)
        finally:
            progress.clear()
        return label_run.reported


@dataclass(slots=True)
class _LabelRun:
    """The work of one call: recordings to label, results so far, and the results that were reported in order."""

    recordings: list[Recording]
    out: Path
    scratch: Path
    options: LabelOptions
    workers: Workers
    progress: Progress
    on_result: Callable[[LabelResult], None]
    wanted_detector: str | None
    reported: list[LabelResult] = field(default_factory=list)
    results: dict[int, LabelResult] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)  # indexes of recordings, the next one last
    read_bytes: int = 0  # of the finished recordings

    def run(self, jobs: int) -> None:
        made_by = self._provenance(self.workers.start())
        for number, recording in enumerate(self.recordings):
            if (summary := finished_result(recording, self.out, self.options, made_by)) is not None:
                self._add_result(number, "was labelled", summary)
            else:
                self.waiting.insert(0, number)
        if self.results:
            self.progress.message(f"{len(self.results)} of {len(self.recordings)} were labelled already")
        self.progress.begin(sum(self.recordings[number].bytes for number in self.waiting))
        if self.waiting:
            self._assign_next(self.workers.all[0])
        for _ in range(min(jobs - 1, len(self.waiting))):
            self.workers.start()
        while len(self.reported) < len(self.recordings):
            for worker in self.workers.with_messages(_POLL_S):
                self._handle_message(worker)
            self._show_progress()

    def _provenance(self, worker: Worker) -> Provenance:
        """The provenance of the rows of the first worker; that of all workers is the same."""
        message = worker.receive()
        if isinstance(message, WorkerCrashed):
            raise UsageError(f"no worker process could be started: {message.why}")
        assert isinstance(message, WorkerReady), message
        if message.remark:
            self.progress.message(message.remark)
        if warning := fallback_warning(message.made_by.detector, self.wanted_detector):
            self.progress.message(warning)
        return message.made_by

    def _handle_message(self, worker: Worker) -> None:
        task, message = worker.task, worker.receive()
        if isinstance(message, LabelOutcome) and task is not None:
            self._finish(task, message)
            worker.task = None
        elif isinstance(message, WorkerCrashed):
            self.workers.remove(worker)
            if task is not None:
                self._finish(task, LabelOutcome(None, message.why))
                if self.waiting:
                    self.workers.start()
            elif not self.workers.all:
                raise UsageError(f"no worker process could be started: {message.why}")
            return
        if worker.task is None and self.waiting:
            self._assign_next(worker)

    def _assign_next(self, worker: Worker) -> None:
        number = self.waiting.pop()
        worker.assign(LabelTask(self.recordings[number], self.out, self.scratch / str(number), self.options))

    def _finish(self, task: LabelTask, outcome: LabelOutcome) -> None:
        number = int(task.scratch.name)
        if outcome.summary is None:
            self.progress.message(f"{task.recording.path} was skipped: {outcome.problem}")
            self._add_result(number, "failed", None, outcome.problem)
        else:
            self._add_result(number, "labelled", outcome.summary)

    def _add_result(self, number: int, state: str, summary: LabelSummary | None, problem: str = "") -> None:
        recording = self.recordings[number]
        if summary is not None and not summary.whole:
            problem = f"it ended after {summary.frames} frames; its container states {summary.video.frames_told}"
            self.progress.message(f"{recording.path} is not complete: {problem}")
        if summary is not None and summary.video.assumed_fps is not None:
            self.progress.message(f"{recording.path} {ASSUMED_TEXT}")
        rows = recording.rows(self.out, self.options)
        self.results[number] = LabelResult(recording.path, rows, state, summary, problem)
        self.read_bytes += recording.bytes if state != "was labelled" else 0
        self.progress.clear()  # results may be printed to the same terminal
        while (result := self.results.get(len(self.reported))) is not None:
            self.reported.append(result)
            self.on_result(result)

    def _show_progress(self) -> None:
        busy = [(worker.task.recording, worker.share) for worker in self.workers.all if worker.task]
        part = sum(recording.bytes * share for recording, share in busy)
        names = ", ".join(recording.name for recording, _ in busy)
        self.progress.show(self.read_bytes + part, f"{len(self.results)} of {len(self.recordings)} done; {names}")
