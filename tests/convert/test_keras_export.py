"""Keras models exported as TFLite, and what is counted in the file: against Keras itself, and against counts by hand."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from classifiers import int8_tflite

from convert.tflite.graph import Graph
from convert.tflite.inspection import (
    custom_operators,
    multiply_adds,
    nonfinite_tensors,
    operator_types,
    operator_versions,
    parameter_count,
)
from convert.tflite.keras_export import float_tflite, keras_version_of, load_keras
from convert.tflite.tensorflow_output import quiet_tensorflow
from convert.train.networks import Network, build_network, count_multiply_adds
from fer_edge.classifier import RAW_RANGE, Classifier
from fer_edge.errors import BundleRefused, FerEdgeError, UsageError

ROOT = Path(__file__).parents[2]
TINY = Network(side=24, stem=4, widths=(4, 8), dense=8)


@pytest.fixture(scope="module")
def tiny() -> Any:
    """A small network of ours, whose batch normalisation has statistics to fold."""
    import keras

    keras.utils.set_random_seed(5)
    model = build_network(TINY)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 0.2, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.moving_variance.shape))
        elif isinstance(layer, keras.layers.Dense):
            layer.bias.assign(rng.normal(0, 0.1, layer.bias.shape))  # the converter drops a bias of zeros
    return model


def faces(n: int, side: int = TINY.side) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (n, side, side), dtype=np.uint8)


def test_the_exported_file_gives_keras_logits(tiny: Any, tmp_path: Path) -> None:
    tiny.save(tmp_path / "tiny.keras")
    x = faces(20)
    keras_logits = np.asarray(tiny(x[..., None].astype(np.float32), training=False))
    assert np.ptp(keras_logits) > 0.1  # not constant
    logits = Classifier(float_tflite(load_keras(tmp_path / "tiny.keras"))).logits(x)
    assert np.abs(logits - keras_logits).max() < 1e-4


def test_the_same_weights_give_the_same_bytes(tiny: Any, tmp_path: Path) -> None:
    tiny.save(tmp_path / "tiny.keras")
    assert float_tflite(tiny) == float_tflite(tiny) == float_tflite(load_keras(tmp_path / "tiny.keras"))


def test_the_export_prints_nothing(tiny: Any, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    float_tflite(tiny)
    assert capfd.readouterr() == ("", "")


def test_parameters_and_multiply_adds_are_those_counted_by_hand(tiny: Any) -> None:
    content = float_tflite(tiny)
    # kernels and biases: stem; a block without and one with projection; two dense layers
    stem = 3 * 3 * 1 * 4 + 4
    first = 2 * (3 * 3 * 4 * 4 + 4)
    second = (1 * 1 * 4 * 8 + 8) + (3 * 3 * 4 * 8 + 8) + (3 * 3 * 8 * 8 + 8)
    dense = (8 * 8 + 8) + (8 * 7 + 7)
    assert parameter_count(Graph(content)) == stem + first + second + dense
    pixels = 24 * 24 * (36 + 2 * 144) + 12 * 12 * (32 + 288 + 576)
    assert multiply_adds(Graph(content)) == pixels + 64 + 56 == count_multiply_adds(tiny)
    assert {op.name for op in operator_types(Graph(content))} == {
        "CONV_2D",
        "ADD",
        "MAX_POOL_2D",
        "MEAN",
        "FULLY_CONNECTED",
    }
    assert {d for op in operator_types(Graph(content)) for d in op.dtypes} == {"float32", "int32"}


def test_an_int8_file_has_no_float_operator_and_the_same_counts(tiny: Any) -> None:
    content = int8_tflite(tiny, faces(30), RAW_RANGE)
    assert {d for op in operator_types(Graph(content)) for d in op.dtypes} == {"int8", "int32"}
    assert ("CONV_2D", ("int8", "int8", "int32", "int8")) in operator_types(Graph(content))
    float_graph = Graph(float_tflite(tiny))
    assert parameter_count(Graph(content)) == parameter_count(float_graph)
    assert multiply_adds(Graph(content)) == multiply_adds(float_graph)


def test_depthwise_and_strided_layers_are_counted_as_keras_counts_them() -> None:
    import keras

    pixels = keras.Input((20, 20, 1))
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same")(pixels)  # 10 × 10
    x = keras.layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x)
    x = keras.layers.Conv2D(4, 1)(x)
    x = keras.layers.Dense(7)(keras.layers.Flatten()(x))
    model = keras.Model(pixels, x)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])  # the converter drops a bias of zeros
    content = float_tflite(model)
    assert (
        multiply_adds(Graph(content))
        == 100 * 9 * 6 + 100 * 9 * 12 + 100 * 12 * 4 + 400 * 7
        == count_multiply_adds(model)
    )
    assert parameter_count(Graph(content)) == model.count_params()


def three_channels(path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((24, 24, 3)), keras.layers.Flatten(), keras.layers.Dense(7)])
    model.save(path)


def custom_layer(path: Path) -> None:
    import keras

    class Ours(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    keras.Sequential([keras.Input((24, 24, 1)), Ours(), keras.layers.Flatten(), keras.layers.Dense(7)]).save(path)


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda _: None, "does not exist"),
        (lambda path: path.write_bytes(b"no zip"), "cannot be loaded as a Keras 3 model"),
        (custom_layer, "cannot be loaded as a Keras 3 model"),
        (three_channels, r"takes \(None, 24, 24, 3\), not one square gray image"),
    ],
)
def test_a_bad_file_is_rejected_with_one_sentence(write: Callable[[Path], object], says: str, tmp_path: Path) -> None:
    write(tmp_path / "model.keras")
    with pytest.raises(UsageError, match=says) as caught:
        float_tflite(load_keras(tmp_path / "model.keras"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_bit_leaves_the_version_or_none(method: int, tmp_path: Path) -> None:
    """Of a damaged file other functions report what is wrong."""
    path, known = tmp_path / "model.keras", set()
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.1.0"}')
    assert keras_version_of(path) == "3.1.0"
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        known.add(keras_version_of(path))
    assert None in known


def test_a_damaged_tflite_file_is_rejected(tiny: Any) -> None:
    with pytest.raises(BundleRefused, match="not a TFLite file"):
        operator_types(Graph(b"PK\x03\x04 and more of a zip"))
    content = float_tflite(tiny)
    with pytest.raises(BundleRefused, match="the TFLite file is damaged"):
        operator_types(Graph(content[: len(content) // 2]))


def test_operator_versions_custom_operators_and_nonfinite_tensors_of_an_export(tiny: Any) -> None:
    content = float_tflite(tiny)
    assert operator_versions(Graph(content)) == dict.fromkeys(
        ("CONV_2D", "ADD", "MAX_POOL_2D", "MEAN", "FULLY_CONNECTED"), 1
    )
    assert custom_operators(Graph(content)) == [] and nonfinite_tensors(Graph(content)) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_found(value: float) -> None:
    import keras

    pixels = keras.Input((8, 8, 1))
    dense = keras.layers.Dense(2)
    model = keras.Model(pixels, dense(keras.layers.Flatten()(pixels)))
    kernel, bias = dense.get_weights()
    kernel[5, 1] = value
    dense.set_weights([kernel, bias])
    (name,) = nonfinite_tensors(Graph(float_tflite(model)))
    assert "dense" in name


def test_without_tensorflow_the_message_names_the_install_command(tiny: Any, tmp_path: Path) -> None:
    tiny.save(tmp_path / "tiny.keras")
    script = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from convert.evaluate.__main__ import main\n"
        f"sys.exit(main([{str(tmp_path / 'tiny.keras')!r}, '--data', {str(tmp_path)!r}]))"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and ran.stdout == ""
    assert (
        "this command needs the extra `host` (TensorFlow, 2 GB): " in ran.stderr
        and "pip install 'fer-edge[host]'" in ran.stderr
    )
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(("error", "shown"), [(None, False), (UsageError("x"), False), (RuntimeError("x"), True)])
def test_tensorflows_output_is_captured_and_shown_after_an_unforeseen_error(
    error: Exception | None, shown: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    def convert() -> None:
        with quiet_tensorflow():
            os.write(2, b"E0000 from C++\n")
            print("Saved artifact")
            if error:
                raise error

    if error is None:
        convert()
    else:
        with pytest.raises((FerEdgeError, RuntimeError)):
            convert()
    out, err = capfd.readouterr()
    assert out == "" and ("from C++" in err) == shown
