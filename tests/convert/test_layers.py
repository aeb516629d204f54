"""The table of layers: a layer that was damaged on purpose is the one that it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import bar

from convert.layers import main as layers_main
from convert.quantize import layer_report as command
from convert.quantize.layer_error import Layer, layers
from convert.quantize.mixed_precision import keep_float
from convert.quantize.range_search import Choices, int8
from convert.tflite.compaction import pack
from convert.tflite.graph import Graph
from convert.tflite.keras_export import float_tflite
from convert.train.networks import Network, build_network
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
def content(model: Any) -> bytes:
    return float_tflite(model)


@pytest.fixture(scope="module", params=[Choices(), Choices(0, 0, False)], ids=["ours", "as the converter"])
def made(request: pytest.FixtureRequest, content: bytes, images: np.ndarray) -> bytes:
    return pack(int8(content, images, request.param))


def by_name(told: list[Layer]) -> dict[str, Layer]:
    return {row.name: row for row in told}


def test_every_layer_is_told_of(content: bytes, made: bytes, images: np.ndarray, model: Any) -> None:
    told = layers(content, made, images, known=[layer.name for layer in model.layers])
    graph = Graph(made)
    assert [row.kind for row in told] == [op.kind for op in graph.operators]
    assert [row.name for row in told][:3] == ["conv_1", "depthwise_1", "conv_2"] and told[-1].name == "dense_1"
    named = {layer.name for layer in model.layers}
    assert all(row.keras in named for row in told)
    assert {row.keras for row in told if row.kind == "CONV_2D"} == {n for n in named if n.startswith("conv2d")}
    for row, op in zip(told, graph.operators, strict=True):
        assert row.scale == graph.tensor(op.outputs[0]).quantization.scale[0]
        assert row.low is not None and row.high is not None and row.low <= 0 < row.high
        assert row.seen_low <= row.seen_p999 <= row.seen_high
        assert 0 < row.rounding < 0.1 and 0 < row.logits < 0.1 and row.error < 0.3 and row.saturated < 0.01
        assert (row.weights_error is None) == (row.kind in ("ADD", "MEAN"))
        assert row.weights_error is None or 0 < row.weights_error < 0.02
    assert np.mean([row.error for row in told]) > 1.2 * np.mean([row.rounding for row in told]), "errors are passed on"
    assert 0.7 * told[0].rounding < told[0].error < 3 * told[0].rounding, "nothing comes before the first"


def test_the_damaged_layer_is_named(content: bytes, made: bytes, images: np.ndarray) -> None:
    before = by_name(layers(content, made, images))
    for name in ("conv_3", "dense_1"):
        graph = Graph(made)
        op = next(op for op in graph.operators if op.name == name)
        for slot in (1, 2):
            if slot < len(op.inputs) and op.inputs[slot] >= 0:
                quantization = graph.tensor(op.inputs[slot]).quantization
                quantization.scale = np.asarray(quantization.scale, np.float32) * np.float32(1.05)
        after = by_name(layers(content, graph.to_bytes(), images))
        assert max(after.values(), key=lambda row: row.weights_error or 0).name == name
        assert after[name].weights_error == pytest.approx(0.05, abs=0.02)
        assert after[name].logits > 2 * before[name].logits
        assert [n for n in after if after[n].logits != before[n].logits] == [name]


def test_a_range_too_narrow_saturates(content: bytes, made: bytes, images: np.ndarray) -> None:
    graph = Graph(made)
    op = next(op for op in graph.operators if op.name == "conv_2")
    quantization = graph.tensor(op.outputs[0]).quantization
    quantization.scale = np.asarray(quantization.scale, np.float32) * np.float32(0.3)
    before, after = (by_name(layers(content, c, images))["conv_2"] for c in (made, graph.to_bytes()))
    assert after.saturated > 0.005 > before.saturated
    assert after.rounding > 2 * before.rounding and after.error > 2 * before.error


def test_a_layer_in_float_has_no_range(content: bytes, images: np.ndarray) -> None:
    told = by_name(layers(content, keep_float(content, images, ["dense_1"]), images))
    row = told["dense_1"]
    assert (row.low, row.high, row.scale, row.zero_point) == (None, None, None, None)
    assert row.rounding == row.saturated == row.logits == 0 and row.weights_error == 0
    assert "| float |" in command.table([row])


def test_another_models_file_is_refused(content: bytes, images: np.ndarray) -> None:
    other = float_tflite(build_network(Network(side=24, stem=8, widths=(8,), dense=0)))
    with pytest.raises(UsageError, match="part"):
        layers(content, int8(other, images), images)


def test_the_command_on_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = str(shipped_path("nano"))
    assert layers_main([bundle, "--images", "4", "--out", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "out" / "layers.json").read_text())
    assert told[0]["name"] == "conv_1" and told[-1]["name"] == "dense_1"
    lines = (tmp_path / "out" / "layers.md").read_text().splitlines()
    assert len(lines) == len(told) + 2 and all(line.count("|") == lines[0].count("|") for line in lines)
    assert (tmp_path / "out" / "layers.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["layers.json", "layers.md", "layers.png"]


def test_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert layers_main([str(tmp_path)]) == 2
    assert "is no bundle" in capsys.readouterr().err
