"""The batches of a training epoch, augmented and with soft targets, in an order that depends only on seed and epoch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import keras
import numpy as np

from convert.train.augmentation import augment, mixup
from convert.train.distillation import Teachers

if TYPE_CHECKING:
    from convert.train.presets import Recipe


class Batches(keras.utils.PyDataset):  # type: ignore[misc, unused-ignore]
    """One epoch: images float32 (B, side, side, 1), targets float32 (B, classes) and with teachers (B, 2 · classes).

    A batch depends on the recipe's seed, the epoch's draw (`Recipe.draws`) and its own number, so that any number of workers
    gives the same batches.
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
        augmentation = replace(recipe.augmentation, erasing=0.0) if calm else recipe.augmentation
        x = augment(self.x[rows], augmentation, rng, recipe.side(self.epoch))
        x, y = mixup(x, self.targets[rows], 0.0 if calm else recipe.mixup, rng)
        if self.teachers is not None and self.teachers.on_images is None:
            cache_key = (self.draw, index, calm, x.shape[1]) if recipe.draws else None
            y = np.concatenate([y, self.teachers.probabilities(x, cache_key)], 1)
        return (x, y, self.weights[self.y[rows]]) if recipe.class_balance else (x, y)
