"""A TFLite model that takes one image at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert.tflite.graph import Graph
from fer_edge.classifier import make_interpreter
from fer_edge.errors import BundleRefused, UsageError


def with_batch_of_one(graph: Graph, path: Path) -> Graph:
    """The same model for one image at a time; `graph` itself where it takes one already. `path` is named in errors.

    Raises UsageError when the batch is built into the graph by more than a RESHAPE.
    """
    subgraph = graph.model.subgraphs[0]
    shape = subgraph.tensors[subgraph.inputs[0]].shape
    batch = 1 if shape is None or len(shape) != 4 else int(shape[0])
    if batch == 1:
        return graph
    single = graph.copy()
    subgraph = single.model.subgraphs[0]
    for tensor in subgraph.tensors:
        tensor.shapeSignature = None
        is_constant = single.model.buffers[tensor.buffer].data is not None
        if not is_constant and tensor.shape is not None and len(tensor.shape) and tensor.shape[0] == batch:
            tensor.shape = [1, *tensor.shape[1:]]
    for op in subgraph.operators:
        if single.kind(op) != "RESHAPE" or len(op.inputs) < 2:
            continue
        buffer = single.model.buffers[subgraph.tensors[op.inputs[1]].buffer]
        target = None if buffer.data is None else np.array(buffer.data, np.uint8).view(np.int32)
        if target is not None and target[0] == batch:
            target[0], op.builtinOptions = 1, None
            buffer.data = target.view(np.uint8)
    try:
        if not np.allclose(_first_output(graph), _first_output(single), rtol=1e-4, atol=1e-4):
            raise BundleRefused("its output is another one with another batch")
    except (BundleRefused, RuntimeError, ValueError) as error:
        raise UsageError(
            f"{path} takes {batch} images at a time and cannot be made to take one; convert it again with a batch of 1"
        ) from error
    return single


def _first_output(graph: Graph) -> np.ndarray:
    """The output for the first image of a batch of equal noise images: float64 (K,)."""
    interpreter = make_interpreter(graph.to_bytes())
    (entry, *_), (end, *_) = interpreter.get_input_details(), interpreter.get_output_details()
    noise = np.random.default_rng(0).integers(0, 100, entry["shape"][1:]).astype(entry["dtype"])
    interpreter.set_tensor(entry["index"], np.repeat(noise[None], entry["shape"][0], axis=0))
    interpreter.invoke()
    output: np.ndarray = interpreter.get_tensor(end["index"])[0].astype(np.float64)
    return output
