"""Training on an accelerator: views, blends, teachers' answers, the step and the average of the weights as one compiled step.

The host only draws random numbers and sends them with the images, 600 kB for a batch of 256. Runs on any backend of Keras 3;
JAX and TensorFlow compile the step with XLA. With several devices on JAX each batch is divided among them
(`convert.train.hardware.use_all_devices`), also with devices of several hosts (`convert.train.processes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from convert.train.batches import DeviceBatches, EpochPlan, TrainingImages
from convert.train.device_views import mix_on_device, render_views_on_device
from convert.train.distillation import Teachers
from convert.train.loss import label_hits, training_loss
from convert.train.presets import Recipe
from convert.train.processes import ONE_PROCESS, Processes


class TrainingStep(keras.Model):  # type: ignore[misc, unused-ignore]
    """From the inputs of DeviceBatches to float32 (B, logits + target columns): what the loss compares, side by side.

    The teachers see the very views that the student sees, blended or not, and are not trained. `side` is that of the views in
    px. The exponential average of the student's weights and moving statistics is updated in each call for training, before
    the step; it begins as a plain mean.
    """

    def __init__(self, student: keras.Model, teachers: Sequence[keras.Model], recipe: Recipe, side: int) -> None:
        super().__init__()
        self.student, self.teachers, self.recipe, self.side = student, list(teachers), recipe, side
        for teacher in self.teachers:
            teacher.trainable = False
        self.average: list[Any] = []
        if recipe.averaging:
            self.average = [
                self.add_weight(
                    shape=w.shape, initializer="zeros", dtype="float32", trainable=False, name=f"average{i}"
                )
                for i, w in enumerate(student.weights)
            ]
            self.updates = self.add_weight(
                shape=(), initializer="zeros", dtype="float32", trainable=False, name="updates"
            )
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """As the class says."""
        from keras import ops

        if training and self.average:
            self._update_average()
        x = mix_on_device(render_views_on_device(inputs["pixels"], inputs, self.side), inputs)
        parts = [self.student(x, training=training), mix_on_device(inputs["targets"], inputs)]
        if self.teachers and self.recipe.teachers_see == "views":
            odds = [ops.softmax(teacher(x, training=False) / self.recipe.temperature) for teacher in self.teachers]
            parts.append(ops.stop_gradient(sum(odds) / len(odds)))
        return ops.concatenate([ops.cast(part, "float32") for part in parts], axis=1)

    def _update_average(self) -> None:
        """Adds the student's current weights; the first call, before any step, adds nothing."""
        from keras import ops

        n = self.updates.value
        share = ops.maximum(1.0 - self.recipe.averaging, 1.0 / ops.maximum(n, 1.0)) * ops.cast(n > 0, "float32")
        for mean, weight in zip(self.average, self.student.weights, strict=True):
            mean.assign(mean.value + share * (ops.cast(weight.value, "float32") - mean.value))
        self.updates.assign(n + 1.0)


class DeviceLoop:
    """A TrainingLoop whose step is a TrainingStep. Progressive resizing compiles one step for each size."""

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        images: TrainingImages,
        recipe: Recipe,
        teachers: Teachers | None = None,
        processes: Processes = ONE_PROCESS,
    ) -> None:
        self.model, self.optimizer, self.images, self.recipe, self.teachers = model, optimizer, images, recipe, teachers
        self.processes = processes
        columns = images.columns(teachers is not None)
        logits = columns.classes + columns.votes
        loss, hits = training_loss(columns, recipe), label_hits(columns.classes)

        def step_loss(_: Any, outputs: Any) -> Any:
            return loss(outputs[:, logits:], outputs[:, :logits])

        def step_hits(_: Any, outputs: Any) -> Any:
            return hits(outputs[:, logits:], outputs[:, :logits])

        self._loss, self._hits = step_loss, step_hits
        optimizer.build(model.trainable_variables)
        self._step = self._new_step(0)

    def _new_step(self, epoch: int) -> TrainingStep:
        models = self.teachers.models if self.teachers and self.teachers.on_images is None else ()
        step = TrainingStep(self.model, models, self.recipe, self._side(epoch))
        step.compile(self.optimizer, loss=self._loss, metrics=[self._hits])
        return step

    def _side(self, epoch: int) -> int:
        return self.recipe.side(epoch) or int(self.images.x.shape[1])

    def train_epoch(self, epoch: int, callbacks: Sequence[keras.callbacks.Callback]) -> tuple[float, float]:
        """As TrainingLoop says."""
        if self._step.side != self._side(epoch):
            last, self._step = self._step, self._new_step(epoch)
            for new, old in zip(_average_of(self._step), _average_of(last), strict=True):
                new.assign(old)
        on_images = self.teachers.on_images if self.teachers else None
        batches = DeviceBatches(EpochPlan(self.images, self.recipe, epoch), on_images, self.processes)
        fitted = self._step.fit(batches, verbose=0, shuffle=False, callbacks=list(callbacks))
        return float(fitted.history["loss"][0]), float(fitted.history["step_hits"][0])

    def averaged_weights(self) -> list[np.ndarray]:
        """As TrainingLoop says."""
        variables = self._step.average or self.model.weights
        return [np.asarray(keras.ops.convert_to_numpy(v), np.float32) for v in variables]

    def _variables(self) -> list[Any]:
        return [*self.model.variables, *self.optimizer.variables, *_average_of(self._step)]

    def state(self) -> list[np.ndarray]:
        """As TrainingLoop says."""
        return [keras.ops.convert_to_numpy(v) for v in self._variables()]

    def load(self, arrays: Sequence[np.ndarray]) -> None:
        """As TrainingLoop says."""
        for variable, array in zip(self._variables(), arrays, strict=True):
            variable.assign(array)


def _average_of(step: TrainingStep) -> list[Any]:
    return [*step.average, step.updates] if step.average else []
