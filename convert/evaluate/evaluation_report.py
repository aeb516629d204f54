"""`python -m convert.report REPORT.json|BUNDLE`: the evaluation report again, or a bundle's parity as an HTML page."""

from __future__ import annotations

import json
import types
import typing
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from convert.evaluate import paper_baseline
from convert.evaluate.inference_cost import Cost
from convert.evaluate.metrics import Curves, Scores
from fer_edge.errors import UsageError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Subject:
    """What was evaluated, and on what it ran. `sha256` and `file_bytes` are of the file named `file`."""

    name: str
    kind: str  # "bundle", "tflite", "keras, as float TFLite"
    file: str
    file_bytes: int
    sha256: str
    dtypes: tuple[str, ...]  # of the operators that ran: int8 and int32, or float32
    runtime: str
    kernels: str
    preprocess: str


@dataclass(frozen=True, slots=True)
class Data:
    """The set it was evaluated on. `counts` is of all parts, `sha256` of its pixels, labels and parts."""

    name: str
    form: str
    part: str  # train, validation, test, or all
    split_rule: str
    counts: dict[str, int]
    sha256: str
    seed: int  # drew the parts that the set does not name
    left_out: dict[str, int]
    skipped: int

    @property
    def is_fer2013(self) -> bool:
        """Whether the parts have the sizes of FER2013's."""
        return self.counts == paper_baseline.FER2013


@dataclass(frozen=True, slots=True)
class Report:
    """All that an evaluation found. `unseen` leaves out the images that also stand in the training part."""

    subject: Subject
    data: Data
    scores: Scores
    unseen: Scores | None
    unseen_why: str  # what was left out, or why nothing was
    curves: Curves
    cost: Cost
    history: dict[str, Any] | None  # of the training: epochs and best_epoch
    bootstrap: dict[str, int]
    versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values, six decimals, the normalised confusion matrices beside the counted ones."""
        values = {"format": FORMAT, **asdict(self)}
        for name, scores in (("scores", self.scores), ("unseen", self.unseen)):
            if scores:
                values[name]["confusion_normalised"] = scores.normalised()
                values[name]["absent"] = scores.absent
        return typing.cast(dict[str, Any], _rounded(values))

    def as_stored(self) -> Report:
        """The report with the values that `load` would read from its file: rounded to six decimals."""
        return typing.cast(Report, _read(Report, self.to_json()))

    @staticmethod
    def load(path: Path) -> Report:
        """The report in a JSON file. Raises UsageError when there is none in it."""
        try:
            values = json.loads(path.read_text())
            if values["format"] != FORMAT:
                raise UsageError(f"{path} has report format {values['format']}; this version reads {FORMAT}")
            return typing.cast(Report, _read(Report, values))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is no report of `python -m convert.evaluate`: {error!r}") from error


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return round(value, 6) if isinstance(value, float) else value


def _read(kind: Any, value: Any) -> Any:
    """`value`, as JSON gave it, as the annotated type `kind`."""
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{f.name: _read(hints[f.name], value[f.name]) for f in fields(kind)})  # type: ignore[operator]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _read(next(a for a in arguments if a is not type(None)), value)
    if origin is tuple:
        return tuple(_read(arguments[0], v) for v in value)
    if origin is dict:
        return {k: _read(arguments[1], v) for k, v in value.items()}
    return value
