"""The temperature is found again where one was hidden, and the calibration error is what its definition says."""

from __future__ import annotations

import numpy as np
import pytest

from convert.confidence import calibration_error, confidence, fit_temperature


def drawn(n: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, 7) that are `temperature` times too bold, and labels drawn from what they ought to be."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 7))
    odds = np.exp(logits)
    y = (odds.cumsum(1) / odds.sum(1, keepdims=True) < rng.random((n, 1))).sum(1)
    return (logits * temperature).astype(np.float32), y


@pytest.mark.parametrize("hidden", [0.5, 1.0, 1.8])
def test_the_hidden_temperature_is_found(hidden: float) -> None:
    logits, y = drawn(20_000, hidden)
    assert fit_temperature(logits, y) == pytest.approx(hidden, rel=0.03)
    assert calibration_error(logits / hidden, y) < 0.01


def test_the_error_of_a_hundred_certain_and_sixty_right() -> None:
    logits = np.zeros((100, 3), np.float32)
    logits[:, 1] = 50
    y = np.array([1] * 60 + [0] * 40)
    assert calibration_error(logits, y) == pytest.approx(0.4)


def test_fitted_on_validation_and_told_for_each_part() -> None:
    parts = {"validation": drawn(4000, 2.0), "test": drawn(4000, 2.0, seed=1)}
    found = confidence({p: v[0] for p, v in parts.items()}, {p: v[1] for p, v in parts.items()})
    assert found is not None and found.fitted_on == "validation"
    for error in found.errors.values():
        assert error.n == 4000 and error.before > 2 * error.after and error.after < 0.03


def test_too_few_images_give_none() -> None:
    logits, y = drawn(99, 2.0)
    assert confidence({"validation": logits}, {"validation": y}) is None
    assert confidence({"test": logits}, {"test": y}) is None
