"""The networks: their sizes, their ends, and the fused training variant having the same variables."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from convert.train.networks import NETWORKS, build_network, count_multiply_adds, count_parameters
from convert.train.presets import PRESETS


def test_the_paper_network_has_the_published_size() -> None:
    model = build_network(NETWORKS["paper"])
    assert count_parameters(model) == 1_260_359
    # by hand: 48²·9·64 stem; per block k·k·in·out twice and 1×1 projections; 256·128 + 128·7 in the head
    by_hand = 48**2 * 9 * 64 + 48**2 * 2 * 9 * 64**2
    by_hand += 24**2 * (9 * 64 * 128 + 9 * 128**2 + 64 * 128)
    by_hand += 12**2 * (9 * 128 * 256 + 9 * 256**2 + 128 * 256)
    by_hand += 256 * 128 + 128 * 7
    assert count_multiply_adds(model) == by_hand


def test_a_network_maps_raw_pixels_to_logits() -> None:
    model = build_network(NETWORKS["paper"])
    gray = np.linspace(0, 255, 48 * 48, dtype=np.float32).reshape(1, 48, 48, 1)
    logits = np.asarray(model(gray))
    assert logits.shape == (1, 7) and logits.dtype == np.float32
    assert not np.isclose(logits.sum(), 1.0), "softmax belongs to the classifier"


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_fused_network_has_the_same_variables(policy: str) -> None:
    plain, fused = build_network(NETWORKS["paper"]), build_network(NETWORKS["paper"], policy, fused=True)
    assert [w.shape for w in plain.weights] == [w.shape for w in fused.weights]
    assert {w.dtype for w in fused.weights} == {"float32"}


def test_one_fused_step_equals_a_plain_one() -> None:
    gray = np.random.default_rng(0).integers(0, 256, (16, 48, 48, 1)).astype(np.float32)
    sure = replace(NETWORKS["paper"], block_dropout=0.0, head_dropout=0.0)  # dropout draws its own numbers in each
    plain, fused = build_network(sure), build_network(sure, fused=True)
    fused.set_weights(plain.get_weights())
    for model in (plain, fused):
        model(gray, training=True)
    for fused_weights, plain_weights in zip(fused.weights, plain.weights, strict=True):
        np.testing.assert_allclose(
            np.asarray(fused_weights), np.asarray(plain_weights), rtol=2e-3, atol=2e-4, err_msg=fused_weights.path
        )


def test_every_preset_has_a_network_and_a_recipe() -> None:
    assert NETWORKS.keys() == PRESETS.keys()


@pytest.mark.parametrize(("name", "most"), [("edge", 200e6), ("nano", 30e6), ("large", 360e6)])
def test_deployed_networks_stay_within_their_multiply_adds(name: str, most: float) -> None:
    assert count_multiply_adds(build_network(NETWORKS[name])) <= most


def test_a_network_for_training_takes_images_of_any_size() -> None:
    """What is trained on smaller images first has the variables of what is saved."""
    growing, fixed = build_network(replace(NETWORKS["edge"], side=None)), build_network(NETWORKS["edge"])
    assert [w.shape for w in growing.weights] == [w.shape for w in fixed.weights]
    assert np.asarray(growing(np.zeros((1, 32, 32, 1), np.float32))).shape == (1, 7)


def test_resemotenet_has_the_published_size_and_one_squeeze_and_excitation() -> None:
    """80.24 M weights in its authors' code: three equal channels of colour, gray here, are 2 · 9 · 64 more."""
    import keras

    model = build_network(NETWORKS["resemotenet"])
    assert sum(math.prod(w.shape) for w in model.trainable_weights) + 2 * 9 * 64 == pytest.approx(80.24e6, abs=5e3)
    assert sum(isinstance(layer, keras.layers.Multiply) for layer in model.layers) == 1


def test_larger_depthwise_kernels_and_a_stem_of_stride_2() -> None:
    import keras

    model = build_network(NETWORKS["nano-5x5"])
    depthwise = [layer for layer in model.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
    seen = [(layer.kernel.shape[0], layer.output.shape[1]) for layer in depthwise]
    # each block begins with a 3×3, where it changes its width or side; its two others have the kernel of its own
    assert seen == [(3, 24)] * 3 + [(3, 12)] * 3 + [(5, 12)] * 2 + [(3, 6)] + [(5, 6)] * 2
    stem = next(layer for layer in model.layers if type(layer) is keras.layers.Conv2D)
    assert stem.output.shape[1:] == (24, 24, 24)
    plain = build_network(NETWORKS["nano"])
    assert count_multiply_adds(model) < count_multiply_adds(plain)
