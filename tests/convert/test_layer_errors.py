"""Layer errors: every layer has a row, and a layer that was damaged on purpose is the one with the largest error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import bar

from convert.layers import main as layers_main
from convert.quantize.full_integer import quantize_graph
from convert.quantize.layer_error import LayerError, int8_in_part, layer_errors
from convert.quantize.layer_report import table
from convert.quantize.range_search import QuantizationOptions
from convert.tflite.compaction import compact
from convert.tflite.graph import BIASES, WEIGHTS, Graph
from convert.tflite.keras_export import float_tflite
from convert.train.networks import Network, build_network
from fer_edge.classifier import Classifier
from fer_edge.errors import UsageError
from fer_edge.shipped_bundles import shipped_path

NETWORK = Network(side=24, stem=8, widths=(8, 16), strides=(1, 2), separable=True, dense=0)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([bar(i % 7, rng, 24) for i in range(30)])


@pytest.fixture(scope="module")
def model() -> Any:
    import keras

    keras.utils.set_random_seed(4)
    return build_network(NETWORK)


@pytest.fixture(scope="module")
def float_graph(model: Any) -> Graph:
    return Graph(float_tflite(model))


@pytest.fixture(
    scope="module",
    params=[QuantizationOptions(), QuantizationOptions(0, 0, False)],
    ids=["default options", "as a converter does"],
)
def int8_graph(request: pytest.FixtureRequest, float_graph: Graph, images: np.ndarray) -> Graph:
    return Graph(compact(quantize_graph(float_graph, images, request.param)))


def by_name(rows: list[LayerError]) -> dict[str, LayerError]:
    return {row.name: row for row in rows}


def test_every_layer_has_a_row(float_graph: Graph, int8_graph: Graph, images: np.ndarray, model: Any) -> None:
    rows = layer_errors(float_graph, int8_graph, images, known=[layer.name for layer in model.layers])
    assert [row.kind for row in rows] == [op.kind for op in int8_graph.operators]
    assert [row.name for row in rows][:3] == ["conv_1", "depthwise_1", "conv_2"] and rows[-1].name == "dense_1"
    named = {layer.name for layer in model.layers}
    assert all(row.keras in named for row in rows)
    assert {row.keras for row in rows if row.kind == "CONV_2D"} == {n for n in named if n.startswith("conv2d")}
    for row, op in zip(rows, int8_graph.operators, strict=True):
        assert row.scale == int8_graph.tensor(op.outputs[0]).quantization.scale[0]
        assert row.low is not None and row.high is not None and row.low <= 0 < row.high
        assert row.seen_low <= row.seen_p999 <= row.seen_high
        assert 0 < row.rounding < 0.1 and 0 < row.logits < 0.1 and row.error < 0.3 and row.saturated < 0.01
        assert (row.weights_error is None) == (row.kind in ("ADD", "MEAN"))
        assert row.weights_error is None or 0 < row.weights_error < 0.02
    assert np.mean([row.error for row in rows]) > 1.2 * np.mean([row.rounding for row in rows]), "errors are passed on"
    assert 0.7 * rows[0].rounding < rows[0].error < 3 * rows[0].rounding, "nothing comes before the first"


def test_a_damaged_layer_has_the_largest_error(float_graph: Graph, int8_graph: Graph, images: np.ndarray) -> None:
    before = by_name(layer_errors(float_graph, int8_graph, images))
    for name in ("conv_3", "dense_1"):
        graph = int8_graph.copy()
        op = next(op for op in graph.operators if op.name == name)
        for slot in (WEIGHTS, BIASES):
            if slot < len(op.inputs) and op.inputs[slot] >= 0:
                quantization = graph.tensor(op.inputs[slot]).quantization
                quantization.scale = np.asarray(quantization.scale, np.float32) * np.float32(1.05)
        after = by_name(layer_errors(float_graph, graph, images))
        assert max(after.values(), key=lambda row: row.weights_error or 0).name == name
        assert after[name].weights_error == pytest.approx(0.05, abs=0.02)
        assert after[name].logits > 2 * before[name].logits
        assert [n for n in after if after[n].logits != before[n].logits] == [name]


def test_a_range_too_narrow_saturates(float_graph: Graph, int8_graph: Graph, images: np.ndarray) -> None:
    graph = int8_graph.copy()
    op = next(op for op in graph.operators if op.name == "conv_2")
    quantization = graph.tensor(op.outputs[0]).quantization
    quantization.scale = np.asarray(quantization.scale, np.float32) * np.float32(0.3)
    before, after = (by_name(layer_errors(float_graph, g, images))["conv_2"] for g in (int8_graph, graph))
    assert after.saturated > 0.005 > before.saturated
    assert after.rounding > 2 * before.rounding and after.error > 2 * before.error


def test_a_layer_in_float_has_no_range(float_graph: Graph, images: np.ndarray) -> None:
    mixed = quantize_graph(float_graph, images, keep_float=["dense_1"])
    row = by_name(layer_errors(float_graph, mixed, images))["dense_1"]
    assert (row.low, row.high, row.scale, row.zero_point) == (None, None, None, None)
    assert row.rounding == row.saturated == row.logits == 0 and row.weights_error == 0
    assert "| float |" in table([row])


def test_the_int8_model_of_another_network_is_refused(float_graph: Graph, images: np.ndarray) -> None:
    other = Graph(float_tflite(build_network(Network(side=24, stem=8, widths=(8,), dense=0))))
    with pytest.raises(UsageError, match=r"they differ at the \d+th"):
        layer_errors(float_graph, quantize_graph(other, images), images)


def test_the_parts_of_the_error_are_weights_and_activations(
    float_graph: Graph, int8_graph: Graph, images: np.ndarray
) -> None:
    def logits(graph: Graph) -> np.ndarray:
        return Classifier(graph.to_bytes()).logits(images)

    layers = len(list(float_graph.layers()))
    float_logits, int8_logits = logits(float_graph), logits(int8_graph)
    assert np.allclose(logits(int8_in_part(float_graph, int8_graph)), float_logits, atol=1e-4)
    both = int8_in_part(float_graph, int8_graph, weights=True, activations=range(layers))
    step = (float_logits.max() - float_logits.min()) / 100
    assert np.abs(logits(both) - int8_logits).max() < step, "all parts together are the int8 model"
    for part in ({"weights": True}, {"activations": range(layers)}, {"activations": [layers - 1]}):
        error = np.abs(logits(int8_in_part(float_graph, int8_graph, **part)) - float_logits).mean()
        assert error > 0, part
    output = logits(int8_in_part(float_graph, int8_graph, activations=[layers - 1]))
    assert len(np.unique(output.round(5))) <= 256


def test_the_command_writes_a_table_json_and_a_plot_of_a_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = str(shipped_path("nano"))
    assert layers_main([bundle, "--images", "4", "--out", str(tmp_path / "out"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows == json.loads((tmp_path / "out" / "layers.json").read_text())
    assert rows[0]["name"] == "conv_1" and rows[-1]["name"] == "dense_1"
    lines = (tmp_path / "out" / "layers.md").read_text().splitlines()
    assert len(lines) == len(rows) + 2 and all(line.count("|") == lines[0].count("|") for line in lines)
    assert (tmp_path / "out" / "layers.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["layers.json", "layers.md", "layers.png"]


def test_votes_without_images_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert layers_main(["edge", "--votes", str(tmp_path / "votes.csv")]) == 2
    assert "--votes: labels the images of a data set; name the set with --data" in capsys.readouterr().err


def test_the_command_refuses_a_folder_that_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert layers_main([str(tmp_path)]) == 2
    assert "is not a bundle" in capsys.readouterr().err
