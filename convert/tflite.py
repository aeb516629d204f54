"""From a Keras file to TFLite in memory, and what a TFLite file holds, counted from the file itself."""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fer_edge.errors import BundleRefused, UsageError
from fer_edge.quiet import quiet_stderr

if TYPE_CHECKING:
    import keras

# Where multiply-adds are done. Elementwise work, pooling and activations are not counted, as is usual.
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_WEIGHTED = (*_CONVOLUTIONS, "FULLY_CONNECTED", "TRANSPOSE_CONV")
# How the converter names an operator that it would need TensorFlow itself (“flex”) or somebody's own code for.
_NO_OPERATOR = re.compile(r"'(tf\.\w+)' op is neither a custom op nor a flex op")

_HUGE = 1e30  # the converter writes float32's largest number, 3e38, for an infinite weight


class Operator(NamedTuple):
    """One operator of a TFLite file: its name (CONV_2D), then the types of its inputs and outputs (int8, int32, …)."""

    name: str
    dtypes: tuple[str, ...]


def load_keras(path: Path) -> keras.Model:
    """The Keras model in a .keras, .h5 or .hdf5 file, not compiled.

    Raises UsageError when it cannot be loaded without other code.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist; name a .keras file")
    with quiet_tensorflow():
        keras = _keras()
        try:
            return keras.saving.load_model(path, compile=False)
        except Exception as error:  # Keras raises a dozen kinds here
            first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise UsageError(
                f"{path} cannot be loaded as a Keras 3 model: {first}; save it again with `model.save('x.keras')`"
            ) from error


def converter_of(model: keras.Model) -> Any:
    """TensorFlow's TFLite converter over `model` for one image: (1, side, side, 1) float32 gray in, (1, K) logits out.

    The weights are frozen into a function of fixed batch first. The converter's own way through a saved model leaves
    the batch open, prints on stdout, and names tensors so that the same weights give other bytes the next time; this
    way they give the same. Raises UsageError when the model does not take one square gray image.
    """
    with quiet_tensorflow():
        _keras()
        import tensorflow as tf
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        shape = model.input_shape
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[1] != shape[2] or not shape[1] or shape[3] != 1:
            raise UsageError(f"the Keras model takes {shape}, not one square gray image (None, side, side, 1)")
        gray = tf.TensorSpec((1, *shape[1:]), tf.float32, name="gray")
        function = tf.function(lambda gray: model(gray, training=False), input_signature=[gray])
        try:
            frozen = convert_variables_to_constants_v2(function.get_concrete_function())
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise UsageError(
                f"the model takes no single image: {_reason(error)}; save it with a batch of any size (None)"
            ) from error
        return tf.lite.TFLiteConverter.from_concrete_functions([frozen], tf.Module())


def converted(converter: Any) -> bytes:
    """The bytes that TensorFlow's TFLite converter makes. Raises UsageError with the operators that TFLite does not have."""
    with quiet_tensorflow():
        from tensorflow.lite.python.convert_phase import ConverterError

        try:
            content: bytes = converter.convert()
        except (ConverterError, RuntimeError, ValueError) as error:
            if names := sorted(set(_NO_OPERATOR.findall(str(error)))):
                raise UsageError(
                    f"TFLite has no operator for {', '.join(names)}; build the model without"
                    " (TensorFlow's own operators run on no device of ours)"
                ) from error
            raise UsageError(f"TensorFlow's converter does not take the model: {_reason(error)}") from error
    return content


def float_tflite(model: keras.Model) -> bytes:
    """The bytes of a float32 TFLite file that does what `model` does, so that the device's classifier can run it."""
    return converted(converter_of(model))


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


@contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Keeps TensorFlow's own chatter off both streams; what its libraries wrote is shown when the block fails unforeseen."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with quiet_stderr(), redirect_stdout(io.StringIO()):
        yield


def _keras() -> Any:
    try:
        import keras
        import tensorflow  # noqa: F401  # Keras alone loads without it and fails later
    except ImportError as error:
        raise UsageError(
            f"a .keras file needs TensorFlow ({error}); `pip install 'fer-edge[host]'` installs it"
        ) from error
    return keras


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


def _by_value(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _name(code: Any, names: dict[int, str]) -> str:
    return code.customCode.decode() if code.customCode else names.get(_builtin(code), f"number {_builtin(code)}")


def _builtin(code: Any) -> int:
    return max(code.builtinCode, code.deprecatedBuiltinCode)  # the older field holds codes up to 127 only


def _reason(error: Exception) -> str:
    """The line of TensorFlow's or Keras's error that says what was wrong, but not where."""
    text = re.sub(r"\x1b\[\d*m", "", str(error)).rpartition("Exception encountered when calling")[2]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (next((line for line in lines if not line.endswith(".call().")), "") or type(error).__name__)[:200]


def _size(shape: Any) -> int:
    size = 1
    for n in shape:
        size *= max(1, int(n))
    return size
