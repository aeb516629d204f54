"""The average of a model's weights over training steps. It generalizes better than the weights of any single step.

Polyak and Juditsky 1992; as an exponential average, Tarvainen and Valpola 2017, arXiv 1703.01780.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

AVERAGE_EVERY_STEPS = 16  # steps, because the weights are copied from the accelerator each time


class WeightAverage:
    """The exponential average of a model's weights and moving statistics over steps; without a decay, the current weights.

    It starts as a plain mean, so that the untrained weights do not influence the first epochs.
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        self.model, self.decay = model, decay
        self.arrays: list[np.ndarray] = [*self._current(), np.zeros(())] if decay else []  # averages, number of updates

    def _current(self) -> list[np.ndarray]:
        return [np.array(w, np.float32) for w in self.model.get_weights()]

    def load(self, arrays: list[np.ndarray]) -> None:
        """Restores the average from a checkpoint's arrays."""
        self.arrays = [np.array(a) for a in arrays]

    def weights(self) -> list[np.ndarray]:
        """The averaged weights, which are validated and saved."""
        return self.arrays[:-1] if self.decay else self._current()

    def update(self) -> None:
        """Adds the current weights to the average, with the share of AVERAGE_EVERY_STEPS steps."""
        updates = self.arrays[-1] = self.arrays[-1] + 1
        share = max(1 - self.decay**AVERAGE_EVERY_STEPS, 1 / float(updates))
        for mean, new in zip(self.arrays, self._current(), strict=False):
            np.add(mean, share * (new - mean), out=mean)

    def callback(self) -> keras.callbacks.Callback:
        """The Keras callback that calls `update` during one epoch."""
        import keras

        average = self

        class _UpdateAverage(keras.callbacks.Callback):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
                if average.decay and (batch + 1) % AVERAGE_EVERY_STEPS == 0:
                    _ = self.model  # Keras copies the weights back from backends that hold them elsewhere
                    average.update()

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
                if (
                    average.decay and self.params["steps"] < AVERAGE_EVERY_STEPS
                ):  # a short epoch is averaged once, at its end
                    _ = self.model
                    average.update()

        return _UpdateAverage()
