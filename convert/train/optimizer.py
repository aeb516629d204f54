"""The optimizer of a recipe, with its learning-rate schedules and weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convert.train.presets import Recipe

if TYPE_CHECKING:
    import keras

BETTER_BY = 1e-4  # of the validation accuracy or score; a smaller rise does not end the wait of the schedule "plateau"
STEP_DOWN = 0.1  # factor of its learning rate


def make_optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The recipe's optimizer for epochs of so many steps. Batch-norm parameters and biases do not decay."""
    import keras

    from convert.train.adam_variants import NesterovAdam, RectifiedAdam

    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        warmup_steps = round(recipe.warmup * steps_per_epoch)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup_steps else rate,
            max(1, recipe.epochs * steps_per_epoch - warmup_steps),
            warmup_target=rate if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    decay = recipe.weight_decay or None
    optimizer: keras.optimizers.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=recipe.nesterov, weight_decay=decay)
    elif recipe.optimizer == "nadam":
        optimizer = NesterovAdam(rate, weight_decay=decay)
    elif recipe.optimizer == "radam":
        optimizer = RectifiedAdam(rate, weight_decay=decay)
    else:
        optimizer = keras.optimizers.Adam(rate, weight_decay=decay)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def learning_rate_after(recipe: Recipe, accuracies: Sequence[float]) -> float:
    """The learning rate of the schedule "plateau" after epochs with these validation accuracies or scores (0–1).

    The same as of `keras.callbacks.ReduceLROnPlateau`, but a function of the history, so that a run can be resumed.
    """
    rate, best, waited = recipe.learning_rate, -1.0, 0
    for accuracy in accuracies:
        waited += 1
        if accuracy > best + BETTER_BY:
            best, waited = accuracy, 0
        elif waited >= recipe.patience:
            rate, waited = max(rate * STEP_DOWN, recipe.lowest_rate), 0
    return rate
