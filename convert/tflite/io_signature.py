"""Inputs and outputs of a TFLite model: the range of its pixels, and logits or probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convert.tflite.graph import Graph, Operator
from fer_edge.bundle_spec import OutputSpec
from fer_edge.classifier import RAW_RANGE, Classifier, make_interpreter
from fer_edge.errors import UsageError

PIXELS = ((0.0, 1.0), (-1.0, 1.0), RAW_RANGE)  # the ranges that are recognised from the scale of an input tensor
# operators that keep the meaning of values; TFLite has no Identity, which the converter leaves out
_PASS_ON = ("QUANTIZE", "DEQUANTIZE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "CAST")


def pixels_of(content: bytes, path: Path) -> tuple[float, float]:
    """Returns the input values for the pixel values 0 and 255, from the input's scale; 0 and 255 if it is floating point.

    Raises UsageError when the range is none of PIXELS.
    """
    (details, *_) = make_interpreter(content).get_input_details()
    scale, zero_point = details["quantization"]
    if not scale:
        return RAW_RANGE
    limits = np.iinfo(details["dtype"])
    reach = np.array([limits.min - zero_point, limits.max - zero_point]) * scale
    for known in PIXELS:
        if np.abs(reach - known).max() <= 0.02 * (known[1] - known[0]):
            return known
    low, high = reach
    raise UsageError(
        f"the input range of {path} is {low:.4g} to {high:.4g}, not 0 to 1, -1 to 1 or 0 to 255; name the input values for the"
        " pixel values 0 and 255 with --input-range LOW,HIGH"
    )


def require_one_picture(
    path: Path, inputs: Sequence[tuple[int | None, ...]], outputs: Sequence[tuple[int | None, ...]]
) -> None:
    """Raises UsageError when the shapes are not those of a classifier of one square picture; None is any batch size."""
    if (len(inputs), len(outputs)) != (1, 1):
        raise UsageError(f"{path} has {len(inputs)} inputs and {len(outputs)} outputs, not one of each")
    (entry,), (end,) = inputs, outputs
    shape = entry[1:]
    if len(shape) != 3 or None in shape or shape[0] != shape[1] or shape[2] not in (1, 3):
        raise UsageError(
            f"the input shape of {path} is {entry}, not that of one square picture of a fixed size with one or three channels,"
            " (None, side, side, 1) or (None, side, side, 3)"
        )
    if len(end) != 2 or end[1] is None:
        raise UsageError(f"the output shape of {path} is {end}, not one number for each class, (None, classes)")


def output_of(graph: Graph, model: Classifier, images: np.ndarray, path: Path) -> OutputSpec:
    """The output of the graph that `model` runs; `path` is named in errors.

    It is probabilities if the last operator, apart from reshapes and conversions, is a SOFTMAX, or if the outputs for `images`
    are 0 or more and sum to 1, as those of an average of two softmaxes do: each within 2 steps of the last quantized tensor.
    Raises UsageError when the last operator is a sigmoid, whose outputs are no distribution over the classes.
    """
    last = _last_operation(graph)
    step = last_quantized_scale(graph) or 0.0
    if last is not None and last.kind == "LOGISTIC":
        raise UsageError(
            f"{path} ends in a sigmoid: its outputs are independent of each other and do not sum to 1; build the model with a"
            " softmax, or with logits, at its end"
        )
    if last is None or last.kind != "SOFTMAX":
        outputs = model.outputs(images)
        rounding = max(1e-3, 2 * step * model.classes)
        if (outputs < 0).any() or (np.abs(outputs.sum(1) - 1) > rounding).any():
            return OutputSpec("logits")
    # the step of an integer output tensor is read from the tensor itself
    return OutputSpec("probabilities", step / 2 if step and model.output_range is None else None)


def last_quantized_scale(graph: Graph) -> float | None:
    """The scale of the output tensor, or of the tensor that it was dequantized from; None where it is computed in float."""
    tensor = graph.outputs[0]
    while (scale := _scale_of(graph, tensor)) is None:
        producer = graph.producer(tensor)
        if producer is None or producer.kind not in _PASS_ON:
            return None
        tensor = producer.inputs[0]
    return scale


def _scale_of(graph: Graph, tensor: int) -> float | None:
    found = graph.tensor(tensor)
    if graph.is_float(tensor) or found.quantization is None or found.quantization.scale is None:
        return None
    return float(found.quantization.scale[0])


def _last_operation(graph: Graph) -> Operator | None:
    """The last operator apart from reshapes and conversions; None in a file of several graphs."""
    if len(graph.model.subgraphs) != 1:
        return None
    last = graph.producer(graph.outputs[0])
    while last is not None and last.kind in _PASS_ON:
        last = graph.producer(last.inputs[0])
    return last
