"""Labels recordings on a Ray cluster, each as one task; the driver stores their tables, in the order in which they are done.

Ray starts a lost worker's tasks again. Of a task that ends its worker each time, the recording is reported as failed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from device.config import Settings
from device.recorded.files import commit_results
from device.recorded.labeller import LabelOutcome, not_written
from device.recorded.ray_tasks import RemoteOutcome, WorkerVersion, describe_worker, label_remotely
from device.recorded.results import Results
from device.recorded.summary import Provenance
from fer_edge.errors import FerEdgeError, RestartNeeded, UsageError

ENGINE = "ray"
ADDRESS_PREFIX = "ray://"
_RETRIES = 3  # of a recording whose worker ends
_AHEAD = 2  # tasks handed to Ray for each that can run, so that no worker waits for the driver
_WAIT_S = 0.5
_PATIENCE_S = 30.0  # after which a wait for the first worker is reported


def require_engine(engine: str) -> None:
    """Raises UsageError for another engine, and without the extra `ray`."""
    if engine != ENGINE and not engine.startswith(ADDRESS_PREFIX):
        raise UsageError(f"--engine must be ray or ray://HOST:PORT, not {engine}")
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise UsageError("--engine ray needs the extra `ray`: pip install 'fer-edge[ray]'")


def label_on_ray(engine: str, settings: Settings, jobs: int | None, scratch: Path, results: Results) -> Provenance:
    """Labels the recordings of `results` and returns what made their rows.

    `engine` is `ray`, for the cluster that RAY_ADDRESS names or that runs on this machine, else one that is started here, or
    `ray://HOST:PORT`. `jobs` recordings are read at a time, by default as many as the cluster has processors. Raises
    RestartNeeded when the cluster cannot be reached, UsageError when its workers differ or results cannot be written, and the
    FerEdgeError of a worker.
    """
    with _connected(engine):
        ray_run = _RayRun(settings, jobs, scratch, results)
        made_by = ray_run.begin()
        ray_run.finish(made_by)
        return made_by


class _RayRun:
    """The tasks of one call."""

    def __init__(self, settings: Settings, jobs: int | None, scratch: Path, results: Results) -> None:
        import ray

        self._ray, self._settings, self._jobs = ray, settings, jobs
        self._scratch, self._results = scratch, results
        self._pending: dict[Any, int] = {}  # reference of a task: index of its recording
        processors = self._processors()
        share = min(1.0, processors / jobs) if jobs and processors else 1.0
        options = {"num_cpus": share, "max_retries": _RETRIES}
        self._describe = ray.remote(**options)(describe_worker)
        self._label = ray.remote(**options)(label_remotely)
        self._stored_settings = ray.put(settings)

    def begin(self) -> Provenance:
        """Waits for the first worker and takes over what earlier calls finished."""
        reference = self._describe.remote(self._stored_settings)
        while not self._ray.wait([reference], timeout=_PATIENCE_S)[0]:
            self._results.progress.message(
                f"waiting for a free processor: the cluster has {self._processors():g}, {self._free():g} of them free"
            )
        version = self._answer(reference)
        if isinstance(version, LabelOutcome):
            raise UsageError(
                f"no worker of the cluster could load the networks: {version.problem}; give every node this fer-edge"
            )
        assert isinstance(version, WorkerVersion), version
        self._results.begin(version.made_by, version.remark)
        return version.made_by

    def finish(self, made_by: Provenance) -> None:
        """Labels everything that waits."""
        results = self._results
        while not results.complete:
            self._submit()
            done, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=_WAIT_S)
            for reference in done:
                self._store(self._pending.pop(reference), self._answer(reference), made_by)
            results.show_progress([])

    def _submit(self) -> None:
        """Hands tasks to Ray, as many as the cluster can soon do: it may have grown."""
        most = self._jobs or max(1, round(self._processors())) * _AHEAD
        while self._results.waiting and len(self._pending) < most:
            number = self._results.waiting.pop()
            recording = self._results.recordings[number]
            reference = self._label.remote(self._stored_settings, recording, self._results.options)
            self._pending[reference] = number

    def _store(self, number: int, answer: object, made_by: Provenance) -> None:
        recording, results = self._results.recordings[number], self._results
        if isinstance(answer, LabelOutcome):
            results.finish(number, answer)
            return
        assert isinstance(answer, RemoteOutcome), answer
        if answer.made_by != made_by:
            raise UsageError(
                f"the cluster's workers differ, so their rows may: {_difference(made_by, answer.made_by)}; give every node the "
                "same packages and bundle"
            )
        outcome = answer.outcome
        if outcome.summary is not None:
            folder = self._scratch / str(number)
            try:
                folder.mkdir()
                (folder / recording.rows(results.out, results.options).name).write_bytes(answer.table)
                commit_results(folder, recording, results.out, results.options, outcome.summary)
                folder.rmdir()
            except OSError as error:
                outcome = not_written(recording, error)
        results.finish(number, outcome)

    def _answer(self, reference: Any) -> object:
        """What a task returned; a LabelOutcome for one that failed. Raises the worker's FerEdgeError."""
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise UsageError(
                f"a worker failed: {error.cause}; does every node have this version of fer-edge?"
            ) from error
        except self._ray.exceptions.RayError as error:
            return LabelOutcome(None, f"its worker was lost {_RETRIES + 1} times ({type(error).__name__})")
        if isinstance(answer, FerEdgeError):
            raise answer
        return answer

    def _processors(self) -> float:
        return float(self._ray.cluster_resources().get("CPU", 0))

    def _free(self) -> float:
        return float(self._ray.available_resources().get("CPU", 0))


@contextmanager
def _connected(engine: str) -> Iterator[None]:
    """Connects to a cluster, without Ray's own lines on stderr; a cluster that was started here ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # otherwise Ray sends statistics to its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    try:
        ray.init(
            address=engine if engine.startswith(ADDRESS_PREFIX) else None,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            include_dashboard=False if engine == ENGINE else None,
        )
    except (ValueError, ImportError) as error:
        raise UsageError(f"{engine}: {_first_line(error)}; check the address and the extra `ray`") from error
    except Exception as error:  # Ray raises plain ones too
        raise RestartNeeded(
            f"{engine}: the Ray cluster did not start or answer: {_first_line(error)}; check that it runs, its address (the "
            "port of ray:// is 10001) and its versions of Ray and Python, then try again"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _difference(one: Provenance, other: Provenance) -> str:
    before, now = one.to_json(), other.to_json()
    return ", ".join(f"{name} {before[name]} and {now[name]}" for name in before if before[name] != now[name])
