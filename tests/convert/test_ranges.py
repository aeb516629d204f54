"""Ranges, equalization and biases: what each does to a float file, and that int8 is nearer to float for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import bar

from convert.quantize.bias_correction import corrected, round_weights
from convert.quantize.channel_equalization import equalized, read_back
from convert.quantize.range_search import Choices, choose, int8, rounded
from convert.quantize.tensor_statistics import Seen, observe
from convert.tflite.compaction import pack
from convert.tflite.graph import CHANNELS, Graph
from convert.tflite.inspection import operators, versions_of
from convert.tflite.keras_export import float_tflite
from convert.train.networks import Network, build_network
from fer_edge.classifier import KERNELS, Classifier
from fer_edge.errors import UsageError

PLAIN = Choices(equalize=0, clip=0, correct=False)  # what the converter does
SMALL = Network(side=24, stem=8, widths=(8, 16), strides=(1, 2), dense=0)
NETWORKS = {
    "residual": SMALL,
    "separable": replace(SMALL, separable=True),
    "pooled": replace(SMALL, strides=(), dense=8),
}


def images(n: int, seed: int = 0, side: int = 24) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([bar(i % 7, rng, side) for i in range(n)])


def uneven(network: Network) -> Any:
    """A network whose normalisations differ from channel to channel, as trained ones' do, and make some channels wide."""
    import keras

    keras.utils.set_random_seed(5)
    model = build_network(network)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.gamma.shape
            layer.gamma.assign(np.exp2(rng.uniform(-2, 1, channels)))
            layer.beta.assign(rng.normal(0, 0.3, channels))
            layer.moving_mean.assign(rng.normal(0, 0.1, channels))
            layer.moving_variance.assign(rng.uniform(0.2, 0.6, channels))
        elif isinstance(layer, keras.layers.Dense):
            layer.bias.assign(rng.normal(0, 0.1, layer.bias.shape))
    return model


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def content(request: pytest.FixtureRequest) -> bytes:
    return float_tflite(uneven(NETWORKS[request.param]))


@pytest.fixture(scope="module")
def residual() -> bytes:
    return float_tflite(uneven(NETWORKS["residual"]))


def rms(ours: bytes, theirs: bytes, x: np.ndarray) -> float:
    """Of the logits' difference, over the spread of ours."""
    a, b = (Classifier(c).logits(x) for c in (ours, theirs))
    return float(np.sqrt(np.mean((a - b) ** 2)) / a.std())


def test_int8_is_nearer_to_float_than_the_converters_own_way(content: bytes) -> None:
    x = images(60, seed=1)
    before, after = (rms(content, int8(content, images(60), choices), x) for choices in (PLAIN, Choices()))
    assert after < 0.9 * before < 0.2


def test_all_of_it_is_int8_and_takes_pixels_as_they_are(content: bytes) -> None:
    made = int8(content, images(20))
    assert {d for op in operators(made) for d in op.dtypes} <= {"int8", "int32"}
    assert [op.name for op in operators(made)] == [op.name for op in operators(content)]
    (given,) = Classifier(made).interpreter.get_input_details()
    assert given["quantization"] == (1.0, -128)
    assert Classifier(made).input_values.tolist() == list(range(-128, 128))


def test_the_same_file_twice_and_no_newer_operators(residual: bytes) -> None:
    made = int8(residual, images(20))
    assert made == int8(residual, images(20))
    plain = int8(residual, images(20), PLAIN)
    assert versions_of(made) == versions_of(plain)
    assert abs(len(pack(made)) - len(pack(plain))) < 1000


def test_every_kernel_path_answers_alike(content: bytes) -> None:
    made, x = int8(content, images(20)), images(20, seed=1)
    said = {k: Classifier(made, kernels=k) for k in KERNELS}
    (step, _) = said["default"].interpreter.get_output_details()[0]["quantization"]
    logits = {k: model.logits(x) for k, model in said.items()}
    for kernels in KERNELS:
        assert np.abs(logits[kernels] - logits["default"]).max() <= 2.01 * step


def test_equalizing_changes_nothing_but_how_wide_channels_are(content: bytes) -> None:
    x = images(30)
    seen = observe(content, x)
    made, then = equalized(content, seen, 1.0)
    assert rms(content, made, x) < 1e-5
    again = observe(made, x)
    tensors = [t for t in seen if not np.array_equal(again[t].high, seen[t].high)]
    assert len(tensors) >= 4
    for t in tensors:
        np.testing.assert_allclose(then[t].high, again[t].high, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(then[t].samples, again[t].samples, rtol=1e-3, atol=1e-3)

    def evenness(of: dict[int, Seen]) -> float:
        reaches = [np.maximum(of[t].high, -of[t].low) for t in tensors]
        return float(np.mean([np.mean(r / r.max()) for r in reaches]))

    assert evenness(again) > 1.2 * evenness(seen)


@pytest.mark.parametrize("correct", [False, True])
def test_factors_are_read_back_off_the_int8_file(content: bytes, correct: bool) -> None:
    x = images(30)
    made, then = equalized(content, observe(content, x), 0.7)
    quantized = int8(content, x, Choices(equalize=0.7, correct=correct))
    there, here = read_back(content, made), read_back(content, pack(quantized))
    assert there.keys() == here.keys() and len(there) >= 4
    for t, factors in there.items():
        np.testing.assert_array_equal(here[t], factors)
        assert set(np.rint(4 * np.log2(factors)) / 4) >= set(np.log2(factors).round(4))
    assert read_back(content, pack(int8(content, x, PLAIN))) == {}
    assert then.keys() == observe(made, x).keys()


def test_one_bright_pixel_does_not_set_the_range(residual: bytes) -> None:
    seen = observe(residual, images(30))
    t = next(op.outputs[0] for op in Graph(residual).operators if op.kind == "CONV_2D")
    before = choose(residual, seen, 8)[t]
    high = seen[t].high.copy()
    high[0] = 3 * high.max()
    seen[t] = Seen(seen[t].samples, seen[t].low, high, seen[t].mean)
    assert choose(residual, seen, 0)[t] == (0.0, high[0])
    assert choose(residual, seen, 8)[t][1] == pytest.approx(before[1], rel=0.2)


def test_the_dearer_clipping_the_wider_the_range(content: bytes) -> None:
    seen = observe(content, images(30))
    widths = [np.array([high - low for low, high in choose(content, seen, clip).values()]) for clip in (1, 8, 1e9, 0)]
    assert (widths[0] <= widths[3]).all() and (widths[2] <= widths[3]).all()
    assert widths[0].sum() <= widths[1].sum() <= widths[2].sum()
    assert widths[0].sum() < widths[3].sum() - 1


def test_ranges_can_be_made_wider(content: bytes) -> None:
    scales = []
    for widen in (1.0, 1.5):
        graph = Graph(int8(content, images(20), Choices(widen=widen)))
        made = [graph.tensor(t).quantization.scale[0] for op in graph.operators for t in op.outputs]
        scales.append(np.array([graph.tensor(graph.inputs[0]).quantization.scale[0], *made]))
    np.testing.assert_allclose(scales[1][0], scales[0][0])
    np.testing.assert_allclose(scales[1][1:], 1.5 * scales[0][1:], rtol=1e-3)


def test_ends_keep_what_was_seen(content: bytes) -> None:
    seen, graph = observe(content, images(30)), Graph(content)
    ranges = choose(content, seen, 8)
    (end,) = graph.outputs
    assert ranges[end] == (min(0.0, float(seen[end].low.min())), max(0.0, float(seen[end].high.max())))


def test_what_must_have_one_scale_gets_one() -> None:
    content = float_tflite(uneven(NETWORKS["pooled"]))
    ranges, graph = choose(content, observe(content, images(30)), 8), Graph(content)
    pools = [op for op in graph.operators if op.kind == "MAX_POOL_2D"]
    assert len(pools) == 2
    for op in pools:
        assert ranges[op.inputs[0]] == ranges[op.outputs[0]]


@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (-3.0, 5.0), (-0.001, 9.0)])
def test_rounded_is_what_the_runtime_does(low: float, high: float) -> None:
    values = np.linspace(low - 1, high + 1, 2001, dtype=np.float32)
    now, outside = rounded(values, low, high)
    step = (high - low) / 255
    inside = (values >= low + step) & (values <= high - step)
    assert np.abs(now - values)[inside].max() <= 0.5001 * step
    assert len(np.unique(now)) == 256 and 0.0 in now
    assert not outside[inside].any() and outside[[0, -1]].all()


def test_biases_make_up_for_rounded_weights(content: bytes) -> None:
    """Weights of so few bits that rounding shows: each channel's mean comes nearer to what it was."""
    x = images(30)
    seen = observe(content, x)
    only, graph = Graph(content), Graph(content)
    for op in list(graph.operators):
        if op.kind in CHANNELS:
            weights = graph.constant(op, 1)
            assert weights is not None
            only.give(op, 1, round_weights(weights, CHANNELS[op.kind]))
    off = {
        name: [np.abs(now[t].mean - seen[t].mean).mean() for t in seen if t not in graph.inputs]
        for name, now in (("rounded", observe(only.to_bytes(), x)), ("corrected", observe(corrected(content, seen), x)))
    }
    assert np.mean(off["corrected"]) < 0.5 * np.mean(off["rounded"])


def test_rounding_weights_twice_is_rounding_them_once() -> None:
    weights = np.random.default_rng(0).normal(size=(6, 3, 3, 4)).astype(np.float32)
    weights[2] = 0
    once = round_weights(weights, 0)
    np.testing.assert_allclose(round_weights(once, 0), once, atol=1e-7)
    assert not once[2].any()
    assert max(len(np.unique(channel)) for channel in once) <= 36


def with_much(end: str) -> Any:
    """A network of many kinds of operators: a gate, a concatenation, a hard swish, an upsampling, perhaps a softmax."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(3)
    pixels = keras.Input((24, 24, 1))
    x = layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    x = layers.Conv2D(8, 3, padding="same", activation="relu6")(x)
    gate = layers.Dense(8, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, gate])
    y = layers.LeakyReLU(0.1)(layers.Conv2D(8, 3, strides=2, padding="same")(x))
    z = layers.Activation("hard_swish")(layers.Conv2D(8, 1)(layers.AveragePooling2D(2)(x)))
    x = layers.Concatenate()([y, z])
    x = layers.UpSampling2D(2, interpolation="bilinear")(layers.MaxPooling2D(2)(x))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    return keras.Model(pixels, layers.Dense(5, activation=end)(layers.Flatten()(x)))


@pytest.mark.parametrize("end", ["linear", "softmax"])
def test_operators_that_nothing_is_known_of_are_left_alone(end: str) -> None:
    content, x = float_tflite(with_much(end)), images(40)
    made = int8(content, x)
    assert {d for op in operators(made) for d in op.dtypes} <= {"int8", "int32"}
    before, after = (rms(content, c, images(40, 1)) for c in (int8(content, x, PLAIN), made))
    assert after < max(1.1 * before, 0.05)
    if end == "softmax":
        (said,) = Classifier(made).interpreter.get_output_details()
        assert said["quantization"] == (1 / 256, -128)


def test_a_layer_that_is_not_there(residual: bytes) -> None:
    with pytest.raises(UsageError, match=r"no layer conv_99; its layers are conv_1, conv_2"):
        int8(residual, images(4), keep_float=["conv_99"])
