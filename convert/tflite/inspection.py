"""From a Keras file to TFLite in memory, and what a TFLite file holds, counted from the file itself."""

from __future__ import annotations

from typing import Any, NamedTuple

from convert.tflite.flatbuffer import parse

# Where multiply-adds are done. Elementwise work, pooling and activations are not counted, as is usual.
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_WEIGHTED = (*_CONVOLUTIONS, "FULLY_CONNECTED", "TRANSPOSE_CONV")

_HUGE = 1e30  # the converter writes float32's largest number, 3e38, for an infinite weight


class Operator(NamedTuple):
    """One operator of a TFLite file: its name (CONV_2D), then the types of its inputs and outputs (int8, int32, …)."""

    name: str
    dtypes: tuple[str, ...]


def operators(content: bytes) -> list[Operator]:
    """Every operator of a TFLite file in running order, with the types it reads and writes."""
    schema, model = parse(content)
    names, types = _by_value(schema.BuiltinOperator), _by_value(schema.TensorType)
    found = []
    for graph in model.subgraphs:
        for op in graph.operators:
            used = [i for i in (*op.inputs, *op.outputs) if i >= 0]
            dtypes = tuple(types[graph.tensors[i].type].lower() for i in used)
            found.append(Operator(_name(model.operatorCodes[op.opcodeIndex], names), dtypes))
    return found


def versions_of(content: bytes) -> dict[str, int]:
    """The operators of a TFLite file, each with the version that a runtime must have; custom ones by their own names."""
    schema, model = parse(content)
    names = _by_value(schema.BuiltinOperator)
    found: dict[str, int] = {}
    for code in model.operatorCodes:
        name = _name(code, names)
        found[name] = max(found.get(name, 1), int(code.version))
    return found


def custom_of(content: bytes) -> list[str]:
    """The operators of a TFLite file that are none of TFLite's own; those called Flex… are TensorFlow's."""
    schema, model = parse(content)
    custom = schema.BuiltinOperator.CUSTOM
    found = {_name(c, {custom: "CUSTOM"}) for c in model.operatorCodes if c.customCode or _builtin(c) == custom}
    return sorted(found)


def not_finite_of(content: bytes) -> list[str]:
    """The names of a TFLite file's tensors whose weights, or scales, are not all finite numbers."""
    import numpy as np

    schema, model = parse(content)
    floats = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.FLOAT16: np.float16}
    found = []
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data, scale = model.buffers[tensor.buffer].data, tensor.quantization and tensor.quantization.scale
            values = [] if scale is None else [np.asarray(scale)]
            if data is not None and tensor.type in floats:
                values.append(np.asarray(data, np.uint8).view(floats[tensor.type]))
            if not all((np.abs(v.astype(np.float32)) < _HUGE).all() for v in values):  # not so of nan either
                found.append((tensor.name or b"unnamed").decode())
    return found


def parameters_of(content: bytes) -> int:
    """How many weights and biases a TFLite file holds; batch normalisation that was folded into them is not counted."""
    schema, model = parse(content)
    types = _by_value(schema.TensorType)
    total = 0
    for graph in model.subgraphs:
        read = {int(i) for op in graph.operators for i in op.inputs if i >= 0}
        for tensor in (graph.tensors[i] for i in read):
            if model.buffers[tensor.buffer].data is None:
                continue
            # whole numbers without a scale are axes and shapes, not weights
            if "FLOAT" in types[tensor.type] or (
                tensor.quantization is not None and tensor.quantization.scale is not None
            ):
                total += _size(tensor.shape)
    return total


def multiply_adds_of(content: bytes) -> int:
    """Multiply-adds of one image's convolutions and dense layers in a TFLite file."""
    schema, model = parse(content)
    names = _by_value(schema.BuiltinOperator)
    total = 0
    for graph in model.subgraphs:
        for op in graph.operators:
            name = _name(model.operatorCodes[op.opcodeIndex], names)
            if name not in _WEIGHTED:
                continue
            weights = _size(graph.tensors[op.inputs[1]].shape)
            places = graph.tensors[op.outputs[0]].shape  # (B, H, W, C), or (B, K) of a dense layer
            if name == "TRANSPOSE_CONV":
                places = graph.tensors[op.inputs[2]].shape
            total += weights * _size(places[:-1])
    return total


def _by_value(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _name(code: Any, names: dict[int, str]) -> str:
    return code.customCode.decode() if code.customCode else names.get(_builtin(code), f"number {_builtin(code)}")


def _builtin(code: Any) -> int:
    return max(code.builtinCode, code.deprecatedBuiltinCode)  # the older field holds codes up to 127 only


def _size(shape: Any) -> int:
    size = 1
    for n in shape:
        size *= max(1, int(n))
    return size
