"""Two variants of Adam as Keras optimizers: RAdam, which Keras lacks, and Nadam.

Keras' own Nadam holds the product of its momenta outside of its variables: a checkpoint would not restore it, and on JAX it is
never updated. Here the momentum is constant, so that the product has a closed form.
"""

from __future__ import annotations

from typing import Any

import keras

RECTIFIABLE = 5.0  # approximated degrees of freedom below which the variance of the second moment cannot be corrected


class RectifiedAdam(keras.optimizers.Adam):
    """Adam with a rectified learning rate: Liu et al. 2020, arXiv 1908.03265. It changes nothing in the first five steps."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates a variable by its gradient."""
        ops = keras.ops
        step = ops.cast(self.iterations + 1, "float32")
        longest = 2 / (1 - self.beta_2) - 1  # ρ∞, the degrees of freedom after many steps
        power = ops.power(ops.cast(self.beta_2, "float32"), step)
        freedom = longest - 2 * step * power / (1 - power)
        above = ops.maximum(freedom, RECTIFIABLE)  # keeps the root real where it is not used
        rectified = ops.sqrt((above - 4) * (above - 2) * longest / ((longest - 4) * (longest - 2) * above))
        factor = ops.where(freedom >= RECTIFIABLE, rectified, 0.0)
        super().update_step(gradient, variable, ops.cast(learning_rate, "float32") * factor)


class NesterovAdam(keras.optimizers.Optimizer):
    """Adam with Nesterov's momentum: Dozat 2016, "Incorporating Nesterov Momentum into Adam", with a constant β₁."""

    def __init__(
        self, learning_rate: Any, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, **more: Any
    ) -> None:
        super().__init__(learning_rate, **more)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables: list[Any]) -> None:
        """Creates the first and second moments of the variables."""
        if self.built:
            return
        super().build(variables)
        first, second = self.add_optimizer_variables(variables, ["momentum", "velocity"])
        # `update_step` gets Keras' variable or, on TensorFlow, the backend's own
        owners = [(id(v), id(v.value)) for v in variables]
        self.moments = {key: pair for keys, *pair in zip(owners, first, second, strict=True) for key in keys}

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates a variable by its gradient."""
        ops, kind = keras.ops, variable.dtype
        gradient, step = ops.cast(gradient, kind), ops.cast(self.iterations + 1, kind)
        first, second = self.moments[id(variable)]
        beta_1, beta_2 = ops.cast(self.beta_1, kind), ops.cast(self.beta_2, kind)
        self.assign(first, first + (gradient - first) * (1 - beta_1))
        self.assign(second, second + (ops.square(gradient) - second) * (1 - beta_2))
        ahead = beta_1 * first / (1 - ops.power(beta_1, step + 1))
        now = (1 - beta_1) * gradient / (1 - ops.power(beta_1, step))
        spread = ops.sqrt(second / (1 - ops.power(beta_2, step)))
        self.assign_sub(variable, ops.cast(learning_rate, kind) * (ahead + now) / (spread + self.epsilon))
