"""A training run's history.json: its settings, its data, every epoch; `history.schema.json` beside this describes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from convert.json_dataclass import JsonObject, from_json
from fer_edge.atomic_file import write_atomically
from fer_edge.bundle_provenance import DataFingerprint
from fer_edge.errors import UsageError
from fer_edge.json_fields import to_json

SCHEMA_FILE = Path(__file__).with_name("history.schema.json")


@dataclass(frozen=True, slots=True)
class EpochScores:
    """Loss in nats and accuracy (0–1) of one epoch, counted from 1, on the training and the validation images."""

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True, slots=True)
class EpochRecord(EpochScores):
    """An epoch's scores and the seconds it took."""

    seconds: float


@dataclass(frozen=True, slots=True)
class OffsetsRecord:
    """A logit adjustment that was applied to the trained model; each pair is the figure before and after it."""

    chosen_on: str  # the part of the data
    strength: float  # τ
    values: dict[str, float]  # added to the logit of each label
    val_accuracy: tuple[float, float]
    val_weakest_recall: tuple[float, float]


@dataclass(frozen=True, slots=True)
class InitialModel:
    """The float model that a run started from, and its own history where one is known."""

    sha256: str
    history: TrainingHistory | None


@dataclass(frozen=True, slots=True)
class TrainingSetup:
    """Everything that decides what a training run computes.

    `network` and `recipe` are the fields of one of `networks.Architecture` and of `presets.Recipe` as they were when the run
    was recorded.
    """

    network: JsonObject
    recipe: JsonObject
    data: DataFingerprint
    labels: tuple[str, ...]
    policy: str  # Keras dtype policy
    teachers: tuple[str, ...]  # SHA-256 of each teacher's float model
    init: InitialModel | None

    @property
    def seed(self) -> int:
        """The seed of the recipe."""
        seed = self.recipe["seed"]
        assert isinstance(seed, int), seed
        return seed


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """The part of a history that an evaluation report holds."""

    epochs: tuple[EpochScores, ...]
    best_epoch: int
    data: DataFingerprint


@dataclass(frozen=True, slots=True)
class TrainingHistory(TrainingSetup):
    """A training run: its setup and its epochs, at least one. `best_epoch` is the first with the best validation accuracy."""

    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    offsets: OffsetsRecord | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.best_epoch <= len(self.epochs):
            raise ValueError(f"best_epoch is {self.best_epoch} of {len(self.epochs)} epochs")
        if type(self.recipe.get("seed")) is not int:
            raise ValueError("recipe has no whole number as its seed")

    @staticmethod
    def of(setup: TrainingSetup, epochs: Sequence[EpochRecord], best_epoch: int) -> TrainingHistory:
        """The history of a run with this setup after these epochs."""
        shared = {field.name: getattr(setup, field.name) for field in fields(TrainingSetup)}
        return TrainingHistory(**shared, epochs=tuple(epochs), best_epoch=best_epoch)

    @staticmethod
    def from_json(values: Any) -> TrainingHistory:
        """The history in JSON values. Raises ValueError, which names the place, where they are none."""
        return from_json(TrainingHistory, values)

    @staticmethod
    def read(path: Path) -> TrainingHistory:
        """The history in a file. Raises UsageError when it cannot be read or is none."""
        try:
            return TrainingHistory.from_json(json.loads(path.read_text()))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"{path} is not a history of `python -m convert.train`: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """The history as JSON values; `offsets` only where there are some."""
        values: dict[str, Any] = to_json(self)
        return values

    def write(self, path: Path) -> None:
        """Writes the history to `path`, by way of a rename."""
        write_atomically(path, json.dumps(self.to_json(), indent=1) + "\n")

    @property
    def best(self) -> EpochRecord:
        """The epoch whose weights were kept."""
        return self.epochs[self.best_epoch - 1]

    def summary(self) -> TrainingSummary:
        """The part that an evaluation report holds."""
        scores = tuple(
            EpochScores(row.epoch, row.loss, row.accuracy, row.val_loss, row.val_accuracy) for row in self.epochs
        )
        return TrainingSummary(scores, self.best_epoch, self.data)
