"""Mixed precision: the named layers are float, all others int8, and the cost is reported."""

from __future__ import annotations

import numpy as np
import pytest
from builders import bar

from convert.quantize.full_integer import quantize_graph
from convert.quantize.mixed_precision import cost_sentence, mixed_precision_cost
from convert.tflite.compaction import compact
from convert.tflite.graph import Graph
from convert.tflite.inspection import operator_types
from convert.tflite.keras_export import float_tflite
from convert.train.networks import Network, build_network
from fer_edge.classifier import Classifier
from fer_edge.errors import UsageError
from fer_edge.json_fields import to_json

NETWORK = Network(side=24, stem=8, widths=(8, 16), strides=(1, 2), dense=0)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([bar(i % 7, rng, 24) for i in range(40)])


@pytest.fixture(scope="module")
def float_graph() -> Graph:
    import keras

    keras.utils.set_random_seed(2)
    return Graph(float_tflite(build_network(NETWORK)))


@pytest.mark.parametrize(
    ("names", "in_float"),
    [
        (["dense_1"], ["FULLY_CONNECTED"]),
        (["mean_1", "dense_1"], ["MEAN", "FULLY_CONNECTED"]),
        (["conv_1"], ["CONV_2D"]),
        (["conv_2", "add_1"], ["CONV_2D", "ADD"]),
    ],
)
def test_the_named_layers_are_in_float_and_no_others(
    float_graph: Graph, images: np.ndarray, names: list[str], in_float: list[str]
) -> None:
    mixed, int8 = quantize_graph(float_graph, images, keep_float=names), quantize_graph(float_graph, images)
    found = [op.name for op in operator_types(mixed) if "float32" in op.dtypes and "QUANTIZE" not in op.name]
    assert found == in_float
    assert all("int8" in op.dtypes for op in operator_types(mixed) if op.name not in in_float)
    ends = Classifier(mixed.to_bytes()).interpreter
    assert ends.get_input_details()[0]["dtype"] == np.int8
    assert (ends.get_output_details()[0]["dtype"] == np.float32) == ("dense_1" in names)
    of_float, of_mixed, of_int8 = (Classifier(g.to_bytes()).logits(images) for g in (float_graph, mixed, int8))
    mixed_error, int8_error = (np.abs(logits - of_float).mean() for logits in (of_mixed, of_int8))
    assert mixed_error < (0.9 if "dense_1" in names else 1.5) * int8_error


def activated(kind: str) -> Graph:
    """Two convolutions with an activation of this kind between them, untrained."""
    import keras

    keras.utils.set_random_seed(3)
    x = picture = keras.Input((24, 24, 1))
    for filters in (4, 4):
        x = keras.layers.Activation(kind)(keras.layers.Conv2D(filters, 3, strides=2)(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return Graph(float_tflite(keras.Model(picture, keras.layers.Dense(7)(x))))


@pytest.mark.parametrize("kind", ["elu", "leaky_relu", "relu6", "tanh"])
@pytest.mark.parametrize("kept", ["conv_1", "conv_2", "dense_1"])
def test_a_layer_stays_float_on_each_side_of_any_activation(kind: str, kept: str) -> None:
    """What was made int8 had no reader any more, and the kept layer no input."""
    graph = activated(kind)
    pictures = np.random.default_rng(0).integers(0, 256, (40, 24, 24), np.uint8)
    mixed = compact(quantize_graph(graph, pictures, keep_float=[kept]))
    found, expected = (Classifier(content).logits(pictures) for content in (mixed, graph.to_bytes()))
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.98


def test_the_cost_is_measured_and_put_into_words(float_graph: Graph, images: np.ndarray) -> None:
    int8 = compact(quantize_graph(float_graph, images))
    mixed = compact(quantize_graph(float_graph, images, keep_float=["dense_1"]))
    cost = mixed_precision_cost(int8, mixed, ["dense_1"], images)
    assert (cost.int8_bytes, cost.mixed_bytes) == (len(int8), len(mixed))
    assert cost.mixed_bytes > cost.int8_bytes
    assert 0.2 < cost.time_ratio < 5 and 0.8 <= cost.agreement <= 1
    assert to_json(cost)["layers"] == ["dense_1"]
    assert f"{len(mixed):,}" in cost_sentence(cost) and "dense_1 in float" in cost_sentence(cost)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["conv_77"], "no layer conv_77"), (["conv_1", "conv_78"], "no layer conv_78"), (None, "all layers")],
)
def test_layers_that_cannot_stay_in_float_are_refused(
    float_graph: Graph, images: np.ndarray, names: list[str] | None, message: str
) -> None:
    every = [op.name for op in float_graph.layers()]
    with pytest.raises(UsageError, match=message):
        quantize_graph(float_graph, images[:4], keep_float=every if names is None else names)
