"""Folded teachers: the answers of the model they were made from, with fewer layers."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from convert.data.samples import Samples
from convert.tflite.keras_export import load_keras
from convert.train.folding import fold_batch_norms

MODELS = Path(__file__).parents[2] / "models"
L = keras.layers


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def with_random_statistics(model: keras.Model) -> keras.Model:
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, weights.shape) for weights in model.get_weights()])
    return model


@pytest.mark.parametrize("name", ["edge", "nano", "edge-votes"])
def test_a_folded_model_gives_the_same_logits(name: str, bars: Samples) -> None:
    model = load_keras(MODELS / name / "float.keras")
    folded = fold_batch_norms(model, "float32")
    x = bars.x[:16].astype(np.float32)
    expected = model.predict_on_batch(x)
    np.testing.assert_allclose(folded.predict_on_batch(x), expected, atol=1e-4)
    fast = fold_batch_norms(model, "mixed_bfloat16").predict_on_batch(x)
    assert fast.dtype == np.float32 and 0 < np.abs(fast - expected).max() < 0.5
    assert "BatchNormalization" in kinds(model) and "BatchNormalization" not in kinds(folded)
    assert all(layer.dtype_policy.name == "float32" for layer in model.layers), "the model itself is as it was"


def test_what_cannot_be_folded_is_kept() -> None:
    x = keras.Input((8, 8, 1))
    with_bias = L.BatchNormalization()(L.Conv2D(4, 3)(x))
    active = L.BatchNormalization()(L.Conv2D(4, 3, use_bias=False, activation="relu")(x))
    read_twice = L.Conv2D(4, 3, use_bias=False)(x)
    without_scale = L.BatchNormalization(scale=False)(L.Conv2D(4, 3, use_bias=False)(x))
    without_center = L.BatchNormalization(center=False)(L.Conv2D(4, 3, use_bias=False)(x))
    tensors = [with_bias, active, read_twice, L.BatchNormalization()(read_twice), without_scale, without_center]
    model = with_random_statistics(keras.Model(x, L.Add()(tensors)))
    folded = fold_batch_norms(model, "float32")
    assert kinds(folded).count("BatchNormalization") == 3
    images = np.random.default_rng(1).uniform(0, 1, (5, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(folded.predict_on_batch(images), model.predict_on_batch(images), rtol=1e-4)


def test_other_models_are_left_as_they_are() -> None:
    """A Sequential, and a convolution that is called twice: once before a batch normalisation, once before nothing."""
    sequential = keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(1, 3, use_bias=False), L.BatchNormalization()])
    x = keras.Input((8, 8, 1))
    shared = L.Conv2D(1, 3, padding="same", use_bias=False)
    twice = keras.Model(x, L.Add()([L.BatchNormalization()(shared(x)), shared(L.ReLU()(x))]))
    for model in (sequential, twice):
        assert fold_batch_norms(model, "mixed_bfloat16") is model
        assert {layer.dtype_policy.name for layer in model.layers if layer.weights} == {"mixed_bfloat16"}


def test_arguments_and_models_inside_a_model_are_kept() -> None:
    x = keras.Input((8, 8, 1))
    inner = with_random_statistics(keras.Sequential([keras.Input((6, 6, 4)), L.Conv2D(4, 3), L.Flatten(), L.Dense(4)]))
    y = L.Dropout(0.5)(L.BatchNormalization()(L.Conv2D(4, 3, use_bias=False)(x)), training=False)
    tokens = L.Reshape((36, 4))(y)
    attended = L.GlobalAveragePooling1D()(L.MultiHeadAttention(2, 4)(tokens, tokens))
    model = with_random_statistics(keras.Model(x, L.Add()([inner(y), attended])))
    folded = fold_batch_norms(model, "float32")
    assert "BatchNormalization" not in kinds(folded)
    images = np.random.default_rng(1).uniform(0, 1, (5, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(folded.predict_on_batch(images), model.predict_on_batch(images), rtol=1e-4)
    assert fold_batch_norms(model, "mixed_bfloat16").predict_on_batch(images).shape == (5, 4)
