"""The graph of a TFLite file: its operators under readable names, who reads whom, and weights that can be replaced.

`operators`, `maker` and `readers` tell of the file as it was read; `pass_through_int8` and `open_end` come last.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.tflite.flatbuffer import parse
from convert.tflite.inspection import operators
from fer_edge.errors import UsageError

# Operators with weights; the rest of a name in a table, and their channels' axis among the weights' ones.
CHANNELS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
_SPOKEN = {
    "CONV_2D": "conv",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "dense",
    "MAX_POOL_2D": "max_pool",
    "AVERAGE_POOL_2D": "average_pool",
}
_BRIDGES = ("QUANTIZE", "DEQUANTIZE")  # at the ends of a file, and where one layer was left in float
NONE, RELU = 0, 1  # of what may be fused into an operator
# The part of a tensor's name that says which Keras layer it is of: "fer_1/conv2d_3_1/convolution;fer_1/batch_…"
_OF_LAYER = {
    "CONV_2D": "convolution|Conv2D",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "MatMul|BiasAdd|Add",
    "ADD": "Add|add|AddV2",
}


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: its place in running order, its kind (CONV_2D), and its name among its kind (conv_3).

    `inputs` and `outputs` are numbers of tensors; −1 is an input left out.
    """

    number: int
    kind: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    fused: int  # the activation in it: NONE, RELU or another of the schema's numbers


class Graph:
    """The first graph of a TFLite file. Raises BundleRefused when it is none, UsageError when it holds several."""

    def __init__(self, content: bytes) -> None:
        self.schema, self.model = parse(content)
        if len(self.model.subgraphs) != 1:
            raise UsageError(
                f"the TFLite file holds {len(self.model.subgraphs)} graphs (control flow); its layers cannot be told apart"
            )
        self._graph = self.model.subgraphs[0]
        counts: dict[str, int] = {}
        self.operators: list[Operator] = []
        for number, (kind, op) in enumerate(
            zip((o.name for o in operators(content)), self._graph.operators, strict=True)
        ):
            counts[kind] = counts.get(kind, 0) + 1
            name = f"{_SPOKEN.get(kind, kind.lower())}_{counts[kind]}"
            fused = int(getattr(op.builtinOptions, "fusedActivationFunction", NONE) or NONE)
            self.operators.append(
                Operator(number, kind, name, tuple(map(int, op.inputs)), tuple(map(int, op.outputs)), fused)
            )
        self.inputs = tuple(map(int, self._graph.inputs))
        self.outputs = tuple(map(int, self._graph.outputs))

    def maker(self, tensor: int) -> Operator | None:
        """The operator whose output a tensor is; None for inputs and constants."""
        return next((op for op in self.operators if tensor in op.outputs), None)

    def readers(self, tensor: int) -> list[Operator]:
        """The operators that read a tensor."""
        return [op for op in self.operators if tensor in op.inputs]

    def layers(self) -> Iterator[Operator]:
        """The operators that compute something, in running order; what only turns float into int8 or back is none."""
        return (op for op in self.operators if op.kind not in _BRIDGES)

    def tensor(self, index: int) -> Any:
        """The schema's object for a tensor."""
        return self._graph.tensors[index]

    def options(self, op: Operator) -> Any:
        """What the schema keeps of an operator's strides, padding and the like."""
        return self._graph.operators[op.number].builtinOptions

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
        made = [tensor for op in self.operators for tensor in op.outputs]
        return [t for t in (*self.inputs, *made) if self.is_float(t) and not self.is_constant(t)]

    def constant(self, op: Operator, slot: int) -> np.ndarray | None:
        """The weights (slot 1) or biases (slot 2) of an operator as float32, whatever they are stored as; None: none.

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
        form = [1] * values.ndim
        form[q.quantizedDimension if len(q.scale) > 1 else 0] = -1
        scale, zero = np.asarray(q.scale, np.float64).reshape(form), np.asarray(q.zeroPoint).reshape(form)
        return ((values.astype(np.float64) - zero) * scale).astype(np.float32)

    def give(self, op: Operator, slot: int, values: np.ndarray) -> None:
        """Gives an operator float32 weights (slot 1) or biases (slot 2) of its own; what others share stays theirs."""
        index = op.inputs[slot] if slot < len(op.inputs) else -1
        tensor = copy.copy(self.tensor(index if index >= 0 else op.inputs[1]))
        tensor.name = f"{op.name}/{('input', 'weights', 'biases')[slot]}".encode()
        tensor.type, tensor.quantization = self.schema.TensorType.FLOAT32, None
        tensor.shape, tensor.shapeSignature = list(values.shape), None
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values, np.float32).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor.buffer = len(self.model.buffers) - 1
        self._graph.tensors.append(tensor)
        now = [*op.inputs, *([-1] * (slot + 1 - len(op.inputs)))]
        now[slot] = len(self._graph.tensors) - 1
        self._graph.operators[op.number].inputs = now
        self.operators[op.number] = Operator(op.number, op.kind, op.name, tuple(now), op.outputs, op.fused)

    def keras_layers(self, known: Sequence[str] = ()) -> dict[int, str | None]:
        """The Keras layer that each operator was made of, by its number, as names in the file tell; None where they do not.

        A traced model's scopes may all be numbered once more, `conv2d_3_1` for the layer `conv2d_3`: `known` names tell.
        """
        scopes = {op.number: self._scope(op) for op in self.layers()}
        shorter = {scope: scope.rpartition("_")[0] for scope in scopes.values() if scope}
        if known and set(shorter.values()) <= set(known):
            return {number: scope and shorter[scope] for number, scope in scopes.items()}
        return dict(scopes)

    def _scope(self, op: Operator) -> str | None:
        told = [self.tensor(t).name or b"" for t in (*op.outputs, *op.inputs[1:]) if t >= 0]
        parts = b";".join(told).decode().split(";")
        found = (re.search(rf"([^/]+)/(?:{_OF_LAYER.get(op.kind, '[^/]+')})\d*$", part) for part in parts)
        return next((match.group(1) for match in found if match), None)

    def pass_through_int8(self, index: int, scale: float, zero_point: int) -> None:
        """Has whoever reads a float tensor read it rounded to int8's steps: a QUANTIZE and a DEQUANTIZE behind its maker."""
        maker = self.maker(index)
        assert maker is not None, "an operator's output"
        types, wanted = self.schema.TensorType, self.schema.BuiltinOperator
        stored, again = copy.copy(self.tensor(index)), copy.copy(self.tensor(index))
        stored.name, again.name = b"stored", b"again"
        stored.type, stored.quantization = types.INT8, self.schema.QuantizationParametersT()
        stored.quantization.scale = np.array([scale], np.float32)
        stored.quantization.zeroPoint = np.array([zero_point], np.int64)
        self._graph.tensors += [stored, again]
        end = len(self._graph.tensors) - 1
        for op in self._graph.operators:
            op.inputs = [end if t == index else t for t in op.inputs]
        self._graph.outputs = [end if t == index else t for t in self._graph.outputs]
        for signature in self.model.signatureDefs or []:
            for output in signature.outputs:
                output.tensorIndex = end if output.tensorIndex == index else output.tensorIndex
        bridges = []
        for kind, given, made in ((wanted.QUANTIZE, index, end - 1), (wanted.DEQUANTIZE, end - 1, end)):
            code, op = self.schema.OperatorCodeT(), self.schema.OperatorT()
            code.builtinCode = code.deprecatedBuiltinCode = kind
            code.version = 2  # of int8
            self.model.operatorCodes.append(code)
            op.opcodeIndex, op.inputs, op.outputs = len(self.model.operatorCodes) - 1, [given], [made]
            bridges.append(op)
        self._graph.operators[maker.number + 1 : maker.number + 1] = bridges

    def open_end(self) -> None:
        """Takes a QUANTIZE off the end, so that the answers are what goes into it."""
        last = self.maker(self.outputs[0])
        if last is None or last.kind != "QUANTIZE" or len(self.outputs) != 1:
            return
        del self._graph.operators[last.number]
        self._graph.outputs = [last.inputs[0]]
        for signature in self.model.signatureDefs or []:
            for end in signature.outputs:
                end.tensorIndex = last.inputs[0] if end.tensorIndex == last.outputs[0] else end.tensorIndex

    def to_bytes(self) -> bytes:
        """The file as it is now."""
        import flatbuffers

        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())
