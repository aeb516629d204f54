"""The report on a model without a float model to compare with: the figures that can be judged, and those that cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convert.data.samples import HELD_OUT_PARTS, Samples, held_out
from convert.evaluate.confidence_calibration import ConfidenceCalibration, calibrate_confidence
from convert.evaluate.label_thresholds import DEFAULT_PRIOR
from convert.evaluate.metrics import Interval, score
from convert.evaluate.plausibility import doubts
from convert.parity.differences import MeasuredRuntime
from convert.parity.runtime_logits import RuntimeLogits
from fer_edge.json_fields import to_json
from fer_edge.thresholds import StatedPrior

VERDICT = "not compared with a float model"
JUDGED = ("that it loads and answers on each runtime below", "its golden vectors", "the versions of its operators")


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Recall and AUC of one class of `n` images."""

    n: int
    recall: float | None
    auc: float | None


@dataclass(frozen=True, slots=True)
class PartScores:
    """Accuracy and AUC on one part of `n` images."""

    n: int
    accuracy: Interval
    macro_auc: Interval | None
    classes: dict[str, ClassScores]


@dataclass(frozen=True, slots=True)
class RuntimeAgreement:
    """One runtime, and the share of images to which it gives the first runtime's label."""

    ran_on: MeasuredRuntime
    verdict: str
    same_label: float


@dataclass(frozen=True, slots=True)
class ReferenceFreeReport:
    """The measurements of one model without a reference. `parts` is empty without data."""

    verdict: str
    runtime: str  # the first runtime's name
    judged: list[str]
    not_measured: list[str]
    parts: dict[str, PartScores]  # validation, test
    runtimes: dict[str, RuntimeAgreement]  # by name
    labels: list[str]
    failures: list[str] = field(default_factory=list)  # none: what fails is rejected before
    undecided: list[str] = field(default_factory=list)
    confidence: ConfidenceCalibration | None = None
    doubts: tuple[str, ...] | None = None  # signs that the labels or the pixels are not those stated

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    @property
    def measured_runtimes(self) -> list[tuple[MeasuredRuntime, str, float | None]]:
        """Each runtime, its verdict, and no agreement with float."""
        return [(row.ran_on, self.verdict, None) for row in self.runtimes.values()]

    def to_json(self) -> dict[str, Any]:
        """The report as the JSON values of parity.json."""
        values: dict[str, Any] = to_json(self)
        return values

    @property
    def open_reason(self) -> None:
        """None: nothing is compared that too few images could leave open."""

    def require_pass(self) -> None:
        """Does nothing: there is no verdict that could fail."""


def reference_free_report(
    runtimes: Sequence[RuntimeLogits],
    samples: Samples | None,
    labels: tuple[str, ...],
    prior: StatedPrior | None = DEFAULT_PRIOR,
) -> ReferenceFreeReport:
    """The report on logits of `held_out(samples)`, or of synthetic faces where there are no data."""
    first = runtimes[0]
    agreements = {
        row.name: RuntimeAgreement(row.ran_on, VERDICT, float(np.mean(row.logits.argmax(1) == first.logits.argmax(1))))
        for row in runtimes
    }
    parts, calibrated, doubtful = {}, None, None
    if samples is not None:
        _, y, part = held_out(samples)
        names = [name for name in HELD_OUT_PARTS if name in part]
        parts = {name: _part_scores(first.logits[part == name], y[part == name], labels) for name in names}
        calibrated = calibrate_confidence(
            {p: first.logits[part == p] for p in names},
            {p: y[part == p] for p in names},
            labels,
            prior,
            samples.labels_from,
        )
        doubtful = doubts(first.logits, y, labels)
    not_measured = ["what quantization changed: accuracy, AUC and logits against a float model"]
    not_measured += [] if parts else ["accuracy", "AUC", "any figure per class"]
    judged = [*JUDGED, *(["accuracy and AUC on held-out images"] if parts else [])]
    return ReferenceFreeReport(
        verdict=VERDICT,
        runtime=first.name,
        judged=judged,
        not_measured=not_measured,
        parts=parts,
        runtimes=agreements,
        labels=list(labels),
        confidence=calibrated,
        doubts=doubtful,
    )


def _part_scores(logits: np.ndarray, y: np.ndarray, labels: tuple[str, ...]) -> PartScores:
    found = score(logits, y, labels)
    classes = {c.label: ClassScores(c.support, c.recall, c.auc) for c in found.classes}
    return PartScores(found.n, found.accuracy, found.macro_auc, classes)
