"""A Keras model loaded from a file, and exported as a float TFLite file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.errors import UsageError

if TYPE_CHECKING:
    import keras
from convert.tflite.tensorflow_output import quiet_tensorflow

# How the converter names an operator that it would need TensorFlow itself (“flex”) or somebody's own code for.
_NO_OPERATOR = re.compile(r"'(tf\.\w+)' op is neither a custom op nor a flex op")


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


def _keras() -> Any:
    try:
        import keras
        import tensorflow  # noqa: F401  # Keras alone loads without it and fails later
    except ImportError as error:
        raise UsageError(
            f"a .keras file needs TensorFlow ({error}); `pip install 'fer-edge[host]'` installs it"
        ) from error
    return keras


def _reason(error: Exception) -> str:
    """The line of TensorFlow's or Keras's error that says what was wrong, but not where."""
    text = re.sub(r"\x1b\[\d*m", "", str(error)).rpartition("Exception encountered when calling")[2]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (next((line for line in lines if not line.endswith(".call().")), "") or type(error).__name__)[:200]
