"""The average of a model's weights over training, which does better on new images than the weights of any one step.

Polyak and Juditsky 1992; as an exponential average, Tarvainen and Valpola 2017, arXiv 1703.01780.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

AVERAGED_EVERY = 16  # steps: weights leave an accelerator for it


class Averages:
    """The exponential average of a model's weights and moving statistics over steps; without a decay, the weights themselves.

    It begins with the mean of what it has seen, so that the first epochs are not tied to the untrained weights.
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        self.model, self.decay = model, decay
        self.arrays: list[np.ndarray] = [*self._weights(), np.zeros(())] if decay else []

    def _weights(self) -> list[np.ndarray]:
        return [np.array(w, np.float32) for w in self.model.get_weights()]

    def load(self, arrays: list[np.ndarray]) -> None:
        """Goes on from a checkpoint's arrays."""
        self.arrays = [np.array(a) for a in arrays]

    def now(self) -> list[np.ndarray]:
        """What is validated and kept."""
        return self.arrays[:-1] if self.decay else self._weights()

    def add(self) -> None:
        """Takes the weights of now into the average, for AVERAGED_EVERY steps."""
        seen = self.arrays[-1] = self.arrays[-1] + 1
        share = max(1 - self.decay**AVERAGED_EVERY, 1 / float(seen))
        for mean, new in zip(self.arrays, self._weights(), strict=False):
            np.add(mean, share * (new - mean), out=mean)

    def callback(self) -> keras.callbacks.Callback:
        """What has Keras call `add`."""
        import keras

        outer = self

        class _Add(keras.callbacks.Callback):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
                if outer.decay and (batch + 1) % AVERAGED_EVERY == 0:
                    _ = self.model  # brings the weights up to date where a backend keeps them elsewhere
                    outer.add()

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
                if outer.decay and self.params["steps"] < AVERAGED_EVERY:  # a small set's epoch counts too
                    _ = self.model
                    outer.add()

        return _Add()
