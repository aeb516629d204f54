"""TensorFlow.js networks read from their own files and run by TensorFlow: the same operations on the same weights."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.errors import BundleRefused

Network = Callable[[np.ndarray], np.ndarray]


def resize(faces: np.ndarray, side: int) -> np.ndarray:
    """`tf.image.resizeBilinear` as TF.js does it unless told otherwise: float32 (N, H, W) to (N, side, side).

    A pixel's corner, not its centre, is where it is sampled: the picture moves up and left by half a pixel or so.
    """
    rows, columns = (_weights(n, side) for n in faces.shape[1:])
    return np.einsum("ah,nhw,bw->nab", rows, faces, columns, optimize=True).astype(np.float32)


def _weights(old: int, new: int) -> np.ndarray:
    """What share of each of `old` pixels each of `new` pixels takes: float32 (new, old)."""
    at = np.arange(new, dtype=np.float32) * np.float32(old / new)
    low = np.floor(at).astype(int)
    share = np.zeros((new, old), np.float32)
    np.add.at(share, (np.arange(new), low), 1 - (at - low))
    np.add.at(share, (np.arange(new), np.minimum(low + 1, old - 1)), at - low)
    return share


def weights(manifest: list[dict[str, Any]], content: bytes) -> dict[str, np.ndarray]:
    """The named weights of a manifest, whose one file holds them one after another; bytes in few bits are scaled back."""
    found, at = {}, 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        count, packed = int(np.prod(entry["shape"])), entry.get("quantization")
        raw = np.frombuffer(content, packed["dtype"] if packed else entry["dtype"], count, at)
        at += raw.nbytes
        values = raw * np.float32(packed["scale"]) + np.float32(packed["min"]) if packed else raw
        found[entry["name"]] = values.astype(entry["dtype"]).reshape(entry["shape"])
    if at != len(content):
        raise BundleRefused(f"the manifest describes {at:,} bytes of weights; the file has {len(content):,}")
    return found


def graph_model(topology: Path, binary: Path) -> Network:
    """The network of a graph model's JSON and its weights: inputs float32 (N, H, W, C) to outputs float32 (N, K).

    Only the operations of a plain convolutional classifier are known; BundleRefused names any other.
    """
    spec = json.loads(topology.read_text())
    constants = weights(spec["weightsManifest"], binary.read_bytes())
    nodes = spec["modelTopology"]["node"]

    def run(inputs: np.ndarray) -> np.ndarray:
        values: dict[str, Any] = dict(constants)
        for node in nodes:
            if node["op"] == "Placeholder":
                values[node["name"]] = inputs
            elif node["op"] != "Const":
                given = [values[name] for name in node["input"]]
                values[node["name"]] = _operation(node["op"], given, node.get("attr", {}))
        return np.asarray(values[nodes[-1]["name"]], np.float32)

    return run


def _operation(op: str, given: list[Any], attributes: dict[str, Any]) -> Any:
    """What TensorFlow makes of one node of a graph."""
    tf = _tensorflow()
    strides = _numbers(attributes.get("strides"))
    padding = _text(attributes["padding"]["s"]) if "padding" in attributes else ""
    if op == "_FusedConv2D":
        fused = [_text(s) for s in attributes["fused_ops"]["list"]["s"]]
        if fused[:1] != ["BiasAdd"] or fused[1:] not in ([], ["Relu"]):
            raise BundleRefused(f"the graph fuses {', '.join(fused)}, which is not known here")
        found = tf.nn.conv2d(given[0], given[1], strides, padding) + given[2]
        return tf.nn.relu(found) if fused[1:] else found
    if op == "DepthwiseConv2dNative":
        return tf.nn.depthwise_conv2d(given[0], given[1], strides, padding)
    if op == "MaxPool":
        return tf.nn.max_pool2d(given[0], _numbers(attributes["ksize"]), strides, padding)
    plain = {
        "AddV2": tf.add,
        "Relu": tf.nn.relu,
        "Mean": tf.reduce_mean,
        "Softmax": tf.nn.softmax,
        "Identity": tf.identity,
    }
    if op not in plain:
        raise BundleRefused(f"the graph has an operation {op}, which is not known here")
    return plain[op](*given)


def face_expression_net(manifest: Path, binary: Path) -> Network:
    """face-api's network, which its package builds in code: (N, 112, 112, 3) float32 to probabilities float32 (N, 7).

    Source: src/faceFeatureExtractor/FaceFeatureExtractor.ts, denseBlock.ts and src/faceProcessor/FaceProcessor.ts.
    """
    w = weights(json.loads(manifest.read_text()), binary.read_bytes())

    def run(inputs: np.ndarray) -> np.ndarray:
        nn = _tensorflow().nn

        def separable(x: Any, name: str, stride: int = 1) -> Any:
            filters = (w[f"{name}/depthwise_filter"], w[f"{name}/pointwise_filter"])
            return nn.separable_conv2d(x, *filters, [1, stride, stride, 1], "SAME") + w[f"{name}/bias"]

        x: Any = inputs
        for block in range(4):
            conv = f"dense{block}/conv"
            if block:
                first = separable(x, f"{conv}0", 2)
            else:
                first = nn.conv2d(x, w[f"{conv}0/filters"], 2, "SAME") + w[f"{conv}0/bias"]
            total = nn.relu(first)
            for layer in (1, 2, 3):  # each takes the rectified sum of all before it
                total += separable(nn.relu(total), f"{conv}{layer}")
            x = nn.relu(total)
        pooled = np.asarray(nn.avg_pool2d(x, 7, 2, "VALID")).reshape(len(inputs), -1)
        return np.asarray(nn.softmax(pooled @ w["fc/weights"] + w["fc/bias"]), np.float32)

    return run


def _tensorflow() -> Any:
    with quiet_tensorflow():
        import tensorflow as tf
    return tf


def _numbers(attribute: dict[str, Any] | None) -> list[int]:
    return [int(i) for i in attribute["list"]["i"]] if attribute else []


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
