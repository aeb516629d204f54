"""What a device reports of the faces of each class: their own label, `unsure`, or another label.

A bundle reports a label only from its threshold on. Which mistakes people see therefore depends on the thresholds as much as
on the model. Where images have raters' votes, those with a clear majority of them are scored by themselves as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convert.evaluate.metrics import Scores, score
from fer_edge.bundle import Bundle
from fer_edge.certainty import thresholds_by_label
from fer_edge.classifier import softmax
from fer_edge.label_priors import prior_ratio, weighted
from fer_edge.thresholds import StatedPrior

CLEAR_SHARE = 0.7  # of an image's votes that count (`convert.data.ferplus.majority_labels`)
NOT_COUNTED = "single votes and votes for unknown or no face do not count"  # said where CLEAR_SHARE is


@dataclass(frozen=True, slots=True)
class ReportedClass:
    """What is reported of the `n` faces of one class, as shares of them that sum to 1.

    `right` get their own label, `unsure` none, `wrong` another one, of which `most_often` is the most frequent. The shares are
    None where n is 0, `most_often` where no face gets another label.
    """

    label: str
    n: int
    right: float | None
    unsure: float | None
    wrong: float | None
    most_often: str | None


@dataclass(frozen=True, slots=True)
class ClearMajority:
    """The images whose label has at least `share` of the votes that count: `scores`, and what is reported of them."""

    share: float
    scores: Scores
    reported: tuple[ReportedClass, ...] | None  # None for a model without a bundle


@dataclass(frozen=True, slots=True)
class ReportingRule:
    """When a bundle reports a label: the temperature of its probabilities, and a threshold for each label.

    `ratio` float64 (K,) is that of a stated prior to training (`prior_ratio`).
    """

    temperature: float
    thresholds: tuple[float, ...]
    ratio: np.ndarray | None = None

    @staticmethod
    def of(bundle: Bundle, prior: StatedPrior | None = None) -> ReportingRule:
        """The rule of a bundle, as `fer-edge run` applies it to one frame, with `--prior` where `prior` is stated."""
        return ReportingRule(bundle.temperature, thresholds_by_label(bundle.spec), prior_ratio(bundle.spec, prior))

    def reported(self, logits: np.ndarray) -> np.ndarray:
        """The reported label of each face from its logits (N, K), as an index int64 (N,); −1 is `unsure`."""
        p = weighted(softmax(logits / self.temperature), self.ratio)
        best = p.argmax(1)
        return np.where(p.max(1) >= np.array(self.thresholds)[best], best, -1)


def reported_by_class(reported: np.ndarray, y: np.ndarray, labels: tuple[str, ...]) -> tuple[ReportedClass, ...]:
    """The rows of all classes, from the reported labels and the true ones, both int (N,); −1 is `unsure`."""
    rows = []
    for k, label in enumerate(labels):
        mine = reported[y == k]
        if not len(mine):
            rows.append(ReportedClass(label, 0, None, None, None, None))
            continue
        others = np.bincount(mine[(mine >= 0) & (mine != k)], minlength=len(labels))
        right, unsure, wrong = (float(np.mean(hits)) for hits in (mine == k, mine < 0, (mine >= 0) & (mine != k)))
        rows.append(
            ReportedClass(
                label, len(mine), right, unsure, wrong, labels[int(others.argmax())] if others.any() else None
            )
        )
    return tuple(rows)


def clear_majority(
    logits: np.ndarray, y: np.ndarray, votes: np.ndarray, labels: tuple[str, ...], rule: ReportingRule | None
) -> ClearMajority | None:
    """The scores of the images with a clear majority; None without any.

    `logits` are (N, K), `y` int64 (N,) the label that most votes are for, `votes` the shares of the expressions (N, 8)
    among the votes that count.
    """
    clear = votes.max(1) >= CLEAR_SHARE
    if not clear.any():
        return None
    rows = reported_by_class(rule.reported(logits[clear]), y[clear], labels) if rule else None
    return ClearMajority(CLEAR_SHARE, score(logits[clear], y[clear], labels), rows)
