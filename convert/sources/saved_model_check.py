"""What a SavedModel does when it is loaded or run: TensorFlow's graphs can read and write files, which a model need not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.errors import UsageError

_META_GRAPH = 2  # the number of the field `meta_graphs` in the message SavedModel
# operators that read or write files, print, run code of the host, or reach other processes
_OUTSIDE = re.compile(
    r"File|Save|Restore|Checkpoint|Reader|Record|Dataset|Summary|^Print|PyFunc|PyCall|Debug|Sql|Iterator|Snapshot|Rpc|"
    r"^_?(Host)?(Send|Recv)|Collective|LMDB|LoadLibrary|Bigtable|Distributed|RemoteCall|Assets?|DecodeProto|EncodeProto"
)


def require_harmless(folder: Path) -> None:
    """Raises UsageError when the functions of a SavedModel have operators that reach outside of it, or cannot be examined.

    The functions that save and restore its variables are not examined: nothing calls them here.
    """
    for graph in _meta_graphs(folder):
        functions = {function.signature.name: function for function in graph.graph_def.library.function}
        if not graph.object_graph_def.nodes:
            raise UsageError(
                f"{folder} is a SavedModel of TensorFlow 1, which runs a graph of its own when it is loaded; if you trust who"
                " wrote it, give --trust-model"
            )
        waiting, seen = list(graph.object_graph_def.concrete_functions), set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen or name not in functions:
                continue
            seen.add(name)
            for node in functions[name].node_def:
                if _OUTSIDE.search(node.op):
                    raise UsageError(
                        f"{folder} has the operator {node.op[:40]!a}, which reaches files or other programs when the model"
                        " is loaded or run; if you trust who wrote it, give --trust-model"
                    )
                waiting += [node.op, *_called(node)]


def _called(node: Any) -> Iterator[str]:
    """The names of the functions among a node's attributes."""
    for value in node.attr.values():
        yield value.func.name
        yield from (function.name for function in value.list.func)


def _meta_graphs(folder: Path) -> list[Any]:
    """The graphs in saved_model.pb. Raises UsageError when it cannot be read."""
    with quiet_tensorflow():
        import tensorflow as tf
    path = folder / "saved_model.pb"
    try:
        content = path.read_bytes()
        return [tf.compat.v1.MetaGraphDef.FromString(part) for part in _fields(content, _META_GRAPH)]
    except Exception as error:  # protobuf's own kinds, whatever implementation it has
        raise UsageError(f"{path} cannot be loaded as a SavedModel: it is damaged; save it again") from error


def _fields(content: bytes, wanted: int) -> Iterator[bytes]:
    """The values of the fields of number `wanted` in a protobuf message. Raises ValueError when it is damaged."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        if tag & 7 == 0:
            _, at = _varint(content, at)
        elif tag & 7 == 2:
            size, at = _varint(content, at)
            if at + size > len(content):
                raise ValueError("a field ends behind the message")
            if tag >> 3 == wanted:
                yield content[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {tag & 7}")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(content) and shift < 64:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("a number does not end")
