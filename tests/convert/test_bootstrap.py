"""The statistics against scikit-learn and against cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from convert.evaluate.bootstrap import interval, log_odds, resamples, weighted_auc
from fer_edge.classifier import softmax


@pytest.fixture
def scores() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)  # not the seed of the resamples: these would draw from the same stream
    positive = rng.random(400) < 0.2
    return np.round(rng.normal(positive.astype(float), 1.0), 1), positive  # rounded: many ties


def test_weighted_auc_agrees_with_scikit_learn(scores: tuple[np.ndarray, np.ndarray]) -> None:
    score, positive = scores
    weights = resamples(len(score), draws=20)
    assert np.array_equal(weights.sum(1), np.full(20, 400.0))
    point, draws = weighted_auc(score, positive, weights)
    assert point == pytest.approx(roc_auc_score(positive, score))
    for row, got in zip(weights, draws, strict=True):
        assert got == pytest.approx(roc_auc_score(positive, score, sample_weight=row), abs=1e-9)


def test_log_odds_order_as_probabilities_and_do_not_saturate() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (200, 7)).astype(np.float32)
    for k in range(7):
        assert np.array_equal(
            np.argsort(log_odds(logits, k)),
            np.argsort(np.exp(logits[:, k].astype(float)) / np.exp(logits.astype(float)).sum(1)),
        )
    sure = np.array([[60, 0, 0], [61, 0, 0]], np.float32)
    assert softmax(sure)[0, 0] == softmax(sure)[1, 0] and log_odds(sure, 0)[0] < log_odds(sure, 0)[1]


def test_undefined_resamples_are_left_out() -> None:
    assert interval(np.array([np.nan, -0.1, -0.1, np.nan])) == (-0.1, -0.1)
    assert interval(np.array([np.nan])) == (None, None)
