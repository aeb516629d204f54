"""ResEmoteNet, a large published network, as a teacher. Too large for a device; its published accuracy is not reproduced.

Roy et al. 2024, arXiv 2409.10545, and the authors' repository ArnabKumarRoy02/ResEmoteNet: 79.79 % on FER2013 claimed; the
repository's issues 13, 16, 34 and 39 report 58 to 72 %. Built from the description; models/README.md has our accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ResEmoteNet:
    """The published sizes. One gray channel replaces three equal ones: equivalent, apart from the initial weights."""

    side: int | None = 48
    works_at: int = 64  # px; images are enlarged to it
    widths: tuple[int, ...] = (64, 128, 256)  # convolution, batch normalisation, ReLU, max pooling by 2
    squeeze: int = 16  # of the squeeze-and-excitation after them
    blocks: tuple[int, ...] = (512, 1024, 2048)  # residual, each halving the side
    dense: tuple[int, ...] = (1024, 512, 256)
    dropout: float = 0.2  # after the first two poolings
    head_dropout: float = 0.5  # after each hidden layer
    classes: int = 7


def build_resemotenet(network: ResEmoteNet, policy: str, batch_norm: Any) -> keras.Model:
    """The network as a Keras model from (B, side, side, 1) gray 0–255 to (B, classes) float32 logits."""
    import keras

    layers = keras.layers

    def conv_bn(x: Any, width: int, kernel: int, stride: int = 1) -> Any:
        x = layers.Conv2D(width, kernel, strides=stride, padding="same", dtype=policy)(x)
        return batch_norm(dtype=policy)(x)

    def relu(x: Any) -> Any:
        return layers.ReLU(dtype=policy)(x)

    pixels = keras.Input((network.side, network.side, 1), name="gray")
    x = layers.Rescaling(1 / 255, dtype=policy)(pixels)
    x = layers.Resizing(network.works_at, network.works_at, dtype=policy)(x)
    for index, width in enumerate(network.widths):
        x = layers.MaxPooling2D(dtype=policy)(relu(conv_bn(x, width, 3)))
        if index < len(network.widths) - 1:
            x = layers.Dropout(network.dropout, dtype=policy)(x)
    width = network.widths[-1]
    gate = layers.GlobalAveragePooling2D(keepdims=True, dtype=policy)(x)
    gate = layers.Dense(width // network.squeeze, activation="relu", use_bias=False, dtype=policy)(gate)
    gate = layers.Dense(width, activation="sigmoid", use_bias=False, dtype=policy)(gate)
    x = layers.Multiply(dtype=policy)([x, gate])
    for width in network.blocks:
        y = conv_bn(relu(conv_bn(x, width, 3, 2)), width, 3)
        x = relu(layers.Add(dtype=policy)([y, conv_bn(x, width, 1, 2)]))
    x = layers.GlobalAveragePooling2D(dtype=policy)(x)
    for width in network.dense:
        x = layers.Dropout(network.head_dropout, dtype=policy)(relu(layers.Dense(width, dtype=policy)(x)))
    x = layers.Dense(network.classes, dtype=policy)(x)
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name="resemotenet")
