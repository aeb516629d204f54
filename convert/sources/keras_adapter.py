"""A Keras classifier of any kind, adapted to raw gray pixels as input and logits as output, for the converter.

The graph owns normalisation: a 1×1 convolution in front turns 0–255 into what the network was trained on, and repeats the
gray where it expects three channels. It is one operator, which int8 runs with 32-bit sums. A softmax at the end is removed,
for logits carry more than probabilities rounded to a 256th.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.tflite.io_signature import require_one_picture
from convert.tflite.keras_export import first_line, load_keras
from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.classifier import RAW_RANGE
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    import keras

_OTHER_TYPES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64")
_WHOLE_NUMBERS = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64")


def open_keras(path: Path, input_range: tuple[float, float] | None = None) -> tuple[keras.Model, bool]:
    """The float classifier in a Keras file, adapted to raw gray pixels; and whether it is the file's own, unchanged.

    It takes float32 (None, side, side, 1) from 0 to 255 and gives (None, K): logits, or probabilities where a softmax stands
    anywhere but at the end. `input_range` holds the values that the file's network expects for 0 and 255; None: the same.
    Raises UsageError when the file cannot be loaded, or is no classifier of one square picture of one or three channels.
    """
    model = load_keras(path)
    with quiet_tensorflow():
        return _adapted(model, input_range or RAW_RANGE, path)


def _adapted(model: Any, input_range: tuple[float, float], path: Path) -> tuple[keras.Model, bool]:
    import keras

    inputs, outputs = (getattr(model, name, None) or [] for name in ("inputs", "outputs"))
    if not inputs:
        raise UsageError(f"{path} has no input shape; begin the model with keras.Input((side, side, 1))")
    require_one_picture(path, [tuple(tensor.shape) for tensor in inputs], [tuple(tensor.shape) for tensor in outputs])
    (entry,) = inputs
    _, side, _, channels = entry.shape
    model, is_rebuilt = _in_float32(model, path)
    (entry,) = model.inputs
    logits, stripped = _without_softmax(model)
    if (channels, input_range, model.input_shape[1:]) == (1, RAW_RANGE, (side, side, 1)) and not stripped:
        return model, not is_rebuilt
    gray = keras.Input((side, side, 1), name="gray")
    low, high = input_range
    first = keras.layers.Conv2D(channels, 1, name="gray_to_input", trainable=False)
    x = first(gray)
    wrapped = keras.Model(gray, keras.Model(entry, logits).call(x), name=model.name)
    kernel, bias = first.weights
    kernel.assign([[[[(high - low) / 255] * channels]]])
    bias.assign([low] * channels)
    # made anew, every layer stands in one graph only: its `input` is then that of this one
    fresh = type(wrapped).from_config(wrapped.get_config())
    fresh.set_weights(wrapped.get_weights())
    return fresh, False


def _in_float32(model: Any, path: Path) -> tuple[Any, bool]:
    """A Keras model whose layers all compute in float32, and whether it had to be built again for that.

    A model saved under mixed_float16, mixed_bfloat16 or float64 has the same weights in it; an input of whole numbers becomes
    one of float32. Raises UsageError when it cannot be built again from its own configuration.
    """
    config = model.get_config()
    changed = _with_float32(config)
    if changed == config:
        return model, False
    try:
        rebuilt = type(model).from_config(changed)
        rebuilt.set_weights([weight.astype("float32") for weight in model.get_weights()])
    except Exception as error:  # Keras raises a dozen kinds here
        raise UsageError(
            f"{path} computes in another type than float32 and cannot be built again in it: {first_line(error)}; export it with"
            " `model.export(FOLDER)` from a model of policy float32, and name that folder"
        ) from error
    return rebuilt, True


def _with_float32(config: Any) -> Any:
    """A copy of a Keras configuration in which every floating-point type, policy and input type is float32."""
    if isinstance(config, list | tuple):
        return type(config)(map(_with_float32, config))
    if not isinstance(config, dict):
        return config
    changed = {key: _with_float32(value) for key, value in config.items()}
    kind = config.get("class_name")
    if kind == "DTypePolicy" and config["config"].get("name") in _OTHER_TYPES:
        changed["config"]["name"] = "float32"
    if isinstance(config.get("dtype"), str) and config["dtype"] in _OTHER_TYPES:
        changed["dtype"] = "float32"
    if kind in ("InputLayer", "__keras_tensor__") and config["config"].get("dtype") in (*_OTHER_TYPES, *_WHOLE_NUMBERS):
        changed["config"]["dtype"] = "float32"
    return changed


def _without_softmax(model: Any) -> tuple[Any, bool]:
    """The tensor of logits at a Keras model's end, and whether a softmax was removed to reach it.

    A layer with a softmax for its activation is given none, in a model within the model too.
    """
    import keras

    last = _last_operation(model)
    if type(last).__name__ == "Softmax":  # the layer, or the bare operation of keras.ops
        return last.input, True
    while isinstance(last, keras.Model):
        last = _last_operation(last)
    if getattr(last, "activation", None) is keras.activations.softmax:
        last.activation = keras.activations.linear
        return model.outputs[0], True
    return model.outputs[0], False


def _last_operation(model: Any) -> Any:
    """The layer or operation that gives a Keras model's output; None where it cannot be told."""
    import keras

    if isinstance(model, keras.Sequential):
        return model.layers[-1]
    ends = keras.tree.flatten(model.get_config().get("output_layers"))  # [name, node, tensor]
    return next((op for op in model.operations if ends and op.name == ends[0]), None)
