"""Range refinement: the range of each activation that gives the model's outputs the least squared error.

The range search judges a tensor by its own values. How far an error reaches the outputs depends on all layers that follow, so
here one tensor at a time is rounded in an otherwise float model, and its range is moved while that brings the outputs nearer
to those of float. Errors of different tensors hardly depend on each other, so that each has its own search.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convert.quantize.range_search import Range, round_to_int8, tensors_of_one_scale
from convert.quantize.tensor_statistics import TensorReader
from convert.tflite.edits import extract_part
from convert.tflite.graph import Graph
from fer_edge.classifier import make_interpreter

IMAGES = 64  # more change the ranges little
STEP = 1.15  # factor by which an end of a range is moved
_FIXED = (
    "SOFTMAX",
    "LOGISTIC",
    "TANH",
    "LOG_SOFTMAX",
    "L2_NORMALIZATION",
)  # the runtime prescribes their output's range
_LEAST_GAIN = 0.97  # of the error: smaller changes are chance


def refine_ranges(graph: Graph, ranges: dict[int, Range], images: np.ndarray) -> dict[int, Range]:
    """The `ranges` of a float model's activations, by the tensor's index, after the search; the input's is unchanged.

    `images` are uint8 (N, side, side); IMAGES of them, evenly spaced, are used.
    """
    chosen = images[np.linspace(0, len(images) - 1, min(IMAGES, len(images))).astype(int)]
    reader = TensorReader(graph.to_bytes())
    values = [reader.read(image, graph.activations()) for image in chosen]
    refined = dict(ranges)
    for tied in tensors_of_one_scale(graph):
        producer = graph.producer(tied[0])
        if producer is None or producer.kind in _FIXED or set(tied) & {*graph.inputs, *graph.outputs}:
            continue
        error = _output_error(graph, tied[0], values)
        refined.update(dict.fromkeys(tied, _descend(ranges[tied[0]], error)))
    return refined


def _descend(start: Range, error: Callable[[Range], float]) -> Range:
    """Moves each end of a range inwards or outwards by STEP while the error falls."""
    best, least = start, error(start)
    for end in (1, 0):
        for factor in (STEP, 1 / STEP):
            moved = False
            while best[end]:
                ends = list(best)
                ends[end] *= factor
                now = error((ends[0], ends[1]))
                if now > _LEAST_GAIN * least:
                    break
                best, least, moved = (ends[0], ends[1]), now, True
            if moved:
                break
    return best


def _output_error(graph: Graph, tensor: int, values: list[dict[int, np.ndarray]]) -> Callable[[Range], float]:
    """The mean squared error of the outputs as a function of the range to which alone this tensor is rounded.

    `values` has all tensors of the float model, image by image.
    """
    (output,) = graph.outputs
    if tensor == output:
        return lambda r: float(np.mean([(round_to_int8(v[output], *r)[0] - v[output]) ** 2 for v in values]))
    changed = {tensor}
    after = []
    for op in graph.operators:
        if tensor not in op.outputs and changed & set(op.inputs):
            changed |= set(op.outputs)
            after.append(op)
    read = [t for t in dict.fromkeys(t for op in after for t in op.inputs) if t in values[0] and t not in changed]
    suffix, index = extract_part(graph, after, [tensor, *read], [output])
    interpreter = make_interpreter(suffix.to_bytes())

    def error(limits: Range) -> float:
        total = 0.0
        for v in values:
            interpreter.set_tensor(index[tensor], round_to_int8(v[tensor], *limits)[0])
            for t in read:
                interpreter.set_tensor(index[t], v[t])
            interpreter.invoke()
            total += float(np.mean((interpreter.get_tensor(index[output]) - v[output]) ** 2))
        return total / len(values)

    return error
