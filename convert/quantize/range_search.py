"""Range search: the range of each activation that gives int8 the least squared error.

A converter takes each tensor's extremes on the calibration images; one pixel of one image then sets the step of all others.
Here a range minimises the squared error of what passes it, with clipping weighted more than rounding: rounding errors of
neighbouring pixels cancel in the sums that follow, clipped peaks do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from convert.quantize.tensor_statistics import TensorStatistics
from convert.tflite.graph import CHANNEL_AXIS, RELU, WEIGHTS, Graph, Operator

Range = tuple[float, float]
# Operators whose output has the scale of their input.
_SAME = (
    *("MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE", "PAD", "PADV2", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE"),
    *("STRIDED_SLICE", "CONCATENATION", "SPLIT", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "MAXIMUM", "MINIMUM"),
    "REDUCE_MAX",
)
_TOLERATE_CLIPPING = (
    *CHANNEL_AXIS,
    *_SAME,
    "ADD",
    "MEAN",
    "RELU",
)  # operators to which peaks mean no more than other values
_SAMPLES = 100_000  # of a tensor
_SHRINK_FACTORS = np.linspace(1.0, 0.3, 15)


@dataclass(frozen=True, slots=True)
class QuantizationOptions:
    """How an int8 model is made from a float one. The defaults gave the logits of edge and nano the least error.

    QuantizationOptions(0, 0, False) is equivalent to a converter's default.
    """

    equalize: float = 0.5  # strength of channel equalization, 0 (none) to 1 (full)
    clip: float = 8.0  # weight of a clipped value's error over a rounded one's; 0: ranges are the extremes seen
    correct: bool = True  # bias correction
    widen: float = (
        1.0  # factor on all ranges but the input's, for calibration images that reach less far than real ones
    )
    per_channel: bool = True  # a weight scale for each output channel, not one for all
    round_by_error: bool = False  # with `correct`: weights rounded by their layer's error, not each to the nearest
    refine: bool = False  # ranges moved to give the model's outputs the least error


# Synthetic calibration images reach about two thirds as far as faces do in the first layers.
FOR_SYNTHETIC_IMAGES = QuantizationOptions(widen=1.5)


def search_ranges(graph: Graph, statistics: dict[int, TensorStatistics], clip: float) -> dict[int, Range]:
    """The range of each activation of a float model, by the tensor's index, from its `statistics`.

    `clip` weights clipping errors. Inputs and outputs keep their extremes, and so do tensors read by operators that depend on
    peaks.
    """
    found = {t: (min(0.0, float(s.low.min())), max(0.0, float(s.high.max()))) for t, s in statistics.items()}
    if not clip:
        return found
    for tied in tensors_of_one_scale(graph):
        low, high = min(found[t][0] for t in tied), max(found[t][1] for t in tied)
        readers = [op for t in tied for op in graph.consumers(t)]
        ends = {*graph.inputs, *graph.outputs}.intersection(tied)
        if not ends and all(op.kind in _TOLERATE_CLIPPING for op in readers):
            costs = [_cost(graph, t, statistics, clip) for t in tied]
            low, high = _least_cost_range(low, high, lambda a, b, costs=costs: sum(cost(a, b) for cost in costs))  # type: ignore[misc]
        found.update(dict.fromkeys(tied, (low, high)))
    return found


def round_to_int8(values: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Values as int8 stores them in a range, and which of them lie outside: float32 and bool of their shape."""
    scale = np.float32((high - low) / 255) or np.float32(1)
    zero = np.float32(np.clip(np.rint(-128 - low / scale), -128, 127))
    steps = np.rint(values / scale) + zero
    outside = (steps < -128) | (steps > 127)
    return (np.clip(steps, -128, 127) - zero) * scale, outside


def _cost(
    graph: Graph, tensor: int, statistics: dict[int, TensorStatistics], clip: float
) -> Callable[[float, float], float]:
    """The cost of a range for a tensor: squared errors, each channel's weighted by how strongly it is read.

    A tensor that only an addition with a fused ReLU reads is judged by the sum: what ReLU cuts off is clipped at no cost.
    """
    values = statistics[tensor].samples
    # at random: every n-th would be of the same few channels wherever n divides their number
    sampled = np.random.default_rng(0).integers(values.size, size=_SAMPLES)
    readers = graph.consumers(tensor)
    other = _other_summand(graph, tensor, readers)
    if other is not None:
        values_here, other_values = values.ravel()[sampled], statistics[other].samples.ravel()[sampled]
        sums = np.maximum(values_here + other_values, 0)

        def of_sum(low: float, high: float) -> float:
            now, outside = round_to_int8(values_here, low, high)
            return float(np.mean((np.maximum(now + other_values, 0) - sums) ** 2 * np.where(outside, clip, 1)))

        return of_sum
    weights = np.broadcast_to(_weight_of_channels(graph, tensor, readers, values.shape[1]), values.shape).ravel()[
        sampled
    ]
    mine = values.ravel()[sampled]

    def of_tensor(low: float, high: float) -> float:
        now, outside = round_to_int8(mine, low, high)
        return float(np.mean((now - mine) ** 2 * weights * np.where(outside, clip, 1)))

    return of_tensor


def _other_summand(graph: Graph, tensor: int, readers: list[Operator]) -> int | None:
    """The tensor that an addition with a ReLU adds to this one, if that is all that reads it."""
    if len(readers) != 1 or readers[0].kind != "ADD" or readers[0].activation != RELU:
        return None
    others = [t for t in readers[0].inputs if t != tensor]
    alike = len(others) == 1 and not graph.is_constant(others[0]) and graph.shape(others[0]) == graph.shape(tensor)
    return others[0] if alike else None


def _weight_of_channels(graph: Graph, tensor: int, readers: list[Operator], channels: int) -> np.ndarray:
    """How strongly each channel of a tensor is read: the mean square of the weights on it, (C,), scaled to a mean of 1."""
    total = np.zeros(channels)
    for op in readers:
        weights = graph.constant(op, WEIGHTS) if op.kind in CHANNEL_AXIS and op.inputs[0] == tensor else None
        if weights is not None and weights.shape[-1] == channels:
            total += np.square(weights).sum(tuple(range(weights.ndim - 1)))
    return total / total.mean() if total.any() else np.ones(channels)


def tensors_of_one_scale(graph: Graph) -> list[list[int]]:
    """The activations in groups that must share one scale."""
    tied = {t: [t] for t in graph.activations()}
    for op in graph.operators:
        if op.kind in _SAME:
            ends = [t for t in (*op.inputs, *op.outputs) if t in tied]
            together = sorted({t for end in ends for t in tied[end]})
            tied.update(dict.fromkeys(together, together))
    return [group for t, group in tied.items() if group[0] == t]


def _least_cost_range(low: float, high: float, cost: Callable[[float, float], float]) -> Range:
    """The range within low…high of the least cost: coordinate descent over its two ends, twice."""
    now = low, high
    for _ in range(2 if low < 0 < high else 1):
        if high > 0:
            now = min(((now[0], high * float(f)) for f in _SHRINK_FACTORS), key=lambda r: cost(*r))
        if low < 0:
            now = min(((low * float(f), now[1]) for f in _SHRINK_FACTORS), key=lambda r: cost(*r))
    return now
