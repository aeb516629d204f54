"""From a Keras file to TFLite in memory, and what a TFLite file holds, counted from the file itself."""

from __future__ import annotations

import io
import os
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


class Operator(NamedTuple):
    """One operator of a TFLite file: its name (CONV_2D), then the types of its inputs and outputs (int8, int32, …)."""

    name: str
    dtypes: tuple[str, ...]


def load_keras(path: Path) -> keras.Model:
    """The Keras model in a .keras file, not compiled. Raises UsageError when it cannot be loaded without other code."""
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
        frozen = convert_variables_to_constants_v2(function.get_concrete_function())
        return tf.lite.TFLiteConverter.from_concrete_functions([frozen], tf.Module())


def float_tflite(model: keras.Model) -> bytes:
    """The bytes of a float32 TFLite file that does what `model` does, so that the device's classifier can run it."""
    with quiet_tensorflow():
        content: bytes = converter_of(model).convert()
    return content


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


def parse(content: bytes) -> tuple[Any, Any]:
    """The schema's module and the file as its objects."""
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        try:
            from tensorflow.lite.python import schema_py_generated as schema
        except ImportError as error:
            raise UsageError("reading a TFLite file needs LiteRT; `pip install ai-edge-litert` installs it") from error
    if content[4:8] != b"TFL3":
        raise BundleRefused("this is no TFLite file: its mark TFL3 is missing; convert the model again")
    return schema, schema.ModelT.InitFromPackedBuf(content, 0)


def _by_value(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _name(code: Any, names: dict[int, str]) -> str:
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)  # the older field holds codes up to 127 only
    return code.customCode.decode() if code.customCode else names[builtin]


def _size(shape: Any) -> int:
    size = 1
    for n in shape:
        size *= max(1, int(n))
    return size
