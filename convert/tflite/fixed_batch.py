"""A TFLite file that takes exactly one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert.tflite.flatbuffer import parse
from fer_edge.classifier import make_interpreter
from fer_edge.errors import BundleRefused, UsageError


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
