"""A compacted file gives the same logits, is smaller, and keeps its operators, counts, input names and signatures."""

from __future__ import annotations

import numpy as np
import pytest
from classifiers import int8_tflite

from convert.quantize.full_integer import quantize_graph
from convert.tflite.compaction import compact
from convert.tflite.graph import Graph
from convert.tflite.inspection import multiply_adds, operator_types, parameter_count
from convert.tflite.keras_export import float_tflite
from convert.train.networks import NETWORKS, build_network
from fer_edge.classifier import KERNELS, RAW_RANGE, Classifier
from fer_edge.errors import BundleRefused

FACES = np.random.default_rng(0).integers(0, 256, (8, 48, 48)).astype(np.uint8)


@pytest.fixture(scope="module")
def converted() -> bytes:
    """The int8 file of nano as TensorFlow's converter writes it."""
    return int8_tflite(build_network(NETWORKS["nano"]), FACES, RAW_RANGE)


@pytest.fixture(scope="module")
def quantized() -> Graph:
    return quantize_graph(Graph(float_tflite(build_network(NETWORKS["nano"]))), FACES)


@pytest.mark.parametrize("kernels", sorted(KERNELS))
def test_a_compacted_file_is_smaller_and_gives_the_same_logits(converted: bytes, kernels: str) -> None:
    small = compact(Graph(converted))
    assert len(small) < 0.85 * len(converted)
    logits = [Classifier(content, kernels=kernels).logits(FACES) for content in (small, converted)]
    np.testing.assert_array_equal(*logits)


def test_a_model_quantized_here_gives_the_same_logits_compacted(quantized: Graph) -> None:
    plain = quantized.to_bytes()
    small = compact(quantized.copy())
    assert len(small) < len(plain)
    np.testing.assert_array_equal(Classifier(small).logits(FACES), Classifier(plain).logits(FACES))


@pytest.mark.parametrize("made_by", ["converted", "quantized"])
def test_operators_counts_input_names_and_signatures_stay(made_by: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(made_by)
    plain = Graph(model) if made_by == "converted" else model
    small = compact(plain.copy())
    assert compact(Graph(small)) == small
    compacted = Graph(small)
    assert operator_types(compacted) == operator_types(plain)
    assert parameter_count(compacted) == parameter_count(plain)
    assert multiply_adds(compacted) == multiply_adds(plain)
    names = [[graph.tensor(i).name for i in graph.inputs] for graph in (compacted, plain)]
    assert names[0] == names[1]
    assert len(compacted.model.signatureDefs or []) == len(plain.model.signatureDefs or [])


def test_nano_fits_its_budget(quantized: Graph) -> None:
    assert len(compact(quantized.copy())) <= 93_000


def test_a_file_that_is_no_tflite_is_rejected() -> None:
    with pytest.raises(BundleRefused, match="TFL3"):
        compact(Graph(b"\x00" * 64))
