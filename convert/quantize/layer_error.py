"""Layer errors: the error of each layer of an int8 model relative to the float model on images, and its causes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convert.quantize.channel_equalization import apply_factors, recover_factors
from convert.quantize.range_search import round_to_int8
from convert.quantize.tensor_statistics import TensorReader
from convert.tflite.edits import insert_int8_steps
from convert.tflite.graph import BIASES, CHANNEL_AXIS, WEIGHTS, Graph, Operator
from fer_edge.classifier import RAW_RANGE, Classifier
from fer_edge.errors import UsageError

_SAMPLES = 200  # values of a layer and an image that its percentile is taken from


@dataclass(frozen=True, slots=True)
class LayerError:
    """One layer: the error of the int8 values relative to float, its causes, and its effect on the logits.

    Errors are RMS, as a share of the standard deviation of float's values. Values are in the layer's own units: where
    channels were equalized, in those of the equalized model. The range is None where the output stays float.
    """

    name: str  # conv_3: its kind, and its place among those
    kind: str  # CONV_2D, as TFLite calls it
    keras: str | None  # the Keras layer it comes from, where tensor names say
    error: float  # of its output in the int8 model as it runs, after all layers before it
    rounding: float  # of its output alone: float's values put into the range chosen for it
    logits: float  # of the float model's logits, with this layer alone as int8 has it: weights, biases, output
    low: float | None  # the int8 range
    high: float | None
    scale: float | None
    zero_point: int | None
    seen_low: float  # float's values: the least, the most, and the 99.9th percentile
    seen_high: float
    seen_p999: float
    saturated: float  # the share of float's values outside the range
    weights_error: float | None  # of the worst channel's weights; None for a layer without
    weights_channel: int | None  # which one


def layer_errors(
    float_graph: Graph,
    int8_graph: Graph,
    images: np.ndarray,
    pixels: tuple[float, float] = RAW_RANGE,
    int8_pixels: tuple[float, float] = RAW_RANGE,
    known: Sequence[str] = (),
) -> list[LayerError]:
    """The layers of an int8 model in running order, beside the float model it was made from.

    `images` are uint8 (N, side, side); `pixels` and `int8_pixels` are either input's values for 0 and 255; `known` are the
    names of Keras layers. Raises UsageError when the models do not hold the same operators in the same order.
    """
    kinds = [[op.kind for op in graph.layers()] for graph in (float_graph, int8_graph)]
    if kinds[0] != kinds[1]:
        same = [a == b for a, b in zip(*kinds, strict=False)]
        at = same.index(False) if False in same else len(same)
        raise UsageError(
            f"the int8 model does not hold the float model's {len(kinds[0])} layers in their order: they differ at the"
            f" {at + 1}th; it can be compared layer by layer with the model it was made from"
        )
    keras_names = float_graph.keras_layer_names(known)
    equalized = float_graph.copy()  # the same function in int8's units
    apply_factors(equalized, recover_factors(float_graph, int8_graph))
    # what gives whole numbers, as an image's shape, has no error
    pairs = [
        (a, b) for a, b in zip(equalized.layers(), int8_graph.layers(), strict=True) if equalized.is_float(a.outputs[0])
    ]
    ranges = [_range_of(int8_graph, other) for _, other in pairs]
    sums = [_Sums(r) for r in ranges]
    content = equalized.to_bytes()
    floats, int8s = TensorReader(content, pixels), TensorReader(int8_graph.to_bytes(), int8_pixels)
    rng = np.random.default_rng(0)
    for image in images:
        a = floats.read(image, [op.outputs[0] for op, _ in pairs])
        b = int8s.read(image, [other.outputs[0] for _, other in pairs])
        for (op, other), r, total in zip(pairs, ranges, sums, strict=True):
            total.add(a[op.outputs[0]].ravel(), _dequantized(b[other.outputs[0]].ravel(), r), rng)
    logits = Classifier(content, input_range=pixels).logits(images)
    rows = []
    for (op, other), r, total in zip(pairs, ranges, sums, strict=True):
        worst, channel = _weights_error(equalized, op, int8_graph, other)
        one_int8 = _with_one_int8_layer(equalized, op, int8_graph, other, r)
        rows.append(
            LayerError(
                name=op.name,
                kind=op.kind,
                keras=keras_names[op.number],
                error=total.share(total.error),
                rounding=total.share(total.rounding),
                logits=_logit_error(logits, Classifier(one_int8, input_range=pixels).logits(images)),
                low=r.low if r else None,
                high=r.high if r else None,
                scale=r.scale if r else None,
                zero_point=r.zero_point if r else None,
                seen_low=total.low,
                seen_high=total.high,
                seen_p999=float(np.quantile(np.concatenate(total.samples), 0.999)),
                saturated=total.outside / total.n,
                weights_error=worst,
                weights_channel=channel,
            )
        )
    return rows


def int8_in_part(
    float_graph: Graph, int8_graph: Graph, *, weights: bool = False, activations: Sequence[int] = ()
) -> Graph:
    """A float model with part of what int8 rounds: all weights and biases, or the outputs of the layers at these places.

    Places are those in `Graph.layers()`; the two models hold the same layers. It shows each part's share of the error.
    """
    graph = float_graph.copy()
    apply_factors(graph, recover_factors(float_graph, int8_graph))
    pairs = list(zip(graph.layers(), int8_graph.layers(), strict=True))
    for op, other in pairs if weights else ():
        _take_weights(graph, op, int8_graph, other)
    for place in activations:
        op, other = pairs[place]
        _round_output(graph, op, _range_of(int8_graph, other))
    return graph


@dataclass(frozen=True, slots=True)
class _Range:
    scale: float
    zero_point: int

    @property
    def low(self) -> float:
        return (-128 - self.zero_point) * self.scale

    @property
    def high(self) -> float:
        return (127 - self.zero_point) * self.scale


class _Sums:
    """Sums over the values of one layer, image by image."""

    def __init__(self, r: _Range | None) -> None:
        self.range = r
        self.n = self.outside = 0
        self.total = self.squares = self.error = self.rounding = 0.0
        self.low, self.high = np.inf, -np.inf
        self.samples: list[np.ndarray] = []

    def add(self, float_values: np.ndarray, int8_values: np.ndarray, rng: np.random.Generator) -> None:
        values = float_values.astype(np.float64)
        self.n += len(values)
        self.total += float(values.sum())
        self.squares += float(np.square(values).sum())
        self.error += float(np.square(int8_values - values).sum())
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self.samples.append(float_values if len(float_values) <= _SAMPLES else rng.choice(float_values, _SAMPLES))
        if self.range is not None:
            rounded, outside = round_to_int8(float_values, self.range.low, self.range.high)
            self.rounding += float(np.square(rounded - values).sum())
            self.outside += int(outside.sum())

    def share(self, squares: float) -> float:
        """A sum of squares as RMS over the standard deviation of float's values."""
        variance = self.squares / self.n - (self.total / self.n) ** 2
        return float(np.sqrt(squares / self.n / variance)) if variance > 0 else 0.0


def _range_of(graph: Graph, op: Operator) -> _Range | None:
    q = graph.tensor(op.outputs[0]).quantization
    if graph.is_float(op.outputs[0]) or q is None or q.scale is None or not len(q.scale):
        return None
    return _Range(float(q.scale[0]), int(q.zeroPoint[0]))


def _dequantized(stored: np.ndarray, r: _Range | None) -> np.ndarray:
    return stored.astype(np.float64) if r is None else (stored.astype(np.float64) - r.zero_point) * r.scale


def _weights_error(
    float_graph: Graph, op: Operator, int8_graph: Graph, other: Operator
) -> tuple[float | None, int | None]:
    """The worst channel's RMS error over the RMS of its weights, and its number."""
    a = float_graph.constant(op, WEIGHTS) if op.kind in CHANNEL_AXIS else None
    b = int8_graph.constant(other, WEIGHTS) if op.kind in CHANNEL_AXIS else None
    if a is None or b is None:
        return None, None
    axes = tuple(i for i in range(a.ndim) if i != CHANNEL_AXIS[op.kind])
    size = np.square(a).sum(axes)
    errors = np.sqrt(np.square(b - a).sum(axes) / np.where(size > 0, size, 1))
    return float(errors.max()), int(errors.argmax())


def _with_one_int8_layer(
    float_graph: Graph, op: Operator, int8_graph: Graph, other: Operator, r: _Range | None
) -> bytes:
    """The float model's file with one layer as int8 has it."""
    graph = float_graph.copy()
    _take_weights(graph, op, int8_graph, other)
    _round_output(graph, op, r)
    return graph.to_bytes()


def _take_weights(graph: Graph, op: Operator, int8_graph: Graph, other: Operator) -> None:
    """Gives a layer of a float model the weights and biases that int8 has, where it has any."""
    for slot in (WEIGHTS, BIASES) if op.kind in CHANNEL_AXIS else ():
        values = int8_graph.constant(other, slot)
        if values is not None:
            graph.set_constant(graph.operators[op.number], slot, values)


def _round_output(graph: Graph, op: Operator, r: _Range | None) -> None:
    """Rounds the output of a layer of a float model to the steps of int8; not that of a layer that stays float."""
    if r is not None:
        insert_int8_steps(graph, op.outputs[0], r.scale, r.zero_point)


def _logit_error(a: np.ndarray, b: np.ndarray) -> float:
    """RMS over the spread of `a`, both without what is common to an image's logits, which softmax does not see."""
    a, b = (x.astype(np.float64) - x.mean(1, keepdims=True) for x in (a, b))
    return float(np.sqrt(np.mean((a - b) ** 2)) / a.std()) if a.std() > 0 else 0.0
