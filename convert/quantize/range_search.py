"""The range of each tensor of an int8 file, and the file made with them: better than the least and the most that was seen.

TensorFlow's converter takes each tensor's extremes on the calibration images. One pixel of one image then sets the step of
all others. Here a range is chosen for the least squared error of what passes it, clipping counted dearer than rounding:
rounding errors of neighbouring pixels cancel in the sums that follow, clipped peaks do not. The quantizer itself is
TensorFlow's own, which takes ranges that stand in a float file; `tf.lite.experimental.QuantizationDebugger` calls it so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from convert.quantize.bias_correction import corrected
from convert.quantize.channel_equalization import equalized
from convert.quantize.tensor_statistics import Seen, observe
from convert.tflite.graph import CHANNELS, RELU, Graph, Operator
from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.classifier import RAW_RANGE
from fer_edge.errors import UsageError

Range = tuple[float, float]
# Operators whose output has the scale of their input.
_SAME = (
    *("MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE", "PAD", "PADV2", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE"),
    *("STRIDED_SLICE", "CONCATENATION", "SPLIT", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "MAXIMUM", "MINIMUM"),
)
_BEAR_CLIPPING = (*CHANNELS, *_SAME, "ADD", "MEAN", "RELU")  # what reads peaks as it reads the rest
_TRIED = 100_000  # values of a tensor
_SHRUNK = np.linspace(1.0, 0.3, 15)


@dataclass(frozen=True, slots=True)
class Choices:
    """How an int8 file is made from a float one. The defaults gave the logits of edge and nano the least error.

    Choices(0, 0, False) is what the converter does by itself.
    """

    equalize: float = 0.5  # channel equalization, from 0 (none) to 1 (full)
    clip: float = (
        8.0  # how much dearer a clipped value is than a rounded one; 0: ranges from the least to the most seen
    )
    correct: bool = True  # biases that make up for rounded weights (convert.quantize.bias_correction)
    widen: float = 1.0  # all ranges but the input's times this: for images that reach less far than those to come
    per_channel: bool = True  # a scale for each channel of a layer's weights, not one for all


# Stand-in images (convert.calibration) reach about two thirds as far as faces do in the first layers.
FOR_STAND_IN = Choices(widen=1.5)


def int8(
    content: bytes,
    images: np.ndarray,
    choices: Choices | None = None,
    *,
    pixels: Range = RAW_RANGE,
    keep_float: Iterable[str] = (),
) -> bytes:
    """The int8 TFLite file of a float one for one image, with ranges from `images` uint8 (N, side, side).

    `pixels` is what 0 and 255 are to the float file's input, and becomes the range of the int8 file's. `keep_float` names
    operators, as `convert.layers` does, that stay in float; is the last among them, so is the output. Raises UsageError when
    the file has no such operator, or is none that the quantizer takes.
    """
    choices = choices or Choices()
    keep = frozenset(keep_float)
    seen = observe(content, images, pixels)
    if choices.equalize:
        content, seen = equalized(content, seen, choices.equalize)
    ranges = {
        t: (low * choices.widen, high * choices.widen) for t, (low, high) in choose(content, seen, choices.clip).items()
    }
    ranges[Graph(content).inputs[0]] = pixels
    if choices.correct and choices.per_channel:
        content = corrected(content, seen, keep)
    return quantized(content, ranges, keep, choices.per_channel)


def choose(content: bytes, seen: dict[int, Seen], clip: float) -> dict[int, Range]:
    """The range of each activation of a float TFLite file, by the tensor's number, from what was `seen` of it.

    Inputs and outputs keep the least and the most seen, and so does what operators read that peaks mean more to.
    """
    graph = Graph(content)
    found = {t: (min(0.0, float(s.low.min())), max(0.0, float(s.high.max()))) for t, s in seen.items()}
    if not clip:
        return found
    for tied in _one_scale(graph):
        low, high = min(found[t][0] for t in tied), max(found[t][1] for t in tied)
        readers = [op for t in tied for op in graph.readers(t)]
        ends = {*graph.inputs, *graph.outputs}.intersection(tied)
        if not ends and all(op.kind in _BEAR_CLIPPING for op in readers):
            costs = [_cost(graph, t, seen, clip) for t in tied]
            low, high = _least(low, high, lambda a, b, costs=costs: sum(cost(a, b) for cost in costs))  # type: ignore[misc]
        found.update(dict.fromkeys(tied, (low, high)))
    return found


def quantized(
    content: bytes, ranges: dict[int, Range], keep: frozenset[str] = frozenset(), per_channel: bool = True
) -> bytes:
    """The int8 TFLite file of a float one with these ranges, by TensorFlow's quantizer."""
    graph = Graph(content)
    for tensor, (low, high) in ranges.items():
        told = graph.schema.QuantizationParametersT()
        told.min, told.max = np.array([low], np.float32), np.array([high], np.float32)
        graph.tensor(tensor).quantization = told
    kept = [op for op in graph.operators if op.name in keep]
    if unknown := keep - {op.name for op in kept}:
        raise UsageError(
            f"the model has no layer {', '.join(sorted(unknown))}; its layers are {', '.join(o.name for o in graph.layers())}"
        )
    last_is_float = any(t in graph.outputs for op in kept for t in op.outputs)
    with quiet_tensorflow():
        import tensorflow as tf
        from tensorflow.lite.python.convert import mlir_quantize
        from tensorflow.lite.python.convert_phase import ConverterError

        try:
            made: bytes = mlir_quantize(
                graph.to_bytes(),
                fully_quantize=True,
                disable_per_channel=not per_channel,
                input_data_type=tf.int8,
                output_data_type=tf.int8,
                denylisted_nodes=[graph.tensor(op.outputs[0]).name.decode() for op in kept] or None,
            )
        except (ConverterError, RuntimeError, ValueError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise UsageError(f"TensorFlow's quantizer does not take the model: {first}") from error
    if last_is_float:
        ended = Graph(made)
        ended.open_end()
        return ended.to_bytes()
    return made


def rounded(values: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Values as int8 holds them in a range, and which of them lie outside: float32 and bool of their shape."""
    scale = np.float32((high - low) / 255) or np.float32(1)
    zero = np.float32(np.clip(np.rint(-128 - low / scale), -128, 127))
    steps = np.rint(values / scale) + zero
    outside = (steps < -128) | (steps > 127)
    return (np.clip(steps, -128, 127) - zero) * scale, outside


def _cost(graph: Graph, tensor: int, seen: dict[int, Seen], clip: float) -> Callable[[float, float], float]:
    """What a range costs a tensor: squared errors, each channel's weighed by how strongly it is read.

    What only an addition with a ReLU in it reads is judged by the sum: what ReLU cuts off may be clipped at no cost.
    """
    values = seen[tensor].samples
    # at random: every n-th would be of the same few channels wherever n divides their number
    some = np.random.default_rng(0).integers(values.size, size=_TRIED)
    readers = graph.readers(tensor)
    other = _added(graph, tensor, readers)
    if other is not None:
        mine, theirs = values.ravel()[some], seen[other].samples.ravel()[some]
        sums = np.maximum(mine + theirs, 0)

        def of_sum(low: float, high: float) -> float:
            now, outside = rounded(mine, low, high)
            return float(np.mean((np.maximum(now + theirs, 0) - sums) ** 2 * np.where(outside, clip, 1)))

        return of_sum
    weights = np.broadcast_to(_read_by(graph, tensor, readers, values.shape[1]), values.shape).ravel()[some]
    mine = values.ravel()[some]

    def alone(low: float, high: float) -> float:
        now, outside = rounded(mine, low, high)
        return float(np.mean((now - mine) ** 2 * weights * np.where(outside, clip, 1)))

    return alone


def _added(graph: Graph, tensor: int, readers: list[Operator]) -> int | None:
    """The tensor that an addition with a ReLU adds to this one, if that is all that reads it."""
    if len(readers) != 1 or readers[0].kind != "ADD" or readers[0].fused != RELU:
        return None
    others = [t for t in readers[0].inputs if t != tensor]
    alike = len(others) == 1 and not graph.is_constant(others[0]) and graph.shape(others[0]) == graph.shape(tensor)
    return others[0] if alike else None


def _read_by(graph: Graph, tensor: int, readers: list[Operator], channels: int) -> np.ndarray:
    """How strongly each channel of a tensor is read: the mean square of the weights on it, (C,), on average 1."""
    total = np.zeros(channels)
    for op in readers:
        weights = graph.constant(op, 1) if op.kind in CHANNELS and op.inputs[0] == tensor else None
        if weights is not None and weights.shape[-1] == channels:
            total += np.square(weights).sum(tuple(range(weights.ndim - 1)))
    return total / total.mean() if total.any() else np.ones(channels)


def _one_scale(graph: Graph) -> list[list[int]]:
    """The activations in lists of those that must have one scale."""
    tied = {t: [t] for t in graph.activations()}
    for op in graph.operators:
        if op.kind in _SAME:
            ends = [t for t in (*op.inputs, *op.outputs) if t in tied]
            together = sorted({t for end in ends for t in tied[end]})
            tied.update(dict.fromkeys(together, together))
    return [group for t, group in tied.items() if group[0] == t]


def _least(low: float, high: float, cost: Callable[[float, float], float]) -> Range:
    """The range within low…high of the least cost: one end after the other, twice."""
    now = low, high
    for _ in range(2 if low < 0 < high else 1):
        if high > 0:
            now = min(((now[0], high * float(f)) for f in _SHRUNK), key=lambda r: cost(*r))
        if low < 0:
            now = min(((low * float(f), now[1]) for f in _SHRUNK), key=lambda r: cost(*r))
    return now
