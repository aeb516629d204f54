"""The paired tests: against scikit-learn, scipy, cases counted by hand, and how often they err on known truths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from convert.evaluate.bootstrap import log_odds, resampled_auc, resamples
from convert.parity.paired_tests import (
    auc_difference,
    holm,
    macro_auc_difference,
    placements,
    share_difference,
    tango_score,
)


def hits(n: int, lost: int, won: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    """Hits of float and int8 on n images, of which so many were lost, won, and right in both."""
    f, q = np.zeros(n, bool), np.zeros(n, bool)
    f[:lost] = True
    q[lost : lost + won] = True
    f[lost + won : lost + won + both] = q[lost + won : lost + won + both] = True
    return f, q


def test_the_interval_and_the_p_value_of_a_known_difference() -> None:
    """200 images, of which 10 are lost and 2 won: −4 points, and by the binomial about ±3.3 around that."""
    found = share_difference(*hits(200, 10, 2, 100), margin=0.01)
    assert found.difference == pytest.approx(-0.04)
    assert (found.float, found.int8) == (pytest.approx(110 / 200), pytest.approx(102 / 200))
    se = np.sqrt(12 / 200 - 0.04**2) / np.sqrt(200)
    assert found.low == pytest.approx(-0.04 - 1.96 * se, abs=0.007)
    assert found.high == pytest.approx(-0.04 + 1.96 * se, abs=0.007)
    assert found.difference_p == pytest.approx(binomtest(10, 12).pvalue)
    assert found.is_worse and not found.is_equivalent


def test_without_a_margin_tangos_score_is_mcnemars() -> None:
    assert tango_score(17, 6, 300, 0.0) == pytest.approx((17 - 6) / np.sqrt(17 + 6))
    assert tango_score(0, 0, 300, 0.0) == 0.0


@pytest.mark.parametrize(("n", "lost_rate", "won_rate"), [(400, 0.03, 0.01), (3000, 0.015, 0.005), (150, 0.06, 0.0)])
def test_tangos_score_errs_at_the_stated_rate(n: int, lost_rate: float, won_rate: float) -> None:
    """Where the true loss is the margin itself, 5 % of the cases are called equivalent, and 5 % worse."""
    rng = np.random.default_rng(1)
    kinds = rng.multinomial(n, [lost_rate, won_rate, 1 - lost_rate - won_rate], 4000)
    z = np.array([tango_score(int(lost), int(won), n, lost_rate - won_rate) for lost, won, _ in kinds])
    assert np.mean(z < -1.645) == pytest.approx(0.05, abs=0.025)
    assert np.mean(z > 1.645) == pytest.approx(0.05, abs=0.025)


def test_many_images_decide_what_few_cannot() -> None:
    few, many = (
        share_difference(*hits(150, 1, 1, 100), margin=0.01),
        share_difference(*hits(7000, 47, 47, 4700), margin=0.01),
    )
    assert not few.is_equivalent and not few.is_worse
    assert many.is_equivalent and not many.is_worse


@pytest.mark.parametrize("float_right", [700, 750])
def test_a_gain_beyond_the_margin_is_as_far_from_equivalence_as_a_loss(float_right: int) -> None:
    float_hits, int8_hits = np.arange(1000) < float_right, np.arange(1000) < 1450 - float_right
    found = share_difference(float_hits, int8_hits, margin=0.01)
    assert abs(found.difference) == pytest.approx(0.05) and found.equivalence_p is not None
    assert found.equivalence_p > 0.99 and found.is_worse == (float_right == 750)


@pytest.mark.parametrize("gain", [True, False])
def test_an_area_that_gains_more_than_the_margin_is_not_equivalent_either(gain: bool) -> None:
    rng = np.random.default_rng(0)
    positive = np.arange(1000) < 500
    weak, strong = (rng.normal(0, 1, 1000) + distance * positive for distance in (0.5, 2.0))
    found = auc_difference(*((weak, strong) if gain else (strong, weak)), positive, 0.01)
    assert (found.difference > 0.1) == gain and found.equivalence_p is not None and found.equivalence_p > 0.99


@pytest.mark.parametrize("gain", [True, False])
def test_a_difference_that_is_the_same_for_each_image_is_certain(gain: bool) -> None:
    """One model ranks all images rightly and the other none: no image differs from the rest, and the error is 0."""
    score = np.arange(20.0)
    found = auc_difference(*((-score, score) if gain else (score, -score)), score > 9, 0.01)
    assert found.difference == (1 if gain else -1) == found.low == found.high
    assert (found.equivalence_p, found.inferiority_p, found.difference_p) == (1.0, float(gain), 0.0)
    assert found.is_worse != gain and not found.is_equivalent


@pytest.fixture
def scores() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 900)
    f = (np.eye(3)[y] + rng.normal(0, 1.0, (900, 3))).astype(np.float32)
    q = np.round((f + rng.normal(0, 0.2, f.shape)) * 8) / 8  # steps: many ties
    return f, q.astype(np.float32), y


def test_the_mean_placement_is_the_area_under_the_curve(scores: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    _, q, y = scores
    mine = y == 1
    places = placements(q[:, 1], mine)
    assert places[mine].mean() == pytest.approx(roc_auc_score(mine, q[:, 1]))
    assert places[~mine].mean() == pytest.approx(roc_auc_score(mine, q[:, 1]))


def test_delongs_interval_agrees_with_the_bootstraps(scores: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    f, q, y = scores
    weights = np.ascontiguousarray(resamples(len(y), 3000).T)
    draws = []
    for k in range(3):
        a, b = log_odds(f, k), log_odds(q, k)
        draws.append(resampled_auc(b, y == k, weights) - resampled_auc(a, y == k, weights))
        found = auc_difference(a, b, y == k, 0.01)
        assert found.difference == pytest.approx(roc_auc_score(y == k, b) - roc_auc_score(y == k, a))
        low, high = np.quantile(draws[-1], (0.025, 0.975))
        assert (found.low, found.high) == (pytest.approx(low, abs=7e-4), pytest.approx(high, abs=7e-4))
    margins = [np.stack([log_odds(x, k) for k in range(3)], 1) for x in (f, q)]
    found = macro_auc_difference(margins[0], margins[1], y, 0.005)
    low, high = np.quantile(np.mean(draws, 0), (0.025, 0.975))
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))


def test_equal_scores_are_equivalent_and_a_single_positive_decides_nothing() -> None:
    score = np.arange(20.0)
    same = auc_difference(score, score, score > 15, 0.01)
    assert (same.low, same.high, same.is_equivalent) == (0.0, 0.0, True)
    single = auc_difference(score, score, score > 18, 0.01)
    assert (single.low, single.equivalence_p, single.is_equivalent) == (None, None, False)


def test_holms_correction_agrees_with_a_case_computed_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([]) == []
