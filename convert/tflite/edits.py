"""Edits of a TFLite graph: removing a final softmax, prepending a gray input, inserting int8 steps, extracting a part."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from convert.tflite.compaction import remove_unused
from convert.tflite.graph import Graph, Operator


def remove_final_softmax(graph: Graph) -> bool:
    """Removes a float SOFTMAX at the end, so that the output is logits; returns whether there was one."""
    last = graph.producer(graph.outputs[0])
    if last is None or last.kind != "SOFTMAX" or len(graph.outputs) != 1 or not graph.is_float(last.inputs[0]):
        return False
    _end_before(graph, last.number, last.inputs[0], last.outputs[0])
    return True


def _end_before(graph: Graph, number: int, tensor: int, old: int) -> None:
    del graph.subgraph.operators[number]
    graph.subgraph.outputs = [tensor]
    for signature in graph.model.signatureDefs or []:
        for end in signature.outputs:
            end.tensorIndex = tensor if end.tensorIndex == old else end.tensorIndex
    graph.changed()


def extract_part(
    graph: Graph, operators: Sequence[Operator], inputs: Sequence[int], outputs: Sequence[int]
) -> tuple[Graph, dict[int, int]]:
    """A model of some operators only, from tensors `inputs` to `outputs`; and each tensor's new index by its old one."""
    part = graph.copy()
    part.subgraph.operators = [part.subgraph.operators[op.number] for op in operators]
    part.subgraph.inputs, part.subgraph.outputs = list(inputs), list(outputs)
    part.model.signatureDefs = None
    part.changed()
    return part, remove_unused(part)


def prepend_gray_input(graph: Graph, pixels: tuple[float, float]) -> None:
    """Puts a 1×1 convolution in front that turns raw gray, 0 to 255, into what the graph expects.

    `pixels` are its values for 0 and 255; where it takes three channels, each becomes the gray. The new input is float32
    (1, side, side, 1).
    """
    schema, (entry,) = graph.schema, graph.inputs
    _, side, _, channels = graph.shape(entry)
    low, high = pixels
    scale = np.full((channels, 1, 1, 1), (high - low) / 255, np.float32)

    def tensor(name: bytes, shape: tuple[int, ...], values: np.ndarray | None = None) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.type = name, list(shape), schema.TensorType.FLOAT32
        made.buffer = 0 if values is None else graph.add_buffer(values)
        return graph.add_tensor(made)

    gray = tensor(b"gray", (1, side, side, 1))
    weights = tensor(b"gray_to_input/weights", scale.shape, scale)
    biases = tensor(b"gray_to_input/biases", (channels,), np.full(channels, low, np.float32))
    options = schema.Conv2DOptionsT()
    options.strideH = options.strideW = 1
    options.padding = schema.Padding.VALID
    op = operator(graph, schema.BuiltinOperator.CONV_2D, 1, [gray, weights, biases], [entry])
    op.builtinOptionsType, op.builtinOptions = schema.BuiltinOptions.Conv2DOptions, options
    graph.subgraph.operators.insert(0, op)
    graph.subgraph.inputs = [gray]
    for signature in graph.model.signatureDefs or []:
        for end in signature.inputs:
            end.tensorIndex = gray if end.tensorIndex == entry else end.tensorIndex
    graph.changed()


def insert_int8_steps(graph: Graph, index: int, scale: float, zero_point: int) -> None:
    """Rounds a float tensor to int8's steps for all that read it: a QUANTIZE and a DEQUANTIZE behind its producer."""
    producer = graph.producer(index)
    assert producer is not None, "an operator's output"
    builtin = graph.schema.BuiltinOperator
    stored, restored = copy.copy(graph.tensor(index)), copy.copy(graph.tensor(index))
    stored.name, restored.name = b"stored", b"restored"
    stored.type, stored.quantization = graph.schema.TensorType.INT8, graph.schema.QuantizationParametersT()
    stored.quantization.scale = np.array([scale], np.float32)
    stored.quantization.zeroPoint = np.array([zero_point], np.int64)
    q, end = graph.add_tensor(stored), graph.add_tensor(restored)
    for op in graph.subgraph.operators:
        op.inputs = [end if t == index else t for t in op.inputs]
    graph.subgraph.outputs = [end if t == index else t for t in graph.subgraph.outputs]
    for signature in graph.model.signatureDefs or []:
        for output in signature.outputs:
            output.tensorIndex = end if output.tensorIndex == index else output.tensorIndex
    graph.subgraph.operators[producer.number + 1 : producer.number + 1] = [
        operator(graph, builtin.QUANTIZE, 1, [index], [q]),
        operator(graph, builtin.DEQUANTIZE, 2, [q], [end]),
    ]
    graph.changed()


def operator(graph: Graph, code: int, version: int, inputs: list[int], outputs: list[int]) -> Any:
    """A new operator of the schema, not yet in the graph, with an operator code of its own."""
    operator_code, op = graph.schema.OperatorCodeT(), graph.schema.OperatorT()
    operator_code.builtinCode, operator_code.deprecatedBuiltinCode = code, min(code, 127)
    operator_code.version = version
    graph.model.operatorCodes.append(operator_code)
    op.opcodeIndex, op.inputs, op.outputs = len(graph.model.operatorCodes) - 1, inputs, outputs
    return op
