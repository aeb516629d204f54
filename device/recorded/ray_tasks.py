"""What a worker of a Ray cluster does: it labels one recording and returns the table, which the driver stores.

A task writes nothing that outlives it, so it can be done twice, and the result is the same.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from device.config import Settings
from device.recorded.files import LabelOptions, Recording, scratch_folder
from device.recorded.labeller import Labeller, LabelOutcome, LabelTask
from device.recorded.summary import Provenance
from fer_edge.errors import FerEdgeError, UsageError

_LEFTOVER_S = 3600.0  # after which the folder of a killed worker is removed


@dataclass(frozen=True, slots=True)
class WorkerVersion:
    """What makes a worker's rows, and a remark of its verification."""

    made_by: Provenance
    remark: str | None


@dataclass(frozen=True, slots=True)
class RemoteOutcome:
    """The outcome of a recording, the bytes of its table, and what made it."""

    outcome: LabelOutcome
    made_by: Provenance
    table: bytes = b""


def describe_worker(settings: Settings) -> WorkerVersion | FerEdgeError:
    """What makes the rows of this worker, or the error that its networks cannot be loaded."""
    try:
        labeller = _labeller(settings)
    except FerEdgeError as error:
        return error
    return WorkerVersion(labeller.made_by, labeller.verified.remark)


def label_remotely(settings: Settings, recording: Recording, options: LabelOptions) -> RemoteOutcome | FerEdgeError:
    """Labels a recording in a private folder of this machine, which is removed; an error is one of the whole worker."""
    try:
        labeller = _labeller(settings)
    except FerEdgeError as error:
        return error
    try:
        with scratch_folder(Path(tempfile.gettempdir()), _LEFTOVER_S) as scratch:
            task = LabelTask(recording, scratch / "out", scratch / "fresh", options)
            outcome = labeller.label(task, lambda _: None)
            table = b"" if outcome.summary is None else recording.rows(task.out, options).read_bytes()
    except UsageError as error:  # of this machine's disk
        return RemoteOutcome(LabelOutcome(None, str(error)), labeller.made_by)
    return RemoteOutcome(outcome, labeller.made_by, table)


@lru_cache(maxsize=1)
def _labeller(settings: Settings) -> Labeller:
    """The networks of this process, loaded by its first task."""
    return Labeller(settings)
