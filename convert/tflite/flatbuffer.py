"""TFLite flatbuffers to the objects of the schema that comes with LiteRT, and back to bytes."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from fer_edge.errors import BundleRefused, UsageError

MAGIC = b"TFL3"


def tflite_schema() -> Any:
    """The module with the classes of TFLite's schema (`ModelT`, `TensorT`, …). Raises UsageError where LiteRT is missing."""
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise UsageError("reading a TFLite file needs LiteRT; `pip install ai-edge-litert` installs it") from error
    return schema_py_generated


def parse(content: bytes, name: str = "the TFLite file") -> Any:
    """The schema's `ModelT` of a TFLite file, with weights that the file stores behind the flatbuffer read in.

    `name` is for messages. Raises BundleRefused when `content` is not a TFLite file, or a damaged one.
    """
    schema = tflite_schema()
    if content[4:8] != MAGIC:
        raise BundleRefused(
            f"{name} is not a TFLite file: its identifier {MAGIC.decode()} is missing; convert the model again"
        )
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        for buffer in model.buffers:
            if buffer.offset:  # of weights behind the flatbuffer, as litert-quantizer writes them
                buffer.data = np.frombuffer(content, np.uint8, int(buffer.size), int(buffer.offset))
                buffer.offset = buffer.size = 0
    except (struct.error, IndexError, ValueError, TypeError, AttributeError, MemoryError, OverflowError) as error:
        raise BundleRefused(f"{name} is damaged ({error}); copy it again") from error
    if not model.subgraphs:
        raise BundleRefused(f"{name} is damaged (it holds no graph); copy it again")
    return model


def serialize(model: Any, builder: Any = None) -> bytes:
    """The bytes of a `ModelT`, written with `builder`, or with a new flatbuffers builder where None."""
    import flatbuffers

    builder = builder or flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=MAGIC)
    return bytes(builder.Output())
