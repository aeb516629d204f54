"""The optimizers and the plateau schedule do what their papers and Keras say, and a run with them resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import SMALL_NETWORK

from convert.data.samples import Samples
from convert.train.optimizer import learning_rate_after, make_optimizer
from convert.train.presets import Recipe
from convert.train.trainer import train


def steps(recipe: Recipe, gradients: np.ndarray) -> list[float]:
    """The value of one variable, at first 1, after a step with each of the gradients."""
    import keras

    variable = keras.Variable(np.ones((1,), np.float32), name="kernel")
    optimizer = make_optimizer(recipe, steps_per_epoch=1)
    optimizer.build([variable])
    values = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(np.full((1,), gradient, np.float32))])
        values.append(float(np.asarray(variable.value)[0]))
    return values


def by_hand(kind: str, rate: float, gradients: np.ndarray) -> list[float]:
    """The same by the formulas of the papers, in float64."""
    beta_1, beta_2, value, first, second = 0.9, 0.999, 1.0, 0.0, 0.0
    longest = 2 / (1 - beta_2) - 1
    values = []
    for t, g in enumerate(gradients, 1):
        first, second = beta_1 * first + (1 - beta_1) * g, beta_2 * second + (1 - beta_2) * g * g
        spread = np.sqrt(second / (1 - beta_2**t))
        if kind == "nadam":
            ahead = beta_1 * first / (1 - beta_1 ** (t + 1)) + (1 - beta_1) * g / (1 - beta_1**t)
            value -= rate * ahead / spread
        else:
            freedom = longest - 2 * t * beta_2**t / (1 - beta_2**t)
            if freedom >= 5:
                factor = (freedom - 4) * (freedom - 2) * longest / ((longest - 4) * (longest - 2) * freedom)
                value -= rate * np.sqrt(factor) * first / (1 - beta_1**t) / spread
        values.append(float(value))
    return values


@pytest.mark.parametrize("kind", ["nadam", "radam"])
def test_an_optimizer_takes_the_steps_of_its_paper(kind: str) -> None:
    gradients = np.random.default_rng(0).normal(0.5, 1, 40)
    recipe = Recipe(optimizer=kind, learning_rate=0.01)
    np.testing.assert_allclose(steps(recipe, gradients), by_hand(kind, 0.01, gradients), rtol=1e-3)


def test_the_plateau_schedule_is_that_of_keras() -> None:
    import keras

    recipe = Recipe(schedule="plateau", learning_rate=1e-3, patience=2, lowest_rate=5e-6)
    accuracies = [0.3, 0.4, 0.4, 0.39, 0.39, 0.5, 0.50005, 0.49, 0.49, 0.5, 0.5, 0.5, 0.6, 0.5]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(recipe.learning_rate))
    plateau = keras.callbacks.ReduceLROnPlateau("val_accuracy", 0.1, 2, mode="max", min_lr=5e-6)
    plateau.set_model(model)
    plateau.on_train_begin()
    for epoch, accuracy in enumerate(accuracies):
        plateau.on_epoch_end(epoch, {"val_accuracy": accuracy})
        expected = float(np.asarray(model.optimizer.learning_rate))
        assert learning_rate_after(recipe, accuracies[: epoch + 1]) == pytest.approx(expected), epoch
    assert expected == pytest.approx(5e-6)


@pytest.mark.parametrize("kind", ["nadam", "radam"])
def test_a_run_on_a_plateau_resumes_where_it_was(kind: str, bars: Samples, tmp_path: Path) -> None:
    few = bars.take(np.r_[0:28, 350:364])
    recipe = Recipe(epochs=3, batch=14, optimizer=kind, schedule="plateau", patience=1, learning_rate=1e-3)
    whole, interrupted = tmp_path / "whole", tmp_path / "interrupted"
    train(few, whole, SMALL_NETWORK, recipe)
    train(few, interrupted, SMALL_NETWORK, replace(recipe, epochs=2))
    train(few, interrupted, SMALL_NETWORK, recipe, resume=True)
    with np.load(whole / "checkpoint.npz") as a, np.load(interrupted / "checkpoint.npz") as b:
        assert a.files == b.files
        for name in a.files:
            if name != "history":
                np.testing.assert_allclose(a[name], b[name], rtol=1e-3, atol=1e-5, err_msg=name)
