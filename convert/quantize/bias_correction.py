"""Biases that make up for rounded weights: a float TFLite file whose means are right although its weights are int8's.

Rounding moves a weight by up to half a step; where what it multiplies has a mean, as after ReLU, the sum's mean moves, and
all images alike are wrong by it. The expected shift is known before and is taken off the bias (Nagel et al. 2019, arXiv
1906.04721, section 4.2, with the inputs' means as seen on the calibration images).
"""

from __future__ import annotations

import numpy as np

from convert.quantize.tensor_statistics import Seen
from convert.tflite.graph import CHANNELS, NONE, Graph, Operator

_DEEPEST = 127  # of a weight: the converter's scales are symmetric


def corrected(content: bytes, seen: dict[int, Seen], keep: frozenset[str] = frozenset()) -> bytes:
    """The float TFLite file with weights rounded as int8 will round them, and biases that keep each channel's mean.

    `seen`: of the activations, by the tensor's number. The weights of layers called as in `keep` stay as they are.
    """
    graph = Graph(content)
    owed: dict[int, np.ndarray] = {}  # by operator: what its input lacks in the mean, for want of a bias before it
    for number in range(len(graph.operators)):
        op = graph.operators[number]
        if op.kind not in CHANNELS or op.inputs[0] not in seen:
            continue
        weights, biases = graph.constant(op, 1), graph.constant(op, 2)
        if weights is None:
            continue
        rounded = weights if op.name in keep else round_weights(weights, CHANNELS[op.kind])
        off = _sums(graph, op, weights - rounded, seen[op.inputs[0]].mean)
        if number in owed:
            off = off + _sums(graph, op, rounded, owed[number])
        graph.give(op, 1, rounded)
        after = _only_reader(graph, op)
        if after is not None and (biases is None or not biases.any()):
            owed[after.number] = off
        else:
            graph.give(graph.operators[number], 2, off if biases is None else biases + off)
    return graph.to_bytes()


def round_weights(weights: np.ndarray, axis: int) -> np.ndarray:
    """Weights as int8 holds them with a scale for each channel along `axis`: float32 of the same shape."""
    others = tuple(i for i in range(weights.ndim) if i != axis)
    scale = np.abs(weights).max(others, keepdims=True) / np.float32(_DEEPEST)
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    rounded: np.ndarray = np.clip(np.rint(weights / scale), -_DEEPEST, _DEEPEST).astype(np.float32) * scale
    return rounded


def _only_reader(graph: Graph, op: Operator) -> Operator | None:
    """The layer that can take over what a bias of `op` would do, so that the file needs none: without padding, alone."""
    readers = graph.readers(op.outputs[0])
    if op.fused != NONE or len(readers) != 1 or op.outputs[0] in graph.outputs:
        return None
    (reader,) = readers
    plain = reader.kind == "FULLY_CONNECTED" or (
        reader.kind == "CONV_2D" and graph.shape(reader.inputs[1])[1:3] == (1, 1)
    )
    return reader if plain and graph.constant(reader, 1) is not None else None


def _sums(graph: Graph, op: Operator, weights: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The mean of what `weights` make of an input whose channels have the mean `mean` (C,): float32 (K,)."""
    if op.kind == "FULLY_CONNECTED":
        repeated = np.resize(mean, weights.shape[1])  # a flattened tensor has its channels one after the other
        return np.asarray(weights @ repeated, np.float32)
    taps = np.outer(*(_inside(graph, op, axis) for axis in (1, 2)))  # (kh, kw)
    if op.kind == "DEPTHWISE_CONV_2D":
        made = np.einsum("hwo,hw->o", weights[0], taps) * np.repeat(mean, weights.shape[3] // len(mean))
    else:
        made = np.einsum("ohwi,hw,i->o", weights, taps, mean)
    return np.asarray(made, np.float32)


def _inside(graph: Graph, op: Operator, axis: int) -> np.ndarray:
    """For each tap of a kernel along an axis of the image, 1 or 2, the share of places where it sees no padding."""
    given, made, size = (
        graph.shape(op.inputs[0])[axis],
        graph.shape(op.outputs[0])[axis],
        graph.shape(op.inputs[1])[axis],
    )
    options = graph.options(op)
    stride = (options.strideH, options.strideW)[axis - 1]
    reach = (options.dilationHFactor, options.dilationWFactor)[axis - 1]
    padded = max((made - 1) * stride + (size - 1) * reach + 1 - given, 0)
    if options.padding == graph.schema.Padding.VALID:
        padded = 0
    at = np.arange(made)[:, None] * stride + np.arange(size)[None] * reach - padded // 2
    return np.asarray(((at >= 0) & (at < given)).mean(0))
