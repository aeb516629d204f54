"""Augmentation: random changes of training images, so that a model is trained on what a device will see.

The geometric changes cover the jitter that a detector's box leaves around the mapped square (`convert.mapping` measures it).
Scale, shift and rotation are one affine map, so that pixels are interpolated once. The random numbers of a batch are drawn
first (`draw_views`), on the host. Its pixels are then computed by OpenCV (`render_views`), or by the device that trains
(`convert.train.device_views`); both give the same views but for rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ERASED_SHARE, ERASED_ASPECT = (0.02, 0.2), (0.4, 2.5)  # of the erased rectangle: share of the image, width over height
BLUR_SCALE = (0.45, 0.9)  # a blurred image is shrunk to a share of its side in this range, and enlarged again


@dataclass(frozen=True)
class Augmentation:
    """The ranges and probabilities of the changes, drawn anew for each image. All zero: the image is unchanged."""

    flip: float = 0.0  # probability of the mirrored image
    rotation: float = 0.0  # degrees; uniform between minus and plus this
    shift: float = 0.0  # share of the side; uniform between minus and plus this, in x and in y
    scale: float = 0.0  # the view's side is exp(u) times the crop's, u uniform between minus and plus this
    brightness: float = 0.0  # added, as a share of 255; uniform between minus and plus this
    contrast: float = 0.0  # factor around mid-gray, 1 ± this, uniform
    blur: float = 0.0  # probability of a lower resolution
    erasing: float = 0.0  # probability of one rectangle of a random gray


NO_AUGMENTATION = Augmentation()


@dataclass(frozen=True)
class Views:
    """What was drawn for each of N images of a batch. A view is computed in the order of these fields."""

    side: int  # of the view, px
    matrices: np.ndarray  # float64 (N, 2, 3), from a pixel of the view to a pixel of the image; the border repeats
    blur_side: (
        np.ndarray
    )  # int (N,), px to which a view is shrunk before it is enlarged again; `side`: it is not blurred
    contrast: np.ndarray  # float64 (N,), factor around 127.5
    brightness: np.ndarray  # float64 (N,), added, in gray levels
    erased: np.ndarray  # int (N, 4), top, left, height and width of the erased rectangle in px; height 0: none
    gray: np.ndarray  # float64 (N,), of the erased rectangle


def draw_views(
    count: int, height: int, augmentation: Augmentation, rng: np.random.Generator, side: int | None = None
) -> Views:
    """The random views of `count` images of `height` px. `side` None: the views have the images' size."""
    side = side or height
    mirrored = rng.random((count,)) < augmentation.flip
    angle = np.deg2rad(rng.uniform(-augmentation.rotation, augmentation.rotation, count))
    shift_x, shift_y = rng.uniform(-augmentation.shift, augmentation.shift, (2, count)) * height
    factor = (
        np.exp(rng.uniform(-augmentation.scale, augmentation.scale, count)) * height / side
    )  # source pixels per target pixel
    blurred = rng.random((count,)) < augmentation.blur
    blur_side = np.maximum(8, np.rint(rng.uniform(*BLUR_SCALE, count) * side)).astype(int)
    c, s = np.cos(angle) * factor, np.sin(angle) * factor
    sign = np.where(mirrored, -1.0, 1.0)
    # about the centres: rotation, scale, mirroring, shift
    turn = np.stack([np.stack([c * sign, -s * sign], 1), np.stack([s, c], 1)], 1)
    middle, centre = (side - 1) / 2, (height - 1) / 2
    moved = np.stack([centre + shift_x, centre + shift_y], 1) - turn @ (middle, middle)
    contrast = 1 + rng.uniform(-augmentation.contrast, augmentation.contrast, count)
    brightness = 255 * rng.uniform(-augmentation.brightness, augmentation.brightness, count)
    erased, gray = np.zeros((count, 4), int), np.zeros(count)
    for i in np.flatnonzero(rng.random((count,)) < augmentation.erasing):
        area, aspect = rng.uniform(*ERASED_SHARE) * side * side, np.exp(rng.uniform(*np.log(ERASED_ASPECT)))
        height_px, width_px = (
            max(1, min(side, round(length))) for length in (np.sqrt(area / aspect), np.sqrt(area * aspect))
        )
        top, left = rng.integers(0, side - height_px + 1), rng.integers(0, side - width_px + 1)
        erased[i], gray[i] = (top, left, height_px, width_px), rng.uniform(0, 255)
    return Views(
        side=side,
        matrices=np.concatenate([turn, moved[:, :, None]], 2),
        blur_side=np.where(blurred, blur_side, side),
        contrast=contrast,
        brightness=brightness,
        erased=erased,
        gray=gray,
    )


def render_views(x: np.ndarray, views: Views) -> np.ndarray:
    """The views float32 (N, side, side, 1), 0–255, of images uint8 (N, H, H, 1), computed by OpenCV."""
    import cv2

    side = views.side
    out = np.empty((len(x), side, side, 1), np.float32)
    for i in range(len(x)):
        image = cv2.warpAffine(
            x[i, :, :, 0],
            views.matrices[i],
            (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        if views.blur_side[i] < side:
            small = (int(views.blur_side[i]),) * 2
            shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
            image = cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_LINEAR)
        out[i, :, :, 0] = image
    contrast, brightness = (a[:, None, None, None] for a in (views.contrast, views.brightness))
    if (contrast != 1).any() or brightness.any():
        out = np.clip((out - 127.5) * contrast + 127.5 + brightness, 0, 255).astype(np.float32)
    for i, (top, left, height, width) in enumerate(views.erased):
        if height:
            out[i, top : top + height, left : left + width] = views.gray[i]
    return out


@dataclass(frozen=True)
class Mixing:
    """With which other image of its batch each of N images is blended (mixup; Zhang et al. 2018, arXiv 1710.09412)."""

    share: np.ndarray  # float32 (N,), of the image itself, at least .5; 1: it is not blended
    other: np.ndarray  # int (N,), index of the other image in the batch

    def apply(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images float32 (N, H, W, 1) and soft labels float32 (N, classes), blended in the same shares."""
        if (self.share == 1).all():
            return x, y
        image_share, share = self.share[:, None, None, None], self.share[:, None]
        return image_share * x + (1 - image_share) * x[self.other], share * y + (1 - share) * y[self.other]


def draw_mixing(count: int, alpha: float, rng: np.random.Generator, mixed_share: float = 1.0) -> Mixing:
    """A random blend of a batch: shares from Beta(α, α), the larger one is the image's own; α = 0 blends nothing.

    `mixed_share` is the probability that an image is blended at all.
    """
    if not alpha:
        return Mixing(np.ones(count, np.float32), np.arange(count))
    share = rng.beta(alpha, alpha, count).astype(np.float32)
    share = np.maximum(share, 1 - share)
    other = rng.permutation(count)
    if mixed_share < 1:
        share = np.where(rng.random(count) < mixed_share, share, np.float32(1))
    return Mixing(share, other)
