"""Synthetic calibration images, optimised from a float model's own statistics, for quantization without a data set.

Noise is optimised until every batch normalisation of the model sees the means and deviations that it had in training (ZeroQ,
arXiv 2001.00281; DeepInversion, arXiv 1912.08795). The images show nobody's face and may be shipped. A second set, made from
another seed and never calibrated on, lets parity compare logits where there are no data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.progress_bar import progress_bar
from convert.quantize.calibration_set import Calibration, CalibrationSet
from convert.sources.opened_model import OpenedModel
from convert.tflite.keras_export import load_keras
from convert.train.hardware import bfloat16_is_fast
from fer_edge.array_file import read_arrays
from fer_edge.atomic_file import atomic_file
from fer_edge.bundle_files import sha256_of
from fer_edge.bundle_provenance import CalibrationRecord
from fer_edge.console import notice
from fer_edge.errors import BundleRefused, NotEnoughData, UsageError
from fer_edge.limits import SYNTHETIC_BYTES

if TYPE_CHECKING:
    import keras

FILE_NAME = "synthetic.npz"
KIND = "synthetic images"
IMAGES, CHECK_IMAGES, STEPS = 64, 64, 60  # half a minute for both sets of 85 M multiply-adds on two cores


@dataclass(frozen=True)
class SyntheticImages:
    """Images made from a float model, not from people: `calibrate` and `check` are uint8 (N, side, side)."""

    calibrate: np.ndarray
    check: np.ndarray
    model_sha256: str
    settings: dict[str, Any]

    @staticmethod
    def load(path: Path, model: Path) -> SyntheticImages:
        """The images in a file. Raises BundleRefused when they were made for another model than the one in `model`."""
        try:
            saved = read_arrays(path.read_bytes(), SYNTHETIC_BYTES)
            sha = str(saved["model_sha256"])
            settings = {"seed": int(saved["seed"]), "steps": int(saved["steps"]), "loss": float(saved["loss"])}
            for name in ("calibrate", "check"):
                found = saved[name]
                if found.dtype != np.uint8 or found.ndim != 3 or found.shape[1] != found.shape[2] or not len(found):
                    raise ValueError(f"{name} is {found.dtype} {found.shape}, not uint8 (N, side, side)")
            images = SyntheticImages(saved["calibrate"], saved["check"], sha, settings)
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise BundleRefused(
                f"{path} holds no synthetic images ({error}); `python -m convert.synthesize` makes them"
            ) from error
        if images.model_sha256 != sha256_of(model):
            raise BundleRefused(
                f"{path} was made for another model than {model}; `python -m convert.synthesize {model}`"
            )
        return images

    def save(self, path: Path) -> None:
        """Writes the images beside `path` and renames them into place."""
        arrays: dict[str, Any] = {"calibrate": self.calibrate, "check": self.check, "model_sha256": self.model_sha256}
        with atomic_file(path) as fresh, fresh.open("wb") as file:
            np.savez_compressed(file, **arrays, **self.settings)

    def calibration(self) -> CalibrationSet:
        """The calibration set of these images."""
        record = CalibrationRecord(
            KIND,
            images=len(self.calibrate),
            seed=self.settings["seed"],
            steps=self.settings["steps"],
            loss=self.settings["loss"],
        )
        return CalibrationSet(self.calibrate, Calibration(record))


def make_synthetic_images(path: Path, steps: int = STEPS, seed: int = 0) -> SyntheticImages:
    """Synthetic images of the float model in `path` (.keras).

    A step takes 0.2 s for 64 images and 85 M multiply-adds on two cores.
    """
    model = load_keras(path)
    if bfloat16_is_fast():
        for layer in model.layers:  # twice as fast, and precise enough for images
            layer.dtype_policy = "mixed_bfloat16"
    calibrate, loss = synthesize(model, IMAGES, steps, seed, "calibration images")
    check, _ = synthesize(model, CHECK_IMAGES, steps, seed + 1, "check images")
    return SyntheticImages(calibrate, check, sha256_of(path), {"seed": seed, "steps": steps, "loss": loss})


def synthesize(model: keras.Model, n: int, steps: int, seed: int, what: str = "images") -> tuple[np.ndarray, float]:
    """n images uint8 (n, side, side) that give the model's batch normalisations their training statistics; and the loss.

    The loss is the mean over these layers of the squared distance of the batch's mean and standard deviation from the
    moving ones, in units of the moving standard deviation. Raises NotEnoughData for a model without batch normalisation.
    """
    import keras
    import tensorflow as tf

    if model.input_shape[-1] != 1:
        raise UsageError(
            f"images are synthesized for models of gray pictures, and this one takes {model.input_shape[-1]} channels"
        )
    every = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    norms = [layer for layer in every if len(layer.input.shape) == 4]  # of channels
    if not norms:
        has_nested = any(isinstance(layer, keras.Model) for layer in model.layers)
        where = "of channels outside the models within it" if has_nested else "of channels"
        raise NotEnoughData(
            f"the model has no batch normalisation {where} to synthesize images from; quantize it with a data set,"
            " `python -m convert.quantize --data PATH`"
        )
    taps = keras.Model(model.inputs, [layer.input for layer in norms])
    means = [tf.convert_to_tensor(layer.moving_mean) for layer in norms]
    deviations = [tf.sqrt(tf.convert_to_tensor(layer.moving_variance) + layer.epsilon) for layer in norms]
    side = model.input_shape[1]
    rng = np.random.default_rng(seed)
    # smooth noise: a coarse field enlarged, with fine grain on it; each picture has a brightness of its own
    coarse = tf.image.resize(rng.normal(size=(n, 6, 6, 1)).astype(np.float32), (side, side), method="bicubic")
    start = 128 + 25 * rng.normal(size=(n, 1, 1, 1)) + 45 * coarse + 10 * rng.normal(size=(n, side, side, 1))
    x = tf.Variable(tf.clip_by_value(tf.cast(start, tf.float32), 0.0, 255.0))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(6.0, steps, alpha=0.05))
    optimizer.build([x])

    def distance(values: Any, mean: Any, deviation: Any) -> Any:
        values = tf.cast(values, tf.float32)  # (B, H, W, C)
        off = (tf.reduce_mean(values, (0, 1, 2)) - mean) / deviation
        spread = tf.math.reduce_std(values, (0, 1, 2)) / deviation - 1.0
        return tf.reduce_mean(tf.square(off)) + tf.reduce_mean(tf.square(spread))

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            values = taps(x, training=False)
            values = values if isinstance(values, list) else [values]
            loss = tf.add_n([distance(*row) for row in zip(values, means, deviations, strict=True)]) / len(norms)
        optimizer.apply_gradients([(tape.gradient(loss, x), x)])
        x.assign(tf.clip_by_value(x, 0.0, 255.0))
        return loss

    loss = float("nan")
    with progress_bar(range(steps), title=what, unit="step", leave=True) as bar:
        for _ in bar:
            loss = float(step())
            bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
    return np.rint(x.numpy()[..., 0]).astype(np.uint8), loss


def synthetic_images_of(model: OpenedModel, float_file: Path, seed: int, make: bool = True) -> SyntheticImages | None:
    """The images beside the model's own file, else, with `make`, images synthesized from it, which takes minutes.

    `float_file` is what a bundle stores of the model. Raises NotEnoughData when images cannot be synthesized.
    """
    beside = model.source.path.with_name(FILE_NAME)
    if model.is_unchanged and beside.is_file():
        try:
            return SyntheticImages.load(beside, float_file)
        except BundleRefused as error:
            if make:
                raise
            notice(f"{error}; it is left out, for there are other images")
    if not make:
        return None
    if float_file.suffix != ".keras":
        raise NotEnoughData(
            f"{model.source.path} is not a Keras file, so no images can be synthesized from it; give a data set with --data"
        )
    notice(
        f"no data and no {FILE_NAME} beside the model: synthesizing images from the model itself, which takes minutes"
    )
    return make_synthetic_images(float_file, seed=seed)
