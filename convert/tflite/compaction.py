"""Compaction of a TFLite file without a change of its results: unused parts and inner names are dropped, equal vectors
are stored once.

For each channel of each layer the converter writes a zero point of eight bytes that is always 0, twice, and names of a
hundred bytes for tensors that no program reads by name. In a file of 100 kB that is a fifth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convert.tflite.flatbuffer import serialize
from convert.tflite.graph import Graph, builtin_code


def compact(graph: Graph) -> bytes:
    """The TFLite file of the model in fewer bytes: operators, tensors, weights and quantization as they are, bit for bit.

    The names of inputs and outputs stay, and so do signatures. `graph` loses its inner names.
    """
    import flatbuffers

    if len(graph.model.subgraphs) == 1:
        remove_unused(graph)
    for subgraph in graph.model.subgraphs:
        ends = {int(i) for i in (*subgraph.inputs, *subgraph.outputs)}
        for index, tensor in enumerate(subgraph.tensors):
            if index not in ends:
                tensor.name = b""
            # the converter records what calibration saw; no interpreter reads it
            if tensor.quantization is not None:
                tensor.quantization.min = tensor.quantization.max = None
    return serialize(graph.model, _sharing(flatbuffers.Builder)(1 << 20))


def remove_unused(graph: Graph) -> dict[int, int]:
    """Drops tensors, buffers and operator codes that nothing refers to; returns the new index of each tensor by its old one."""
    subgraph, model = graph.subgraph, graph.model
    used = {t for op in graph.operators for t in (*op.inputs, *op.outputs) if t >= 0} | {*graph.inputs, *graph.outputs}
    index = {old: new for new, old in enumerate(sorted(used))}
    subgraph.tensors = [subgraph.tensors[old] for old in index]
    renumbered = {**index, -1: -1}
    for op in subgraph.operators:
        op.inputs, op.outputs = ([renumbered[int(t)] for t in ends] for ends in (op.inputs, op.outputs))
    subgraph.inputs, subgraph.outputs = ([index[int(t)] for t in ends] for ends in (subgraph.inputs, subgraph.outputs))
    for signature in model.signatureDefs or []:
        for end in (*signature.inputs, *signature.outputs):
            end.tensorIndex = index[int(end.tensorIndex)]
    owners = [*subgraph.tensors, *(model.metadata or [])]
    buffers = {0: 0}  # the first one is empty by convention
    for owner in owners:
        buffers.setdefault(int(owner.buffer), len(buffers))
        owner.buffer = buffers[int(owner.buffer)]
    model.buffers = [model.buffers[old] for old in buffers]
    codes: dict[tuple[int, int, bytes], int] = {}
    kept: list[Any] = []
    for op in subgraph.operators:
        code = model.operatorCodes[op.opcodeIndex]
        key = (builtin_code(code), int(code.version), code.customCode or b"")
        if key not in codes:
            codes[key] = len(kept)
            kept.append(code)
        op.opcodeIndex = codes[key]
    model.operatorCodes = kept
    graph.changed()
    return index


def _sharing(base: type) -> Any:
    """A flatbuffers builder that writes a vector or string that it has written before as a reference to the first one."""

    class SharingBuilder(base):  # type: ignore[misc, valid-type]
        def __init__(self, size: int) -> None:
            super().__init__(size)
            self.written: dict[tuple[str, bytes], int] = {}

        def CreateNumpyVector(self, x: Any) -> int:  # noqa: N802
            return self._once((x.dtype.str, x.tobytes()), lambda: super(SharingBuilder, self).CreateNumpyVector(x))

        def CreateString(self, s: Any, encoding: str = "utf-8", errors: str = "strict") -> int:  # noqa: N802
            key = s if isinstance(s, bytes) else s.encode(encoding, errors)
            return self._once(("string", key), lambda: super(SharingBuilder, self).CreateString(s, encoding, errors))

        def _once(self, key: tuple[str, bytes], write: Callable[[], int]) -> int:
            if key not in self.written:
                self.written[key] = write()
            return self.written[key]

    return SharingBuilder
