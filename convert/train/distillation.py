"""Distillation: teachers' softened probabilities for the images that a student is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from convert.tflite.keras_export import load_keras
from convert.train.folding import fold_batch_norms
from convert.train.run_folder import labels_beside
from fer_edge.console import notice
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from convert.train.presets import Recipe

_CHUNK = 256  # images that are evaluated at once
_PROBED, _ROUNDING = 8, 1e-2  # images on which the kind of output is seen, and how far sums of probabilities are from 1
_LEAST_PROBABILITY = 1e-7  # of float32
_JUDGED, _LEVEL = 256, 0.001  # images on which a teacher's answers are judged, at most, and the level of that test


class Teachers:
    """Float models whose mean softened probabilities a student learns. Their input must fit the student's images.

    `labels` are the student's classes. A teacher whose classes have other names (in the history.json or bundle.json beside it)
    answers for the student's only, with probabilities that sum to 1 again; without names, as many classes are the same ones.

    With the recipe's `teachers_see` "views", they are evaluated on the augmented images of each batch: one forward pass of
    each teacher per image and epoch, or per image and draw (`Recipe.draws`). With "images", they are evaluated once on each
    training image and its mirror image, and the mean is used for all views of it: `on_images`, float32 (N, classes).
    """

    def __init__(
        self, paths: Sequence[Path], policy: str, recipe: Recipe, x: np.ndarray, labels: Sequence[str]
    ) -> None:
        self.temperature = recipe.temperature
        self.cache: dict[tuple[int, ...], np.ndarray] = {}
        self.paths = paths
        self.models = [_load_teacher(path, policy, x, labels) for path in paths]
        self.on_images: np.ndarray | None = None
        if recipe.teachers_see == "images":
            both = [
                [self.probabilities(chunk[:, :, ::step].astype(np.float32)) for step in (1, -1)] for chunk in _chunks(x)
            ]
            self.on_images = np.concatenate([(plain + mirrored) / 2 for plain, mirrored in both])

    def probabilities(self, x: np.ndarray, cache_key: tuple[int, ...] | None = None) -> np.ndarray:
        """Probabilities float32 (B, classes) for images float32 (B, side, side, 1); cached under `cache_key` where given."""
        from scipy.special import softmax

        if cache_key is not None and cache_key in self.cache:
            return self.cache[cache_key]
        total: np.ndarray | float = 0.0
        for model in self.models:
            total = total + softmax(np.asarray(model.predict_on_batch(x), np.float64) / self.temperature, axis=1)
        mean = np.asarray(total / len(self.models), np.float32)
        if cache_key is not None:
            self.cache[cache_key] = mean
        return mean

    def notice_guesses(self, x: np.ndarray, y: np.ndarray) -> None:
        """Prints a sentence for each teacher whose answers to images (N, side, side, 1) of labels (N,) may be guesses."""
        from scipy.stats import binom

        step = max(1, len(y) // _JUDGED)
        several = min(_JUDGED, len(y[::step]) // _PROBED * _PROBED)  # each of up to eight devices takes as many images
        images, truth = x[::step][:several].astype(np.float32), y[::step][:several]
        for path, model in zip(self.paths, self.models, strict=True) if several else ():
            answers = np.asarray(model.predict_on_batch(images))
            hits, classes = int((answers.argmax(1) == truth).sum()), answers.shape[1]
            if binom.sf(hits - 1, len(truth), 1 / classes) > _LEVEL:
                notice(
                    f"doubtful: the teacher {path} is right on {hits} of {len(truth)} training images, which a guess among"
                    f" {classes} classes may be too; it gets pixels from 0 to 255. A model that takes another range, or has its"
                    " classes in another order, can be a teacher once it is a bundle: `python -m convert.quantize` with"
                    " --input-range or --labels"
                )


def _chunks(x: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(x), _CHUNK):
        yield x[start : start + _CHUNK]


def _load_teacher(path: Path, policy: str, x: np.ndarray, labels: Sequence[str]) -> keras.Model:
    """A float model, run in `policy`, with the logits of `labels`: the logarithms, where it returns probabilities.

    Raises UsageError unless its input is that of the images `x` (N, side, side, 1) and it has these classes.
    """
    model, shape = load_keras(path), x.shape[1:]
    own = labels_beside(path)
    missing = [name for name in labels if own is not None and name not in own]
    if model.input_shape[1:] != shape or (own is None and model.output_shape[-1] != len(labels)):
        raise UsageError(
            f"the teacher {path} takes {model.input_shape[1]} px and has {model.output_shape[-1]} classes; "
            f"the student's images have {shape[0]} px and {len(labels)} classes"
        )
    if missing:
        raise UsageError(f"the teacher {path} does not know the student's classes {', '.join(missing)}")
    answers = np.asarray(model.predict_on_batch(x[:_PROBED].astype(np.float32)), np.float64)
    returns_probabilities = bool((answers >= 0).all() and (abs(answers.sum(axis=1) - 1) < _ROUNDING).all())
    model = fold_batch_norms(model, policy)
    if returns_probabilities:
        logits = keras.ops.log(keras.ops.cast(model.output, "float32") + _LEAST_PROBABILITY)
        model = keras.Model(model.inputs, logits)
    if own is None or own == tuple(labels):
        return model
    columns = np.array([own.index(name) for name in labels], np.int32)
    return keras.Model(model.inputs, keras.ops.take(model.output, columns, axis=-1))
