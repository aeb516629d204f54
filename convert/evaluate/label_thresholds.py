"""A threshold of `unsure` for each label, from which on at least four in five of the images that get the label are right.

This is to hold for images that the thresholds were not fitted on: it is the smallest threshold at which the lower confidence
limit of the share reaches four in five, not the share itself. A data set's shares of classes are not those of a room, in which
faces are mostly neutral: the images are weighted by class, so that a stated prior holds. A label that reaches the target at no
threshold is never reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convert.json_dataclass import require_known
from fer_edge.errors import UsageError
from fer_edge.thresholds import LabelThresholds, StatedPrior

TARGET = 0.8  # share of the images that get a label for which it is right
CONFIDENCE = 0.95  # of the lower limit of that share, one-sided
MIN_EFFECTIVE = 20.0  # effective number of images that get a label; with fewer, the label is not reported
DOUBT = (
    0.5  # images of the heaviest class that are added to the wrong ones: no label is reported by the luck of few images
)
DEFAULT_PRIOR = StatedPrior("neutral", 0.7)
_STEPS = 100  # thresholds are hundredths


@dataclass(frozen=True, slots=True)
class LabelCoverage:
    """One label above its threshold on one part, under the stated prior.

    `n` images get the label, `effective` is their effective number (Kish), `right` the weighted share of them for which it is
    right, None without one. `recall` is the share of the label's own images that get it, None where there are none.
    """

    n: int
    effective: float
    right: float | None
    recall: float | None


@dataclass(frozen=True, slots=True)
class LabelCalibration:
    """The thresholds of all labels, and what they do to each part.

    `coverage` is by part and label; `reported` the share of all images of a part that get any label, weighted by the prior.
    """

    right: float  # the target
    prior: StatedPrior | None
    below: dict[str, float | None]  # by label; None: never reported
    coverage: dict[str, dict[str, LabelCoverage]]
    reported: dict[str, float]

    def __post_init__(self) -> None:
        for part, rows in self.coverage.items():
            require_known("below", self.below, rows)
            require_known(f"coverage.{part}", rows, self.below)

    @property
    def thresholds(self) -> LabelThresholds:
        """The thresholds as bundle.json holds them."""
        return LabelThresholds(self.right, self.prior, dict(self.below))


def calibrate_labels(
    p: dict[str, np.ndarray], y: dict[str, np.ndarray], labels: tuple[str, ...], prior: StatedPrior | None
) -> LabelCalibration:
    """The thresholds fitted on the validation part of probabilities (N, K) and labels int (N,) by part.

    `prior` None weights all images alike. So do labels without the default prior's, and a prior that cannot hold for the
    validation part (`why_not_holding`). Raises UsageError for another prior of a label that there is not.
    """
    if prior is not None and prior.label not in labels:
        if prior != DEFAULT_PRIOR:
            raise UsageError(
                f"the prior is of “{prior.label}”, and the labels are {', '.join(labels)}; name one of them"
            )
        prior = None
    if prior is not None and why_not_holding(prior, y["validation"], labels):
        prior = None
    weights = {part: image_weights(y[part], labels, prior) for part in y}
    fitted = [
        fit_label_threshold(p["validation"], y["validation"], weights["validation"], k) for k in range(len(labels))
    ]
    coverage, reported = {}, {}
    for part in y:
        rows = [_coverage(p[part], y[part], weights[part], k, fitted[k]) for k in range(len(labels))]
        coverage[part] = dict(zip(labels, rows, strict=True))
        thresholds = np.array([np.inf if below is None else below for below in fitted])
        is_reported = p[part].max(1) >= thresholds[p[part].argmax(1)]
        reported[part] = round(float(np.average(is_reported, weights=weights[part])), 4)
    return LabelCalibration(TARGET, prior, dict(zip(labels, fitted, strict=True)), coverage, reported)


def why_not_holding(prior: StatedPrior, y: np.ndarray, labels: tuple[str, ...]) -> str | None:
    """Why no weights of images with the labels `y` int (N,) make `prior` hold, as the end of a sentence; None where some do."""
    chosen = y == labels.index(prior.label)
    if not chosen.any():
        return f"has no image of “{prior.label}”"
    return f"has only images of “{prior.label}”" if chosen.all() else None


def image_weights(y: np.ndarray, labels: tuple[str, ...], prior: StatedPrior | None) -> np.ndarray:
    """The weight of each image, float64 (N,) with mean 1, so that `prior` holds for labels `y` int (N,).

    The other labels share the rest as they do in `y`. All weights are 1 without a prior, and where `y` holds only that label
    or none of it.
    """
    if prior is None:
        return np.ones(len(y))
    chosen = y == labels.index(prior.label)
    share = chosen.mean() if len(y) else 0.0
    if share in (0.0, 1.0):
        return np.ones(len(y))
    return np.where(chosen, prior.share / share, (1 - prior.share) / (1 - share))


def fit_label_threshold(p: np.ndarray, y: np.ndarray, weights: np.ndarray, k: int) -> float | None:
    """The smallest threshold, in hundredths, at which the lower limit of label k reaches TARGET; None where it never does.

    `p` is float (N, K). At least MIN_EFFECTIVE images must get the label, and DOUBT counts among the wrong ones: where no
    image of the class with the largest weight happens to be among those few, the label would seem right more often than it is.
    """
    doubt = DOUBT * float(weights.max(initial=0.0))
    for below in (step / _STEPS for step in range(_STEPS)):
        effective = _coverage(p, y, weights, k, below).effective
        if effective < MIN_EFFECTIVE:
            continue  # it may rise again, when images of a large weight fall out
        gets = _gets(p, k, below)
        if lower_limit(float(weights[gets & (y == k)].sum() / (weights[gets].sum() + doubt)), effective) >= TARGET:
            return below
    return None


def lower_limit(share: float, effective: float) -> float:
    """The lower limit of a weighted share (0–1) of images with this effective number, one-sided at CONFIDENCE.

    Jeffreys' interval (Brown, Cai and DasGupta 2001, doi 10.1214/ss/1009213286), which takes numbers that are not whole.
    """
    from scipy.stats import beta

    right = share * effective
    return float(beta.ppf(1 - CONFIDENCE, right + 0.5, effective - right + 0.5))


def _coverage(p: np.ndarray, y: np.ndarray, weights: np.ndarray, k: int, below: float | None) -> LabelCoverage:
    if below is None:
        return LabelCoverage(0, 0.0, None, 0.0 if np.any(y == k) else None)
    gets = _gets(p, k, below)
    total = weights[gets].sum()
    if not gets.any() or not total:
        return LabelCoverage(int(gets.sum()), 0.0, None, 0.0 if np.any(y == k) else None)
    return LabelCoverage(
        n=int(gets.sum()),
        effective=round(float(total**2 / np.square(weights[gets]).sum()), 1),
        right=round(float(weights[gets & (y == k)].sum() / total), 4),
        recall=round(float(gets[y == k].mean()), 4) if np.any(y == k) else None,
    )


def _gets(p: np.ndarray, k: int, below: float) -> np.ndarray:
    """Whether each image gets label k, bool (N,)."""
    return np.asarray((p.argmax(1) == k) & (p[:, k] >= below))
