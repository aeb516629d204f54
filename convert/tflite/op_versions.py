"""`python -m convert.versions [--runtime NAME]`: the newest version of each operator that a runtime has, asked of itself.

TFLite's converter writes into a file which version of each operator it needs; an older runtime does not start such a file.
op_versions.json holds what runtimes answered, so that a host can tell for one that is not installed on it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path

from convert.tflite.flatbuffer import schema_of_tflite
from convert.tflite.inspection import versions_of
from fer_edge.classifier import Runtime
from fer_edge.errors import UsageError
from fer_edge.stderr_capture import suppressed_stderr

KNOWN = Path(__file__).with_name("op_versions.json")
GAP = 4  # a runtime that lacks so many versions on end has no newer one: BROADCAST_TO begins at 2, the rest at 1
# What a bundle is made for unless less is asked: the base install, and the extra for Python 3.11.
CLAIMED = ("litert 2.3.0", "tflite-runtime 2.14.0")
# How a runtime says that it lacks an operator. Any other complaint is about the empty operator that it was shown.
_LACKING = ("Didn't find op", "out of range")


@functools.cache
def known() -> dict[str, dict[str, int]]:
    """For each runtime that was asked, by name and version: its operators and the newest version of each."""
    table: dict[str, dict[str, int]] = json.loads(KNOWN.read_text())
    return table


def ask(runtime: Runtime) -> dict[str, int]:
    """The operators of a runtime and the newest version of each, found by showing it files of one operator; 2 seconds."""
    builtin = schema_of_tflite().BuiltinOperator
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
    """A TFLite file of the one operator with that code and version, on a float32 tensor; it starts and is never run."""
    import flatbuffers

    schema = schema_of_tflite()
    operator_code, tensor, operator = schema.OperatorCodeT(), schema.TensorT(), schema.OperatorT()
    operator_code.builtinCode, operator_code.deprecatedBuiltinCode = code, min(code, 127)
    operator_code.version = version
    tensor.shape, tensor.name = [1], b"x"
    operator.inputs, operator.outputs = [0], [0]
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [tensor], [operator], [0], [0]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [operator_code], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(512)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def newer(content: bytes, runtime: str) -> list[str]:
    """The operators of a TFLite file that `runtime`, one of `known`, does not have, with the versions: “ADD 9 (has 5)”.

    Raises UsageError when nobody asked that runtime.
    """
    table = known()
    if runtime not in table:
        raise UsageError(f"which operators {runtime} has is not known; known are {', '.join(table)}")
    has = table[runtime]
    return [
        f"{name} version {version} (it has {has[name]})" if name in has else f"{name} (it has none)"
        for name, version in sorted(versions_of(content).items())
        if version > has.get(name, 0)
    ]


def refuse_newer(content: bytes, claimed: Iterable[str] = CLAIMED) -> None:
    """Raises UsageError with what each runtime lacks that is claimed and would not start a TFLite file."""
    if lacking := {runtime: found for runtime in claimed if (found := newer(content, runtime))}:
        told = "; ".join(f"{runtime} lacks {', '.join(found)}" for runtime, found in lacking.items())
        rest = [runtime for runtime in claimed if runtime not in lacking]
        remedy = f"`--runtimes '{','.join(rest)}'` claims less" if rest else "convert the model with an older converter"
        raise UsageError(f"{told}; {remedy}, or build the model without")


def _has(runtime: Runtime, content: bytes) -> bool:
    try:
        runtime.module.Interpreter(model_content=content)
    except (ValueError, RuntimeError) as error:
        return not any(word in str(error) for word in _LACKING)
    return True
