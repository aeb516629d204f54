"""A threshold of `unsure` for each label, from which on at least four in five of the images that get the label are right.

This is to hold for images that the thresholds were not fitted on: a threshold must reach four in five with a probability of
90 %, by the fitted images; that they themselves reach it is not enough. A data set's shares of classes are not those of a room,
in which faces are mostly neutral: the images are weighted by class, so that a stated prior holds. A label that reaches the
target at no threshold is never reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convert.json_dataclass import require_known
from fer_edge.errors import UsageError
from fer_edge.thresholds import LabelThresholds, StatedPrior

TARGET = 0.8  # share of the images that get a label for which it is right
CONFIDENCE = 0.9  # probability that the share is reached
MIN_IMAGES = 20  # that get a label; with fewer, the label is not reported
DEFAULT_PRIOR = StatedPrior("neutral", 0.7)
_STEPS = 100  # thresholds are hundredths
_POINTS = 100  # of each integral, at quantiles in the middle of as many equal parts of the probability


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
    """The smallest threshold, in hundredths, at which label k reaches TARGET with CONFIDENCE; None where it never does.

    `p` is float (N, K), `y` int (N,), and all images of a class have the same one of the `weights` (N,). At least MIN_IMAGES
    must get the label.
    """
    own = weights[y == k]
    if not len(own):
        return None
    wrong_weights = np.unique(weights[y != k])
    for below in (step / _STEPS for step in range(_STEPS)):
        gets = _gets(p, k, below)
        if gets.sum() < MIN_IMAGES:
            return None
        wrong = [(int((gets & (y != k) & (weights == weight)).sum()), float(weight)) for weight in wrong_weights]
        if miss_probability((int((gets & (y == k)).sum()), float(own[0])), wrong) <= 1 - CONFIDENCE:
            return below
    return None


def miss_probability(right: tuple[int, float], wrong: Sequence[tuple[int, float]]) -> float:
    """The probability (0–1) that the weighted share of right images is below TARGET, from the images that get a label.

    `right` is their number and their weight, `wrong` has the same of one or two groups of wrong images. The numbers are Poisson
    counts, whose rates have Jeffreys' prior: Gamma(number + 1/2) after the images were seen (Brown, Cai and DasGupta 2003,
    Statistica Sinica 13, 19–49). So a group of a large weight counts although none of its images happens to be among few ones.
    With one weight it is the distribution of Jeffreys' interval of a share, Beta(right + 1/2, wrong + 1/2).
    """
    from scipy.special import gammainc, gammaincinv

    middle = (np.arange(_POINTS) + 0.5) / _POINTS
    total: np.ndarray | float = 0.0  # weighted rate of wrong images
    for axis, (number, weight) in enumerate(wrong):
        total = total + weight * np.expand_dims(gammaincinv(number + 0.5, middle), 1 - axis)
    number, weight = right
    return float(np.mean(gammainc(number + 0.5, TARGET / (1 - TARGET) * total / weight)))


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
