"""The adapted residual network: twelve plain convolutions, and a residual block after every four of them.

Bah and Xue 2022, "Facial expression recognition using adapted residual based deep neural network", Intelligence & Robotics
2(1):72–88, doi 10.20517/ir.2021.16. Its 75 % are on 2,465 images drawn at random from FERGIT, which by its 49,300 images is
FER2013 and muxspace/facial_expressions without sadness and contempt. They cannot be compared with PrivateTest. Ours sees
FER2013 alone.

Stated: seven blocks (three convolutional, three residual, one of classification), filters from 16 to 512 in pairs, a first
kernel of 5×5, ReLU before the batch normalisation of plain convolutions and after that of residual ones, max pooling by 2 and
dropout after each pair, global average pooling, he_normal.

Chosen here, because the source does not state it or its page could not be read: all other kernels 3×3; batch normalisation
after each convolution; a residual block after the pooling of the pair before it, without a projection; no pooling of the
sixth pair, whose input is 1 px; dropout .25; the augmentation of the preset, and that a plateau leaves a tenth of the learning
rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class AdaptedResidual:
    """The sizes of the adapted residual network."""

    side: int | None = 48
    widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512)  # of the pairs of convolutions
    first_kernel: int = 5
    poolings: int = 5  # pairs that are followed by max pooling by 2
    residual_every: int = 2  # pairs
    dropout: float = 0.25  # after each pair
    classes: int = 7


def build_adapted_residual(network: AdaptedResidual, policy: str, batch_norm: Any) -> keras.Model:
    """The network as a Keras model from (B, side, side, 1) gray 0–255 to (B, classes) float32 logits."""
    import keras

    layers = keras.layers

    def conv(x: Any, width: int, kernel: int = 3) -> Any:
        return layers.Conv2D(width, kernel, padding="same", kernel_initializer="he_normal", dtype=policy)(x)

    def norm(x: Any) -> Any:
        return batch_norm(dtype=policy)(x)

    def relu(x: Any) -> Any:
        return layers.ReLU(dtype=policy)(x)

    pixels = keras.Input((network.side, network.side, 1), name="gray")
    x = layers.Rescaling(1 / 255, dtype=policy)(pixels)
    for pair, width in enumerate(network.widths, 1):
        x = norm(relu(conv(x, width, network.first_kernel if pair == 1 else 3)))
        x = norm(relu(conv(x, width)))
        if pair <= network.poolings:
            x = layers.MaxPooling2D(dtype=policy)(x)
        x = layers.Dropout(network.dropout, dtype=policy)(x)
        if pair % network.residual_every == 0:
            y = norm(conv(relu(norm(conv(x, width))), width))
            x = relu(layers.Add(dtype=policy)([y, x]))
    x = layers.GlobalAveragePooling2D(dtype=policy)(x)  # (B, last width)
    x = layers.Dense(network.classes, kernel_initializer="he_normal", dtype=policy)(x)
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name="adapted_residual")
