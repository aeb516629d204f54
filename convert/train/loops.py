"""How an epoch is trained: with views from OpenCV on the host, or as one compiled step on the device that trains.

Both mean the same by a recipe. The host's is the faster one where the processor trains; on an accelerator it would wait for
the host most of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from convert.train.loss import TargetColumns, label_hits, training_loss
from convert.train.weight_averaging import WeightAverage

if TYPE_CHECKING:
    import keras

    from convert.train.batches import TrainingImages
    from convert.train.presets import Recipe


class TrainingLoop(Protocol):
    """Trains a model epoch by epoch."""

    def train_epoch(self, epoch: int, callbacks: Sequence[keras.callbacks.Callback]) -> tuple[float, float]:
        """Trains epoch `epoch`, counted from 0; its mean loss and its accuracy (0–1) on the training views."""
        ...

    def averaged_weights(self) -> list[np.ndarray]:
        """The model's weights, float32, averaged where the recipe says so: those that are validated and saved."""
        ...

    def state(self) -> list[np.ndarray]:
        """Everything that the next epoch depends on."""
        ...

    def load(self, arrays: Sequence[np.ndarray]) -> None:
        """Restores what `state` gave."""
        ...


class HostLoop:
    """Views by OpenCV, teachers batch by batch, the step in Keras' `fit`."""

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        images: TrainingImages,
        recipe: Recipe,
        teachers: Sequence[Path],
        policy: str,
        labels: Sequence[str],
    ) -> None:
        from convert.train.distillation import Teachers

        classes = images.labels.shape[1]
        self.model, self.optimizer, self.images, self.recipe = model, optimizer, images, recipe
        self.teachers = Teachers(teachers, policy, recipe, images.x, labels) if teachers else None
        votes = 0 if images.votes is None else images.votes.shape[1]
        columns = TargetColumns(classes, votes, bool(teachers))
        optimizer.build(model.trainable_variables)
        model.compile(optimizer, loss=training_loss(columns, recipe), metrics=[label_hits(classes)], jit_compile=False)
        self.average = WeightAverage(model, recipe.averaging)
        self._variables = [*model.variables, *optimizer.variables]

    def train_epoch(self, epoch: int, callbacks: Sequence[keras.callbacks.Callback]) -> tuple[float, float]:
        """As TrainingLoop says."""
        from convert.train.batches import Batches, EpochPlan

        batches = Batches(EpochPlan(self.images, self.recipe, epoch), self.teachers)
        fitted = self.model.fit(batches, verbose=0, shuffle=False, callbacks=[self.average.callback(), *callbacks])
        return float(fitted.history["loss"][0]), float(fitted.history["hits"][0])

    def averaged_weights(self) -> list[np.ndarray]:
        """As TrainingLoop says."""
        return self.average.weights()

    def state(self) -> list[np.ndarray]:
        """As TrainingLoop says."""
        import keras

        return [*(keras.ops.convert_to_numpy(v) for v in self._variables), *self.average.arrays]

    def load(self, arrays: Sequence[np.ndarray]) -> None:
        """As TrainingLoop says."""
        self.average.load(list(arrays[len(self._variables) :]))
        for variable, array in zip(self._variables, arrays, strict=False):
            variable.assign(array)
