"""Parsing TFLite flatbuffers into the object API of the schema."""

from __future__ import annotations

import struct
from typing import Any

from fer_edge.errors import BundleRefused, UsageError


def schema_of_tflite() -> Any:
    """The module that holds TFLite's schema."""
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        try:
            from tensorflow.lite.python import schema_py_generated as schema
        except ImportError as error:
            raise UsageError("reading a TFLite file needs LiteRT; `pip install ai-edge-litert` installs it") from error
    return schema


def parse(content: bytes) -> tuple[Any, Any]:
    """The schema's module and the file as its objects. Raises BundleRefused when it is no TFLite file, or damaged."""
    schema = schema_of_tflite()
    if content[4:8] != b"TFL3":
        raise BundleRefused("this is no TFLite file: its mark TFL3 is missing; convert the model again")
    try:
        return schema, schema.ModelT.InitFromPackedBuf(content, 0)
    except (struct.error, IndexError, ValueError, TypeError) as error:
        raise BundleRefused(f"the TFLite file is damaged ({error}); copy it again") from error
