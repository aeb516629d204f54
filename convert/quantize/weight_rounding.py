"""Weight rounding by second-order errors: int8 weights that give each layer's outputs, not its weights, the least error.

Nearest rounding moves each weight least, and the errors of a channel's weights add up in its sums. Here the weights of an
output channel are rounded one after the other, and those still to be rounded make up for the error (GPTQ, Frantar et al. 2023,
arXiv 2210.17323). The loss is (w − q) H (w − q)ᵀ, with the rounded weights q and the covariance H of the layer's inputs. Layers
are rounded in running order, each on the inputs that the int8 model itself computes from the calibration images. The bias
takes the mean of what remains.
"""

from __future__ import annotations

import numpy as np

from convert.quantize.bias_correction import reader_that_can_compensate
from convert.quantize.tensor_statistics import make_reading_interpreter
from convert.tflite.edits import extract_part
from convert.tflite.graph import BIASES, CHANNEL_AXIS, WEIGHTS, Graph, Operator
from fer_edge.classifier import Classifier

POSITIONS = 24  # of an image's H × W outputs whose inputs are sampled
DAMPING = 0.01  # is added to the diagonal of H, in units of its mean
_LARGEST = 127  # of an int8 weight: its scales are symmetric
_BLOCK = 128  # columns that are rounded before the remaining ones are adjusted


def round_by_layer_error(quantized: Graph, float_graph: Graph, images: np.ndarray) -> None:
    """Replaces the int8 weights and int32 biases of `quantized`, made from `float_graph`; scales stay.

    `images` are uint8 (N, side, side). Layers whose weights are not int8 stay as they are. A layer with a bias of zeros keeps
    it, and the next layer's bias takes its mean where it can.
    """
    matching = {b.number: a for a, b in zip(float_graph.layers(), quantized.layers(), strict=True)}
    tensors = _Tensors(quantized, images)
    missing: dict[int, np.ndarray] = {}  # by int8 operator: what each channel of its input lacks in the mean
    rng = np.random.default_rng(0)
    for op in quantized.operators:
        weights = float_graph.constant(matching[op.number], WEIGHTS) if _is_int8_layer(quantized, op) else None
        if weights is not None:
            columns = _sampled_inputs(quantized, op, tensors.values(op.inputs[0]), rng)
            biases = float_graph.constant(matching[op.number], BIASES)
            reader = None if biases is not None and biases.any() else reader_that_can_compensate(quantized, op)
            if reader is not None and not _is_int8_layer(quantized, reader):
                reader = None
            shift = _round(quantized, op, weights, columns, free_mean=reader is not None or biases is not None)
            if op.number in missing:
                rounded = quantized.constant(op, WEIGHTS)
                assert rounded is not None
                shift = shift + rounded.reshape(len(rounded), -1) @ np.resize(missing[op.number], rounded[0].size)
            if reader is not None:
                missing[reader.number] = shift
            elif biases is not None:
                _store_biases(quantized, op, biases + shift)
        tensors.compute(op)


def round_columns(weights: np.ndarray, covariance: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The whole numbers −127…127 whose multiples of `scale` (K,) replace `weights` (K, D): float32 (K, D).

    `covariance` (D, D) is that of the inputs; the columns with the largest variances are rounded first.
    """
    variances = np.diag(covariance)
    order = np.argsort(-variances, kind="stable")
    damped = covariance[np.ix_(order, order)] + np.eye(len(order)) * (DAMPING * variances.mean() or 1.0)
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)  # upper: the inverse is factorᵀ · factor
    rest = weights[:, order].astype(np.float32)
    steps = np.empty_like(rest)
    for start in range(0, len(order), _BLOCK):
        end = min(start + _BLOCK, len(order))
        errors = np.empty((len(rest), end - start), np.float32)
        for i in range(start, end):
            steps[:, i] = np.clip(np.rint(rest[:, i] / scale), -_LARGEST, _LARGEST)
            errors[:, i - start] = (rest[:, i] - steps[:, i] * scale) / factor[i, i]
            rest[:, i + 1 : end] -= np.outer(errors[:, i - start], factor[i, i + 1 : end])
        rest[:, end:] -= errors @ factor[start:end, end:]
    result = np.empty_like(steps)
    result[:, order] = steps
    return result


def _round(graph: Graph, op: Operator, weights: np.ndarray, columns: np.ndarray, free_mean: bool) -> np.ndarray:
    """Stores the rounded weights of a layer; returns by how much each channel's mean has fallen: float32 (K,).

    `columns` are sampled inputs (M, taps, C). `free_mean`: a bias makes up for a shift of the mean, so that it is no error.
    """
    scale = np.asarray(graph.tensor(op.inputs[WEIGHTS]).quantization.scale, np.float32)
    channels = weights.shape[CHANNEL_AXIS[op.kind]]
    scale = np.broadcast_to(scale, channels)
    mean = columns.mean(0)
    centred = columns - mean if free_mean else columns
    if op.kind == "DEPTHWISE_CONV_2D":
        rows = weights.reshape(-1, channels).T
        read = np.arange(channels) // (channels // columns.shape[2])  # the input channel of each output channel
        covariances = np.einsum("mtc,msc->cts", centred, centred) / len(columns)
        steps = np.concatenate(
            [round_columns(rows[k : k + 1], covariances[c], scale[k : k + 1]) for k, c in enumerate(read)]
        )
        stored, mean_rows = steps.T.reshape(weights.shape), mean[:, read].T
    else:
        rows, read = weights.reshape(channels, -1), weights.shape[-1]
        outputs = channels // (columns.shape[2] // read)  # of each group; all where the layer has no groups
        steps, mean_rows = np.empty_like(rows), np.empty_like(rows)
        for first in range(0, channels, outputs):
            these, inputs = slice(first, first + outputs), slice(first // outputs * read, (first // outputs + 1) * read)
            flat = centred[:, :, inputs].reshape(len(columns), -1)
            steps[these] = round_columns(rows[these], flat.T @ flat / len(columns), scale[these])
            mean_rows[these] = mean[:, inputs].reshape(1, -1)
        stored = steps.reshape(weights.shape)
    _store(graph, op.inputs[WEIGHTS], stored.astype(np.int8))
    return np.asarray(((rows - steps * scale[:, None]) * mean_rows).sum(1), np.float32)


def _sampled_inputs(graph: Graph, op: Operator, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the taps of a layer read at POSITIONS random outputs of each image: float32 (M, taps, C), 0 for padding."""
    if op.kind == "FULLY_CONNECTED":
        return values.reshape(-1, 1, graph.shape(op.inputs[WEIGHTS])[1])
    before, after, kernel = graph.shape(op.inputs[0]), graph.shape(op.outputs[0]), graph.shape(op.inputs[WEIGHTS])[1:3]
    options = graph.options(op)
    strides, dilations = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
    picked = np.stack([rng.permutation(after[1] * after[2])[:POSITIONS] for _ in values])
    padding, at = [(0, 0)], []
    for axis, place in ((0, picked // after[2]), (1, picked % after[2])):
        taps = np.arange(kernel[axis]) * dilations[axis]
        total = max((after[axis + 1] - 1) * strides[axis] + int(taps[-1]) + 1 - before[axis + 1], 0)
        if options.padding == graph.schema.Padding.VALID:
            total = 0
        padding.append((total // 2, total - total // 2))
        at.append(place[..., None] * strides[axis] + taps)  # (N, positions, taps along the axis)
    padded = np.pad(values, [*padding, (0, 0)])
    images = np.arange(len(values))[:, None, None, None]
    windows = padded[images, at[0][..., :, None], at[1][..., None, :]]  # (N, positions, kh, kw, C)
    return windows.reshape(-1, kernel[0] * kernel[1], values.shape[3])


class _Tensors:
    """The tensors of a model on N images, computed operator by operator with the weights that it has by then."""

    def __init__(self, graph: Graph, images: np.ndarray) -> None:
        self._graph = graph
        classifier = Classifier(graph.to_bytes())  # its input table
        pictures = np.repeat(classifier.input_values[images][..., None], classifier.channels, axis=3)
        self._stored = {graph.inputs[0]: pictures}

    def values(self, tensor: int) -> np.ndarray:
        """A tensor as float32 (N, …), in its own units."""
        stored, q = self._stored[tensor], self._graph.tensor(tensor).quantization
        if stored.dtype == np.float32:
            return stored
        return (stored.astype(np.float32) - np.float32(q.zeroPoint[0])) * np.float32(q.scale[0])

    def compute(self, op: Operator) -> None:
        """Computes the outputs of an operator, and forgets tensors that no later one reads."""
        read = [t for t in dict.fromkeys(op.inputs) if t in self._stored]
        part, index = extract_part(self._graph, [op], read, op.outputs)
        interpreter = make_reading_interpreter(part.to_bytes())
        found: dict[int, list[np.ndarray]] = {t: [] for t in op.outputs}
        for rows in zip(*(self._stored[t] for t in read), strict=True):
            for t, row in zip(read, rows, strict=True):
                interpreter.set_tensor(index[t], row.reshape(self._graph.shape(t)))
            interpreter.invoke()
            for t in op.outputs:
                found[t].append(interpreter.get_tensor(index[t]))
        self._stored.update({t: np.concatenate(values) for t, values in found.items()})
        for t in read:
            if all(reader.number <= op.number for reader in self._graph.consumers(t)):
                del self._stored[t]


def _is_int8_layer(graph: Graph, op: Operator) -> bool:
    if op.kind not in CHANNEL_AXIS or not graph.is_constant(op.inputs[WEIGHTS]):
        return False
    tensor = graph.tensor(op.inputs[WEIGHTS])
    return bool(tensor.type == graph.schema.TensorType.INT8) and not graph.is_float(op.inputs[0])


def _store_biases(graph: Graph, op: Operator, biases: np.ndarray) -> None:
    scale = np.asarray(graph.tensor(op.inputs[BIASES]).quantization.scale, np.float64)
    limits = np.iinfo(np.int32)
    _store(graph, op.inputs[BIASES], np.clip(np.rint(biases / scale), limits.min, limits.max).astype(np.int32))


def _store(graph: Graph, tensor: int, values: np.ndarray) -> None:
    """Gives a constant tensor new values; other tensors that shared the old ones keep them."""
    graph.tensor(tensor).buffer = graph.add_buffer(values)
