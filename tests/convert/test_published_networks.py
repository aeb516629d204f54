"""The networks of other papers, and masks: their published sizes; a small copy of each is trained, exported and quantized."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import bar

from convert.data.samples import Samples
from convert.quantize.full_integer import quantize_graph
from convert.tflite.graph import Graph
from convert.tflite.inspection import operator_types
from convert.tflite.keras_export import float_tflite, load_keras
from convert.train.adapted_residual import AdaptedResidual
from convert.train.networks import NETWORKS, Architecture, Network, build_network, count_multiply_adds, count_parameters
from convert.train.presets import PRESETS
from convert.train.resemotenet import ResEmoteNet
from convert.train.residual_masking import ResidualMasking
from convert.train.trainer import train
from fer_edge.classifier import Classifier

SIDE = 24
THREE_CHANNELS = 2 * 7 * 7 * 64  # weights of the published stem, which sees three equal channels; ours sees one
RMN_48 = NETWORKS["rmn-48"]
assert isinstance(RMN_48, ResidualMasking)
SMALL: dict[str, Architecture] = {
    "rmn": ResidualMasking(side=SIDE, works_at=48, widths=(8, 16), blocks=(1, 1), mask_depths=(2, 1)),
    "rmn-48": replace(RMN_48, side=SIDE, widths=(8, 16), blocks=(1, 1), mask_depths=(2, 1)),
    "resemotenet": ResEmoteNet(side=SIDE, works_at=32, widths=(8, 16), squeeze=4, blocks=(16, 32), dense=(16,)),
    "adapted-residual": AdaptedResidual(side=SIDE, widths=(8, 8, 16, 16), poolings=3),
    "edge-mask": Network(
        side=SIDE, stem=8, widths=(8, 16, 16), strides=(2, 2, 1), masks=(1, 2), block_dropout=0.0, dense=0
    ),
}
INT8 = {"int8", "int32"}


def trainable(network: Architecture) -> int:
    """The number of parameters as PyTorch counts them: without the moving statistics of batch normalisation."""
    return sum(math.prod(w.shape) for w in build_network(network).trainable_weights)


def test_the_trunk_of_the_residual_masking_network_is_resnet_34() -> None:
    """torchvision's ResNet-34 has 21,797,672 parameters with 1,000 classes, 21,288,263 with seven."""
    trunk = ResidualMasking(mask_depths=(0, 0, 0, 0))
    assert trainable(trunk) + THREE_CHANNELS == 21_797_672 - 513 * 1000 + 513 * 7


def test_the_residual_masking_network_has_the_published_size() -> None:
    model = build_network(NETWORKS["rmn"])
    parameters = sum(math.prod(w.shape) for w in model.trainable_weights)
    assert parameters + THREE_CHANNELS == pytest.approx(137.80e6, abs=0.005e6)
    assert count_multiply_adds(model) + 112**2 * THREE_CHANNELS == pytest.approx(21.9e9, abs=0.05e9)


def test_the_adapted_residual_network_has_twelve_plain_convolutions_and_three_residual_blocks() -> None:
    import keras

    model = build_network(NETWORKS["adapted-residual"])
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == 12 + 3 * 2
    assert [c.kernel.shape[0] for c in convolutions] == [5] + [3] * 17
    # by hand: k·k·in·out twice a pair, with biases; twice a residual block; the dense layer
    widths = (16, 32, 64, 128, 256, 512)
    pairs = [(25 if a == 1 else 9) * a * b + 9 * b * b + 2 * b for a, b in zip((1, *widths), widths, strict=False)]
    residual = [2 * (9 * b * b + b) for b in widths[1::2]]
    norms = 4 * 2 * (sum(widths) + sum(widths[1::2]))
    assert count_parameters(model) == sum(pairs) + sum(residual) + norms + 513 * 7


def test_masks_cost_a_fiftieth_of_edge_and_leave_its_own_weights_in_place() -> None:
    plain, masked = build_network(NETWORKS["edge"]), build_network(NETWORKS["edge-mask"])
    assert count_multiply_adds(masked) < 1.02 * count_multiply_adds(plain)
    assert count_parameters(masked) < 1.02 * count_parameters(plain)
    by_hand = sum(
        side**2 * 9 * (width * 8 + 8 * 8 + 8) for side, width in ((12, 96), (6, 160))
    )  # stages 2 and 3 end with them
    assert count_multiply_adds(masked) - count_multiply_adds(plain) == by_hand


@pytest.fixture(scope="module")
def images() -> Samples:
    """28 bars to train on and 14 to validate, of 24 px."""
    rng = np.random.default_rng(0)
    y = np.arange(42) % 7
    x = np.stack([bar(int(k), rng, SIDE) for k in y])[..., None]
    split = np.repeat(["train", "validation"], [28, 14])
    return Samples(x, y.astype(np.int64), split, tuple(f"bar {i}" for i in range(42)))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_small_copy_is_trained_exported_and_quantized(name: str, images: Samples, tmp_path: Path) -> None:
    recipe = replace(PRESETS[name], epochs=2, batch=14, progressive_sides=())
    history = train(images, tmp_path, SMALL[name], recipe)
    assert len(history.epochs) == 2 and all(np.isfinite(row.loss) for row in history.epochs)
    model = load_keras(tmp_path / "model.keras")
    graph = Graph(float_tflite(model))
    x = images.x[..., 0]
    keras_logits = np.asarray(model(images.x.astype(np.float32), training=False))
    logits = Classifier(graph.to_bytes()).logits(x)
    np.testing.assert_allclose(logits, keras_logits, rtol=1e-3, atol=1e-3)
    int8 = quantize_graph(graph, x)
    assert {d for op in operator_types(int8) for d in op.dtypes} <= INT8
    error = np.sqrt(np.mean((Classifier(int8.to_bytes()).logits(x) - logits) ** 2)) / logits.std()
    assert error < 0.2
