"""Paired tests of two models on the same images: differences, intervals and equivalence tests.

Differences are int8 minus float throughout. Shares: exact McNemar on the discordant pairs, Tango's score test against a
margin (Statistics in Medicine 17, 1998, 891–908), two one-sided tests (TOST) for equivalence, a paired bootstrap interval.
Areas under ROC curves: DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988, 837–845). Several at once: Holm
(Scandinavian Journal of Statistics 6, 1979, 65–70).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

LEVEL = 0.05  # of every test here
DRAWS, SEED = 2000, 0
_NORMAL = NormalDist()
Real = float  # the annotation below: there `float` is the figure of the float model


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """A figure of float and of int8 on the same n images, and the tests of int8 minus float.

    `low` and `high`: its 95 % interval, None where there are too few images. `margin`: the loss that was declared harmless
    beforehand. `equivalence_p`: of TOST, small where the difference lies within ±margin. `inferiority_p`: small where the
    loss exceeds the margin. `difference_p`: of McNemar or DeLong, small where there is any difference.
    """

    n: int
    float: Real
    int8: Real
    difference: Real
    low: Real | None
    high: Real | None
    margin: Real
    equivalence_p: Real | None
    inferiority_p: Real | None
    difference_p: Real | None

    @property
    def is_equivalent(self) -> bool:
        """Whether int8 is shown to lie within the margin of float."""
        return self.equivalence_p is not None and self.equivalence_p < LEVEL

    @property
    def is_worse(self) -> bool:
        """Whether the loss is real and its best estimate is more than the margin."""
        lost = self.difference < 0 and self.difference_p is not None and self.difference_p < LEVEL
        return lost and -self.difference > self.margin


def share_difference(float_hits: np.ndarray, int8_hits: np.ndarray, margin: float) -> PairedDifference:
    """The difference of two shares of hits, bool (N,) of the same N images, N at least 1."""
    from scipy.stats import binomtest

    n = len(float_hits)
    lost, won = int(np.sum(float_hits & ~int8_hits)), int(np.sum(~float_hits & int8_hits))
    # a resample of the images is a resample of the three kinds of pair: lost, won, and neither
    kinds = np.random.default_rng(SEED).multinomial(n, [lost / n, won / n, 1 - (lost + won) / n], DRAWS)
    low, high = np.quantile((kinds[:, 1] - kinds[:, 0]) / n, (0.025, 0.975))
    less = _NORMAL.cdf(tango_score(lost, won, n, margin))  # of “the loss is the margin or more”
    more = _NORMAL.cdf(tango_score(won, lost, n, margin))  # of “the gain is the margin or more”
    return PairedDifference(
        n=n,
        float=float(float_hits.mean()),
        int8=float(int8_hits.mean()),
        difference=(won - lost) / n,
        low=float(low),
        high=float(high),
        margin=margin,
        equivalence_p=max(less, more),
        inferiority_p=1 - less,
        difference_p=float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0,
    )


def tango_score(lost: int, won: int, n: int, margin: float) -> float:
    """Tango's score statistic of n pairs for a true loss of `margin` > −1: below −1.645 the loss is smaller, at the 5 % level.

    With no margin it is McNemar's (lost − won) / √(lost + won).
    """
    a = 2 * n
    b = -lost - won + (2 * n - lost + won) * margin
    c = -won * margin * (1 - margin)
    share = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)  # of pairs won, where the margin is the truth
    variance = n * (2 * share + margin * (1 - margin))
    return (lost - won - n * margin) / math.sqrt(variance) if variance > 0 else 0.0


def auc_difference(f: np.ndarray, q: np.ndarray, positive: np.ndarray, margin: float) -> PairedDifference:
    """The difference of two areas under the ROC curve, of scores `f` and `q` (N,) for `positive` bool (N,) of both kinds."""
    places_f, places_q = placements(f, positive), placements(q, positive)
    change = places_q - places_f
    counts = [int(positive.sum()), int((~positive).sum())]
    variance = None
    if min(counts) > 1:
        variance = sum(
            float(change[side].var(ddof=1)) / k for side, k in zip((positive, ~positive), counts, strict=True)
        )
    return _normal(len(f), float(places_f[positive].mean()), float(places_q[positive].mean()), variance, margin)


def macro_auc_difference(f: np.ndarray, q: np.ndarray, y: np.ndarray, margin: float) -> PairedDifference:
    """The difference of two macro areas: one class against the rest, the mean over classes; scores (N, K), labels (N,).

    Only classes with images count, two of them at least. An image moves the area of every class, so its parts are added
    up first; the variance is that of these sums within each true class.
    """
    present = [k for k in np.unique(y) if 0 < np.sum(y == k) < len(y)]
    total, mean_f, mean_q = np.zeros(len(y)), 0.0, 0.0
    for k in present:
        mine = y == k
        places_f, places_q = placements(f[:, k], mine), placements(q[:, k], mine)
        mean_f += places_f[mine].mean() / len(present)
        mean_q += places_q[mine].mean() / len(present)
        total += (places_q - places_f) / np.where(mine, mine.sum(), (~mine).sum()) / len(present)
    variance = None
    if all(np.sum(y == k) > 1 for k in present):
        variance = sum(np.sum(y == k) * float(total[y == k].var(ddof=1)) for k in present)
    return _normal(len(y), float(mean_f), float(mean_q), variance, margin)


def placements(score: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Of each image, the share of the other kind that it is ranked rightly against, ties counted half: float64 (N,).

    Their mean over the positive ones, and over the others too, is the area under the ROC curve.
    """
    from scipy.stats import rankdata

    all_ranks = rankdata(score)
    places = np.empty(len(score))
    ups, downs = positive.sum(), (~positive).sum()
    places[positive] = (all_ranks[positive] - rankdata(score[positive])) / downs
    places[~positive] = 1 - (all_ranks[~positive] - rankdata(score[~positive])) / ups
    return places


def holm(p: list[float]) -> list[float]:
    """The p-values after Holm's correction for multiple tests, in the same order."""
    adjusted = [0.0] * len(p)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted


def _normal(n: int, f: float, q: float, variance: float | None, margin: float) -> PairedDifference:
    """A difference with a normal error of this variance; None where there are too few images to estimate it."""
    change = q - f
    if variance is None:
        return PairedDifference(n, f, q, change, None, None, margin, None, None, None)
    error = math.sqrt(variance)
    if error == 0.0:
        inside = float(abs(change) >= margin)
        return PairedDifference(
            n, f, q, change, change, change, margin, inside, float(change >= -margin), float(change == 0.0)
        )
    reach = _NORMAL.inv_cdf(0.975) * error
    less, more = (_NORMAL.cdf((side * change - margin) / error) for side in (-1, 1))
    changed = 2 * _NORMAL.cdf(-abs(change) / error)
    return PairedDifference(n, f, q, change, change - reach, change + reach, margin, max(less, more), 1 - less, changed)
