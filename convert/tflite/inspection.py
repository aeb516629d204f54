"""The contents of a TFLite model: operators, their types and versions, parameters, multiply-adds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from convert.tflite.graph import Graph, builtin_code

# Where multiply-adds are counted. Elementwise work, pooling and activations are not, as is usual.
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
_HUGE = 1e30  # the converter writes float32's largest number, 3e38, for an infinite weight


class OperatorTypes(NamedTuple):
    """The kind of an operator (CONV_2D), then the types of its inputs and outputs (int8, int32, …)."""

    name: str
    dtypes: tuple[str, ...]


def operator_types(graph: Graph) -> list[OperatorTypes]:
    """Every operator in running order, with the types that it reads and writes; of all subgraphs."""
    types = {v: name.lower() for name, v in vars(graph.schema.TensorType).items() if isinstance(v, int)}
    found = []
    for subgraph in graph.model.subgraphs:
        for op in subgraph.operators:
            used = [i for i in (*op.inputs, *op.outputs) if i >= 0]
            found.append(OperatorTypes(graph.kind(op), tuple(types[subgraph.tensors[i].type] for i in used)))
    return found


def operator_versions(graph: Graph) -> dict[str, int]:
    """The kinds of operators, each with the version that a runtime must have; custom ones under their own names."""
    found: dict[str, int] = {}
    for code in graph.model.operatorCodes:
        name = graph.code_name(code)
        found[name] = max(found.get(name, 1), int(code.version))
    return found


def custom_operators(graph: Graph) -> list[str]:
    """The operators that TFLite does not have; those named Flex… are TensorFlow's."""
    custom = graph.schema.BuiltinOperator.CUSTOM
    codes = (c for c in graph.model.operatorCodes if c.customCode or builtin_code(c) == custom)
    return sorted({code.customCode.decode("utf-8", "replace") if code.customCode else "CUSTOM" for code in codes})


def nonfinite_tensors(graph: Graph) -> list[str]:
    """The names of the tensors whose weights, or scales, are not all finite numbers."""
    floats = {graph.schema.TensorType.FLOAT32: np.float32, graph.schema.TensorType.FLOAT16: np.float16}
    found = []
    for subgraph in graph.model.subgraphs:
        for tensor in subgraph.tensors:
            data, scale = graph.model.buffers[tensor.buffer].data, tensor.quantization and tensor.quantization.scale
            values = [] if scale is None else [np.asarray(scale)]
            if data is not None and tensor.type in floats:
                kind = np.dtype(floats[tensor.type])
                stored = np.asarray(data, np.uint8)
                values.append(
                    stored[: len(stored) // kind.itemsize * kind.itemsize].view(kind)
                )  # whole ones, if damaged
            if not all((np.abs(v.astype(np.float32)) < _HUGE).all() for v in values):  # false for NaN too
                found.append((tensor.name or b"unnamed").decode())
    return found


def parameter_count(graph: Graph) -> int:
    """The number of weights and biases; folded batch normalisation is not counted."""
    types = graph.schema.TensorType
    total = 0
    for subgraph in graph.model.subgraphs:
        read = {int(i) for op in subgraph.operators for i in op.inputs if i >= 0}
        for tensor in (subgraph.tensors[i] for i in read):
            if graph.model.buffers[tensor.buffer].data is None:
                continue
            # whole numbers without a scale are axes and shapes, not weights
            is_float = tensor.type in (types.FLOAT32, types.FLOAT16, types.FLOAT64)
            if is_float or (tensor.quantization is not None and tensor.quantization.scale is not None):
                total += _size(tensor.shape)
    return total


def multiply_adds(graph: Graph) -> int:
    """The multiply-adds of convolutions and dense layers for one image."""
    total = 0
    for subgraph in graph.model.subgraphs:
        for op in subgraph.operators:
            kind = graph.kind(op)
            if kind not in _WEIGHTED:
                continue
            weights = _size(subgraph.tensors[op.inputs[1]].shape)
            positions = subgraph.tensors[op.outputs[0]].shape  # (B, H, W, C), or (B, K) of a dense layer
            if kind == "TRANSPOSE_CONV":
                positions = subgraph.tensors[op.inputs[2]].shape
            total += weights * _size(positions[:-1])
    return total


def arithmetic(graph: Graph) -> str:
    """The arithmetic of the model: "int8", "float32", or "int8 and float32" if it has both."""
    kinds = {dtype for op in operator_types(graph) for dtype in op.dtypes} - {"int32", "int64", "bool"}
    return " and ".join(sorted(kinds, key=lambda kind: ("float" in kind, kind)))


def _size(shape: Any) -> int:
    size = 1
    for n in shape:
        size *= max(1, int(n))
    return size
