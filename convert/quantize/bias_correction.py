"""Bias correction: biases that compensate for rounded weights, so that each channel keeps its mean in float.

Rounding moves a weight by up to half a step. Where its input has a mean, as after ReLU, the mean of the sum moves, and every
image is wrong by the same amount. The expected shift is known beforehand and is subtracted from the bias (Nagel et al. 2019,
arXiv 1906.04721, section 4.2, with the inputs' means on the calibration images).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from convert.quantize.tensor_statistics import TensorStatistics
from convert.tflite.graph import BIASES, CHANNEL_AXIS, NO_ACTIVATION, WEIGHTS, Graph, Operator

_LARGEST = 127  # of an int8 weight: its scales are symmetric


def correct_biases(graph: Graph, statistics: dict[int, TensorStatistics], keep_float: Collection[str] = ()) -> None:
    """Rounds the weights of a float model as int8 will, and shifts biases so that each channel's mean is kept.

    `statistics` are those of the activations, by the tensor's index. The weights of layers in `keep_float` are not rounded.
    """
    missing: dict[int, np.ndarray] = {}  # by operator: what its input lacks in the mean, for want of a bias before it
    for number in range(len(graph.operators)):
        op = graph.operators[number]
        if op.kind not in CHANNEL_AXIS or op.inputs[0] not in statistics:
            continue
        weights, biases = graph.constant(op, WEIGHTS), graph.constant(op, BIASES)
        if weights is None:
            continue
        rounded = weights if op.name in keep_float else round_weights(weights, CHANNEL_AXIS[op.kind])
        shift = _mean_output(graph, op, weights - rounded, statistics[op.inputs[0]].mean)
        if number in missing:
            shift = shift + _mean_output(graph, op, rounded, missing[number])
        graph.set_constant(op, WEIGHTS, rounded)
        reader = reader_that_can_compensate(graph, op)
        if reader is not None and (biases is None or not biases.any()):
            missing[reader.number] = shift
        else:
            graph.set_constant(graph.operators[number], BIASES, shift if biases is None else biases + shift)


def round_weights(weights: np.ndarray, axis: int) -> np.ndarray:
    """Weights as int8 stores them with a scale for each channel along `axis`: float32 of the same shape."""
    others = tuple(i for i in range(weights.ndim) if i != axis)
    scale = np.abs(weights).max(others, keepdims=True) / np.float32(_LARGEST)
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    rounded: np.ndarray = np.clip(np.rint(weights / scale), -_LARGEST, _LARGEST).astype(np.float32) * scale
    return rounded


def reader_that_can_compensate(graph: Graph, op: Operator) -> Operator | None:
    """The layer whose bias can replace a bias of `op`: the only reader, without padding."""
    readers = graph.consumers(op.outputs[0])
    if op.activation != NO_ACTIVATION or len(readers) != 1 or op.outputs[0] in graph.outputs:
        return None
    (reader,) = readers
    unpadded = reader.kind == "FULLY_CONNECTED" or (
        reader.kind == "CONV_2D" and graph.shape(reader.inputs[WEIGHTS])[1:3] == (1, 1)
    )
    return reader if unpadded and graph.constant(reader, WEIGHTS) is not None else None


def _mean_output(graph: Graph, op: Operator, weights: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The mean output of `weights` for an input whose channels have the mean `mean` (C,): float32 (K,)."""
    if op.kind == "FULLY_CONNECTED":
        repeated = np.resize(mean, weights.shape[1])  # a flattened tensor has its channels one after the other
        return np.asarray(weights @ repeated, np.float32)
    taps = np.outer(*(_unpadded_share(graph, op, axis) for axis in (1, 2)))  # (kh, kw)
    if op.kind == "DEPTHWISE_CONV_2D":
        sums = np.einsum("hwo,hw->o", weights[0], taps) * np.repeat(mean, weights.shape[3] // len(mean))
    else:
        groups = mean.reshape(-1, weights.shape[3])  # of the channels: each is read by a share of the outputs
        parts = zip(np.split(weights, len(groups)), groups, strict=True)
        sums = np.concatenate([np.einsum("ohwi,hw,i->o", part, taps, means) for part, means in parts])
    return np.asarray(sums, np.float32)


def _unpadded_share(graph: Graph, op: Operator, axis: int) -> np.ndarray:
    """For each tap of a kernel along an axis of the image, 1 or 2, the share of positions where it reads no padding."""
    before, after, taps = (graph.shape(t)[axis] for t in (op.inputs[0], op.outputs[0], op.inputs[WEIGHTS]))
    options = graph.options(op)
    stride = (options.strideH, options.strideW)[axis - 1]
    dilation = (options.dilationHFactor, options.dilationWFactor)[axis - 1]
    padding = max((after - 1) * stride + (taps - 1) * dilation + 1 - before, 0)
    if options.padding == graph.schema.Padding.VALID:
        padding = 0
    at = np.arange(after)[:, None] * stride + np.arange(taps)[None] * dilation - padding // 2
    return np.asarray(((at >= 0) & (at < before)).mean(0))
