"""Distillation: teachers' softened answers to the images that a student sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from fer_edge.classifier import softmax
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from convert.train.presets import Recipe


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
