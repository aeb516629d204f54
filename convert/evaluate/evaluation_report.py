"""The evaluation report as values, and its JSON file."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.evaluate import paper_baseline
from convert.evaluate.inference_cost import InferenceCost
from convert.evaluate.metrics import RocCurves, Scores
from convert.evaluate.reported_labels import ClearMajority, ReportedClass
from convert.json_dataclass import from_json, read_json, require_known
from convert.train.history import TrainingSummary
from fer_edge.errors import UsageError
from fer_edge.json_fields import LARGEST_INTEGER, to_json

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Subject:
    """The model that was evaluated, and the runtime. `sha256` and `file_bytes` are of the file named `file`."""

    name: str
    kind: str  # "bundle", "tflite", "keras, as float TFLite"
    file: str
    file_bytes: int
    sha256: str
    dtypes: tuple[str, ...]  # of the operators: int8 and int32, or float32
    runtime: str
    kernels: str
    preprocess: str


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """The data set of an evaluation. `counts` is of all parts, `sha256` of pixels, labels and parts."""

    name: str
    form: str
    part: str  # train, validation, test, or all
    split_rule: str
    counts: dict[str, int]
    sha256: str
    seed: int  # for the parts that the set does not name
    left_out: dict[str, int]
    skipped: int
    labels_from: str | None = None  # the rule of the labels, where they are not the set's own

    @property
    def is_fer2013(self) -> bool:
        """Whether the parts have the sizes of FER2013's."""
        return self.counts == paper_baseline.FER2013


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """The results of an evaluation. `unseen`: scores without the images that are also in the training part."""

    subject: Subject
    data: EvaluationData
    scores: Scores
    unseen: Scores | None
    unseen_why: str  # which images were left out, or why none were
    curves: RocCurves
    cost: InferenceCost
    history: TrainingSummary | None  # of the model's training
    bootstrap: dict[str, int]
    versions: dict[str, str]
    reported: tuple[ReportedClass, ...] | None = None  # of a bundle, with its thresholds
    reported_prior: str | None = None  # neutral=0.5: the prior stated for `reported`
    clear: ClearMajority | None = None  # of images with votes
    doubts: tuple[str, ...] | None = None  # signs that the labels or the pixels are not those stated

    def __post_init__(self) -> None:
        require_known("curves.tpr", self.curves.tpr, self.scores.labels)
        for row in self.scores.classes:
            if row.auc is None and row.label in self.curves.tpr:
                raise ValueError(f"curves.tpr has {row.label!r}, which has no auc in scores.classes")
        for name in ("draws", "seed"):
            if name not in self.bootstrap:
                raise ValueError(f"bootstrap has no “{name}”")

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values with six decimals, and the normalised confusion matrices beside the counts."""
        values = {"format": FORMAT, **to_json(self)}
        places = [(values["scores"], self.scores), (values["unseen"], self.unseen)]
        if self.clear:
            places.append((values["clear"]["scores"], self.clear.scores))
        for place, scores in places:
            if scores:
                place["confusion_normalised"] = scores.normalised()
                place["absent"] = scores.absent
        return typing.cast(dict[str, Any], _rounded(values))

    def as_stored(self) -> EvaluationReport:
        """The report as `load` would read it from its file: rounded to six decimals."""
        return from_json(EvaluationReport, self.to_json())

    @staticmethod
    def load(path: Path) -> EvaluationReport:
        """The report in a JSON file. Raises UsageError when the file holds none."""
        try:
            values = read_json(path)
            if not isinstance(values, dict) or type(values.get("format")) is not int:
                raise ValueError("it has no “format” that is a whole number")
            if values["format"] != FORMAT:
                found = values["format"] if abs(values["format"]) <= LARGEST_INTEGER else "that is not known"
                raise UsageError(f"{path} has report format {found}; this version reads {FORMAT}")
            return from_json(EvaluationReport, values)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(
                f"{path} is not a report of `python -m convert.evaluate`: {error}; run the evaluation again"
            ) from error


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return round(value, 6) if isinstance(value, float) else value
