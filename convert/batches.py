"""A training epoch's batches, drawn, augmented and with soft targets, in an order that depends on seed and epoch alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from convert.augment import augment, mixup
from fer_edge.classifier import softmax
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from convert.recipe import Recipe


class Batches(keras.utils.PyDataset):  # type: ignore[misc, unused-ignore]
    """One epoch: images float32 (B, side, side, 1), targets float32 (B, classes) and with teachers (B, 2 · classes).

    A batch depends on the recipe's seed, the epoch's draw (`Recipe.draws`) and its own number, so any number of workers
    draws the same.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        classes: int,
        recipe: Recipe,
        epoch: int,
        teachers: Teachers | None = None,
        workers: int = 1,
    ) -> None:
        super().__init__(workers=workers, max_queue_size=4)
        self.x, self.y, self.recipe, self.epoch, self.teachers = x, y, recipe, epoch, teachers
        self.draw = recipe.draw(epoch)
        self.order = np.random.default_rng([recipe.seed, self.draw]).permutation(len(y))
        self.targets = np.full((len(y), classes), recipe.label_smoothing / classes, np.float32)
        self.targets[np.arange(len(y)), y] += 1 - recipe.label_smoothing
        if teachers is not None and teachers.on_images is not None:
            self.targets = np.concatenate([self.targets, teachers.on_images], 1)
        counts = np.maximum(1, np.bincount(y, minlength=classes))
        weights = (len(y) / counts) ** recipe.class_balance
        self.weights = (weights / weights[y].mean()).astype(np.float32)

    def __len__(self) -> int:
        return math.ceil(len(self.order) / self.recipe.batch)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        recipe = self.recipe
        rows = self.order[index * recipe.batch : (index + 1) * recipe.batch]
        rng = np.random.default_rng([recipe.seed, self.draw, index])
        calm = recipe.is_calm(self.epoch)
        how = replace(recipe.augmentation, erasing=0.0) if calm else recipe.augmentation
        x = augment(self.x[rows], how, rng, recipe.side(self.epoch))
        x, y = mixup(x, self.targets[rows], 0.0 if calm else recipe.mixup, rng)
        if self.teachers is not None and self.teachers.on_images is None:
            again = (self.draw, index, calm, x.shape[1]) if recipe.draws else None
            y = np.concatenate([y, self.teachers.answer(x, again)], 1)
        return (x, y, self.weights[self.y[rows]]) if recipe.class_balance else (x, y)


class Teachers:
    """Float models whose answers a student learns: the mean of their softened probabilities. All must take its images.

    Where the recipe has them see "views", they answer to the very images of each batch, which costs a forward pass of each
    teacher an image and epoch, or an image and draw (`Recipe.draws`). Where it has them see "images", they answer once to
    each training image and its mirror image, and the mean stands for all its views: `on_images`, float32 (N, classes).
    """

    def __init__(self, paths: Sequence[Path], policy: str, recipe: Recipe, x: np.ndarray, classes: int) -> None:
        self.temperature = recipe.temperature
        self.known: dict[tuple[int, ...], np.ndarray] = {}
        self.models = [_teacher(path, policy, (*x.shape[1:], classes)) for path in paths]
        self.on_images: np.ndarray | None = None
        if recipe.teachers_see == "images":
            both = [[self.answer(part[:, :, ::way].astype(np.float32)) for way in (1, -1)] for part in _parts(x)]
            self.on_images = np.concatenate([(plain + mirrored) / 2 for plain, mirrored in both])

    def answer(self, x: np.ndarray, again: tuple[int, ...] | None = None) -> np.ndarray:
        """Probabilities float32 (B, classes) on images float32 (B, side, side, 1); remembered under the name `again`."""
        if again in self.known:
            return self.known[again]
        total: np.ndarray | float = 0.0
        for model in self.models:
            total = total + softmax(np.asarray(model.predict_on_batch(x), np.float32) / self.temperature)
        answer = np.asarray(total / len(self.models), np.float32)
        if again is not None:
            self.known[again] = answer
        return answer


def _parts(x: np.ndarray, size: int = 256) -> Iterator[np.ndarray]:
    for start in range(0, len(x), size):
        yield x[start : start + size]


def _teacher(path: Path, policy: str, shape: tuple[int, ...]) -> keras.Model:
    """A float model, run in `policy`. Raises UsageError when it does not take and give what `shape` says."""
    try:
        model = keras.models.load_model(path, compile=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"the teacher {path} is no float model that Keras can load: {error}") from error
    if (*model.input_shape[1:], model.output_shape[-1]) != shape:
        raise UsageError(
            f"the teacher {path} takes {model.input_shape[1]} px and gives {model.output_shape[-1]} classes; "
            f"the student's images have {shape[0]} px and {shape[-1]} classes"
        )
    for layer in model.layers:
        if layer.weights:
            layer.dtype_policy = keras.dtype_policies.get(policy)
    return model
