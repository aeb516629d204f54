"""Each layer of an int8 model beside float's: how far its values are from float's on images, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convert.quantize.channel_equalization import apply, read_back
from convert.quantize.range_search import rounded
from convert.quantize.tensor_statistics import Tensors
from convert.tflite.graph import CHANNELS, Graph, Operator
from fer_edge.classifier import RAW_RANGE, Classifier
from fer_edge.errors import UsageError

_KEPT = 200  # values of a layer and an image that its percentile is taken from


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: how far int8's values are from float's, why, and what that does to the logits.

    Errors are RMS, as a share of the standard deviation of float's values. Values are in the layer's own units: where
    channels were equalized, in those of the equalized model. The range is None where the output was left in float.
    """

    name: str  # conv_3: its kind, and its place among those
    kind: str  # CONV_2D, as TFLite calls it
    keras: str | None  # the Keras layer it was made of, where the file tells
    error: float  # of its output in the int8 model as it runs, after all layers before it
    rounding: float  # of its output alone: float's values put into the range chosen for it
    logits: float  # of the float model's logits, with this layer alone as int8 has it: weights, biases, output
    low: float | None  # the range that int8 has
    high: float | None
    scale: float | None
    zero_point: int | None
    seen_low: float  # float's values: the least, the most, and that which 99.9 % of them do not exceed
    seen_high: float
    seen_p999: float
    saturated: float  # the share of float's values outside the range
    weights_error: float | None  # of the worst channel's weights; None for a layer without
    weights_channel: int | None  # which one


def layers(
    float_content: bytes,
    int8_content: bytes,
    images: np.ndarray,
    pixels: tuple[float, float] = RAW_RANGE,
    int8_pixels: tuple[float, float] = RAW_RANGE,
    known: Sequence[str] = (),
) -> list[Layer]:
    """The layers of an int8 TFLite file in running order, beside the float file it was made from.

    `images` are uint8 (N, side, side); `pixels` and `int8_pixels` are what 0 and 255 are to either file's input; `known` are
    the names of Keras layers. Raises UsageError when the files do not hold the same operators in the same order.
    """
    plain, theirs = Graph(float_content), Graph(int8_content)
    kinds = [[op.kind for op in graph.layers()] for graph in (plain, theirs)]
    if kinds[0] != kinds[1]:
        alike = [a == b for a, b in zip(*kinds, strict=False)]
        at = alike.index(False) if False in alike else len(alike)
        raise UsageError(
            f"the int8 file does not hold the float model's {len(kinds[0])} layers in their order, but parts from them at the"
            f" {at + 1}th; layer by layer it can be compared with the file it was made from"
        )
    in_keras = plain.keras_layers(known)
    apply(plain, read_back(float_content, int8_content))
    equal = plain.to_bytes()  # the same function in int8's units
    ours = Graph(equal)
    # what gives whole numbers, as an image's shape, has no error
    pairs = [(a, b) for a, b in zip(ours.layers(), theirs.layers(), strict=True) if ours.is_float(a.outputs[0])]
    ranges = [_range_of(theirs, other) for _, other in pairs]
    sums = [_Sums(r) for r in ranges]
    floats, int8s = Tensors(equal, pixels), Tensors(int8_content, int8_pixels)
    rng = np.random.default_rng(0)
    for image in images:
        a = floats.of(image, [op.outputs[0] for op, _ in pairs])
        b = int8s.of(image, [other.outputs[0] for _, other in pairs])
        for (op, other), r, total in zip(pairs, ranges, sums, strict=True):
            total.add(a[op.outputs[0]].ravel(), _in_units(b[other.outputs[0]].ravel(), r), rng)
    logits = Classifier(equal, input_range=pixels).logits(images)
    told = []
    for (op, other), r, total in zip(pairs, ranges, sums, strict=True):
        worst, channel = _weights_error(ours, op, theirs, other)
        alone = _alone(equal, op, theirs, other, r)
        told.append(
            Layer(
                name=op.name,
                kind=op.kind,
                keras=in_keras[op.number],
                error=total.share(total.error),
                rounding=total.share(total.rounding),
                logits=_logit_error(logits, Classifier(alone, input_range=pixels).logits(images)),
                low=r.low if r else None,
                high=r.high if r else None,
                scale=r.scale if r else None,
                zero_point=r.zero_point if r else None,
                seen_low=total.low,
                seen_high=total.high,
                seen_p999=float(np.quantile(np.concatenate(total.some), 0.999)),
                saturated=total.outside / total.n,
                weights_error=worst,
                weights_channel=channel,
            )
        )
    return told


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
        self.some: list[np.ndarray] = []

    def add(self, ours: np.ndarray, theirs: np.ndarray, rng: np.random.Generator) -> None:
        values = ours.astype(np.float64)
        self.n += len(values)
        self.total += float(values.sum())
        self.squares += float(np.square(values).sum())
        self.error += float(np.square(theirs - values).sum())
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self.some.append(ours if len(ours) <= _KEPT else rng.choice(ours, _KEPT))
        if self.range is not None:
            now, outside = rounded(ours, self.range.low, self.range.high)
            self.rounding += float(np.square(now - values).sum())
            self.outside += int(outside.sum())

    def share(self, of_squares: float) -> float:
        """A sum of squares as RMS over the standard deviation of float's values."""
        variance = self.squares / self.n - (self.total / self.n) ** 2
        return float(np.sqrt(of_squares / self.n / variance)) if variance > 0 else 0.0


def _range_of(graph: Graph, op: Operator) -> _Range | None:
    q = graph.tensor(op.outputs[0]).quantization
    if graph.is_float(op.outputs[0]) or q is None or q.scale is None or not len(q.scale):
        return None
    return _Range(float(q.scale[0]), int(q.zeroPoint[0]))


def _in_units(stored: np.ndarray, r: _Range | None) -> np.ndarray:
    return stored.astype(np.float64) if r is None else (stored.astype(np.float64) - r.zero_point) * r.scale


def _weights_error(ours: Graph, op: Operator, theirs: Graph, other: Operator) -> tuple[float | None, int | None]:
    """The worst channel's RMS error over the RMS of its weights, and its number."""
    a = ours.constant(op, 1) if op.kind in CHANNELS else None
    b = theirs.constant(other, 1) if op.kind in CHANNELS else None
    if a is None or b is None:
        return None, None
    axes = tuple(i for i in range(a.ndim) if i != CHANNELS[op.kind])
    size = np.square(a).sum(axes)
    errors = np.sqrt(np.square(b - a).sum(axes) / np.where(size > 0, size, 1))
    return float(errors.max()), int(errors.argmax())


def _alone(equal: bytes, op: Operator, theirs: Graph, other: Operator, r: _Range | None) -> bytes:
    """The float file with one layer as int8 has it."""
    graph = Graph(equal)
    for slot in (1, 2) if op.kind in CHANNELS else ():
        values = theirs.constant(other, slot)
        if values is not None:
            graph.give(graph.operators[op.number], slot, values)
    if r is not None:
        graph.pass_through_int8(op.outputs[0], r.scale, r.zero_point)
    return graph.to_bytes()


def _logit_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """RMS over the spread of ours, both without what is common to an image's logits, which softmax does not see."""
    a, b = (x.astype(np.float64) - x.mean(1, keepdims=True) for x in (ours, theirs))
    return float(np.sqrt(np.mean((a - b) ** 2)) / a.std()) if a.std() > 0 else 0.0
