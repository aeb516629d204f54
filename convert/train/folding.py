"""Batch normalisations folded into the convolutions before them, so that a teacher answers the same in a third of the time.

Jacob et al. 2018, arXiv 1712.05877, section 3.2.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def fold_batch_norms(model: keras.Model, policy: str) -> keras.Model:
    """A copy of `model` for inference, whose layers up to the last one with weights run in the Keras dtype policy `policy`.

    The batch normalisation that alone reads a convolution without bias and activation is folded into it; all other layers are
    kept. The answers differ by rounding only. Raises ValueError when `model` is no graph with one input and one output whose
    layers are each called once, on tensors alone.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError("a model with one input and one output can be folded")
    readers: dict[int, list[Any]] = {}
    for layer in model.layers:
        for tensor in _inputs(layer):
            readers.setdefault(id(tensor), []).append(layer)
    last = max((i for i, layer in enumerate(model.layers) if layer.weights), default=-1)
    start = keras.Input(model.inputs[0].shape[1:])
    known = {id(model.inputs[0]): start}  # the new tensor for each one of `model`, by id
    folded: set[str] = set()

    def new(tensor: Any) -> Any:
        if id(tensor) not in known:
            raise ValueError("a layer is called more than once")
        return known[id(tensor)]

    for index, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.InputLayer):
            continue
        inputs = [new(tensor) for tensor in _inputs(layer)]
        if layer.name in folded:
            known[id(layer.output)] = inputs[0]
            continue
        after = readers.get(id(layer.output), [])
        norm = after[0] if len(after) == 1 and _can_fold(layer, after[0]) else None
        config = layer.get_config()
        if index <= last:
            config["dtype"] = policy
        if norm is not None:
            config["use_bias"] = True
            folded.add(norm.name)
        fresh = type(layer).from_config(config)
        known[id(layer.output)] = fresh(inputs if isinstance(layer.input, list) else inputs[0])
        if norm is not None:
            fresh.set_weights(_folded_weights(layer, norm))
        elif layer.weights:
            fresh.set_weights(layer.get_weights())
    return keras.Model(start, new(model.outputs[0]))


def _inputs(layer: keras.layers.Layer) -> list[Any]:
    """The tensors that a layer reads where it is called first."""
    tensors = layer.input
    return list(tensors) if isinstance(tensors, list | tuple) else [tensors]


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
