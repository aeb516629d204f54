"""Any float classifier for raw gray pixels: what it then says against what Keras says of its own inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from classifiers import as_input, bar_classifier, bars

from convert.quantize.synthetic_images import synthesize
from convert.sources.keras_adapter import open_float
from convert.tflite.inspection import operators
from convert.tflite.keras_export import float_tflite, load_keras
from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.classifier import Classifier, softmax
from fer_edge.errors import UsageError

FACES, _ = bars(8, seed=3)


def saved(model: Any, path: Path) -> Path:
    """The path of a Keras model's file, or of a SavedModel's folder where it has no suffix."""
    with quiet_tensorflow():
        if path.suffix:
            model.save(path)
        else:
            model.export(path, verbose=False)
    return path


@pytest.mark.parametrize(
    ("name", "pixels", "channels", "end"),
    [
        ("net.keras", (0.0, 1.0), 3, "activation"),
        ("net.keras", (0.0, 255.0), 1, "softmax"),
        ("net.h5", (-1.0, 1.0), 1, "softmax"),
        ("exported", (-1.0, 1.0), 3, "activation"),
        ("exported", (0.0, 255.0), 1, "logits"),
        ("net.keras", (0.0, 1.0), 1, "halved"),
    ],
)
def test_raw_gray_in_and_logits_out(
    name: str, pixels: tuple[float, float], channels: int, end: str, tmp_path: Path
) -> None:
    theirs = bar_classifier(pixels, channels, end)
    said = np.asarray(theirs(as_input(FACES, pixels, channels)))
    model, own = open_float(saved(theirs, tmp_path / name), pixels)
    content = float_tflite(model)
    assert model.input_shape == (None, 24, 24, 1) and own == (name == "exported" and pixels == (0.0, 255.0))
    logits = Classifier(content).logits(FACES)
    if end == "halved":
        assert "SOFTMAX" in {op.name for op in operators(content)}, "one in the middle stays"
        np.testing.assert_allclose(logits, said, atol=1e-5)
        return
    assert "SOFTMAX" not in {op.name for op in operators(content)}
    np.testing.assert_allclose(softmax(logits) if end != "logits" else logits, said, atol=2e-4)
    assert np.ptp(logits) > 2


def test_a_model_of_raw_gray_and_logits_is_left_as_it_is(tmp_path: Path) -> None:
    theirs = bar_classifier()
    model, own = open_float(saved(theirs, tmp_path / "net.keras"))
    assert own and [layer.name for layer in model.layers] == [layer.name for layer in theirs.layers]
    _, own = open_float(tmp_path / "net.keras", (0.0, 255.0))
    assert own


def test_images_can_be_drawn_out_of_a_wrapped_model(tmp_path: Path) -> None:
    """Its batch normalisations stand in the graph of the new input, so that statistics are met there."""
    model, _ = open_float(saved(bar_classifier((-1.0, 1.0), 3, "activation"), tmp_path / "net.keras"), (-1.0, 1.0))
    _, before = synthesize(model, 8, 1, seed=0)
    images, after = synthesize(model, 8, 40, seed=0)
    assert images.shape == (8, 24, 24) and after < 0.5 * before
    model.save(tmp_path / "again.keras")
    again = Classifier(float_tflite(load_keras(tmp_path / "again.keras")))
    assert np.array_equal(again.logits(FACES), Classifier(float_tflite(model)).logits(FACES))


def test_a_softmax_in_a_model_within_a_model_is_taken_off(tmp_path: Path) -> None:
    import keras

    inner = bar_classifier(end="activation")
    given = keras.Input((24, 24, 1))
    outer = keras.Model(given, inner(given))
    said = np.asarray(outer(as_input(FACES, (0.0, 255.0), 1)))
    model, own = open_float(saved(outer, tmp_path / "net.keras"))
    logits = Classifier(float_tflite(model)).logits(FACES)
    np.testing.assert_allclose(softmax(logits), said, atol=2e-4)
    assert not own and np.ptp(logits) > 2


def test_a_fixed_batch_becomes_one_where_nothing_needs_it(tmp_path: Path) -> None:
    import keras

    given = keras.Input(batch_shape=(8, 24, 24, 1))
    inner = bar_classifier()
    model, _ = open_float(saved(keras.Model(given, inner(given)), tmp_path / "net.keras"))
    said = np.asarray(inner(as_input(FACES, (0.0, 255.0), 1)))
    np.testing.assert_allclose(Classifier(float_tflite(model)).logits(FACES), said, atol=2e-4)


def sequence(*layers: Callable[[], Any], shape: tuple[int | None, ...] = (16, 16, 1)) -> Callable[[Path], Path]:
    """What writes a Keras model of these layers and a dense one of three classes, by the path of a folder."""

    def write(folder: Path) -> Path:
        import keras

        stack = [keras.Input(shape), *(layer() for layer in layers), keras.layers.Dense(3)]
        return saved(keras.Sequential(stack), folder / "net.keras")

    return write


def ends(inputs: int, outputs: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        import keras

        given = [keras.Input((16, 16, 1)) for _ in range(inputs)]
        seen = keras.layers.Flatten()(keras.layers.Add()(given) if inputs > 1 else given[0])
        return saved(keras.Model(given, [keras.layers.Dense(3)(seen) for _ in range(outputs)]), folder / "net.keras")

    return write


def flatten() -> Any:
    import keras

    return keras.layers.Flatten()


def fixed_batch(folder: Path) -> Path:
    import keras

    given = keras.Input(batch_shape=(8, 16, 16, 1))
    seen = keras.layers.Dense(3)(keras.ops.reshape(given, (8, -1)))
    return saved(keras.Model(given, seen), folder / "net.keras")


def no_operator(folder: Path) -> Path:
    import keras

    given = keras.Input((16, 16, 1))
    seen = keras.layers.Dense(3)(keras.layers.Flatten()(keras.ops.erfinv(keras.ops.tanh(given))))
    return saved(keras.Model(given, seen), folder / "net.keras")


def no_signature(folder: Path) -> Path:
    import tensorflow as tf

    with quiet_tensorflow():
        tf.saved_model.save(tf.Module(), str(folder / "exported"))
    return folder / "exported"


def damaged(folder: Path) -> Path:
    (folder / "exported").mkdir()
    (folder / "exported" / "saved_model.pb").write_bytes(b"not a graph")
    return folder / "exported"


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (sequence(flatten, shape=(16, 18, 1)), r"takes \(None, 16, 18, 1\), not one square picture"),
        (sequence(flatten, shape=(16, 16, 2)), r"takes \(None, 16, 16, 2\), not one square picture"),
        (sequence(flatten, shape=(16, 16, 4)), "not one square picture of one size and one or three channels"),
        (sequence(shape=(256,)), r"takes \(None, 256\), not one square picture"),
        (sequence(shape=(None, None, 1)), r"takes \(None, None, None, 1\), not one square picture of one size"),
        (sequence(), r"gives \(None, 16, 16, 3\), not one number for each class"),
        (ends(2, 1), "has 2 inputs and 1 outputs, not one of each"),
        (ends(1, 2), "has 1 inputs and 2 outputs, not one of each"),
        (fixed_batch, "takes no single image: .*save it with a batch of any size"),
        (no_operator, r"TFLite has no operator for tf\.Erfinv"),
        (no_signature, "has no signature to call"),
        (damaged, "cannot be loaded as a SavedModel"),
    ],
)
def test_refused_with_a_sentence(write: Callable[[Path], Path], says: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(UsageError, match=says) as caught:
        float_tflite(open_float(path)[0])
    assert "\n" not in str(caught.value)
