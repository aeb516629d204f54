"""Layers left in float: they are, the rest is int8, and the price is told."""

from __future__ import annotations

import json

import numpy as np
import pytest
from builders import bar

from convert.quantize.mixed_precision import keep_float, price
from convert.quantize.range_search import int8
from convert.tflite.compaction import pack
from convert.tflite.graph import Graph
from convert.tflite.inspection import operators
from convert.tflite.keras_export import float_tflite
from convert.train.networks import Network, build_network
from fer_edge.classifier import Classifier
from fer_edge.errors import UsageError

NETWORK = Network(side=24, stem=8, widths=(8, 16), strides=(1, 2), dense=0)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([bar(i % 7, rng, 24) for i in range(40)])


@pytest.fixture(scope="module")
def content() -> bytes:
    import keras

    keras.utils.set_random_seed(2)
    return float_tflite(build_network(NETWORK))


@pytest.mark.parametrize(
    ("names", "in_float"),
    [
        (["dense_1"], ["FULLY_CONNECTED"]),
        (["mean_1", "dense_1"], ["MEAN", "FULLY_CONNECTED"]),
        (["conv_1"], ["CONV_2D"]),
        (["conv_2", "add_1"], ["CONV_2D", "ADD"]),
    ],
)
def test_these_layers_are_in_float_and_no_others(
    content: bytes, images: np.ndarray, names: list[str], in_float: list[str]
) -> None:
    made = keep_float(content, images, names)
    found = [op.name for op in operators(made) if "float32" in op.dtypes and "QUANTIZE" not in op.name]
    assert found == in_float
    assert all("int8" in op.dtypes for op in operators(made) if op.name not in in_float)
    ends = Classifier(made).interpreter
    assert ends.get_input_details()[0]["dtype"] == np.int8
    assert (ends.get_output_details()[0]["dtype"] == np.float32) == ("dense_1" in names)
    float_logits = Classifier(content).logits(images)
    off = [np.abs(Classifier(c).logits(images) - float_logits).mean() for c in (made, int8(content, images))]
    assert off[0] < (0.9 if "dense_1" in names else 1.5) * off[1]


def test_a_price(content: bytes, images: np.ndarray) -> None:
    plain, kept = pack(int8(content, images)), keep_float(content, images, ["dense_1"])
    told = price(plain, kept, ["dense_1"], images)
    assert (told.int8_bytes, told.mixed_bytes) == (len(plain), len(kept))
    assert told.mixed_bytes > told.int8_bytes
    assert 0.2 < told.time_ratio < 5 and 0.8 <= told.agreement <= 1
    assert json.loads(json.dumps(told.to_json()))["layers"] == ["dense_1"]
    assert f"{len(kept):,}" in told.sentence() and "dense_1 in float" in told.sentence()


@pytest.mark.parametrize(("names", "said"), [([], "no layer"), (["conv_77"], "no layer conv_77"), (None, "all layers")])
def test_what_makes_no_sense(content: bytes, images: np.ndarray, names: list[str] | None, said: str) -> None:
    every = [op.name for op in Graph(content).layers()]
    with pytest.raises(UsageError, match=said):
        keep_float(content, images[:4], every if names is None else names)
