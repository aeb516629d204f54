"""Channel equalization: the channels of each tensor get similar ranges; the function stays the same, the weights change.

A tensor has one int8 scale for all its channels, and the widest channel sets it. ReLU, additions and pooling commute with a
positive factor per channel, so a channel can be scaled up where it is computed and scaled down where it is read: cross-layer
equalization (Nagel et al. 2019, arXiv 1906.04721). It is applied to activations, for weights have a scale for each output
channel, and to all tensors that a shortcut ties together. Factors are powers of 2^¼, so that they can be recovered from the
weights.
"""

from __future__ import annotations

import numpy as np

from convert.quantize.tensor_statistics import TensorStatistics
from convert.tflite.graph import BIASES, CHANNEL_AXIS, NO_ACTIVATION, RELU, WEIGHTS, Graph, Operator

# Operators whose output is multiplied by what their inputs are multiplied by, channel by channel.
_COMMUTING = ("ADD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "RELU", "LEAKY_RELU", "PAD")
_STEPS_PER_OCTAVE = 4  # factors are 2^(k/4)
_MOST_OCTAVES = 4.0


def equalize(graph: Graph, statistics: dict[int, TensorStatistics], strength: float) -> dict[int, TensorStatistics]:
    """Equalizes the channels of a float model in place, and returns the statistics of its tensors afterwards.

    `strength` 1 gives all channels the range of the widest, 0 changes nothing. Full strength leaves rows of the weights
    unequal, which costs when these are rounded.
    """
    factors = _factors(graph, statistics, strength)
    apply_factors(graph, factors)
    return {t: s.scaled(factors[t]) if t in factors else s for t, s in statistics.items()}


def apply_factors(graph: Graph, factors: dict[int, np.ndarray]) -> None:
    """Multiplies the channels of tensors by `factors` (C,), in the weights of the layers that write and read them."""
    for op in list(graph.operators):
        if op.kind not in CHANNEL_AXIS:
            continue
        weights, biases = graph.constant(op, WEIGHTS), graph.constant(op, BIASES)
        assert weights is not None, "tensors that touch a layer without constant weights have no factor"
        read, written = factors.get(op.inputs[0]), factors.get(op.outputs[0])
        if read is not None:
            weights = weights / (np.repeat(read, weights.shape[3] // len(read)) if _is_depthwise(op) else read)
        if written is not None:
            weights = weights * written.reshape(_along_channels(weights, op))
            if biases is not None:
                graph.set_constant(op, BIASES, biases * written)
        if read is not None or written is not None:
            graph.set_constant(graph.operators[op.number], WEIGHTS, weights)


def recover_factors(float_graph: Graph, other: Graph) -> dict[int, np.ndarray]:
    """The factors between a float model and one made of it, by the float model's tensors; only those that are not 1.

    `other` is the equalized model or the int8 one made from it. An error of less than 9 % in a layer's weights rounds away.
    Operators must correspond; what cannot be compared counts as unchanged.
    """
    pairs = {a.number: b for a, b in zip(float_graph.layers(), other.layers(), strict=True)}
    found: dict[int, np.ndarray] = {}
    for tied in _tied_tensors(float_graph):
        for tensor in tied:
            op = float_graph.producer(tensor)
            if op is None or op.kind not in CHANNEL_AXIS:
                continue
            a, b = float_graph.constant(op, WEIGHTS), other.constant(pairs[op.number], WEIGHTS)
            if a is None or b is None or a.shape != b.shape:
                continue
            read = found.get(op.inputs[0])
            if read is not None:
                a = a / (np.repeat(read, a.shape[3] // len(read)) if _is_depthwise(op) else read)
            rest = tuple(i for i in range(a.ndim) if i != CHANNEL_AXIS[op.kind])
            with np.errstate(invalid="ignore", divide="ignore"):
                octaves = np.log2((a * b).sum(rest) / (a * a).sum(rest))
            steps = np.rint(np.nan_to_num(octaves, nan=0, posinf=0, neginf=0) * _STEPS_PER_OCTAVE)
            if steps.any():
                found.update(dict.fromkeys(tied, np.exp2(steps / _STEPS_PER_OCTAVE).astype(np.float32)))
            break
    return found


def _factors(graph: Graph, statistics: dict[int, TensorStatistics], strength: float) -> dict[int, np.ndarray]:
    found: dict[int, np.ndarray] = {}
    for tied in _tied_tensors(graph):
        widths = [np.maximum(np.abs(statistics[t].low), np.abs(statistics[t].high)) for t in tied]
        shares = [width / width.max() for width in widths if width.max() > 0]
        if not shares:
            continue
        together = np.sqrt(np.mean(np.square(shares), axis=0))
        octaves = -np.log2(np.maximum(together / together.max(), 2**-_MOST_OCTAVES)) * strength
        found.update(
            dict.fromkeys(tied, np.exp2(np.rint(octaves * _STEPS_PER_OCTAVE) / _STEPS_PER_OCTAVE).astype(np.float32))
        )
    return found


def _tied_tensors(graph: Graph) -> list[list[int]]:
    """The tensors that must share factors, each list in running order; tensors that cannot be scaled are left out."""
    order = graph.activations()
    tied_to = {t: t for t in order}

    def root(t: int) -> int:
        while tied_to[t] != t:
            t = tied_to[t]
        return t

    fixed = {*graph.inputs, *graph.outputs}
    for op in graph.operators:
        ends = [t for t in (*op.inputs, *op.outputs) if t in tied_to]
        if op.kind in CHANNEL_AXIS:
            if op.activation not in (NO_ACTIVATION, RELU):
                fixed |= set(op.outputs)
            if graph.constant(op, WEIGHTS) is None or graph.shape(op.inputs[0])[-1:] != _input_channels(graph, op):
                fixed |= set(ends)
        elif op.kind in _COMMUTING and op.activation in (NO_ACTIVATION, RELU) and _same_channels(graph, op, ends):
            for t in ends[1:]:
                tied_to[root(t)] = root(ends[0])
        else:
            fixed |= set(ends)
    groups: dict[int, list[int]] = {}
    for t in order:
        groups.setdefault(root(t), []).append(t)
    free = [tied for tied in groups.values() if not fixed & set(tied)]
    return sorted(free, key=lambda tied: order.index(tied[0]))


def _same_channels(graph: Graph, op: Operator, ends: list[int]) -> bool:
    """Whether all ends have the same channels, and no constant is added to them."""
    channels = {graph.shape(t)[-1:] for t in ends}
    return len(channels) == 1 and len(ends) == (3 if op.kind == "ADD" else 2)


def _input_channels(graph: Graph, op: Operator) -> tuple[int, ...]:
    """The number of channels that an operator with weights reads, by the shape of its weights."""
    shape = graph.shape(op.inputs[WEIGHTS])
    return graph.shape(op.inputs[0])[-1:] if _is_depthwise(op) else shape[-1:]


def _is_depthwise(op: Operator) -> bool:
    return op.kind == "DEPTHWISE_CONV_2D"


def _along_channels(weights: np.ndarray, op: Operator) -> tuple[int, ...]:
    shape = [1] * weights.ndim
    shape[CHANNEL_AXIS[op.kind]] = -1
    return tuple(shape)
