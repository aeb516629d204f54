"""The optimizer of a recipe, with its learning-rate schedule and weight decay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convert.train.presets import Recipe

if TYPE_CHECKING:
    import keras


def make_optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The recipe's optimizer for epochs of so many steps. Batch-norm parameters and biases do not decay."""
    import keras

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
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=recipe.nesterov, weight_decay=decay)
    else:
        optimizer = keras.optimizers.Adam(rate, weight_decay=decay)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer
