"""The output of a TFLite file, told from its graph: logits, or probabilities and the smallest one that it can give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from classifiers import LABELS, as_input, bar_classifier, bars, int8_tflite

from convert.bundle.from_float import make_bundle
from convert.parity.comparison import ConversionOptions
from convert.sources.model_source import ModelSource
from convert.sources.opened_model import OpenedModel, open_model
from convert.tflite.edits import operator
from convert.tflite.graph import Graph
from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.bundle import Bundle
from fer_edge.errors import BundleRefused, UsageError

PIXELS = (0.0, 1.0)
FACES, _ = bars(8, seed=3)


def opened(folder: Path, content: bytes) -> OpenedModel:
    path = folder / "net.tflite"
    path.write_bytes(content)
    return open_model(ModelSource.find(path, labels=LABELS, input_range=PIXELS))


def averaged(first: Any, second: Any) -> Any:
    """The mean of the outputs of two classifiers for one input."""
    import keras

    entry = keras.Input(first.input_shape[1:])
    return keras.Model(entry, keras.layers.Average()([first(entry), second(entry)]))


@pytest.mark.parametrize(("end", "float_ends"), [("identity", True), ("mean of two", True), ("mean of two", False)])
def test_probabilities_of_an_int8_file_are_given_as_they_are(end: str, float_ends: bool, tmp_path: Path) -> None:
    import keras

    network = bar_classifier(PIXELS, end="activation")
    if end == "mean of two":
        network = averaged(network, bar_classifier(PIXELS, end="softmax", seed=2))
    else:
        network = keras.Model(network.input, keras.layers.Identity()(network.output))
    model = opened(tmp_path, int8_tflite(network, FACES, PIXELS, float_ends=float_ends))
    assert model.output.kind == "probabilities"
    classifier = model.classifier()
    expected = np.asarray(network(as_input(FACES, PIXELS, 1)))
    assert expected.max() > 0.9, "so that a second softmax would show"
    np.testing.assert_allclose(classifier.probabilities(FACES), expected, atol=0.04)
    if end == "identity":
        assert classifier.smallest_probability == 1 / 512


def test_a_reshape_behind_a_dequantized_softmax_keeps_the_meaning(tmp_path: Path) -> None:
    """As an exporter of another framework may write it."""
    graph = Graph(int8_tflite(bar_classifier(PIXELS, end="activation"), FACES, PIXELS, float_ends=True))
    (old,) = graph.outputs
    end = graph.add_tensor(graph.tensor(old))
    shape = graph.schema.TensorT()
    shape.name, shape.shape, shape.type = b"shape", [2], graph.schema.TensorType.INT32
    shape.buffer = graph.add_buffer(np.array([1, 3], np.int32))
    inputs = [old, graph.add_tensor(shape)]
    graph.subgraph.operators.append(operator(graph, graph.schema.BuiltinOperator.RESHAPE, 1, inputs, [end]))
    graph.subgraph.outputs = [end]
    graph.model.signatureDefs = None
    graph.changed()
    assert [op.kind for op in graph.operators][-3:] == ["SOFTMAX", "DEQUANTIZE", "RESHAPE"]
    model = opened(tmp_path, graph.to_bytes())
    assert (model.output.kind, model.output.smallest_probability) == ("probabilities", 1 / 512)


def test_a_bundle_of_float_ends_keeps_the_smallest_probability(tmp_path: Path) -> None:
    network = bar_classifier(PIXELS, end="activation")
    path = tmp_path / "net.tflite"
    path.write_bytes(int8_tflite(network, FACES, PIXELS, float_ends=True))
    with quiet_tensorflow():
        network.save(tmp_path / "net.keras")
    source, against = (
        ModelSource.find(tmp_path / f"net.{s}", labels=LABELS, input_range=PIXELS) for s in ("tflite", "keras")
    )
    make_bundle(source, tmp_path / "bundle", ConversionOptions(runtimes="one"), against=against)
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.spec.output.smallest_probability == bundle.classifier.smallest_probability == 1 / 512
    assert bundle.classifier.logits(FACES).min() == pytest.approx(np.log(1 / 512))


def test_logits_remain_logits(tmp_path: Path) -> None:
    model = opened(tmp_path, int8_tflite(bar_classifier(PIXELS), FACES, PIXELS, float_ends=True))
    assert (model.output.kind, model.output.smallest_probability) == ("logits", None)


def test_a_sigmoid_at_the_end_is_rejected(tmp_path: Path) -> None:
    """Its outputs are no distribution, and a softmax of them would say nothing."""
    import keras

    network = bar_classifier(PIXELS)
    network = keras.Model(network.input, keras.layers.Activation("sigmoid")(network.output))
    with pytest.raises(UsageError, match="ends in a sigmoid: its outputs are independent"):
        opened(tmp_path, int8_tflite(network, FACES, PIXELS, float_ends=True))


def test_a_file_that_crashes_the_interpreter_is_refused(tmp_path: Path) -> None:
    """Its dense layer has weights for 100,000 classes fewer than it states, and reads beyond them."""
    graph = Graph(int8_tflite(bar_classifier(PIXELS), FACES, PIXELS))
    (dense,) = (op for op in graph.operators if op.kind == "FULLY_CONNECTED")
    for tensor in (dense.inputs[0], dense.outputs[0]):
        graph.tensor(tensor).shape = [2**30, 2**30]
    with pytest.raises(BundleRefused, match=r"net\.tflite"):
        opened(tmp_path, graph.to_bytes())
