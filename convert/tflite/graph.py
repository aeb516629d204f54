"""The graph of a TFLite file as one value: its operators under readable names, their order, and weights that can be replaced.

A `Graph` is parsed once and handed from pass to pass; `to_bytes` serializes it for an interpreter. The first subgraph is
meant wherever the text says graph.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from convert.tflite.flatbuffer import parse, serialize, tflite_schema
from fer_edge.errors import UsageError

# Operators with weights, and the axis of the output channels in their weights.
CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
WEIGHTS, BIASES = 1, 2  # the input slots of these operators
NO_ACTIVATION, RELU = 0, 1  # values of the schema's ActivationFunctionType
_SHORT_NAMES = {
    "CONV_2D": "conv",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "dense",
    "MAX_POOL_2D": "max_pool",
    "AVERAGE_POOL_2D": "average_pool",
}
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")  # at the ends of a file, and around a layer that stays float
# The part of a tensor's name that says which Keras layer it is of: "fer_1/conv2d_3_1/convolution;fer_1/batch_…"
_KERAS_SUFFIX = {
    "CONV_2D": "convolution|Conv2D",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "MatMul|BiasAdd|Add",
    "ADD": "Add|add|AddV2",
}


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: its place in running order, its kind (CONV_2D), and its name among its kind (conv_3).

    `inputs` and `outputs` are indices of tensors; −1 is an input left out.
    """

    number: int
    kind: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    activation: int  # the fused one: NO_ACTIVATION, RELU or another value of the schema


class Graph:
    """A TFLite model, parsed; `name` is for messages.

    Raises BundleRefused when `content` is not a TFLite file, or a damaged one.
    """

    def __init__(self, content: bytes, name: str = "the TFLite file") -> None:
        self.schema = tflite_schema()
        self.name = name
        self.model = parse(content, name)

    @property
    def subgraph(self) -> Any:
        """The schema's object of the one subgraph. Raises UsageError when the file holds several (control flow)."""
        if len(self.model.subgraphs) != 1:
            raise UsageError(
                f"{self.name} holds {len(self.model.subgraphs)} graphs (control flow); only one graph is supported"
            )
        return self.model.subgraphs[0]

    @cached_property
    def operators(self) -> list[Operator]:
        """The operators in running order."""
        counts: dict[str, int] = {}
        found = []
        for number, op in enumerate(self.subgraph.operators):
            kind = self.kind(op)
            counts[kind] = counts.get(kind, 0) + 1
            name = f"{_SHORT_NAMES.get(kind, kind.lower())}_{counts[kind]}"
            activation = int(getattr(op.builtinOptions, "fusedActivationFunction", NO_ACTIVATION) or NO_ACTIVATION)
            inputs, outputs = (tuple(map(int, ends)) for ends in (op.inputs, op.outputs))
            found.append(Operator(number, kind, name, inputs, outputs, activation))
        return found

    @property
    def inputs(self) -> tuple[int, ...]:
        """The indices of the graph's input tensors."""
        return tuple(map(int, self.subgraph.inputs))

    @property
    def outputs(self) -> tuple[int, ...]:
        """The indices of the graph's output tensors."""
        return tuple(map(int, self.subgraph.outputs))

    @cached_property
    def _builtin_names(self) -> dict[int, str]:
        builtin = vars(self.schema.BuiltinOperator)
        return {value: name for name, value in builtin.items() if isinstance(value, int)}

    def kind(self, op: Any) -> str:
        """The kind of a schema's operator, CONV_2D or the name of a custom one."""
        return self.code_name(self.model.operatorCodes[op.opcodeIndex])

    def code_name(self, code: Any) -> str:
        """The name of a schema's operator code."""
        value = builtin_code(code)
        return (
            code.customCode.decode("utf-8", "replace")
            if code.customCode
            else self._builtin_names.get(value, f"number {value}")
        )

    def producer(self, tensor: int) -> Operator | None:
        """The operator whose output a tensor is; None for inputs and constants."""
        return next((op for op in self.operators if tensor in op.outputs), None)

    def consumers(self, tensor: int) -> list[Operator]:
        """The operators that read a tensor."""
        return [op for op in self.operators if tensor in op.inputs]

    def layers(self) -> Iterator[Operator]:
        """The operators that compute something, in running order; QUANTIZE and DEQUANTIZE are left out."""
        return (op for op in self.operators if op.kind not in _CONVERSIONS)

    def tensor(self, index: int) -> Any:
        """The schema's object of a tensor."""
        return self.subgraph.tensors[index]

    def options(self, op: Operator) -> Any:
        """The schema's options of an operator: strides, padding and the like."""
        return self.subgraph.operators[op.number].builtinOptions

    def shape(self, index: int) -> tuple[int, ...]:
        """A tensor's shape."""
        shape = self.tensor(index).shape
        return () if shape is None else tuple(int(n) for n in shape)

    def is_float(self, index: int) -> bool:
        """Whether a tensor holds float32."""
        return bool(self.tensor(index).type == self.schema.TensorType.FLOAT32)

    def is_constant(self, index: int) -> bool:
        """Whether a tensor's values are in the file."""
        return self.model.buffers[self.tensor(index).buffer].data is not None

    def activations(self) -> list[int]:
        """The float tensors that depend on the image, in running order, the input first."""
        computed = [tensor for op in self.operators for tensor in op.outputs]
        return [t for t in (*self.inputs, *computed) if self.is_float(t) and not self.is_constant(t)]

    def constant(self, op: Operator, slot: int) -> np.ndarray | None:
        """The weights or biases of an operator as float32, whatever they are stored as; None where it has none.

        A stored scale and zero point are applied, so that int8 weights and int32 biases come out in the layer's own units.
        """
        index = op.inputs[slot] if slot < len(op.inputs) else -1
        if index < 0 or not self.is_constant(index):
            return None
        tensor = self.tensor(index)
        types = self.schema.TensorType
        kinds = {types.FLOAT32: np.float32, types.INT8: np.int8, types.INT32: np.int32, types.FLOAT16: np.float16}
        if tensor.type not in kinds:
            return None
        raw = np.asarray(self.model.buffers[tensor.buffer].data, np.uint8).tobytes()
        values = np.frombuffer(raw, kinds[tensor.type]).reshape(self.shape(index))
        q = tensor.quantization
        if q is None or q.scale is None or not len(q.scale):
            return values.astype(np.float32)
        along = [1] * values.ndim
        along[q.quantizedDimension if len(q.scale) > 1 else 0] = -1
        scale, zero_point = np.asarray(q.scale, np.float64).reshape(along), np.asarray(q.zeroPoint).reshape(along)
        return ((values.astype(np.float64) - zero_point) * scale).astype(np.float32)

    def set_constant(self, op: Operator, slot: int, values: np.ndarray) -> None:
        """Gives an operator float32 weights or biases of its own; other operators that shared the old ones keep them."""
        index = op.inputs[slot] if slot < len(op.inputs) else -1
        tensor = copy.copy(self.tensor(index if index >= 0 else op.inputs[WEIGHTS]))
        tensor.name = f"{op.name}/{('input', 'weights', 'biases')[slot]}".encode()
        tensor.type, tensor.quantization = self.schema.TensorType.FLOAT32, None
        tensor.shape, tensor.shapeSignature = list(values.shape), None
        tensor.buffer = self.add_buffer(np.ascontiguousarray(values, np.float32))
        inputs = [*op.inputs, *([-1] * (slot + 1 - len(op.inputs)))]
        inputs[slot] = self.add_tensor(tensor)
        self.subgraph.operators[op.number].inputs = inputs
        self.operators[op.number] = Operator(op.number, op.kind, op.name, tuple(inputs), op.outputs, op.activation)

    def keras_layer_names(self, known: Sequence[str] = ()) -> dict[int, str | None]:
        """The Keras layer that each operator comes from, by the operator's number, as tensor names say; None where they do not.

        TensorFlow may number all scopes of a traced model once more, `conv2d_3_1` for the layer `conv2d_3`: `known` layer
        names tell the two apart.
        """
        scopes = {op.number: self._keras_scope(op) for op in self.layers()}
        shorter = {scope: scope.rpartition("_")[0] for scope in scopes.values() if scope}
        if known and set(shorter.values()) <= set(known):
            return {number: scope and shorter[scope] for number, scope in scopes.items()}
        return dict(scopes)

    def _keras_scope(self, op: Operator) -> str | None:
        names = [self.tensor(t).name or b"" for t in (*op.outputs, *op.inputs[1:]) if t >= 0]
        parts = b";".join(names).decode().split(";")
        found = (re.search(rf"([^/]+)/(?:{_KERAS_SUFFIX.get(op.kind, '[^/]+')})\d*$", part) for part in parts)
        return next((match.group(1) for match in found if match), None)

    def add_buffer(self, values: np.ndarray) -> int:
        """Stores values in the file and returns the index of their buffer."""
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def add_tensor(self, tensor: Any) -> int:
        """Adds a tensor of the schema and returns its index."""
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def copy(self) -> Graph:
        """A copy that shares the arrays of weights; `set_constant` replaces arrays and does not change them."""
        other = copy.copy(self)
        other.__dict__.pop("operators", None)
        shared = {id(buffer.data): buffer.data for buffer in self.model.buffers if buffer.data is not None}
        other.model = copy.deepcopy(self.model, shared)
        return other

    def changed(self) -> None:
        """Discards the cached operators after `subgraph` was edited."""
        self.__dict__.pop("operators", None)

    def to_bytes(self) -> bytes:
        """The TFLite file of the graph as it is now."""
        return serialize(self.model)


def builtin_code(code: Any) -> int:
    """The number of a schema's operator code; the older of its two fields holds numbers up to 127 only."""
    return max(code.builtinCode, code.deprecatedBuiltinCode)
