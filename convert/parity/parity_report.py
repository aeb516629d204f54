"""parity.json: how an int8 model differs from its float model on each runtime, as typed values.

`parity.schema.json` beside this file describes it. What stands above `runtimes` is of the worst of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from convert.evaluate.confidence_calibration import ConfidenceCalibration
from convert.json_dataclass import from_json, read_json, require_known, require_length, require_matrix
from convert.parity.differences import LogitDifference, MeasuredRuntime, PartDifference
from convert.parity.paired_tests import DRAWS, SEED
from convert.parity.tolerances import Margins
from convert.parity.verdict import FAIL, LOGITS_ONLY, OPEN, WORST_FIRST
from fer_edge.errors import BundleRefused, NotEnoughData, ParityFailed
from fer_edge.json_fields import to_json

T = TypeVar("T")

FILE_NAME = "parity.json"
FEW_HELD_OUT = "held-out images, fewer than a verdict on accuracy takes"  # `images` of a comparison of logits
SCHEMA_FILE = Path(__file__).with_name("parity.schema.json")


@dataclass(frozen=True, slots=True)
class RuntimeParity:
    """The parity on one runtime: the verdict, the reasons of a failure, the undecided figures, and all figures."""

    ran_on: MeasuredRuntime
    verdict: str
    failures: list[str]
    undecided: list[str]
    logits: LogitDifference
    together: PartDifference | None  # both held-out parts; None without labelled images

    def __post_init__(self) -> None:
        _require_verdict(self.verdict)


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The settings of the bootstrap intervals of shares."""

    draws: int = DRAWS
    seed: int = SEED


@dataclass(frozen=True, slots=True)
class Curves:
    """ROC curves and confusion counts of float and int8, both parts together, for the page's figures."""

    fpr: list[float]  # the steps of all curves
    roc: dict[str, dict[str, list[float]]]  # "float", "int8": label: true positive rates
    confusion: dict[str, list[list[int]]]  # "float", "int8": a row for each true class

    def __post_init__(self) -> None:
        for name in ("float", "int8"):
            for field_name, values in (("roc", self.roc), ("confusion", self.confusion)):
                if name not in values:
                    raise ValueError(f"{field_name} has no “{name}”")
            if self.roc[name].keys() != self.roc["float"].keys():
                raise ValueError("roc has other labels of int8 than of float")
            for label, rates in self.roc[name].items():
                require_length(f"roc.{name}.{label}", rates, len(self.fpr), "as many as fpr")


@dataclass(frozen=True, slots=True)
class ParityReport:
    """Float against int8.

    `verdict`: "pass", "fail", "not enough data" (nothing failed, yet accuracy or AUC cannot be shown to be within the
    margins), or "pass on logits; accuracy not judged" without data; `parts` is empty then and `logits` is of synthetic
    images.
    """

    verdict: str
    failures: list[str]
    undecided: list[str]
    runtime: str  # the name of the worst one
    logits: LogitDifference
    parts: dict[str, PartDifference]  # validation, test, together
    runtimes: dict[str, RuntimeParity]  # by name
    labels: list[str]
    margins: Margins
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    not_measured: list[str] = field(default_factory=list)
    confidence: ConfidenceCalibration | None = (
        None  # of the first runtime's probabilities, where there is a validation part
    )
    curves: Curves | None = None
    doubts: tuple[str, ...] | None = None  # signs that the labels or the pixels are not those stated

    def __post_init__(self) -> None:
        _require_verdict(self.verdict)
        if self.parts and "together" not in self.parts:
            raise ValueError("parts has no “together”")
        if (self.curves or self.verdict == OPEN) and not self.parts:
            raise ValueError("parts is empty, although there are curves or a verdict on labelled images")
        if self.runtime not in self.runtimes:
            raise ValueError(f"runtime is {self.runtime[:60]!r}, which is none of runtimes")
        for name, part in self.parts.items():
            require_known(f"parts.{name}.classes", part.classes, self.labels)
        if self.curves:
            require_known("curves.roc", self.curves.roc["float"], self.labels)
            for name, rows in self.curves.confusion.items():
                require_matrix(f"curves.confusion.{name}", rows, len(self.labels))

    @property
    def passed(self) -> bool:
        """Whether every figure that could be judged is within its margin."""
        return self.verdict != FAIL

    @property
    def measured_runtimes(self) -> list[tuple[MeasuredRuntime, str, float | None]]:
        """Each runtime, its verdict, and the share of images to which it gives float's label."""
        return [(row.ran_on, row.verdict, row.logits.agreement) for row in self.runtimes.values()]

    def to_json(self) -> dict[str, Any]:
        """The report as the JSON values of parity.json."""
        values: dict[str, Any] = to_json(self)
        return values

    @property
    def open_reason(self) -> str | None:
        """A sentence on what the images could not decide; None where there is a verdict on accuracy, or no image of faces."""
        remedy = "give more held-out images"
        if self.verdict == OPEN:
            n = self.parts["together"].n
            open_ones = ", ".join(name for name in self.undecided if name in ("accuracy", "macro AUC"))
            return f"nothing failed, but {n} images cannot show {open_ones} to be within the margins; {remedy}"
        if self.verdict == LOGITS_ONLY and self.logits.images == FEW_HELD_OUT:
            return f"the logits pass, but {self.logits.n} images are too few to judge accuracy on; {remedy}"
        return None

    def require_pass(self) -> None:
        """Raises ParityFailed with what failed, NotEnoughData with what could not be decided."""
        if self.verdict == FAIL:
            raise ParityFailed(f"{'; '.join(self.failures)} ({self.runtime})")
        if reason := self.open_reason:
            raise NotEnoughData(reason)


def _require_verdict(verdict: str) -> None:
    if verdict not in WORST_FIRST:
        raise ValueError(f"verdict is {verdict[:60]!r}, not one of {', '.join(WORST_FIRST)}")


def worst_runtime(runtimes: dict[str, RuntimeParity]) -> str:
    """The name of the runtime whose verdict is the bundle's: among the worst verdicts the one with the largest loss."""

    def key(name: str) -> tuple[float, ...]:
        row = runtimes[name]
        change = row.together.accuracy.difference if row.together else row.logits.agreement
        return WORST_FIRST.index(row.verdict), change, row.logits.agreement

    return min(runtimes, key=key)


def read_parity(folder: Path) -> ParityReport:
    """The parity report in a bundle's folder.

    Raises BundleRefused when it cannot be read, or is not one of a comparison with a float model.
    """
    return read_stored(folder, lambda _: ParityReport)


def read_stored(folder: Path, kind_of: Callable[[object], type[T]]) -> T:
    """The report in a bundle's folder, as the dataclass that `kind_of` names for its verdict.

    Raises BundleRefused when it cannot be read, or is not one of this kind.
    """
    path = folder / FILE_NAME
    try:
        values = read_json(path)
        return from_json(kind_of(values.get("verdict") if isinstance(values, dict) else None), values)
    except OSError as error:
        raise BundleRefused(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BundleRefused(f"{path} is not a parity report ({error}); make the bundle again") from error
