"""`label` runs the pipeline of `run` on recordings, here or on a cluster, and writes a table of rows for each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from device.clock import SystemClock
from device.config import Settings
from device.recorded.files import LabelOptions, find_recordings, scratch_folder
from device.recorded.index import index_of, require_free_names
from device.recorded.labeller import LabelOutcome, LabelTask
from device.recorded.progress import Progress
from device.recorded.ray_engine import label_on_ray, require_engine
from device.recorded.results import LabelResult, Results
from device.recorded.rows import require_format
from device.recorded.shards import Shard
from device.recorded.summary import Provenance
from device.recorded.workers import Worker, WorkerCrashed, WorkerReady, Workers
from fer_edge.errors import UsageError

_POLL_S = 0.5


def label(
    paths: Sequence[Path | str],
    out: Path,
    settings: Settings,
    options: LabelOptions = LabelOptions(),  # noqa: B008 - it is immutable
    jobs: int | None = None,
    on_result: Callable[[LabelResult], None] = lambda _: None,
    stream: TextIO | None = None,
    shard: Shard | None = None,
    engine: str | None = None,
    quiet: bool = False,
) -> list[LabelResult]:
    """Labels the recordings that `paths` name and returns a result for each, in order; the tables are in `out`.

    A text in `paths` may be an address (`device.recorded.remote`). `jobs` recordings are read at a time, by default one, or
    with `engine` (`device.recorded.ray_engine`) as many as the cluster has processors. `shard` labels a part only. With
    either, `out` gets an index too. `on_result` gets each result in order, as soon as it and those before it are done;
    progress goes to `stream`, by default stderr, unless `quiet`. Raises UsageError when there is nothing to read or `out`
    cannot be written, BundleRefused for a bundle. A recording that cannot be read is a result with state `failed`. The next
    call repeats what was interrupted.
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs must be 1 or more, not {jobs}")
    require_format(options.form)
    if engine is not None:
        require_engine(engine)
        if options.annotate:
            raise UsageError(
                "--annotate needs the disk of the machine that reads; leave out --engine, or divide by --shard"
            )
    every = find_recordings(paths)
    chosen = [number for number, recording in enumerate(every) if shard is None or shard.has(recording)]
    recordings = [every[number] for number in chosen]
    if shard or engine:
        require_free_names(every)
    progress = Progress(stream or sys.stderr, SystemClock(), pace_from_start=engine is not None, quiet=quiet)
    results = Results(recordings, out, options, progress, on_result, settings.detector)
    with scratch_folder(out) as scratch:
        try:
            if engine is not None:
                made_by = label_on_ray(engine, settings, jobs, scratch, results)
            else:
                with Workers(settings) as workers:
                    made_by = _LabelRun(out, scratch, options, workers, results).run(jobs or 1)
        finally:
            progress.clear()
        if shard or engine:
            try:
                index_of(results.reported, chosen, every, made_by, out, options, shard).write(out)
            except OSError as error:
                raise UsageError(f"the index in {out} cannot be written: {error.strerror}; free some space") from error
    return results.reported


@dataclass(slots=True)
class _LabelRun:
    """The work of one call in processes of this machine."""

    out: Path
    scratch: Path
    options: LabelOptions
    workers: Workers
    results: Results

    def run(self, jobs: int) -> Provenance:
        made_by = self._begin(self.workers.start())
        results = self.results
        if results.waiting:
            self._assign_next(self.workers.all[0])
        for _ in range(min(jobs - 1, len(results.waiting))):
            self.workers.start()
        while not results.complete:
            for worker in self.workers.with_messages(_POLL_S):
                self._handle_message(worker)
            results.show_progress([(worker.task.recording, worker.share) for worker in self.workers.all if worker.task])
        return made_by

    def _begin(self, worker: Worker) -> Provenance:
        """The provenance of the rows of the first worker; that of all workers is the same."""
        message = worker.receive()
        if isinstance(message, WorkerCrashed):
            raise UsageError(f"no worker process could be started: {message.why}")
        assert isinstance(message, WorkerReady), message
        self.results.begin(message.made_by, message.remark)
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
                if self.results.waiting:
                    self.workers.start()
            elif not self.workers.all:
                raise UsageError(f"no worker process could be started: {message.why}")
            return
        if worker.task is None and self.results.waiting:
            self._assign_next(worker)

    def _assign_next(self, worker: Worker) -> None:
        number = self.results.waiting.pop()
        task = LabelTask(self.results.recordings[number], self.out, self.scratch / str(number), self.options)
        worker.assign(task)

    def _finish(self, task: LabelTask, outcome: LabelOutcome) -> None:
        self.results.finish(int(task.scratch.name), outcome)
