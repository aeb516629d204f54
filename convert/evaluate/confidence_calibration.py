"""How far a model's probabilities can be believed: a temperature fitted on one part, the calibration error on each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

BINS = 15
LOWEST, HIGHEST = 0.05, 20.0  # a temperature outside of these is no temperature but a broken model
FEWEST = 100  # images that a temperature is fitted on
WANTED = 0.8  # accuracy of what is said, which the threshold of `unsure` is chosen for
LEAST_SAID = 0.5  # share of images on which something is said, however far that leaves it from what is wanted
STEPS = tuple(round(0.3 + 0.05 * step, 2) for step in range(14))  # 0.30 to 0.95: thresholds that are told


@dataclass(frozen=True, slots=True)
class Error:
    """The expected calibration error of `n` images before and after the temperature, 0–1."""

    n: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Said:
    """What is left when a model says nothing `below` a probability: the share of images, and the accuracy on them (0–1).

    `accuracy` is None where nothing is left.
    """

    below: float
    share: float
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Confidence:
    """A temperature and a threshold, the part they were fitted on, and what they do to each part.

    `unsure_below` is the probability under which a device says `unsure`. `said` is accuracy against coverage, by part.
    """

    temperature: float
    fitted_on: str
    errors: dict[str, Error]
    unsure_below: float
    said: dict[str, list[Said]]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def confidence(logits: dict[str, np.ndarray], y: dict[str, np.ndarray]) -> Confidence | None:
    """The temperature fitted on the validation part of logits (N, K) and labels (N,) by part; None without 100 images there."""
    if len(y.get("validation", ())) < FEWEST:
        return None
    t = fit_temperature(logits["validation"], y["validation"])
    errors = {
        part: Error(
            len(y[part]), calibration_error(logits[part], y[part]), calibration_error(logits[part] / t, y[part])
        )
        for part in y
    }
    p = {part: _probabilities(logits[part] / t) for part in y}
    below = fit_threshold(p["validation"], y["validation"])
    curves = {part: [said_at(step, p[part], y[part]) for step in sorted({*STEPS, below})] for part in y}
    return Confidence(round(t, 4), "validation", errors, below, curves)


def fit_threshold(p: np.ndarray, y: np.ndarray) -> float:
    """The least probability above which WANTED of labels int (N,) are right, by probabilities (N, K); on a hundredth.

    At least LEAST_SAID of the images stay above it, whatever their accuracy.
    """
    sure = p.max(1)
    for below in (step / 100 for step in range(100)):
        if (said := said_at(below, p, y)).share < LEAST_SAID:
            break
        if said.accuracy is not None and said.accuracy >= WANTED:
            return below
    return float(np.floor(np.quantile(sure, 1 - LEAST_SAID) * 100) / 100)


def said_at(below: float, p: np.ndarray, y: np.ndarray) -> Said:
    """What is left of images with probabilities (N, K) and labels int (N,) when nothing is said below a probability."""
    kept = p.max(1) >= below
    right = (p.argmax(1) == y)[kept]
    return Said(below, round(float(kept.mean()), 4), round(float(right.mean()), 4) if len(right) else None)


def _probabilities(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    odds = np.exp(wide - wide.max(1, keepdims=True))
    return np.asarray(odds / odds.sum(1, keepdims=True))


def fit_temperature(logits: np.ndarray, y: np.ndarray) -> float:
    """The temperature that makes labels `y` int (N,) most likely under softmax(logits / temperature), logits (N, K).

    Guo et al. 2017, arXiv 1706.04599. It moves no label and no AUC of a single image's ranking, only probabilities.
    """
    from scipy.optimize import minimize_scalar

    wide = logits.astype(np.float64)

    def loss(log_t: float) -> float:
        scaled = wide / np.exp(log_t)
        scaled -= scaled.max(1, keepdims=True)
        return float(np.mean(np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(y)), y]))

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return float(np.exp(found.x))


def calibration_error(logits: np.ndarray, y: np.ndarray, bins: int = BINS) -> float:
    """The expected calibration error, 0–1: |accuracy − probability| of the label given, over equal bins of probability."""
    p = _probabilities(logits)
    sure, right = p.max(1), p.argmax(1) == y
    where = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [abs(right[where == b].mean() - sure[where == b].mean()) * (where == b).mean() for b in np.unique(where)]
    return float(np.sum(gaps))
