"""A float TFLite file whose channels use int8's steps alike: the same function, other weights.

A tensor has one scale for all its channels, and the widest of them sets it. What ReLU, additions and pooling pass on in
proportion can be made larger channel by channel where it is made, and smaller again where it is read: cross-layer
equalisation (Nagel et al. 2019, arXiv 1906.04721), here of activations, for weights have a scale for each channel they make,
and over all tensors that a shortcut ties together. Factors are powers of 2^¼, so that they can be read back off the weights.
"""

from __future__ import annotations

import numpy as np

from convert.quantize.tensor_statistics import Seen
from convert.tflite.graph import CHANNELS, NONE, RELU, Graph, Operator

# What multiplies its output by what its inputs are multiplied by, channel by channel.
_PASS_ON = ("ADD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "RELU", "LEAKY_RELU", "PAD")
_QUARTERS = 4  # of an octave: factors are 2^(k/4)
_MOST = 4.0  # octaves


def equalized(content: bytes, seen: dict[int, Seen], strength: float) -> tuple[bytes, dict[int, Seen]]:
    """A float TFLite file that does the same with channels of more equal reach, and what was `seen` as it is there.

    `strength` 1 gives all channels the reach of the widest, 0 changes nothing: weights then have unequal rows to round.
    """
    graph = Graph(content)
    factors = _factors(graph, seen, strength)
    apply(graph, factors)
    return graph.to_bytes(), {t: s.scaled(factors[t]) if t in factors else s for t, s in seen.items()}


def apply(graph: Graph, factors: dict[int, np.ndarray]) -> None:
    """Multiplies the channels of tensors by `factors` (C,), by the weights of those who make and who read them."""
    for op in list(graph.operators):
        if op.kind not in CHANNELS:
            continue
        weights, biases = graph.constant(op, 1), graph.constant(op, 2)
        assert weights is not None, "what is tied to no constant weights is not multiplied"
        reads, makes = factors.get(op.inputs[0]), factors.get(op.outputs[0])
        if reads is not None:
            weights = weights / (np.repeat(reads, weights.shape[3] // len(reads)) if _is_depthwise(op) else reads)
        if makes is not None:
            weights = weights * makes.reshape(_along(weights, op))
            if biases is not None:
                graph.give(op, 2, biases * makes)
        if reads is not None or makes is not None:
            graph.give(graph.operators[op.number], 1, weights)


def read_back(float_content: bytes, other: bytes) -> dict[int, np.ndarray]:
    """The factors between a float TFLite file and what was made of it, by the float file's tensors; only those not 1.

    `other` is the equalized file or the int8 one made from it. An error of 9 % in a layer's weights is none of these.
    Operators must correspond; what cannot be compared is taken to be the same.
    """
    ours, theirs = Graph(float_content), Graph(other)
    pairs = {a.number: b for a, b in zip(ours.layers(), theirs.layers(), strict=True)}
    found: dict[int, np.ndarray] = {}
    for tied in _ties(ours):
        for tensor in tied:
            op = ours.maker(tensor)
            if op is None or op.kind not in CHANNELS:
                continue
            a, b = ours.constant(op, 1), theirs.constant(pairs[op.number], 1)
            if a is None or b is None or a.shape != b.shape:
                continue
            reads = found.get(op.inputs[0])
            if reads is not None:
                a = a / (np.repeat(reads, a.shape[3] // len(reads)) if _is_depthwise(op) else reads)
            rest = tuple(i for i in range(a.ndim) if i != CHANNELS[op.kind])
            with np.errstate(invalid="ignore", divide="ignore"):
                octaves = np.log2((a * b).sum(rest) / (a * a).sum(rest))
            steps = np.rint(np.nan_to_num(octaves, nan=0, posinf=0, neginf=0) * _QUARTERS)
            if steps.any():
                found.update(dict.fromkeys(tied, np.exp2(steps / _QUARTERS).astype(np.float32)))
            break
    return found


def _factors(graph: Graph, seen: dict[int, Seen], strength: float) -> dict[int, np.ndarray]:
    found: dict[int, np.ndarray] = {}
    for tied in _ties(graph):
        reaches = [np.maximum(np.abs(seen[t].low), np.abs(seen[t].high)) for t in tied]
        shares = [reach / reach.max() for reach in reaches if reach.max() > 0]
        if not shares:
            continue
        together = np.sqrt(np.mean(np.square(shares), axis=0))
        octaves = -np.log2(np.maximum(together / together.max(), 2**-_MOST)) * strength
        found.update(dict.fromkeys(tied, np.exp2(np.rint(octaves * _QUARTERS) / _QUARTERS).astype(np.float32)))
    return found


def _ties(graph: Graph) -> list[list[int]]:
    """The tensors that can only be multiplied together, each list in running order; without those that cannot at all."""
    order = graph.activations()
    tied_to = {t: t for t in order}

    def first(t: int) -> int:
        while tied_to[t] != t:
            t = tied_to[t]
        return t

    fixed = {*graph.inputs, *graph.outputs}
    for op in graph.operators:
        ends = [t for t in (*op.inputs, *op.outputs) if t in tied_to]
        if op.kind in CHANNELS:
            if op.fused not in (NONE, RELU):
                fixed |= set(op.outputs)
            if graph.constant(op, 1) is None or graph.shape(op.inputs[0])[-1:] != _read_channels(graph, op):
                fixed |= set(ends)
        elif op.kind in _PASS_ON and op.fused in (NONE, RELU) and _alike(graph, op, ends):
            for t in ends[1:]:
                tied_to[first(t)] = first(ends[0])
        else:
            fixed |= set(ends)
    groups: dict[int, list[int]] = {}
    for t in order:
        groups.setdefault(first(t), []).append(t)
    free = [tied for tied in groups.values() if not fixed & set(tied)]
    return sorted(free, key=lambda tied: order.index(tied[0]))


def _alike(graph: Graph, op: Operator, ends: list[int]) -> bool:
    """Whether all ends have the same channels, and nothing constant is added to them."""
    channels = {graph.shape(t)[-1:] for t in ends}
    return len(channels) == 1 and len(ends) == (3 if op.kind == "ADD" else 2)


def _read_channels(graph: Graph, op: Operator) -> tuple[int, ...]:
    """How many channels an operator with weights reads, as its weights say."""
    shape = graph.shape(op.inputs[1])
    return graph.shape(op.inputs[0])[-1:] if _is_depthwise(op) else shape[-1:]


def _is_depthwise(op: Operator) -> bool:
    return op.kind == "DEPTHWISE_CONV_2D"


def _along(weights: np.ndarray, op: Operator) -> tuple[int, ...]:
    form = [1] * weights.ndim
    form[CHANNELS[op.kind]] = -1
    return tuple(form)
