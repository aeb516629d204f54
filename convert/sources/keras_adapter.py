"""A float image classifier of any kind, made to take raw gray pixels and to give logits: what the converter is handed.

The graph owns normalisation: a 1×1 convolution in front turns 0–255 into what the network was trained on, and repeats the
gray where it wants three channels; that is one operator, which int8 runs with 32-bit sums. A softmax at the end is taken
off, for logits tell more than probabilities rounded to a 256th.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.sources.model_source import SAVED_MODEL
from convert.tflite.keras_export import load_keras
from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.classifier import RAW_RANGE
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    import keras


def open_float(path: Path, pixels: tuple[float, float] | None = None) -> tuple[keras.Model, bool]:
    """The float classifier in a Keras file or a SavedModel, for raw gray pixels; and whether it is the file's own, unchanged.

    It takes float32 (None, side, side, 1) from 0 to 255 and gives (None, K): logits, or probabilities where a softmax stands
    anywhere but at the end. `pixels` is what 0 and 255 are to the network in the file; None: themselves. Raises UsageError
    when the file is none that can be loaded, or no classifier of one square picture of one or three channels.
    """
    model = load_keras(path) if path.is_file() else _saved_model(path)
    with quiet_tensorflow():
        return _wrapped(model, pixels or RAW_RANGE, path)


def _wrapped(model: Any, pixels: tuple[float, float], path: Path) -> tuple[keras.Model, bool]:
    import keras

    ends = [getattr(model, name, None) or [] for name in ("inputs", "outputs")]
    if not ends[0]:
        raise UsageError(f"{path} does not say what shape it takes; begin the model with keras.Input((side, side, 1))")
    if [len(end) for end in ends] != [1, 1]:
        raise UsageError(f"{path} has {len(ends[0])} inputs and {len(ends[1])} outputs, not one of each")
    ((given,), (said,)) = ends
    _, *shape = given.shape
    if len(shape) != 3 or None in shape or shape[0] != shape[1] or shape[2] not in (1, 3):
        raise UsageError(
            f"{path} takes {tuple(given.shape)}, not one square picture of one size and one or three channels,"
            " (None, side, side, 1) or (None, side, side, 3)"
        )
    if len(said.shape) != 2 or said.shape[1] is None:
        raise UsageError(f"{path} gives {tuple(said.shape)}, not one number for each class (None, classes)")
    end, stripped = _without_softmax(model)
    side, channels = shape[1], shape[2]
    if (channels, pixels, model.input_shape[1:]) == (1, RAW_RANGE, (side, side, 1)) and not stripped:
        return model, True
    gray = keras.Input((side, side, 1), name="gray")
    low, high = pixels
    first = keras.layers.Conv2D(channels, 1, name="gray_to_input", trainable=False)
    x = first(gray)
    if given.dtype != "float32":
        x = keras.ops.cast(x, given.dtype)
    wrapped = keras.Model(gray, keras.Model(given, end).call(x), name=model.name)
    kernel, bias = first.weights
    kernel.assign([[[[(high - low) / 255] * channels]]])
    bias.assign([low] * channels)
    if any(isinstance(layer, _frozen_layer()) for layer in model.layers):
        return wrapped, False
    # made anew, every layer stands in one graph only: its `input` is then that of this one
    fresh = type(wrapped).from_config(wrapped.get_config())
    fresh.set_weights(wrapped.get_weights())
    return fresh, False


def _without_softmax(model: Any) -> tuple[Any, bool]:
    """The tensor of logits at a Keras model's end, and whether a softmax was taken off to reach it.

    A layer with a softmax for its activation is given none, in a model within the model too.
    """
    import keras

    (said,) = model.outputs
    last = said._keras_history.operation  # Keras has no public name for “what made this tensor”
    if type(last).__name__ == "Softmax":  # the layer, or the bare operation of keras.ops
        return last.input, True
    stripped = False
    while isinstance(last, keras.Model):
        last = last.outputs[0]._keras_history.operation
    if getattr(last, "activation", None) is keras.activations.softmax:
        last.activation = keras.activations.linear
        stripped = True
    return said, stripped


def _saved_model(path: Path) -> Any:
    """The Keras model that runs the one signature of a SavedModel, its weights frozen and a last softmax taken off."""
    if not (path / SAVED_MODEL).is_file():
        raise UsageError(f"{path} is no SavedModel: there is no {SAVED_MODEL} in it")
    with quiet_tensorflow():
        try:
            import keras
            import tensorflow as tf
            from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
        except ImportError as error:
            raise UsageError(
                f"a SavedModel needs TensorFlow ({error}); `pip install 'fer-edge[host]'` installs it"
            ) from error
        try:
            loaded = tf.saved_model.load(str(path))  # its variables live as long as this
            signatures = dict(loaded.signatures)
        except Exception as error:  # TensorFlow raises whatever its reader stumbles over
            first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise UsageError(f"{path} cannot be loaded as a SavedModel: {first}; save it again") from error
        name = next((n for n in ("serving_default", "serve", *signatures) if n in signatures), None)
        if name is None:
            raise UsageError(f"{path} has no signature to call; export it with Keras, `model.export(folder)`")
        frozen = convert_variables_to_constants_v2(signatures[name])
        if (len(frozen.inputs), len(frozen.outputs)) != (1, 1):
            raise UsageError(
                f"{path} has {len(frozen.inputs)} inputs and {len(frozen.outputs)} outputs, not one of each"
            )
        (given,), (said,) = frozen.inputs, frozen.outputs
        if given.shape.rank is None or given.shape.rank < 1:
            raise UsageError(f"{path} does not say what shape it takes; save it with an input of (None, side, side, 1)")
        entry = keras.Input(tuple(given.shape[1:]), dtype=given.dtype.name)
        logits = _before_softmax(said)
        layer = _frozen_layer()(frozen.graph.as_graph_def(), given.name, logits.name, name="saved_model")
        return keras.Model(entry, layer(entry), name=path.name)


@functools.cache
def _frozen_layer() -> Any:
    """The kind of layer that runs a TensorFlow graph without variables from one tensor to another; made when Keras is there."""
    import keras
    import tensorflow as tf

    class Frozen(keras.layers.Layer):
        def __init__(self, graph: Any, given: str, said: str, **options: Any) -> None:
            super().__init__(**options)
            self.graph, self.given, self.said = graph, given, said

        def call(self, pixels: Any) -> Any:
            # imported anew, so that shapes follow from the pixels': a fixed batch is one of any size where nothing needs it
            (said,) = tf.graph_util.import_graph_def(
                self.graph, input_map={self.given: pixels}, return_elements=[self.said], name=""
            )
            return said

    return Frozen


def _before_softmax(tensor: Any) -> Any:
    """What a softmax that gives `tensor` of TensorFlow's graph was given; `tensor` itself where none does."""
    at = tensor
    while at.op.type == "Identity":
        at = at.op.inputs[0]
    return at.op.inputs[0] if at.op.type == "Softmax" else tensor
