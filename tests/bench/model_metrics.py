"""Metrics of one model on a set of images, and paired differences of two models on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convert.evaluate.bootstrap import DRAWS, SEED, log_odds, resampled_auc, resamples
from convert.evaluate.metrics import Interval, wilson_interval

_WEIGHTS_AT_ONCE = (
    8_000_000  # images × draws held in memory; as `convert.evaluate.metrics` has it, so that the draws are the same
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one model did on n images, and on each of B resamples of them: the same resamples for every model."""

    right: np.ndarray  # bool (n,)
    recalls: np.ndarray  # float64 (K,), of the classes that have images; nan for one that has none
    support: np.ndarray  # int64 (K,) images
    macro_auc: float
    accuracy_draws: np.ndarray  # float64 (B,)
    balanced_draws: np.ndarray  # float64 (B,); nan where a class lost its last image, and so below
    auc_draws: np.ndarray  # float64 (B,)


@dataclass(frozen=True, slots=True)
class Standing:
    """The figures of one model on n images, with their 95 % intervals."""

    n: int
    accuracy: Interval  # Wilson's interval
    balanced_accuracy: Interval  # bootstrap over images
    macro_auc: Interval  # bootstrap over images
    weakest: str  # the class with the lowest recall
    weakest_recall: Interval  # Wilson's interval of that class, which was picked for being the lowest
    recalls: dict[str, float]


@dataclass(frozen=True, slots=True)
class Difference:
    """Ours less theirs on the same n images; intervals are of a paired bootstrap over images."""

    n: int
    accuracy: Interval
    balanced_accuracy: Interval
    macro_auc: Interval
    only_ours_right: int  # images
    only_theirs_right: int
    mcnemar_p: float  # exact, two-sided: could the two counts above be one fair coin's


def drawn(logits: np.ndarray, y: np.ndarray, draws: int = DRAWS, seed: int = SEED) -> Drawn:
    """What logits (N, K), or logarithms of probabilities, do on labels `y` int64 (N,), which name two classes or more."""
    from sklearn.metrics import roc_auc_score

    n, present = len(y), np.unique(y)
    right = logits.argmax(1) == y
    support = np.bincount(y, minlength=logits.shape[1])
    margins = {int(k): log_odds(logits, int(k)) for k in present}
    block = min(draws, max(1, _WEIGHTS_AT_ONCE // n))
    accuracy, balanced, auc = [], [], []
    for i, start in enumerate(range(0, draws, block)):
        weights = np.ascontiguousarray(resamples(n, min(block, draws - start), seed + i).T)  # (n, B)
        accuracy.append(weights[right].sum(0, dtype=np.float64) / n)
        with np.errstate(invalid="ignore", divide="ignore"):
            hits = [weights[(y == k) & right].sum(0, dtype=np.float64) / weights[y == k].sum(0) for k in present]
            balanced.append(np.mean(hits, 0))
            auc.append(np.mean([resampled_auc(score, y == k, weights) for k, score in margins.items()], 0))
    with np.errstate(invalid="ignore"):
        recalls = np.bincount(y[right], minlength=logits.shape[1]) / np.where(support, support, np.nan)
    return Drawn(
        right=right,
        recalls=recalls,
        support=support,
        macro_auc=float(np.mean([roc_auc_score(y == k, score) for k, score in margins.items()])),
        accuracy_draws=np.concatenate(accuracy),
        balanced_draws=np.concatenate(balanced),
        auc_draws=np.concatenate(auc),
    )


def standing(d: Drawn, labels: tuple[str, ...]) -> Standing:
    """The figures of a model whose classes are called `labels`."""
    at = int(np.nanargmin(d.recalls))
    return Standing(
        n=len(d.right),
        accuracy=wilson_interval(int(d.right.sum()), len(d.right)),
        balanced_accuracy=_interval(float(np.nanmean(d.recalls)), d.balanced_draws),
        macro_auc=_interval(d.macro_auc, d.auc_draws),
        weakest=labels[at],
        weakest_recall=wilson_interval(round(d.recalls[at] * d.support[at]), int(d.support[at])),
        recalls={label: float(r) for label, r in zip(labels, d.recalls, strict=True) if np.isfinite(r)},
    )


def difference(first: Drawn, second: Drawn) -> Difference:
    """How far `ours` stands above `theirs`, both of the same images and resamples."""
    from scipy.stats import binomtest

    only_ours, only_theirs = int((first.right & ~second.right).sum()), int((second.right & ~first.right).sum())
    told_apart, n = only_ours + only_theirs, len(first.right)
    balanced = float(np.nanmean(first.recalls) - np.nanmean(second.recalls))
    return Difference(
        n=n,
        accuracy=_interval((only_ours - only_theirs) / n, first.accuracy_draws - second.accuracy_draws),
        balanced_accuracy=_interval(balanced, first.balanced_draws - second.balanced_draws),
        macro_auc=_interval(first.macro_auc - second.macro_auc, first.auc_draws - second.auc_draws),
        only_ours_right=only_ours,
        only_theirs_right=only_theirs,
        mcnemar_p=float(binomtest(only_ours, told_apart).pvalue) if told_apart else 1.0,
    )


def _interval(value: float, draws: np.ndarray) -> Interval:
    finite = draws[np.isfinite(draws)]  # a resample without an image of some class says nothing of a mean over all
    low, high = (float(v) for v in np.quantile(finite, (0.025, 0.975))) if len(finite) else (None, None)
    return Interval(value, low, high)
