"""How far a model's probabilities can be believed: a temperature fitted on one part, the calibration error on each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

BINS = 15
LOWEST, HIGHEST = 0.05, 20.0  # a temperature outside of these is no temperature but a broken model
FEWEST = 100  # images that a temperature is fitted on


@dataclass(frozen=True, slots=True)
class Error:
    """The expected calibration error of `n` images before and after the temperature, 0–1."""

    n: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Confidence:
    """A temperature, the part it was fitted on, and what it does to the calibration error of each part."""

    temperature: float
    fitted_on: str
    errors: dict[str, Error]

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
    return Confidence(round(t, 4), "validation", errors)


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
    wide = logits.astype(np.float64)
    odds = np.exp(wide - wide.max(1, keepdims=True))
    p = odds / odds.sum(1, keepdims=True)
    sure, right = p.max(1), p.argmax(1) == y
    where = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [abs(right[where == b].mean() - sure[where == b].mean()) * (where == b).mean() for b in np.unique(where)]
    return float(np.sum(gaps))
