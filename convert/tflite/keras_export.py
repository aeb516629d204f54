"""A Keras model loaded from a file, and Keras models and SavedModels exported as float TFLite."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.tflite.io_signature import require_one_picture
from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.array_file import DAMAGED
from fer_edge.bounded_read import read_bounded
from fer_edge.errors import UsageError, host_extra_missing
from fer_edge.limits import JSON_BYTES
from fer_edge.text_cleaning import clean

if TYPE_CHECKING:
    import keras

# The types in the converter's message that name what TFLite has no arithmetic for, as MLIR writes them.
_OTHER_TYPE = re.compile(r"x(f16|bf16|f64)>")
_TYPE_NAMES = {"f16": "float16", "bf16": "bfloat16", "f64": "float64"}
# How the converter names an operator that it would need TensorFlow itself (“flex”) or somebody's own code for.
_NO_OPERATOR = re.compile(r"'(tf\.\w+)' op is neither a custom op nor a flex op")
# TensorFlow's operators that draw random numbers, of any version, and those that set variables.
_RANDOM = re.compile(r"Random(?!Get)|Multinomial|TruncatedNormal|StatefulUniform|StandardNormal|Shuffle")
_ASSIGNING = re.compile(r"Assign(Add|Sub)?VariableOp")


def load_keras(path: Path) -> keras.Model:
    """The Keras model in a .keras, .h5 or .hdf5 file, not compiled, on whatever backend Keras has.

    Raises UsageError when it cannot be loaded without other code.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist; name a .keras file")
    with quiet_tensorflow():
        try:
            import keras
        except ImportError as error:
            raise UsageError(host_extra_missing(error)) from error
        try:
            return keras.saving.load_model(path, compile=False)
        except Exception as error:  # Keras raises a dozen kinds here
            version = keras_version_of(path)
            if version and version.split(".")[0] in ("1", "2"):
                raise UsageError(
                    f"{path} was written by Keras {version}, and Keras {keras.__version__} cannot read it; export it with"
                    " `tf_keras` as convert/README.md shows, and name the SavedModel's folder"
                ) from error
            raise UsageError(
                f"{path} cannot be loaded as a Keras 3 model: {first_line(error)}; where the model's own code is,"
                " export it with `model.export(FOLDER)`, or with training=False as convert/README.md shows if it augments its"
                " pictures, and name that folder"
            ) from error


def keras_version_of(path: Path) -> str | None:
    """The version of Keras that wrote a file, as the file states it; None where it does not, or is no Keras file."""
    import h5py

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open("metadata.json") as file:
                version = json.loads(read_bounded(file, JSON_BYTES)).get("keras_version")
        else:
            with h5py.File(path) as stored:
                version = stored.attrs.get("keras_version")
    except (OSError, ValueError, AttributeError, *DAMAGED):
        return None
    version = version.decode("ascii", "replace") if isinstance(version, bytes) else version
    return clean(version, 20) if isinstance(version, str) else None


def converter_of(model: keras.Model) -> Any:
    """TensorFlow's TFLite converter over `model` for one image: (1, side, side, 1) float32 gray in, (1, K) logits out.

    It converts a function of fixed batch. The way through a SavedModel leaves the batch open and names tensors so that the
    same weights give other bytes the next time. Raises UsageError when the model does not take one square gray image.
    """
    with quiet_tensorflow():
        tf = _tensorflow()
        shape = model.input_shape
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[1] != shape[2] or not shape[1] or shape[3] != 1:
            raise UsageError(f"the Keras model takes {shape}, not one square gray image (None, side, side, 1)")
        gray = tf.TensorSpec((1, *shape[1:]), tf.float32, name="gray")
        function = tf.function(lambda gray: model(gray, training=False), input_signature=[gray])
        try:
            concrete = function.get_concrete_function()
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise UsageError(
                f"the model takes no single image: {_reason(error)}; save it with a batch of any size (None)"
            ) from error
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
        converter.experimental_lower_to_saved_model = False
        return converter


def converted(converter: Any) -> bytes:
    """The bytes that TensorFlow's TFLite converter makes. Raises UsageError with the operators that TFLite does not have."""
    with quiet_tensorflow():
        try:
            content: bytes = converter.convert()
        except Exception as error:  # the converter's own error class is private, and it raises others too
            if kinds := sorted({_TYPE_NAMES[kind] for kind in _OTHER_TYPE.findall(str(error))}):
                raise UsageError(
                    f"the model computes in {' and '.join(kinds)}, which TFLite does not; build it with Keras's policy float32,"
                    " give it these weights, and save it again"
                ) from error
            if names := sorted(set(_NO_OPERATOR.findall(str(error)))):
                raise UsageError(
                    f"TFLite has no operator for {', '.join(names)}; build the model without them"
                    " (devices cannot run TensorFlow's own operators)"
                ) from error
            raise UsageError(f"TensorFlow's converter rejects the model: {_reason(error)}") from error
    return content


def float_tflite(model: keras.Model) -> bytes:
    """The float32 TFLite file of a Keras model, so that the device's classifier can run it."""
    return converted(converter_of(model))


def saved_model_tflite(path: Path) -> bytes:
    """The float32 TFLite file of a SavedModel's one signature, for one image, or for the batch that it was saved with.

    An input of another type is cast to. Raises UsageError when it cannot be loaded, has no signature, is no classifier of one
    square picture, or changes its pictures or its variables when it is called.
    """
    with quiet_tensorflow():
        tf = _tensorflow()
        try:
            loaded = tf.saved_model.load(str(path))
            signatures = dict(loaded.signatures)
        except Exception as error:  # TensorFlow raises whatever its reader stumbles over
            raise UsageError(f"{path} cannot be loaded as a SavedModel: {first_line(error)}; save it again") from error
        name = next((n for n in ("serving_default", "serve", *signatures) if n in signatures), None)
        if name is None:
            raise UsageError(
                f"{path} has no signature to call; export it with Keras, `model.export(FOLDER)`, or with training=False as"
                " convert/README.md shows if it augments its pictures"
            )
        signature = signatures[name]
        inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
        require_one_picture(path, *([_shape(spec) for spec in specs.values()] for specs in (inputs, outputs)))
        ((argument, spec),) = inputs.items()
        # A function of one image: an open batch leaves SHAPE operators, and the way by the folder variables without values.
        function = tf.function(lambda picture: signature(**{argument: tf.cast(picture, spec.dtype)}))
        concrete = function.get_concrete_function(tf.TensorSpec((spec.shape[0] or 1, *spec.shape[1:]), tf.float32))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], loaded)
        converter.experimental_lower_to_saved_model = False
    try:
        return converted(converter)
    except UsageError as error:
        if changing := _changing_operators(signature.graph.as_graph_def()):
            what = "its pictures at random" if any(map(_RANDOM.search, changing)) else "its own variables"
            raise UsageError(
                f"the SavedModel in {path} changes {what} when it is called ({', '.join(changing)}), as layers do that augment"
                " pictures; give the .keras file, or export it with training=False as convert/README.md shows"
            ) from error
        raise


def _changing_operators(graph: Any) -> list[str]:
    """The operators of a GraphDef and its functions that draw random numbers or set variables."""
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return sorted({node.op for node in nodes if _RANDOM.search(node.op) or _ASSIGNING.match(node.op)})


def first_line(error: BaseException) -> str:
    """The first line of an error's text, at most 200 characters; its class where it has no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _shape(spec: Any) -> tuple[int | None, ...]:
    return () if spec.shape.rank is None else tuple(spec.shape)


def _tensorflow() -> Any:
    try:
        import keras  # noqa: F401
        import tensorflow
    except ImportError as error:
        raise UsageError(host_extra_missing(error)) from error
    return tensorflow


def _reason(error: Exception) -> str:
    """The line of TensorFlow's or Keras's error that says what was wrong, but not where."""
    text = re.sub(r"\x1b\[\d*m", "", str(error)).rpartition("Exception encountered when calling")[2]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (next((line for line in lines if not line.endswith(".call().")), "") or type(error).__name__)[:200]
