"""Versions of operators: those that a TFLite file needs, and those that each runtime has.

A TFLite file states the version of each operator that it needs; a runtime without that version cannot load it.
op_versions.json holds the versions that runtimes have (measured by `python -m convert.versions`), so that a host can check a
file against a runtime that is not installed there.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path

from convert.tflite.edits import operator
from convert.tflite.flatbuffer import serialize, tflite_schema
from convert.tflite.graph import Graph
from convert.tflite.inspection import operator_versions
from fer_edge.classifier import Runtime
from fer_edge.errors import UsageError
from fer_edge.stderr_capture import suppressed_stderr

TABLE = Path(__file__).with_name("op_versions.json")
GAP = 4  # the search ends after this many missing versions in a row: BROADCAST_TO begins at 2, the others at 1
# The runtimes of a bundle by default: the base install, and the extra for Python 3.11.
CLAIMED = ("litert 2.3.0", "tflite-runtime 2.14.0")
# The messages of a runtime that lacks an operator. Any other message is about the missing options of the test operator.
_LACKING = ("Didn't find op", "out of range")
# The first version of an operator with int8, as TensorFlow's converter writes it (tensorflow/compiler/mlir/lite/tools/
# versioning/op_version.cc); 1 for operators that are not listed.
_INT8_VERSIONS = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "BROADCAST_TO", "TILE", "REVERSE_V2"), 3),
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D", "ADD", "SUB", "MUL", "MEAN", "SUM", "SOFTMAX", "RELU"), 2),
    **dict.fromkeys(("RELU6", "LOGISTIC", "TANH", "PAD", "PADV2", "MIRROR_PAD", "CONCATENATION", "SPLIT"), 2),
    **dict.fromkeys(("SLICE", "STRIDED_SLICE", "TRANSPOSE", "PACK", "UNPACK", "GATHER", "MAXIMUM", "MINIMUM"), 2),
    **dict.fromkeys(("SQRT", "RSQRT", "ABS", "EXP", "LOG", "SQUARED_DIFFERENCE", "REDUCE_MIN", "REDUCE_MAX"), 2),
    **dict.fromkeys(("LOG_SOFTMAX", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "BATCH_MATMUL", "GELU", "TRANSPOSE_CONV"), 2),
    **dict.fromkeys(("L2_NORMALIZATION", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SELECT", "SPLIT_V"), 2),
    **dict.fromkeys(("EQUAL", "NOT_EQUAL", "DEQUANTIZE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "REDUCE_PROD"), 2),
    "FULLY_CONNECTED": 4,
}


def set_int8_versions(graph: Graph) -> None:
    """Sets the version of each operator that reads int8 in the graph; a version is never lowered."""
    int8 = graph.schema.TensorType.INT8
    for op in graph.operators:
        data = next((t for t in op.inputs if t >= 0 and graph.tensor(t).type == int8), None)
        if data is None or op.kind == "QUANTIZE":
            continue
        code = graph.model.operatorCodes[graph.subgraph.operators[op.number].opcodeIndex]
        code.version = max(int(code.version), _int8_version(graph, op.number))


def _int8_version(graph: Graph, number: int) -> int:
    op = graph.operators[number]
    options, rank = graph.options(op), len(graph.shape(op.inputs[0]))
    version = _INT8_VERSIONS.get(op.kind, 1)
    if op.kind == "CONV_2D" and graph.shape(op.inputs[1])[3] != graph.shape(op.inputs[0])[3]:  # grouped
        return 6
    if op.kind == "FULLY_CONNECTED":
        if len(op.inputs) == 2:  # no bias
            return 6
        return 5 if options.keepNumDims else version
    if op.kind == "MUL":
        scales = [float(graph.tensor(t).quantization.scale[0]) for t in (*op.inputs, *op.outputs)]
        return 3 if scales[0] * scales[1] / scales[2] >= 1 else version
    if op.kind in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        centers = options.halfPixelCenters or (op.kind == "RESIZE_NEAREST_NEIGHBOR" and options.alignCorners)
        return 3 if centers else version
    if op.kind in ("PAD", "PADV2", "TRANSPOSE") and rank > 4:
        return 4
    return version


@functools.cache
def known() -> dict[str, dict[str, int]]:
    """The operators of each measured runtime, by its name and version, and the newest version of each."""
    table: dict[str, dict[str, int]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


def newest_versions(runtime: Runtime) -> dict[str, int]:
    """The operators of an installed runtime and the newest version of each, measured with files of one operator; takes 2 s."""
    builtin = tflite_schema().BuiltinOperator
    found = {}
    with suppressed_stderr():
        for name, code in vars(builtin).items():
            if not isinstance(code, int) or code == builtin.CUSTOM:
                continue
            newest, version = 0, 1
            while version <= newest + GAP:
                newest = version if _has(runtime, one_operator(code, version)) else newest
                version += 1
            if newest:
                found[name] = newest
    return found


def one_operator(code: int, version: int) -> bytes:
    """A TFLite file of the one operator with that code and version, on a float32 tensor; it is loaded, never run."""
    schema = tflite_schema()
    tensor, subgraph, model = schema.TensorT(), schema.SubGraphT(), schema.ModelT()
    tensor.shape, tensor.name = [1], b"x"
    subgraph.tensors, subgraph.operators, subgraph.inputs, subgraph.outputs = [tensor], [], [0], [0]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [], [subgraph], [schema.BufferT()]
    graph = Graph(serialize(model))
    graph.model = model
    subgraph.operators.append(operator(graph, code, version, [0], [0]))
    return graph.to_bytes()


def missing_operators(graph: Graph, runtime: str) -> list[str]:
    """The operators of the graph that `runtime`, one of `known`, lacks, with the versions: “ADD version 9 (it has 5)”.

    Raises UsageError when that runtime is not in the table.
    """
    table = known()
    if runtime not in table:
        raise UsageError(f"the operators of {runtime} are not known; known runtimes are {', '.join(table)}")
    has = table[runtime]
    return [
        f"{name} version {version} (it has {has[name]})" if name in has else f"{name} (it has none)"
        for name, version in sorted(operator_versions(graph).items())
        if version > has.get(name, 0)
    ]


def require_operators(graph: Graph, claimed: Iterable[str] = CLAIMED) -> None:
    """Raises UsageError when a claimed runtime cannot load the model; the message names the operators that it lacks."""
    if lacking := {runtime: found for runtime in claimed if (found := missing_operators(graph, runtime))}:
        text = "; ".join(f"{runtime} lacks {', '.join(found)}" for runtime, found in lacking.items())
        rest = [runtime for runtime in claimed if runtime not in lacking]
        remedy = (
            f"`--runtimes '{','.join(rest)}'` names only the other runtimes"
            if rest
            else "convert the model with an older converter"
        )
        raise UsageError(f"{text}; {remedy}, or build the model without these operators")


def _has(runtime: Runtime, content: bytes) -> bool:
    try:
        runtime.module.Interpreter(model_content=content)
    except (ValueError, RuntimeError) as error:
        return not any(word in str(error) for word in _LACKING)
    return True
