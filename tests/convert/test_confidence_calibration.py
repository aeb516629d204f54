"""The temperature is found again where one was hidden, and the calibration error is what its definition says."""

from __future__ import annotations

import numpy as np
import pytest

from convert.evaluate.confidence_calibration import (
    MIN_COVERAGE,
    TARGET_ACCURACY,
    THRESHOLDS,
    calibrate_confidence,
    calibration_error,
    coverage_at,
    fit_temperature,
    fit_threshold,
    probabilities,
)
from convert.evaluate.label_thresholds import calibrate_labels


def sampled(n: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, 7) multiplied by `temperature`, and labels sampled from the probabilities without it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 7))
    odds = np.exp(logits)
    y = (odds.cumsum(1) / odds.sum(1, keepdims=True) < rng.random((n, 1))).sum(1)
    return (logits * temperature).astype(np.float32), y


@pytest.mark.parametrize("hidden", [0.5, 1.0, 1.8])
def test_a_hidden_temperature_is_recovered(hidden: float) -> None:
    logits, y = sampled(20_000, hidden)
    assert fit_temperature(logits, y) == pytest.approx(hidden, rel=0.03)
    assert calibration_error(logits / hidden, y) < 0.01


def test_a_hundred_certain_answers_of_which_sixty_are_right_have_an_error_of_two_fifths() -> None:
    logits = np.zeros((100, 3), np.float32)
    logits[:, 1] = 50
    y = np.array([1] * 60 + [0] * 40)
    assert calibration_error(logits, y) == pytest.approx(0.4)


def test_it_is_fitted_on_validation_and_reported_for_each_part() -> None:
    parts = {"validation": sampled(4000, 2.0), "test": sampled(4000, 2.0, seed=1)}
    found = calibrate_confidence({p: v[0] for p, v in parts.items()}, {p: v[1] for p, v in parts.items()})
    assert found is not None and found.fitted_on == "validation"
    for error in found.errors.values():
        assert error.n == 4000 and error.before > 2 * error.after and error.after < 0.03
    for part in parts:
        below = [row.below for row in found.coverage[part]]
        shares = [row.share for row in found.coverage[part]]
        assert set(below) == {*THRESHOLDS, found.unsure_below} and below == sorted(below)
        assert shares == sorted(shares, reverse=True), "the higher the threshold, the fewer images are left"
    (chosen,) = (row for row in found.coverage["validation"] if row.below == found.unsure_below)
    assert 0.5 <= chosen.share < 0.54, "these logits are never right in four of five: half of the images stay"


def test_the_thresholds_are_those_of_the_probabilities_after_the_temperature() -> None:
    """A device divides its logits by the temperature: thresholds of three times as large ones would be too high."""
    logits, y = sampled(3000, 3.0)
    labels = tuple("abcdefg")
    found = calibrate_confidence({"validation": logits}, {"validation": y}, labels, None)
    assert found is not None and found.labels is not None and found.temperature == pytest.approx(3, rel=0.1)
    cooled = probabilities(logits / fit_temperature(logits, y))
    assert found.unsure_below == fit_threshold(cooled, y) != fit_threshold(probabilities(logits), y)
    assert found.labels == calibrate_labels({"validation": cooled}, {"validation": y}, labels, None)
    assert coverage_at(found.unsure_below, cooled, y) in found.coverage["validation"]


def test_too_few_validation_images_give_no_calibration() -> None:
    logits, y = sampled(99, 2.0)
    assert calibrate_confidence({"validation": logits}, {"validation": y}) is None
    assert calibrate_confidence({"test": logits}, {"test": y}) is None


def certain_answers(confidence: list[float], right: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, 2) whose larger one is `confidence`, and labels (N,) that make it right or wrong."""
    p = np.array([[1 - value, value] for value in confidence])
    return p, np.array([1 if good else 0 for good in right])


def test_the_threshold_is_the_lowest_that_reaches_the_target_accuracy() -> None:
    confidence = [0.505 + 0.005 * n for n in range(99)]
    p, y = certain_answers(confidence, [n >= 60 or n % 2 == 0 for n in range(99)])
    below = fit_threshold(p, y)
    at, before = coverage_at(below, p, y), coverage_at(round(below - 0.01, 2), p, y)
    assert at.accuracy is not None and at.accuracy >= TARGET_ACCURACY and at.share >= MIN_COVERAGE
    assert below > 0.5 and (before.accuracy is not None and before.accuracy < TARGET_ACCURACY)


def test_a_model_that_never_reaches_the_target_still_labels_half_of_the_images() -> None:
    p, y = certain_answers([0.5 + n / 250 for n in range(100)], [n % 3 == 0 for n in range(100)])
    below = fit_threshold(p, y)
    assert 0.5 <= coverage_at(below, p, y).share <= 0.56
    assert coverage_at(below, p, y).accuracy == pytest.approx(1 / 3, abs=0.05)


def test_accuracy_is_none_where_no_image_is_left() -> None:
    p, y = certain_answers([0.6] * 10, [True] * 10)
    assert coverage_at(0.99, p, y) == type(coverage_at(0.0, p, y))(0.99, 0.0, None)
    assert coverage_at(0.0, p, y).accuracy == 1.0
