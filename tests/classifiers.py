"""Small Keras classifiers of bars that really classify: random filters, and a last layer fitted by ridge regression."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from builders import bar, write_image

LABELS = ("left", "up", "right")  # of no face: what a bar may do
SIDE = 24


def bars(per_class: int, seed: int, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, side, side) of bars at three angles, and which angle, int64 (N,)."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(LABELS)), per_class)
    return np.stack([bar(2 * int(k), rng, side) for k in y]), y


def bar_tree(root: Path, counts: dict[str, dict[str, int]], seed: int = 0) -> Path:
    """A folder part/label/*.png with so many bars of each of LABELS."""
    rng = np.random.default_rng(seed)
    for part, classes in counts.items():
        for label, n in classes.items():
            (root / part / label).mkdir(parents=True)
            for i in range(n):
                write_image(root / part / label / f"{i:03d}.png", bar(2 * LABELS.index(label), rng, SIDE))
    return root


def as_input(images: np.ndarray, pixels: tuple[float, float], channels: int) -> np.ndarray:
    """What a network of that range and so many channels is given: float32 (N, side, side, channels)."""
    low, high = pixels
    values = low + images.astype(np.float32) * np.float32((high - low) / 255)
    return np.repeat(values[..., None], channels, axis=3)


def bar_classifier(
    pixels: tuple[float, float] = (0.0, 255.0),
    channels: int = 1,
    end: str = "logits",
    side: int = SIDE,
    seed: int = 1,
    norm_groups: int = 0,
) -> Any:
    """A Keras model (None, side, side, channels) to (None, 3) for inputs of the range `pixels`.

    `end`: "logits"; "activation", a softmax in the last layer; "softmax", a layer of its own; "halved", a softmax and what
    comes after it, so that it gives probabilities that nothing can be taken off. With `norm_groups` it has a group
    normalization in the place of the batch normalization.
    """
    import keras

    layers, low, high = keras.layers, *pixels
    keras.utils.set_random_seed(seed)
    given = keras.Input((side, side, channels))
    spread = 2 * keras.initializers.RandomNormal(0.0, 1.0, seed=seed)((7, 7, channels, 8)) / ((high - low) * channels)
    filters = layers.Conv2D(8, 7, strides=2, use_bias=False)
    seen = filters(given)
    filters.set_weights([np.asarray(spread)])
    norm = layers.GroupNormalization(norm_groups) if norm_groups else layers.BatchNormalization()
    seen = layers.ReLU()(norm(seen))
    features = layers.Flatten()(layers.AveragePooling2D(3)(seen))

    x, y = bars(60, seed=100, side=side)
    inputs = as_input(x, pixels, channels)
    raw = np.asarray(filters(inputs), np.float32)  # also under a policy of less precision
    if not norm_groups:
        norm.set_weights([np.ones(8), np.zeros(8), raw.mean((0, 1, 2)), raw.var((0, 1, 2))])
    columns = np.hstack([np.asarray(keras.Model(given, features)(inputs)), np.ones((len(x), 1))])
    # a ridge keeps the weights small, and so the steps of int8
    solved = np.linalg.solve(columns.T @ columns + np.eye(columns.shape[1]), columns.T @ (6 * np.eye(3)[y] - 2))
    dense = layers.Dense(3, activation="softmax" if end == "activation" else None)
    said = dense(features)
    dense.set_weights([solved[:-1], solved[-1]])
    if end in ("softmax", "halved"):
        said = layers.Softmax()(said)
    if end == "halved":
        said = layers.Average()([said, said])
    return keras.Model(given, said)


def int8_tflite(
    model: Any, images: np.ndarray, pixels: tuple[float, float], batch: int = 1, float_ends: bool = False
) -> bytes:
    """TensorFlow's int8 file of a Keras model as people make it: for its own range of inputs, calibrated on `images`.

    With `float_ends` its input and output are float32, which is the converter's default.
    """
    import tensorflow as tf

    from convert.tflite.tensorflow_output import quiet_tensorflow

    channels = model.input_shape[3]
    with quiet_tensorflow(), warnings.catch_warnings():
        # about the old quantizer's input statistics, which the new one takes from the representative data
        warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
        function = tf.function(lambda x: model(x, training=False)).get_concrete_function(
            tf.TensorSpec((batch, *model.input_shape[1:]), tf.float32)
        )
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
        converter.experimental_lower_to_saved_model = False
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [np.repeat(as_input(image[None], pixels, channels), batch, axis=0)]
            for image in (*images, np.zeros_like(images[0]), np.full_like(images[0], 255))
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.float32 if float_ends else tf.int8
        return converter.convert()
