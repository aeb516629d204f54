"""Calibration of confidence: a temperature and a threshold for `unsure`, fitted on one part, and their effect on each part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.evaluate.label_thresholds import DEFAULT_PRIOR, LabelCalibration, calibrate_labels
from convert.json_dataclass import require_length
from convert.train.loss import cross_entropy
from fer_edge.json_fields import to_json
from fer_edge.thresholds import StatedPrior, Thresholds

BINS = 15
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0  # the bounds of the search
MIN_IMAGES = 100  # for fitting a temperature
TARGET_ACCURACY = 0.8  # of the labels above the threshold of `unsure`, which is chosen for it
MIN_COVERAGE = 0.5  # share of the images above the threshold, even where TARGET_ACCURACY is not reached
THRESHOLDS = tuple(round(0.3 + 0.05 * step, 2) for step in range(14))  # 0.30 to 0.95: those that are reported


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """The expected calibration error of `n` images before and after the temperature, 0–1."""

    n: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """The share of images whose probability is not `below` a threshold, and the accuracy on them (0–1).

    `accuracy` is None where no image is left.
    """

    below: float
    share: float
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class ConfidenceCalibration:
    """A temperature and a threshold, the part that they were fitted on, and their effect on each part.

    A device reports `unsure` for probabilities under `unsure_below`, or under the threshold of a label where `labels` has them.
    `coverage` is accuracy against coverage with a single threshold, by part. `labels_from` is the rule of the labels that were
    fitted to, where these are not the data set's own.
    """

    temperature: float
    fitted_on: str
    errors: dict[str, CalibrationError]
    unsure_below: float
    coverage: dict[str, list[Coverage]]
    labels: LabelCalibration | None = None
    labels_from: str | None = None

    def __post_init__(self) -> None:
        steps = len(next(iter(self.coverage.values()), []))
        for part, rows in self.coverage.items():
            require_length(f"coverage.{part}", rows, steps, "as many as of the first part")

    @property
    def thresholds(self) -> Thresholds:
        """The temperature and the thresholds as bundle.json holds them."""
        by_label = self.labels.thresholds if self.labels else None
        return Thresholds(self.temperature, self.unsure_below, by_label, labels_from=self.labels_from)

    def to_json(self) -> dict[str, Any]:
        """The calibration as JSON values."""
        values: dict[str, Any] = to_json(self)
        return values


def calibrate_confidence(
    logits: dict[str, np.ndarray],
    y: dict[str, np.ndarray],
    labels: tuple[str, ...] = (),
    prior: StatedPrior | None = DEFAULT_PRIOR,
    labels_from: str | None = None,
) -> ConfidenceCalibration | None:
    """The calibration fitted on the validation part of logits (N, K) and labels (N,) by part; None below MIN_IMAGES.

    With the names of the K `labels` it has a threshold for each of them, under `prior`. `labels_from` is the rule of `y`, where
    these are not the data set's own labels.
    """
    if len(y.get("validation", ())) < MIN_IMAGES:
        return None
    t = fit_temperature(logits["validation"], y["validation"])
    errors = {
        part: CalibrationError(
            len(y[part]), calibration_error(logits[part], y[part]), calibration_error(logits[part] / t, y[part])
        )
        for part in y
    }
    p = {part: probabilities(logits[part] / t) for part in y}
    below = fit_threshold(p["validation"], y["validation"])
    curves = {part: [coverage_at(step, p[part], y[part]) for step in sorted({*THRESHOLDS, below})] for part in y}
    by_label = calibrate_labels(p, y, labels, prior) if labels else None
    return ConfidenceCalibration(round(t, 4), "validation", errors, below, curves, by_label, labels_from)


def fit_threshold(p: np.ndarray, y: np.ndarray) -> float:
    """The lowest threshold, in hundredths, above which TARGET_ACCURACY of the labels int (N,) are right; p is (N, K).

    At least MIN_COVERAGE of the images stay above it, whatever their accuracy.
    """
    for below in (step / 100 for step in range(100)):
        if (coverage := coverage_at(below, p, y)).share < MIN_COVERAGE:
            break
        if coverage.accuracy is not None and coverage.accuracy >= TARGET_ACCURACY:
            return below
    return float(np.floor(np.quantile(p.max(1), 1 - MIN_COVERAGE) * 100) / 100)


def coverage_at(below: float, p: np.ndarray, y: np.ndarray) -> Coverage:
    """Share and accuracy of the images with a probability of `below` or more, from p (N, K) and labels int (N,)."""
    covered = p.max(1) >= below
    right = (p.argmax(1) == y)[covered]
    return Coverage(below, round(float(covered.mean()), 4), round(float(right.mean()), 4) if len(right) else None)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """The softmax of logits (N, K) in float64."""
    from scipy.special import softmax

    return np.asarray(softmax(logits.astype(np.float64), axis=1))


def fit_temperature(logits: np.ndarray, y: np.ndarray) -> float:
    """The temperature that makes labels `y` int (N,) most likely under softmax(logits / temperature), logits (N, K).

    Guo et al. 2017, arXiv 1706.04599. It changes probabilities, but no label.
    """
    from scipy.optimize import minimize_scalar

    float_logits = logits.astype(np.float64)

    def loss(log_t: float) -> float:
        return cross_entropy(float_logits / np.exp(log_t), y)

    minimum = minimize_scalar(loss, bounds=(np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)), method="bounded")
    return float(np.exp(minimum.x))


def calibration_error(logits: np.ndarray, y: np.ndarray) -> float:
    """The expected calibration error, 0–1: the mean |accuracy − confidence| over BINS equal parts of the confidence."""
    p = probabilities(logits)
    confidence, right = p.max(1), p.argmax(1) == y
    bin_of = np.minimum((confidence * BINS).astype(int), BINS - 1)
    masks = [bin_of == b for b in np.unique(bin_of)]
    return float(sum(abs(right[mask].mean() - confidence[mask].mean()) * mask.mean() for mask in masks))
