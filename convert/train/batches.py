"""The batches of a training epoch, with soft targets, in an order that depends only on seed and epoch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from convert.train.augmentation import Mixing, Views, draw_mixing, draw_views, render_views
from convert.train.device_views import view_inputs
from convert.train.distillation import Teachers
from convert.train.loss import TargetColumns
from convert.train.processes import ONE_PROCESS, Processes

if TYPE_CHECKING:
    from convert.train.presets import Recipe


@dataclass(frozen=True)
class TrainingImages:
    """The training images with what a model shall answer. All arrays have N rows.

    `votes` None: there are no votes, or the recipe's targets are these votes themselves.
    """

    x: np.ndarray  # uint8 (N, H, H, 1)
    y: np.ndarray  # int (N,), label
    labels: np.ndarray  # float32 (N, classes), soft labels
    votes: np.ndarray | None = None  # float32 (N, classes of the second head), shares; a row of zeros: not usable

    @staticmethod
    def of(
        x: np.ndarray, y: np.ndarray, classes: int, recipe: Recipe, votes: np.ndarray | None = None
    ) -> TrainingImages:
        """Images with smoothed one-hot labels; with `recipe.targets` "votes" the shares of `votes` are the labels.

        With "both" they are half of the soft labels, where an image has votes.
        """
        if recipe.targets == "votes":
            assert votes is not None and votes.shape == (len(y), classes), "labels and votes are of the same classes"
            return TrainingImages(x, y, votes.astype(np.float32))
        labels = np.full((len(y), classes), recipe.label_smoothing / classes, np.float32)
        labels[np.arange(len(y)), y] += 1 - recipe.label_smoothing
        if recipe.targets == "both":
            assert votes is not None and votes.shape == labels.shape, "labels and votes are of the same classes"
            usable = votes.sum(1, keepdims=True) > 0
            return TrainingImages(x, y, np.where(usable, (labels + votes) / 2, labels).astype(np.float32))
        return TrainingImages(x, y, labels, votes)

    def columns(self, teachers: bool) -> TargetColumns:
        """What the columns of a batch's targets hold."""
        return TargetColumns(self.labels.shape[1], 0 if self.votes is None else self.votes.shape[1], teachers)

    def targets(self) -> np.ndarray:
        """The columns of `loss.TargetColumns` without the teachers' answers: float32 (N, …)."""
        if self.votes is None:
            return self.labels
        usable = (self.votes.sum(1, keepdims=True) > 0).astype(np.float32)
        return np.concatenate([self.labels, self.votes.astype(np.float32), usable], 1)


class EpochPlan:
    """The order of an epoch's images, and the random views of each batch.

    A batch depends on the recipe's seed, the epoch's draw (`Recipe.draws`) and its own number, so that any number of workers
    gives the same batches. All batches have the same size, so that a step is compiled once: the last one is filled up with
    the epoch's first images. A set smaller than a batch is one batch.
    """

    def __init__(self, images: TrainingImages, recipe: Recipe, epoch: int) -> None:
        self.images, self.recipe, self.epoch = images, recipe, epoch
        self.draw = recipe.draw(epoch)
        order = np.random.default_rng([recipe.seed, self.draw]).permutation(len(images.y))
        missing = steps_per_epoch(len(order), recipe.batch) * recipe.batch - len(order)
        self.order = np.concatenate([order, order[:missing]]) if len(order) > recipe.batch else order
        counts = np.maximum(1, np.bincount(images.y, minlength=images.labels.shape[1]))
        weights = (len(images.y) / counts) ** recipe.class_balance
        self.weights = (weights / weights[images.y].mean()).astype(np.float32)
        self.unmixed = recipe.is_unmixed(epoch)

    def __len__(self) -> int:
        return steps_per_epoch(len(self.order), self.recipe.batch)

    def rows(self, index: int) -> np.ndarray:
        """The images of a batch."""
        return self.order[index * self.recipe.batch : (index + 1) * self.recipe.batch]

    def drawn(self, index: int) -> tuple[Views, Mixing]:
        """The random views and blends of a batch."""
        recipe, count = self.recipe, len(self.rows(index))
        rng = np.random.default_rng([recipe.seed, self.draw, index])
        augmentation = replace(recipe.augmentation, erasing=0.0) if self.unmixed else recipe.augmentation
        views = draw_views(count, self.images.x.shape[1], augmentation, rng, recipe.side(self.epoch))
        return views, draw_mixing(count, 0.0 if self.unmixed else recipe.mixup, rng, recipe.mixed_share)

    def weighted(self, batch: tuple[Any, Any], index: int) -> tuple[Any, ...]:
        """The batch with each image's weight in the loss, where the recipe has such weights."""
        return (*batch, self.weights[self.images.y[self.rows(index)]]) if self.recipe.class_balance else batch


def steps_per_epoch(images: int, batch: int) -> int:
    """The number of batches in which each image is at least once."""
    return -(-images // batch)


class Batches(keras.utils.PyDataset):  # type: ignore[misc, unused-ignore]
    """One epoch: views float32 (B, side, side, 1) and targets float32 (B, columns) in the order of `loss.TargetColumns`."""

    def __init__(self, plan: EpochPlan, teachers: Teachers | None = None) -> None:
        super().__init__(workers=1, max_queue_size=4)
        self.plan, self.teachers = plan, teachers
        self.targets = plan.images.targets()
        if teachers is not None and teachers.on_images is not None:
            self.targets = np.concatenate([self.targets, teachers.on_images], 1)

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        plan, rows = self.plan, self.plan.rows(index)
        views, mixing = plan.drawn(index)
        x, y = mixing.apply(render_views(plan.images.x[rows], views), self.targets[rows])
        if self.teachers is not None and self.teachers.on_images is None:
            key = (plan.draw, index, plan.unmixed, x.shape[1]) if plan.recipe.draws else None
            y = np.concatenate([y, self.teachers.probabilities(x, key)], 1)
        return plan.weighted((x, y), index)


class DeviceBatches(keras.utils.PyDataset):  # type: ignore[misc, unused-ignore]
    """One epoch for `device_training.TrainingStep`: images, targets and the numbers of the views, as they were drawn.

    Of several processes each gets its part of every batch.
    """

    def __init__(
        self, plan: EpochPlan, on_images: np.ndarray | None = None, processes: Processes = ONE_PROCESS
    ) -> None:
        super().__init__(workers=1, max_queue_size=8)
        self.plan, self.processes = plan, processes
        self.targets = plan.images.targets()
        if on_images is not None:
            self.targets = np.concatenate([self.targets, on_images], 1)

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = self.plan.rows(index)
        inputs = {"pixels": self.plan.images.x[rows], "targets": self.targets[rows]}
        inputs |= view_inputs(*self.plan.drawn(index))
        arrays = self.plan.weighted((inputs, np.zeros((len(rows), 1), np.float32)), index)
        return tuple(keras.tree.map_structure(self.processes.part, arrays))
