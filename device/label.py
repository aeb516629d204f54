"""`label` takes recordings through the pipeline of `run`, some at a time, and puts a table of rows beside each other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from device.clock import Clock, SystemClock
from device.config import Settings
from device.recorded.files import LabelOptions, Recording, find_recordings, finished_result, scratch_folder
from device.recorded.labeller import LabelOutcome, LabelTask
from device.recorded.progress import Progress
from device.recorded.rows import require_format
from device.recorded.workers import Worker, WorkerCrashed, WorkerReady, Workers
from fer_edge.errors import UsageError

_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class LabelResult:
    """What became of one recording: `state` is `labelled`, `was labelled` (before, and the same now) or `failed`.

    `told` is what stands beside its rows; `problem` says what is wrong: why it failed, or that it ended early.
    """

    source: Path
    rows: Path
    state: str
    told: dict[str, Any] | None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        told = self.told or {}
        names = ("frames", "frames_without_face", "faces_skipped", "seconds", "whole")
        return {
            "source": str(self.source),
            "state": self.state,
            "rows": str(self.rows) if self.told else None,
            "problem": self.problem or None,
            **{name: told.get(name) for name in names},
        }


def label(
    paths: Sequence[Path],
    out: Path,
    settings: Settings,
    wanted: LabelOptions = LabelOptions(),  # noqa: B008 - it cannot change
    jobs: int = 1,
    tell: Callable[[LabelResult], None] = lambda _: None,
    stream: TextIO | None = None,
    clock: Clock | None = None,
) -> list[LabelResult]:
    """What became of each recording that `paths` name, in their order; its results are in `out`.

    `jobs` recordings are read at a time. `tell` gets each result as soon as those before it were told; progress goes to
    `stream`, stderr when None. Raises UsageError when there is nothing to read or no way to write, BundleRefused for a
    bundle; a recording that cannot be read is a result like others. What was interrupted, by whatever, is made anew by the
    next call.
    """
    if jobs < 1:
        raise UsageError(f"--jobs must be 1 or more, not {jobs}")
    require_format(wanted.form)
    recordings = find_recordings(paths)
    progress = Progress(stream or sys.stderr, clock or SystemClock())
    with scratch_folder(out) as fresh, Workers(settings) as workers:
        turn = _LabelRun(recordings, out, fresh, wanted, workers, progress, tell)
        try:
            turn.run(jobs)
        finally:
            progress.clear()
        return turn.told


@dataclass(slots=True)
class _LabelRun:
    """The work of one call: what is still to do, what came of the rest, and what of that was told."""

    recordings: list[Recording]
    out: Path
    fresh: Path
    wanted: LabelOptions
    workers: Workers
    progress: Progress
    tell: Callable[[LabelResult], None]
    told: list[LabelResult] = field(default_factory=list)
    results: dict[int, LabelResult] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)  # numbers of recordings, the next one last
    read_bytes: int = 0  # of the recordings that are done with

    def run(self, jobs: int) -> None:
        made_by = self._first(self.workers.start())
        for number, recording in enumerate(self.recordings):
            if (told := finished_result(recording, self.out, self.wanted, made_by)) is not None:
                self._is(number, "was labelled", told)
            else:
                self.waiting.insert(0, number)
        if self.results:
            self.progress.say(f"{len(self.results)} of {len(self.recordings)} were labelled before")
        self.progress.begin(sum(self.recordings[number].bytes for number in self.waiting))
        if self.waiting:
            self._give(self.workers.all[0])
        for _ in range(min(jobs - 1, len(self.waiting))):
            self.workers.start()
        while len(self.told) < len(self.recordings):
            for worker in self.workers.speaking(_POLL_S):
                self._hear(worker)
            self._show()

    def _first(self, worker: Worker) -> dict[str, Any]:
        """What the first process that is ready makes rows by: all of them do."""
        said = worker.said()
        if isinstance(said, WorkerCrashed):
            raise UsageError(f"no process could be started to read with: {said.why}")
        assert isinstance(said, WorkerReady), said
        if said.remark:
            self.progress.say(said.remark)
        return said.made_by

    def _hear(self, worker: Worker) -> None:
        task, said = worker.task, worker.said()
        if isinstance(said, LabelOutcome) and task is not None:
            self._finish(task, said)
            worker.task = None
        elif isinstance(said, WorkerCrashed):
            self.workers.leave(worker)
            if task is not None:
                self._finish(task, LabelOutcome(None, said.why))
                if self.waiting:
                    self.workers.start()
            elif not self.workers.all:
                raise UsageError(f"no process could be started to read with: {said.why}")
            return
        if worker.task is None and self.waiting:
            self._give(worker)

    def _give(self, worker: Worker) -> None:
        number = self.waiting.pop()
        worker.give(LabelTask(self.recordings[number], self.out, self.fresh / str(number), self.wanted))

    def _finish(self, task: LabelTask, labelled: LabelOutcome) -> None:
        number = int(task.fresh.name)
        if labelled.told is None:
            self.progress.say(f"{task.recording.path} is passed over: {labelled.problem}")
            self._is(number, "failed", None, labelled.problem)
        else:
            self._is(number, "labelled", labelled.told)

    def _is(self, number: int, state: str, told: dict[str, Any] | None, problem: str = "") -> None:
        recording = self.recordings[number]
        if told is not None and not told["whole"]:
            frames = told["video"]["frames_told"]
            problem = f"it ended after {told['frames']} frames; its container tells of {frames}"
            self.progress.say(f"{recording.path} is not whole: {problem}")
        rows = recording.rows(self.out, self.wanted)
        self.results[number] = LabelResult(recording.path, rows, state, told, problem)
        self.read_bytes += recording.bytes if state != "was labelled" else 0
        self.progress.clear()  # what is told may go to the same terminal
        while (next_one := self.results.get(len(self.told))) is not None:
            self.told.append(next_one)
            self.tell(next_one)

    def _show(self) -> None:
        busy = [(worker.task.recording, worker.share) for worker in self.workers.all if worker.task]
        part = sum(recording.bytes * share for recording, share in busy)
        names = ", ".join(recording.name for recording, _ in busy)
        self.progress.show(self.read_bytes + part, f"{len(self.results)} of {len(self.recordings)} done; {names}")
