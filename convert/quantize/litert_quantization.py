"""Converts a float graph to int8 with given ranges, by litert-quantizer, the quantizer of LiteRT's makers.

The quantizer receives the ranges as its calibration result. It leaves some operators without weights in float (LEAKY_RELU
and others) although LiteRT has int8 kernels for them; this module converts those.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection
from typing import Any

import numpy as np

from convert.tflite.compaction import remove_unused
from convert.tflite.graph import Graph
from convert.tflite.keras_export import first_line
from convert.tflite.op_versions import set_int8_versions
from fer_edge.errors import UsageError

Range = tuple[float, float]
# Operators without weights that have int8 kernels and that litert-quantizer 0.11 leaves in float.
_ALSO_INT8 = ("LEAKY_RELU", "RELU6", "RELU_N1_TO_1", "ELU", "ABS", "MINIMUM", "SQUEEZE", "EXPAND_DIMS", "REDUCE_MAX")


def int8_model(
    graph: Graph, ranges: dict[int, Range], keep_float: Collection[str] = (), per_channel: bool = True
) -> Graph:
    """Returns the int8 model of a float `graph`; `ranges` has the range of each activation by its tensor's index.

    Operators named in `keep_float` stay float; if the last is among them, so is the output. Raises UsageError when the
    quantizer rejects the graph.
    """
    named, calibration = _with_unique_names(graph, ranges)
    kept = [_name(named, op.outputs[0]) for op in named.operators if op.name in keep_float]
    quantized = Graph(_quantize(named.to_bytes(), calibration, kept, per_channel))
    _quantize_the_rest(
        quantized, calibration, {name for op in named.operators if op.name in keep_float for name in kept}
    )
    set_int8_versions(quantized)
    return quantized


def _quantize(content: bytes, calibration: dict[str, Any], kept: list[str], per_channel: bool) -> bytes:
    from litert_quantizer import Quantizer, qtyping, recipe
    from litert_quantizer.quantizer import AlgorithmName

    granularity = qtyping.QuantGranularity.CHANNELWISE if per_channel else qtyping.QuantGranularity.TENSORWISE
    try:
        quantizer = Quantizer(content, recipe.static_wi8_ai8())
        if not per_channel:
            quantizer.add_static_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, 8, 8, granularity)
        for name in kept:
            quantizer.update_quantization_recipe(
                f"^{re.escape(name)};$", qtyping.TFLOperationName.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE
            )
        with warnings.catch_warnings():  # LiteRT warns about the memory of the quantizer's interpreter
            warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors", UserWarning)
            result = quantizer.quantize(calibration, enable_progress_bar=False, enable_progress_report=False)
    except (RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UsageError(f"the quantizer rejects the model: {first_line(error)}") from error
    return bytes(result.quantized_model)


def _with_unique_names(graph: Graph, ranges: dict[int, Range]) -> tuple[Graph, dict[str, Any]]:
    """A copy without unused tensors, in which each tensor has a unique name, and the ranges by these names.

    The quantizer identifies tensors by name and rejects unused ones.
    """
    named = graph.copy()
    index = remove_unused(named)
    for new, tensor in enumerate(named.subgraph.tensors):
        tensor.name, tensor.quantization = f"t{new}".encode(), None
    calibration = {
        f"t{index[tensor]}": {"min": np.float32(low), "max": np.float32(high)}
        for tensor, (low, high) in ranges.items()
        if tensor in index
    }
    return named, calibration


def _quantize_the_rest(graph: Graph, calibration: dict[str, Any], kept: set[str]) -> None:
    """Converts operators of _ALSO_INT8 to int8 where the operators before and after them are int8 or become int8."""
    int8: dict[int, int] = {}  # from a float tensor to the int8 tensor with its values
    for op in graph.operators:
        if op.kind == "DEQUANTIZE":
            int8[op.outputs[0]] = op.inputs[0]
    convertible = _convertible(graph, set(int8), kept)
    changed = False
    for op in graph.operators:
        if op.number not in convertible:
            continue
        readers = graph.consumers(op.outputs[0])
        stored = next((r.outputs[0] for r in readers if r.kind == "QUANTIZE"), None)
        if stored is None:
            stored = _int8_tensor(graph, op.outputs[0], calibration)
        int8[op.outputs[0]] = stored
        row = graph.subgraph.operators[op.number]
        row.inputs, row.outputs = [int8.get(t, t) for t in op.inputs], [stored]
        changed = True
    if not changed:
        return
    graph.changed()
    _remove_unused_conversions(graph)


def _convertible(graph: Graph, int8: set[int], kept: set[str]) -> set[int]:
    """The numbers of the operators of _ALSO_INT8 that can become int8: their inputs are or do, and so do all readers."""
    candidates = [op for op in graph.operators if op.kind in _ALSO_INT8 and _name(graph, op.outputs[0]) not in kept]
    while True:
        numbers, known = {op.number for op in candidates}, int8 | {op.outputs[0] for op in candidates}
        left = []
        for op in candidates:
            floats = [t for t in op.inputs if t >= 0 and graph.is_float(t)]
            readers = graph.consumers(op.outputs[0])
            is_read_as_float = any(r.kind != "QUANTIZE" and r.number not in numbers for r in readers)
            if floats and known.issuperset(floats) and not is_read_as_float:
                left.append(op)
        if len(left) == len(candidates):
            return numbers
        candidates = left


def _int8_tensor(graph: Graph, index: int, calibration: dict[str, Any]) -> int:
    """A new int8 tensor for a float one, with the scale and zero point of its range."""
    limits = calibration[_name(graph, index)]
    low, high = min(0.0, float(limits["min"])), max(0.0, float(limits["max"]))
    scale = (high - low) / 255 or 1.0
    tensor = graph.schema.TensorT()
    tensor.name, tensor.shape, tensor.type = (
        graph.tensor(index).name,
        list(graph.shape(index)),
        graph.schema.TensorType.INT8,
    )
    tensor.buffer, tensor.quantization = 0, graph.schema.QuantizationParametersT()
    tensor.quantization.scale = np.array([scale], np.float32)
    tensor.quantization.zeroPoint = np.array([round(-128 - low / scale)], np.int64)
    return graph.add_tensor(tensor)


def _remove_unused_conversions(graph: Graph) -> None:
    """Removes QUANTIZE and DEQUANTIZE operators whose input is no longer computed or whose output is not read."""
    while True:
        operators = graph.operators
        computed = {t for op in operators for t in op.outputs} | set(graph.inputs)
        read = {t for op in operators for t in op.inputs} | set(graph.outputs)
        written: set[int] = set()
        unused = []
        for op in operators:
            if op.kind in ("QUANTIZE", "DEQUANTIZE") and (
                op.inputs[0] not in computed or op.outputs[0] not in read or op.outputs[0] in written
            ):
                unused.append(op.number)
            written.update(op.outputs)
        if not unused:
            return
        for number in reversed(unused):
            del graph.subgraph.operators[number]
        graph.changed()


def _name(graph: Graph, index: int) -> str:
    return str((graph.tensor(index).name or b"").decode())
