"""What a TFLite file takes and gives at its two ends: one image, pixels of a range, logits or probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert.tflite import parse
from fer_edge.classifier import RAW, Classifier, make_interpreter
from fer_edge.errors import BundleRefused, UsageError

PIXELS = ((0.0, 1.0), (-1.0, 1.0), RAW)  # the ranges that an input's own scale can be told by


def single(content: bytes, path: Path) -> bytes:
    """The same TFLite file for one image at a time; its own bytes where it takes one already.

    Raises UsageError when the batch is built into the graph by more than a RESHAPE.
    """
    import flatbuffers

    schema, model = parse(content)
    graph = model.subgraphs[0]
    shape = graph.tensors[graph.inputs[0]].shape
    batch = 1 if shape is None or len(shape) != 4 else int(shape[0])
    if batch == 1:
        return content
    for tensor in graph.tensors:
        tensor.shapeSignature = None
    for i in (*graph.inputs, *graph.outputs):
        graph.tensors[i].shape = [1, *graph.tensors[i].shape[1:]]
    for op in graph.operators:
        if model.operatorCodes[op.opcodeIndex].builtinCode != schema.BuiltinOperator.RESHAPE or len(op.inputs) < 2:
            continue
        buffer = model.buffers[graph.tensors[op.inputs[1]].buffer]
        to = None if buffer.data is None else np.array(buffer.data, np.uint8).view(np.int32)
        if to is not None and to[0] == batch:
            to[0], op.builtinOptions = 1, None
            buffer.data = to.view(np.uint8)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    made = bytes(builder.Output())
    try:
        if not np.allclose(_answer(content), _answer(made), rtol=1e-4, atol=1e-4):
            raise BundleRefused("it answers otherwise with another batch")
    except (BundleRefused, RuntimeError, ValueError) as error:
        raise UsageError(
            f"{path} takes {batch} images at a time and cannot be made to take one; convert it again with a batch of 1"
        ) from error
    return made


def _answer(content: bytes) -> np.ndarray:
    """What a TFLite file says of the first of as many images as it takes, all of the same noise: float64 (K,)."""
    interpreter = make_interpreter(content)
    (given, *_), (said, *_) = interpreter.get_input_details(), interpreter.get_output_details()
    noise = np.random.default_rng(0).integers(0, 100, given["shape"][1:]).astype(given["dtype"])
    interpreter.set_tensor(given["index"], np.repeat(noise[None], given["shape"][0], axis=0))
    interpreter.invoke()
    answer: np.ndarray = interpreter.get_tensor(said["index"])[0].astype(np.float64)
    return answer


def pixels_of(content: bytes, path: Path) -> tuple[float, float]:
    """What 0 and 255 of a pixel are to a TFLite file, as its input's scale tells; 0 and 255 where that is floating point.

    Raises UsageError when the input stands for another range than one of PIXELS.
    """
    (details, *_) = make_interpreter(content).get_input_details()
    scale, zero = details["quantization"]
    if not scale:
        return RAW
    limits = np.iinfo(details["dtype"])
    reach = np.array([limits.min - zero, limits.max - zero]) * scale
    for known in PIXELS:
        if np.abs(reach - known).max() <= 0.02 * (known[1] - known[0]):
            return known
    low, high = reach
    raise UsageError(
        f"the input of {path} stands for {low:.4g} to {high:.4g}, not for 0 to 1, -1 to 1 or 0 to 255; say what 0 and 255 of"
        " a pixel are to it with --input-range LOW,HIGH"
    )


def output_of(model: Classifier, images: np.ndarray) -> str:
    """Whether a model gives "probabilities", which are 0 or more and add up to 1 for every image, or "logits"."""
    said = model.outputs(images)
    rounding = max(1e-3, model.classes * model.tiny)
    sums = np.abs(said.sum(1) - 1) <= rounding
    return "probabilities" if (said >= 0).all() and sums.all() else "logits"
