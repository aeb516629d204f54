"""A training run's history.json: its settings, its data, every epoch; `history.schema.json` beside this describes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from convert.data.ferplus import FERPLUS_SOURCE
from convert.json_dataclass import JsonObject, from_json, read_json
from fer_edge.atomic_file import write_atomically
from fer_edge.bundle_provenance import DataFingerprint, SourceFile
from fer_edge.errors import UsageError
from fer_edge.json_fields import to_json

SCHEMA_FILE = Path(__file__).with_name("history.schema.json")


@dataclass(frozen=True, slots=True)
class EpochScores:
    """Loss in nats and accuracy (0–1) of one epoch, counted from 1, on the training and the validation images.

    `val_score` judges a run with the targets "both": half of `val_accuracy`, and half of the mean share of people's votes for
    the labels given. None: not known, which is so only for runs that were not made by `python -m convert.train`; and
    `val_accuracy` of epochs that recorded their score only.
    """

    epoch: int
    loss: float | None
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    val_score: float | None = field(default=None, kw_only=True)

    @property
    def judged_by(self) -> float:
        """The figure by which the best epoch is chosen: the score where there is one, else the accuracy."""
        figure = self.val_accuracy if self.val_score is None else self.val_score
        assert figure is not None, "a history with neither is refused"
        return figure


@dataclass(frozen=True, slots=True)
class EpochRecord(EpochScores):
    """An epoch's scores and the seconds it took."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class ExternalTeacher:
    """A teacher of an external run: its network in words, its own validation accuracy (0–1), the file of its weights.

    `outside_labels` tells whether it was trained on the outside labels too.
    """

    network: str
    val_accuracy: float
    outside_labels: bool
    weights: SourceFile


@dataclass(frozen=True, slots=True)
class ExternalTraining:
    """A run that was not made by `python -m convert.train`: with what, where, on which data, and how the epoch was chosen.

    `seconds` is the whole run, its teachers and the models beside this one included.
    """

    framework: str  # with its version
    hardware: str
    seconds: float
    script: SourceFile
    data: str  # the data set, and what each part was used for
    outside_labels: str | None  # labels that are not in the data set: their source, licence and use
    teachers: tuple[ExternalTeacher, ...]
    choice: str  # of the epoch whose weights were kept
    notes: tuple[str, ...]  # sentences: what the fields of the recipe cannot state


@dataclass(frozen=True, slots=True)
class OffsetsRecord:
    """A logit adjustment that was applied to the trained model; each pair is the figure before and after it."""

    chosen_on: str  # the part of the data
    strength: float  # τ
    values: dict[str, float]  # added to the logit of each label
    val_accuracy: tuple[float, float]
    val_weakest_recall: tuple[float, float]


@dataclass(frozen=True, slots=True)
class InterpolationRecord:
    """The share of the trained weights between the initial ones and them; figures of initial, trained and chosen weights."""

    share: float  # 0: the initial weights, 1: the trained ones
    chosen_on: str  # the part of the data
    val_accuracy: tuple[float, float, float]  # on the set's own labels
    val_balanced_accuracy_on_votes: tuple[float, float, float]  # on the majority of FER+'s votes


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
    teachers_policy: str | None = field(
        default=None, kw_only=True
    )  # of the teachers' answers; None: there is no teacher
    # SHA-256 of the votes that it learns; None: it learns none, or it is of an older file
    votes: str | None = field(default=None, kw_only=True)

    @property
    def seed(self) -> int:
        """The seed of the recipe."""
        seed = self.recipe["seed"]
        assert isinstance(seed, int), seed
        return seed


def _require_judged(epochs: Sequence[EpochScores], best_epoch: int) -> None:
    """Raises ValueError unless the epochs are in order, each has a figure to be judged by, and the best one is among them."""
    numbers = [row.epoch for row in epochs]
    if best_epoch not in numbers:
        raise ValueError(f"best_epoch is {best_epoch} of {len(numbers)} epochs")
    if numbers != sorted(set(numbers)) or numbers[0] < 1:
        raise ValueError("epochs are not numbered upwards from 1")
    if any(e.val_accuracy is None and e.val_score is None for e in epochs):
        raise ValueError("epochs have neither val_accuracy nor val_score")


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """The part of a history that an evaluation report holds."""

    epochs: tuple[EpochScores, ...]
    best_epoch: int
    data: DataFingerprint

    def __post_init__(self) -> None:
        _require_judged(self.epochs, self.best_epoch)


@dataclass(frozen=True, slots=True)
class TrainingHistory(TrainingSetup):
    """A training run: its setup and its epochs, at least one, in their order.

    `best_epoch` is the number of the first epoch with the best validation score, or accuracy where it has no score. An
    external run may record some epochs only. `framework` and `hardware` are those of the last epoch, None in older files and
    for an external run, which has its own.
    """

    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    offsets: OffsetsRecord | None = None
    interpolation: InterpolationRecord | None = None
    external: ExternalTraining | None = None  # None: made by `python -m convert.train`
    framework: str | None = None  # with its version
    hardware: str | None = None  # the processor or the accelerators
    # labels that are not in the data set, of this run, its teachers or its initial model: source and use; None: none known
    outside_labels: str | None = None

    def __post_init__(self) -> None:
        _require_judged(self.epochs, self.best_epoch)
        if not self.external and any(None in (e.loss, e.accuracy, e.val_loss, e.seconds) for e in self.epochs):
            raise ValueError("epochs lack scores, which only an external run may")
        if self.recipe.get("targets") == "both" and any(e.val_score is None for e in self.epochs):
            raise ValueError("epochs lack val_score, by which a run with the targets “both” is judged")
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
            return TrainingHistory.from_json(read_json(path))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(
                f"{path} is not a history of `python -m convert.train`: {error}; move or rename it"
            ) from error

    def to_json(self) -> dict[str, Any]:
        """The history as JSON values; fields that may be None and are not required only where they have a value."""
        values: dict[str, Any] = to_json(self)
        return values

    def write(self, path: Path) -> None:
        """Writes the history to `path`, by way of a rename."""
        write_atomically(path, json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")

    @property
    def known_outside_labels(self) -> str | None:
        """Labels that are not in the data set, of an external run and of older files too; None: none known."""
        if self.external:
            return self.external.outside_labels
        learns_votes = self.recipe.get("targets", "labels") != "labels" or bool(self.recipe.get("votes_weight"))
        return self.outside_labels or (FERPLUS_SOURCE if learns_votes else None)

    @property
    def best(self) -> EpochRecord:
        """The epoch whose weights were kept."""
        return next(row for row in self.epochs if row.epoch == self.best_epoch)

    @property
    def last_epoch(self) -> int:
        """The number of epochs of the run, of which an external run may record some only."""
        return self.epochs[-1].epoch

    def summary(self) -> TrainingSummary:
        """The part that an evaluation report holds."""
        scores = tuple(
            EpochScores(row.epoch, row.loss, row.accuracy, row.val_loss, row.val_accuracy, val_score=row.val_score)
            for row in self.epochs
        )
        return TrainingSummary(scores, self.best_epoch, self.data)
