"""The Residual Masking Network: a ResNet with a mask, a small U-Net, after each of its stages.

Pham, Vu and Tran 2020, "Facial Expression Recognition Using Residual Masking Network", ICPR,
doi 10.1109/ICPR48806.2021.9411919 (arXiv 2603.05937), and the authors' repository phamquiluan/ResidualMaskingNetwork: 74.14 %
on PrivateTest, as the mean over random views of each image. Built from the description. Images are enlarged inside the graph,
bilinearly; the authors enlarge them before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ResidualMasking:
    """The published sizes. One gray channel replaces three equal ones: equivalent, apart from the initial weights.

    A stage's output x becomes x · (1 + M(x)), M the stage's mask.
    """

    side: int | None = 48
    works_at: int = 224  # px; images are enlarged to it; 0: they stay as they are
    stem_kernel: int = 7
    stem_stride: int = 2  # with more than 1, max pooling 3×3 by 2 follows the stem
    widths: tuple[int, ...] = (
        64,
        128,
        256,
        512,
    )  # of the stages; each but the first halves the side; the first is the stem's
    blocks: tuple[int, ...] = (3, 4, 6, 3)  # residual, of each stage
    mask_depths: tuple[int, ...] = (4, 3, 2, 1)  # resolutions of each stage's mask; 0: no mask
    mask_growth: int = 2  # factor of the mask's width from one resolution to the next; 1: constant width
    mask_gate: str = "softmax"  # over the channels; or "sigmoid", whose values an int8 step of 1/256 resolves
    head_dropout: float = 0.4
    classes: int = 7


def build_residual_masking(network: ResidualMasking, policy: str, batch_norm: Any) -> keras.Model:
    """The network as a Keras model from (B, side, side, 1) gray 0–255 to (B, classes) float32 logits."""
    import keras

    layers = keras.layers

    def conv_bn(x: Any, width: int, kernel: int, stride: int = 1, gamma: str = "ones") -> Any:
        start = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
        x = layers.Conv2D(width, kernel, stride, "same", use_bias=False, kernel_initializer=start, dtype=policy)(x)
        return batch_norm(gamma_initializer=gamma, dtype=policy)(x)

    def relu(x: Any) -> Any:
        return layers.ReLU(dtype=policy)(x)

    def block(x: Any, width: int, stride: int = 1, gamma: str = "ones") -> Any:
        y = conv_bn(relu(conv_bn(x, width, 3, stride)), width, 3, gamma=gamma)
        x = conv_bn(x, width, 1, stride) if x.shape[-1] != width or stride != 1 else x
        return relu(layers.Add(dtype=policy)([y, x]))

    def mask(x: Any, depth: int) -> Any:
        """M(x): a U-Net of `depth` resolutions. The last normalisation of each of its blocks starts at zero."""
        levels: list[Any] = []
        width, y = x.shape[-1], x
        for level in range(1, depth + 1):
            y = layers.MaxPooling2D(dtype=policy)(y) if levels else y
            y = block(y, width * network.mask_growth**level, gamma="zeros")
            levels.append(y)
        for skipped in reversed(levels[:-1]):
            y = layers.Conv2DTranspose(skipped.shape[-1], 2, 2, dtype=policy)(y)
            y = layers.Concatenate(dtype=policy)([relu(batch_norm(dtype=policy)(y)), skipped])
            y = block(y, skipped.shape[-1], gamma="zeros")
        return layers.Activation(network.mask_gate, dtype=policy)(block(y, width, gamma="zeros"))

    pixels = keras.Input((network.side, network.side, 1), name="gray")
    x = layers.Rescaling(1 / 255, dtype=policy)(pixels)
    if network.works_at:
        x = layers.Resizing(network.works_at, network.works_at, dtype=policy)(x)
    x = relu(conv_bn(x, network.widths[0], network.stem_kernel, network.stem_stride))
    if network.stem_stride > 1:
        x = layers.MaxPooling2D(3, 2, "same", dtype=policy)(x)
    for stage, (width, blocks, depth) in enumerate(
        zip(network.widths, network.blocks, network.mask_depths, strict=True)
    ):
        for index in range(blocks):
            x = block(x, width, 2 if stage and not index else 1)
        if depth:
            x = layers.Add(dtype=policy)([x, layers.Multiply(dtype=policy)([x, mask(x, depth)])])
    x = layers.GlobalAveragePooling2D(dtype=policy)(x)  # (B, last width)
    x = layers.Dropout(network.head_dropout, dtype=policy)(x)
    x = layers.Dense(network.classes, dtype=policy)(x)
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(pixels, logits, name="residual_masking")
