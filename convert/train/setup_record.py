"""What a training run records about what it started from: initial model, teachers, votes, labels from elsewhere."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convert.data.ferplus import FERPLUS_SOURCE
from convert.data.samples import Samples
from convert.train.history import InitialModel
from convert.train.run_folder import history_beside
from fer_edge.bundle_files import sha256_of
from fer_edge.errors import UsageError

_THROUGH = re.compile(r"^(through [^:]+: )+")  # how labels of earlier runs reached a model


def initial_model(model: Path) -> InitialModel:
    """The record of a float model that a run starts from: its hash, and its history where history.json lies beside it."""
    return InitialModel(model_sha256(model), history_beside(model))


def outside_labels(uses_votes: bool, teachers: Sequence[Path], init: Path | None) -> str | None:
    """The labels that are not in the data set: votes, and those of the teachers and the initial model where known."""
    found = [FERPLUS_SOURCE] if uses_votes else []
    roles: dict[str, list[str]] = {}  # of each source
    for role, models in (("a teacher", teachers), ("the initial model", [init] if init else [])):
        inherited = [history.known_outside_labels or "" for history in map(history_beside, models) if history]
        for source in dict.fromkeys(_THROUGH.sub("", labels) for known in inherited for labels in known.split("; ")):
            if source:
                roles.setdefault(source, []).append(role)
    return "; ".join([*found, *(f"through {' and '.join(of)}: {source}" for source, of in roles.items())]) or None


def model_sha256(path: Path) -> str:
    """The SHA-256 of a model's file. Raises UsageError when it cannot be read."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def votes_sha256(samples: Samples) -> str:
    """The SHA-256 of the votes of a set that has some."""
    assert samples.votes is not None
    return hashlib.sha256(np.ascontiguousarray(samples.votes).tobytes()).hexdigest()
