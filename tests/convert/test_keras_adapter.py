"""Keras classifiers of any kind adapted to raw gray pixels: their logits against Keras's own for the inputs it expects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from classifiers import as_input, bar_classifier, bars

from convert.quantize.synthetic_images import synthesize
from convert.sources.keras_adapter import open_keras
from convert.tflite.graph import Graph
from convert.tflite.inspection import operator_types
from convert.tflite.keras_export import float_tflite, load_keras
from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.classifier import Classifier, softmax
from fer_edge.errors import UsageError

FACES, _ = bars(8, seed=3)


def saved(model: Any, path: Path) -> Path:
    """The path of the Keras model's file."""
    with quiet_tensorflow():
        model.save(path)
    return path


@pytest.mark.parametrize(
    ("name", "input_range", "channels", "end"),
    [
        ("net.keras", (0.0, 1.0), 3, "activation"),
        ("net.keras", (0.0, 255.0), 1, "softmax"),
        ("net.h5", (-1.0, 1.0), 1, "softmax"),
        ("net.keras", (0.0, 1.0), 1, "halved"),
    ],
)
def test_an_adapted_model_takes_raw_gray_and_gives_logits(
    name: str, input_range: tuple[float, float], channels: int, end: str, tmp_path: Path
) -> None:
    original = bar_classifier(input_range, channels, end)
    expected = np.asarray(original(as_input(FACES, input_range, channels)))
    model, is_unchanged = open_keras(saved(original, tmp_path / name), input_range)
    content = float_tflite(model)
    assert model.input_shape == (None, 24, 24, 1) and not is_unchanged
    logits = Classifier(content).logits(FACES)
    operators = {op.name for op in operator_types(Graph(content))}
    if end == "halved":
        assert "SOFTMAX" in operators, "one in the middle stays"
        np.testing.assert_allclose(logits, expected, atol=1e-5)
        return
    assert "SOFTMAX" not in operators
    np.testing.assert_allclose(softmax(logits), expected, atol=2e-4)
    assert np.ptp(logits) > 2


def test_a_model_of_raw_gray_and_logits_is_unchanged(tmp_path: Path) -> None:
    original = bar_classifier()
    model, is_unchanged = open_keras(saved(original, tmp_path / "net.keras"))
    assert is_unchanged and [layer.name for layer in model.layers] == [layer.name for layer in original.layers]
    _, is_unchanged = open_keras(tmp_path / "net.keras", (0.0, 255.0))
    assert is_unchanged


def test_images_can_be_synthesized_from_an_adapted_model(tmp_path: Path) -> None:
    """Its batch normalisations are in the graph of the new input, so that their statistics can be met."""
    model, _ = open_keras(saved(bar_classifier((-1.0, 1.0), 3, "activation"), tmp_path / "net.keras"), (-1.0, 1.0))
    _, before = synthesize(model, 8, 1, seed=0)
    images, after = synthesize(model, 8, 40, seed=0)
    assert images.shape == (8, 24, 24) and after < 0.5 * before
    model.save(tmp_path / "again.keras")
    again = Classifier(float_tflite(load_keras(tmp_path / "again.keras")))
    assert np.array_equal(again.logits(FACES), Classifier(float_tflite(model)).logits(FACES))


def test_the_softmax_of_a_model_within_a_model_is_removed(tmp_path: Path) -> None:
    import keras

    inner = bar_classifier(end="activation")
    entry = keras.Input((24, 24, 1))
    outer = keras.Model(entry, inner(entry))
    expected = np.asarray(outer(as_input(FACES, (0.0, 255.0), 1)))
    model, is_unchanged = open_keras(saved(outer, tmp_path / "net.keras"))
    logits = Classifier(float_tflite(model)).logits(FACES)
    np.testing.assert_allclose(softmax(logits), expected, atol=2e-4)
    assert not is_unchanged and np.ptp(logits) > 2


def test_a_fixed_batch_becomes_one_where_nothing_needs_it(tmp_path: Path) -> None:
    import keras

    entry = keras.Input(batch_shape=(8, 24, 24, 1))
    inner = bar_classifier()
    model, _ = open_keras(saved(keras.Model(entry, inner(entry)), tmp_path / "net.keras"))
    expected = np.asarray(inner(as_input(FACES, (0.0, 255.0), 1)))
    np.testing.assert_allclose(Classifier(float_tflite(model)).logits(FACES), expected, atol=2e-4)


def sequence(*layers: Callable[[], Any], shape: tuple[int | None, ...] = (16, 16, 1)) -> Callable[[Path], Path]:
    """A function that saves a Keras model of these layers and a dense one of three classes into a folder."""

    def write(folder: Path) -> Path:
        import keras

        stack = [keras.Input(shape), *(layer() for layer in layers), keras.layers.Dense(3)]
        return saved(keras.Sequential(stack), folder / "net.keras")

    return write


def with_ends(inputs: int, outputs: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        import keras

        entries = [keras.Input((16, 16, 1)) for _ in range(inputs)]
        flat = keras.layers.Flatten()(keras.layers.Add()(entries) if inputs > 1 else entries[0])
        return saved(keras.Model(entries, [keras.layers.Dense(3)(flat) for _ in range(outputs)]), folder / "net.keras")

    return write


def flatten() -> Any:
    import keras

    return keras.layers.Flatten()


def fixed_batch(folder: Path) -> Path:
    import keras

    entry = keras.Input(batch_shape=(8, 16, 16, 1))
    end = keras.layers.Dense(3)(keras.ops.reshape(entry, (8, -1)))
    return saved(keras.Model(entry, end), folder / "net.keras")


def without_tflite_operator(folder: Path) -> Path:
    import keras

    entry = keras.Input((16, 16, 1))
    end = keras.layers.Dense(3)(keras.layers.Flatten()(keras.ops.erfinv(keras.ops.tanh(entry))))
    return saved(keras.Model(entry, end), folder / "net.keras")


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (sequence(flatten, shape=(16, 18, 1)), r"is \(None, 16, 18, 1\), not that of one square picture"),
        (sequence(flatten, shape=(16, 16, 2)), r"is \(None, 16, 16, 2\), not that of one square picture"),
        (
            sequence(flatten, shape=(16, 16, 4)),
            "not that of one square picture of a fixed size with one or three channels",
        ),
        (sequence(shape=(256,)), r"is \(None, 256\), not that of one square picture"),
        (
            sequence(shape=(None, None, 1)),
            r"is \(None, None, None, 1\), not that of one square picture of a fixed size",
        ),
        (sequence(), r"is \(None, 16, 16, 3\), not one number for each class"),
        (with_ends(2, 1), "has 2 inputs and 1 outputs, not one of each"),
        (with_ends(1, 2), "has 1 inputs and 2 outputs, not one of each"),
        (fixed_batch, "takes no single image: .*save it with a batch of any size"),
        (without_tflite_operator, r"TFLite has no operator for tf\.Erfinv"),
    ],
)
def test_a_model_that_is_no_such_classifier_is_rejected_with_one_sentence(
    write: Callable[[Path], Path], says: str, tmp_path: Path
) -> None:
    path = write(tmp_path)
    with pytest.raises(UsageError, match=says) as caught:
        float_tflite(open_keras(path)[0])
    assert "\n" not in str(caught.value)
