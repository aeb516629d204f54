"""Batch normalisations folded into the convolutions before them: a teacher gives the same answers in less time.

Jacob et al. 2018, arXiv 1712.05877, section 3.2.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def fold_batch_norms(model: keras.Model, policy: str) -> keras.Model:
    """A model for inference with the answers of `model`, whose layers with weights run in the Keras dtype policy `policy`.

    The batch normalisation that alone reads a convolution without bias and activation is folded into it; the answers differ by
    rounding only, and the layers before the last one with weights run in `policy` too. Where nothing can be folded, it is
    `model` itself.
    """
    norms = _foldable(model)
    if not norms:
        for layer in model.layers:
            if layer.weights:
                layer.dtype_policy = keras.dtype_policies.get(policy)
        return model
    last = max(i for i, layer in enumerate(model.layers) if layer.weights)
    in_policy = {layer.name for layer in model.layers[: last + 1] if not isinstance(layer, keras.Model)}
    folded = {norm.name for norm in norms.values()}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer.name in in_policy:
            config["dtype"] = policy
        if layer.name in norms:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer.name in folded else layer(*args, **kwargs)

    fresh = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in model.layers:
        if layer.name in norms:
            fresh.get_layer(layer.name).set_weights(_folded_weights(layer, norms[layer.name]))
        elif layer.weights and layer.name not in folded:
            fresh.get_layer(layer.name).set_weights(layer.get_weights())
    return fresh


def _foldable(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """The batch normalisations that can be folded, by the name of the convolution that takes each of them.

    None in a Sequential, and none in a model that calls a layer more than once: `input` and `output` are then of one call only.
    """
    if isinstance(model, keras.Sequential):
        return {}
    readers: dict[int, list[keras.layers.Layer]] = {}
    for layer in model.layers:
        for tensor in keras.tree.flatten(layer.input):
            readers.setdefault(id(tensor), []).append(layer)
    read, outputs = {*readers, *map(id, model.outputs)}, {id(tensor) for tensor in model.outputs}
    written = {id(tensor) for layer in model.layers for tensor in keras.tree.flatten(layer.output)}
    if read - written:
        return {}
    found = {}
    for layer in model.layers:
        after = readers.get(id(layer.output), [])
        if len(after) == 1 and id(layer.output) not in outputs and _can_fold(layer, after[0]):
            found[layer.name] = after[0]
    return found


def _can_fold(layer: keras.layers.Layer, norm: keras.layers.Layer) -> bool:
    """Whether `norm` is a batch normalisation of the channels that a plain convolution without a bias writes."""
    return (
        type(layer) is keras.layers.Conv2D
        and not layer.use_bias
        and layer.activation is keras.activations.linear
        and isinstance(norm, keras.layers.BatchNormalization)
        and norm.axis in (-1, 3)
    )


def _folded_weights(layer: keras.layers.Layer, norm: keras.layers.Layer) -> list[np.ndarray]:
    """Kernel and bias, float32, of a convolution with its batch normalisation."""
    *scale_and_center, mean, variance = (np.asarray(weights, np.float64) for weights in norm.get_weights())
    factor = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        factor *= scale_and_center[0]
    offset = (scale_and_center[-1] if norm.center else 0.0) - mean * factor
    kernel = np.asarray(layer.get_weights()[0], np.float64)
    return [(kernel * factor).astype(np.float32), offset.astype(np.float32)]
