"""Range search, equalization, bias correction, weight rounding: the effect of each on a float model, and of all on int8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import bar

from convert.quantize.bias_correction import correct_biases, round_weights
from convert.quantize.channel_equalization import equalize, recover_factors
from convert.quantize.full_integer import quantize_graph
from convert.quantize.range_refinement import refine_ranges
from convert.quantize.range_search import QuantizationOptions, round_to_int8, search_ranges
from convert.quantize.tensor_statistics import TensorStatistics, collect_statistics
from convert.quantize.weight_rounding import round_columns
from convert.tflite.compaction import compact
from convert.tflite.graph import CHANNEL_AXIS, RELU, WEIGHTS, Graph
from convert.tflite.inspection import operator_types, operator_versions
from convert.tflite.keras_export import float_tflite
from convert.train.networks import Network, build_network
from fer_edge.classifier import KERNELS, Classifier
from fer_edge.errors import UsageError

PLAIN = QuantizationOptions(equalize=0, clip=0, correct=False)  # what a converter does by itself
NEAREST, ROUNDED = QuantizationOptions(), QuantizationOptions(round_by_error=True)
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
def float_graph(request: pytest.FixtureRequest) -> Graph:
    return Graph(float_tflite(uneven(NETWORKS[request.param])))


@pytest.fixture(scope="module")
def residual() -> Graph:
    return Graph(float_tflite(uneven(NETWORKS["residual"])))


def logit_rms(graph: Graph, other: Graph, x: np.ndarray) -> float:
    """The RMS of the difference between the logits of two models, over the spread of the first one's."""
    a, b = (Classifier(g.to_bytes()).logits(x) for g in (graph, other))
    return float(np.sqrt(np.mean((a - b) ** 2)) / a.std())


def test_int8_is_nearer_to_float_with_the_passes_than_without(float_graph: Graph) -> None:
    x = images(60, seed=1)
    without, with_passes = (
        logit_rms(float_graph, quantize_graph(float_graph, images(60), options), x)
        for options in (PLAIN, QuantizationOptions())
    )
    assert with_passes < 0.9 * without < 0.2


def grouped(x: Any) -> Any:
    import keras

    x = keras.layers.Conv2D(16, 3, padding="same", groups=4)(x)
    return keras.layers.GlobalAveragePooling2D()(x)


def largest(x: Any) -> Any:
    import keras

    x = keras.layers.Conv2D(8, 3)(x)  # no ReLU: its range is wider than that of the maxima
    return keras.layers.GlobalMaxPooling2D()(x)


@pytest.mark.parametrize(
    "options", [NEAREST, ROUNDED, replace(NEAREST, refine=True)], ids=["nearest", "error", "refined"]
)
@pytest.mark.parametrize("middle", [grouped, largest])
def test_grouped_convolutions_and_maxima_are_quantized(
    middle: Callable[[Any], Any], options: QuantizationOptions
) -> None:
    import keras

    keras.utils.set_random_seed(1)
    pixels = keras.Input((24, 24, 1))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(keras.layers.Rescaling(1 / 255)(pixels))
    float_graph = Graph(float_tflite(keras.Model(pixels, keras.layers.Dense(7)(middle(x)))))
    int8, x = quantize_graph(float_graph, images(20), options), images(20, seed=1)
    logits = Classifier(float_graph.to_bytes()).logits(x)
    for kernels in KERNELS:
        answers = Classifier(int8.to_bytes(), kernels=kernels).logits(x)
        assert np.sqrt(np.mean((answers - logits) ** 2)) < 0.1 * logits.std(), kernels


def test_every_operator_is_int8_and_the_input_is_raw_pixels(float_graph: Graph) -> None:
    int8 = quantize_graph(float_graph, images(20))
    assert {d for op in operator_types(int8) for d in op.dtypes} <= {"int8", "int32"}
    assert [op.name for op in operator_types(int8)] == [op.name for op in operator_types(float_graph)]
    classifier = Classifier(int8.to_bytes())
    (input_details,) = classifier.interpreter.get_input_details()
    assert input_details["quantization"] == (1.0, -128)
    assert classifier.input_values.tolist() == list(range(-128, 128))


def test_quantizing_again_gives_the_same_file_and_leaves_the_float_model_as_it_was(residual: Graph) -> None:
    before = residual.to_bytes()
    assert quantize_graph(residual, images(20)).to_bytes() == quantize_graph(residual, images(20)).to_bytes()
    assert residual.to_bytes() == before


def test_the_passes_need_no_newer_operators_and_no_more_bytes(residual: Graph) -> None:
    int8, plain = quantize_graph(residual, images(20)), quantize_graph(residual, images(20), PLAIN)
    assert operator_versions(int8) == operator_versions(plain)
    assert abs(len(compact(int8)) - len(compact(plain))) < 1000


def test_every_kernel_path_gives_the_same_logits_to_two_steps(float_graph: Graph) -> None:
    int8, x = quantize_graph(float_graph, images(20)).to_bytes(), images(20, seed=1)
    classifiers = {kernels: Classifier(int8, kernels=kernels) for kernels in KERNELS}
    (step, _) = classifiers["default"].interpreter.get_output_details()[0]["quantization"]
    logits = {kernels: classifier.logits(x) for kernels, classifier in classifiers.items()}
    for kernels in KERNELS:
        assert np.abs(logits[kernels] - logits["default"]).max() <= 2.01 * step


def test_equalizing_changes_the_width_of_channels_and_not_the_function(float_graph: Graph) -> None:
    x = images(30)
    before = collect_statistics(float_graph, x)
    equalized = float_graph.copy()
    predicted = equalize(equalized, before, 1.0)
    assert logit_rms(float_graph, equalized, x) < 1e-5
    after = collect_statistics(equalized, x)
    tensors = [t for t in before if not np.array_equal(after[t].high, before[t].high)]
    assert len(tensors) >= 4
    for t in tensors:
        np.testing.assert_allclose(predicted[t].high, after[t].high, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(predicted[t].samples, after[t].samples, rtol=1e-3, atol=1e-3)

    def evenness(statistics: dict[int, TensorStatistics]) -> float:
        widths = [np.maximum(statistics[t].high, -statistics[t].low) for t in tensors]
        return float(np.mean([np.mean(width / width.max()) for width in widths]))

    assert evenness(after) > 1.2 * evenness(before)


@pytest.mark.parametrize("correct", [False, True])
def test_factors_are_recovered_from_the_int8_file(float_graph: Graph, correct: bool) -> None:
    x = images(30)
    equalized = float_graph.copy()
    predicted = equalize(equalized, collect_statistics(float_graph, x), 0.7)
    quantized = quantize_graph(float_graph, x, QuantizationOptions(equalize=0.7, correct=correct))
    of_float = recover_factors(float_graph, equalized)
    of_int8 = recover_factors(float_graph, Graph(compact(quantized)))
    assert of_float.keys() == of_int8.keys() and len(of_float) >= 4
    for t, factors in of_float.items():
        np.testing.assert_array_equal(of_int8[t], factors)
        assert set(np.rint(4 * np.log2(factors)) / 4) >= set(np.log2(factors).round(4))
    assert recover_factors(float_graph, Graph(compact(quantize_graph(float_graph, x, PLAIN)))) == {}
    assert predicted.keys() == collect_statistics(equalized, x).keys()


def test_one_bright_pixel_does_not_set_the_range(residual: Graph) -> None:
    statistics = collect_statistics(residual, images(30))
    t = next(op.outputs[0] for op in residual.operators if op.kind == "CONV_2D")
    before = search_ranges(residual, statistics, 8)[t]
    high = statistics[t].high.copy()
    high[0] = 3 * high.max()
    statistics[t] = replace(statistics[t], high=high)
    assert search_ranges(residual, statistics, 0)[t] == (0.0, high[0])
    assert search_ranges(residual, statistics, 8)[t][1] == pytest.approx(before[1], rel=0.2)


def reached(graph: Graph) -> dict[int, TensorStatistics]:
    """The statistics of a graph on thirty images."""
    return collect_statistics(graph, images(30))


def test_the_extremes_are_those_of_all_images(residual: Graph) -> None:
    both, first, last = (collect_statistics(residual, x) for x in (images(2), images(2)[:1], images(2)[1:]))
    for t, found in both.items():
        np.testing.assert_array_equal(found.low, np.minimum(first[t].low, last[t].low))
        np.testing.assert_array_equal(found.high, np.maximum(first[t].high, last[t].high))
        np.testing.assert_allclose(found.mean, (first[t].mean + last[t].mean) / 2, rtol=1e-5, atol=1e-6)
        assert len(found.samples) == 2 * len(first[t].samples)


@pytest.mark.parametrize("by", [100.0, -100.0])
def test_a_range_holds_zero_whatever_the_values_are(residual: Graph, by: float) -> None:
    """A convolution pads with zeros, and int8 must have one."""
    statistics = {
        t: replace(s, samples=s.samples + by, low=s.low + by, high=s.high + by) for t, s in reached(residual).items()
    }
    for clip in (0, 8):
        assert all(low <= 0 <= high for low, high in search_ranges(residual, statistics, clip).values())


def test_a_channel_that_is_hardly_read_does_not_set_the_range(residual: Graph) -> None:
    """Of a convolution's output that another convolution alone reads, one channel reaches ten times as far as the others."""
    first, reader = next(
        (op, readers[0])
        for op in residual.operators
        if op.kind == "CONV_2D"
        and len(readers := residual.consumers(op.outputs[0])) == 1
        and readers[0].kind in ("CONV_2D", "DEPTHWISE_CONV_2D")
        and readers[0].inputs[0] == op.outputs[0]
    )
    statistics, t = reached(residual), first.outputs[0]
    weights = residual.constant(reader, WEIGHTS)
    assert weights is not None and weights.shape[-1] == statistics[t].samples.shape[1]
    samples = statistics[t].samples.copy()
    far = 10 * samples.max()
    samples[:, 0] = np.linspace(0, far, len(samples))
    statistics[t] = replace(statistics[t], samples=samples, high=samples.max(0))
    highs = []
    for factor in (0.0, 10.0):
        graph, scaled = residual.copy(), weights.copy()
        scaled[..., 0] *= factor
        graph.set_constant(reader, WEIGHTS, scaled)
        highs.append(search_ranges(graph, statistics, 8)[t][1])
    assert highs[0] < 0.5 * far < 0.8 * far < highs[1]


def test_what_a_relu_cuts_off_behind_an_addition_may_be_clipped(residual: Graph) -> None:
    addition = next(op for op in residual.operators if op.kind == "ADD" and op.activation == RELU)
    statistics, (t, other) = reached(residual), addition.inputs
    samples = statistics[t].samples.copy()
    far = -20 * (np.abs(samples).max() + np.abs(statistics[other].samples).max())
    samples[::2] = far  # the sum is far below zero
    low = np.minimum(statistics[t].low, far)
    statistics[t] = replace(statistics[t], samples=samples, low=low)
    assert search_ranges(residual, statistics, 8)[t][0] > 0.5 * far


def test_tensors_of_one_scale_have_the_range_of_all_of_them() -> None:
    graph = Graph(float_tflite(uneven(NETWORKS["pooled"])))
    statistics, pool = reached(graph), next(op for op in graph.operators if op.kind == "MAX_POOL_2D")
    for t, others in ((pool.outputs[0], pool.inputs[0]), (pool.inputs[0], pool.outputs[0])):
        far = 3 * max(statistics[t].high.max(), statistics[others].high.max())
        changed = statistics[t].samples.copy()
        changed[::2] = far
        further = statistics | {t: replace(statistics[t], samples=changed, high=changed.max(0))}
        ranges = search_ranges(graph, further, 1e9)
        assert ranges[t] == ranges[others] and ranges[t][1] == pytest.approx(far)


def test_operators_that_only_move_or_average_values_have_one_range() -> None:
    """LiteRT's kernels of them compute without another scale."""
    graph = Graph(float_tflite(with_many_operators("linear")))
    ranges = search_ranges(graph, reached(graph), 8)
    kinds = ("AVERAGE_POOL_2D", "CONCATENATION", "MAX_POOL_2D", "RESIZE_BILINEAR", "RESHAPE")
    moving = [op for op in graph.operators if op.kind in kinds]
    assert {op.kind for op in moving} == set(kinds)
    for op in moving:
        assert {ranges[t] for t in (*op.inputs, *op.outputs) if t in ranges} == {ranges[op.outputs[0]]}, op.kind


def test_tensors_whose_peaks_count_keep_their_extremes() -> None:
    """A sigmoid of a clipped value, or a product with one, is another one."""
    graph = Graph(float_tflite(with_many_operators("linear")))
    statistics = reached(graph)
    searched, extremes = (search_ranges(graph, statistics, clip) for clip in (1, 0))
    gate = next(op for op in graph.operators if op.kind == "LOGISTIC")
    product = next(op for op in graph.operators if op.kind == "MUL" and gate.outputs[0] in op.inputs)
    kept = {gate.inputs[0], *product.inputs}
    assert {t: searched[t] for t in kept} == {t: extremes[t] for t in kept} and searched != extremes


def test_ranges_are_refined_on_request(residual: Graph) -> None:
    scales = [
        {op.name: quantized.tensor(op.outputs[0]).quantization.scale[0] for op in quantized.operators}
        for quantized in (
            quantize_graph(residual, images(20), replace(NEAREST, refine=refine)) for refine in (False, True)
        )
    ]
    assert scales[0].keys() == scales[1].keys() and scales[0] != scales[1]


def test_ranges_are_wider_where_clipping_costs_more(float_graph: Graph) -> None:
    statistics = collect_statistics(float_graph, images(30))
    widths = [
        np.array([high - low for low, high in search_ranges(float_graph, statistics, clip).values()])
        for clip in (1, 8, 1e9, 0)
    ]
    assert (widths[0] <= widths[3]).all() and (widths[2] <= widths[3]).all()
    assert widths[0].sum() <= widths[1].sum() <= widths[2].sum()
    assert widths[0].sum() < widths[3].sum() - 1


def test_all_ranges_but_the_inputs_can_be_widened(float_graph: Graph) -> None:
    scales = []
    for widen in (1.0, 1.5):
        graph = quantize_graph(float_graph, images(20), QuantizationOptions(widen=widen))
        outputs = [graph.tensor(t).quantization.scale[0] for op in graph.operators for t in op.outputs]
        scales.append(np.array([graph.tensor(graph.inputs[0]).quantization.scale[0], *outputs]))
    np.testing.assert_allclose(scales[1][0], scales[0][0])
    np.testing.assert_allclose(scales[1][1:], 1.5 * scales[0][1:], rtol=1e-3)


def test_input_and_output_keep_their_extremes(float_graph: Graph) -> None:
    statistics = collect_statistics(float_graph, images(30))
    ranges = search_ranges(float_graph, statistics, 8)
    for end in (*float_graph.inputs, *float_graph.outputs):
        assert ranges[end] == (min(0.0, float(statistics[end].low.min())), max(0.0, float(statistics[end].high.max())))


def test_the_input_and_output_of_a_pooling_have_one_range() -> None:
    graph = Graph(float_tflite(uneven(NETWORKS["pooled"])))
    ranges = search_ranges(graph, collect_statistics(graph, images(30)), 8)
    pools = [op for op in graph.operators if op.kind == "MAX_POOL_2D"]
    assert len(pools) == 2
    for op in pools:
        assert ranges[op.inputs[0]] == ranges[op.outputs[0]]


@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (-3.0, 5.0), (-0.001, 9.0)])
def test_values_round_to_int8_steps_as_in_the_runtime(low: float, high: float) -> None:
    values = np.linspace(low - 1, high + 1, 2001, dtype=np.float32)
    now, outside = round_to_int8(values, low, high)
    step = (high - low) / 255
    inside = (values >= low + step) & (values <= high - step)
    assert np.abs(now - values)[inside].max() <= 0.5001 * step
    assert len(np.unique(now)) == 256 and 0.0 in now
    assert not outside[inside].any() and outside[[0, -1]].all()


def test_corrected_biases_compensate_for_rounded_weights(float_graph: Graph) -> None:
    """Weights of so few bits that rounding shows: each channel's mean comes nearer to its mean in float."""
    x = images(30)
    statistics = collect_statistics(float_graph, x)
    rounded, corrected = float_graph.copy(), float_graph.copy()
    for op in list(rounded.operators):
        if op.kind in CHANNEL_AXIS:
            weights = rounded.constant(op, WEIGHTS)
            assert weights is not None
            rounded.set_constant(op, WEIGHTS, round_weights(weights, CHANNEL_AXIS[op.kind]))
    correct_biases(corrected, statistics)
    rounded_error, corrected_error = (
        np.mean([np.abs(now[t].mean - statistics[t].mean).mean() for t in statistics if t not in float_graph.inputs])
        for now in (collect_statistics(rounded, x), collect_statistics(corrected, x))
    )
    assert corrected_error < 0.5 * rounded_error


def test_rounded_weights_stay_as_they_are_when_rounded_again() -> None:
    weights = np.random.default_rng(0).normal(size=(6, 3, 3, 4)).astype(np.float32)
    weights[2] = 0
    once = round_weights(weights, 0)
    np.testing.assert_allclose(round_weights(once, 0), once, atol=1e-7)
    assert not once[2].any()
    assert max(len(np.unique(channel)) for channel in once) <= 36


def stored_weights(graph: Graph) -> dict[str, np.ndarray]:
    return {
        op.name: np.asarray(graph.model.buffers[graph.tensor(op.inputs[WEIGHTS]).buffer].data).view(np.int8)
        for op in graph.operators
        if op.kind in CHANNEL_AXIS and not graph.is_float(op.inputs[WEIGHTS])
    }


@pytest.mark.parametrize(("columns", "most"), [(9, 0.99), (150, 0.7), (300, 0.7)])
def test_outputs_of_random_layers_have_less_error_than_with_nearest_rounding(columns: int, most: float) -> None:
    rng = np.random.default_rng(0)
    inputs = np.maximum(rng.normal(size=(2000, 12)) @ rng.normal(size=(12, columns)), 0)
    inputs = inputs + rng.normal(0, 0.1, inputs.shape)
    weights = rng.normal(size=(8, columns)).astype(np.float32)
    scale = (np.abs(weights).max(1) / 127).astype(np.float32)
    centred = inputs - inputs.mean(0)
    steps = round_columns(weights, centred.T @ centred / len(inputs), scale)
    assert np.array_equal(steps, np.rint(steps)) and np.abs(steps).max() <= 127
    nearest = np.rint(weights / scale[:, None])
    error, nearest_error = (np.var(inputs @ (weights - s * scale[:, None]).T) for s in (steps, nearest))
    assert error < most * nearest_error


def test_inputs_that_never_change_leave_nearest_rounding() -> None:
    weights = np.random.default_rng(0).normal(size=(4, 10)).astype(np.float32)
    scale = (np.abs(weights).max(1) / 127).astype(np.float32)
    np.testing.assert_array_equal(round_columns(weights, np.zeros((10, 10)), scale), np.rint(weights / scale[:, None]))


def test_scales_and_operators_stay_and_weights_move(float_graph: Graph) -> None:
    x = images(40)
    nearest, rounded = quantize_graph(float_graph, x, NEAREST), quantize_graph(float_graph, x, ROUNDED)
    assert operator_types(nearest) == operator_types(rounded)
    for a, b in zip(nearest.operators, rounded.operators, strict=True):
        for t, u in zip((*a.inputs[:2], *a.outputs), (*b.inputs[:2], *b.outputs), strict=True):
            p, q = nearest.tensor(t).quantization, rounded.tensor(u).quantization
            assert p is q or np.array_equal(p.scale, q.scale)
    before, after = stored_weights(nearest), stored_weights(rounded)
    assert any(not np.array_equal(before[name], after[name]) for name in before)
    assert min(int(w.min()) for w in after.values()) >= -127


def test_int8_is_no_further_from_float_than_with_nearest_rounding(float_graph: Graph) -> None:
    x, others = images(60), images(60, seed=1)
    nearest, rounded = (
        logit_rms(float_graph, quantize_graph(float_graph, x, options), others) for options in (NEAREST, ROUNDED)
    )
    assert rounded < 1.15 * nearest


def test_layers_kept_in_float_stay_as_they_are(float_graph: Graph) -> None:
    name = next(op.name for op in float_graph.operators if op.kind == "CONV_2D")
    graph = quantize_graph(float_graph, images(20), replace(ROUNDED, equalize=0), keep_float=[name])
    kept, original = (next(op for op in g.operators if op.name == name) for g in (graph, float_graph))
    assert name not in stored_weights(graph) and stored_weights(graph)
    for slot in (1, 2):
        now, before = graph.constant(kept, slot), float_graph.constant(original, slot)
        assert now is not None and before is not None
        np.testing.assert_array_equal(now, before)


def test_refined_ranges_change_inner_tensors_only_and_keep_ties(float_graph: Graph) -> None:
    x = images(30)
    ranges = search_ranges(float_graph, collect_statistics(float_graph, x), 8)
    too_wide = {t: (4 * low, 4 * high) for t, (low, high) in ranges.items()}
    refined = refine_ranges(float_graph, too_wide, x)
    ends = {*float_graph.inputs, *float_graph.outputs}
    assert all(refined[t] == too_wide[t] for t in ends)
    inner = [t for t in ranges if t not in ends]
    widths = [np.mean([r[t][1] - r[t][0] for t in inner]) for r in (refined, too_wide)]
    assert widths[0] < 0.95 * widths[1]
    for op in float_graph.operators:
        if op.kind == "MAX_POOL_2D":
            assert refined[op.inputs[0]] == refined[op.outputs[0]]


def with_many_operators(end: str) -> Any:
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
def test_operators_that_the_passes_do_not_know_are_quantized_unchanged(end: str) -> None:
    float_graph, x = Graph(float_tflite(with_many_operators(end))), images(40)
    int8 = quantize_graph(float_graph, x)
    assert {d for op in operator_types(int8) for d in op.dtypes} <= {"int8", "int32"}
    before, after = (
        logit_rms(float_graph, graph, images(40, 1)) for graph in (quantize_graph(float_graph, x, PLAIN), int8)
    )
    assert after < max(1.1 * before, 0.05)
    if end == "softmax":
        (output_details,) = Classifier(int8.to_bytes()).interpreter.get_output_details()
        assert output_details["quantization"] == (1 / 256, -128)


def test_an_unknown_layer_is_refused_with_the_names_of_all(residual: Graph) -> None:
    with pytest.raises(UsageError, match=r"no layer conv_99; its layers are conv_1, conv_2"):
        quantize_graph(residual, images(4), keep_float=["conv_99"])
