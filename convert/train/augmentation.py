"""Augmentation: random changes of training images, so that a model is trained on what a device will see.

The geometric changes cover the jitter that a detector's box leaves around the mapped square (`convert.mapping` measures it).
Scale, shift and rotation are one affine map, so that pixels are interpolated once. All numbers come from the given generator.
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


def augment(x: np.ndarray, augmentation: Augmentation, rng: np.random.Generator, side: int | None = None) -> np.ndarray:
    """Augmented images float32 (N, side, side, 1), 0–255, from uint8 (N, H, H, 1). `side` None: H. The border repeats."""
    import cv2

    count, height = x.shape[:2]
    side = side or height
    mirrored = rng.random((count,)) < augmentation.flip
    angle = np.deg2rad(rng.uniform(-augmentation.rotation, augmentation.rotation, count))
    shift_x, shift_y = rng.uniform(-augmentation.shift, augmentation.shift, (2, count)) * height
    factor = (
        np.exp(rng.uniform(-augmentation.scale, augmentation.scale, count)) * height / side
    )  # source pixels per target pixel
    blurred = rng.random((count,)) < augmentation.blur
    blur_side = np.maximum(8, np.rint(rng.uniform(*BLUR_SCALE, count) * side)).astype(int)
    out = np.empty((count, side, side, 1), np.float32)
    middle, centre = (side - 1) / 2, (height - 1) / 2
    for i in range(count):
        c, s = np.cos(angle[i]) * factor[i], np.sin(angle[i]) * factor[i]
        flip_sign = -1.0 if mirrored[i] else 1.0
        # from a target pixel to a source pixel, about the centres: rotation, scale, mirroring, shift
        matrix = np.array([[c * flip_sign, -s * flip_sign, 0.0], [s, c, 0.0]])
        matrix[:, 2] = (centre + shift_x[i], centre + shift_y[i]) - matrix[:, :2] @ (middle, middle)
        image = cv2.warpAffine(
            x[i, :, :, 0],
            matrix,
            (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        if blurred[i]:
            shrunk = cv2.resize(image, (blur_side[i], blur_side[i]), interpolation=cv2.INTER_AREA)
            image = cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_LINEAR)
        out[i, :, :, 0] = image
    contrast = 1 + rng.uniform(-augmentation.contrast, augmentation.contrast, (count, 1, 1, 1))
    brightness = 255 * rng.uniform(-augmentation.brightness, augmentation.brightness, (count, 1, 1, 1))
    if augmentation.contrast or augmentation.brightness:
        out = np.clip((out - 127.5) * contrast + 127.5 + brightness, 0, 255).astype(np.float32)
    for erased in np.flatnonzero(rng.random((count,)) < augmentation.erasing):
        area, aspect = rng.uniform(*ERASED_SHARE) * side * side, np.exp(rng.uniform(*np.log(ERASED_ASPECT)))
        height_px, width_px = (
            max(1, min(side, round(length))) for length in (np.sqrt(area / aspect), np.sqrt(area * aspect))
        )
        top, left = rng.integers(0, side - height_px + 1), rng.integers(0, side - width_px + 1)
        out[erased, top : top + height_px, left : left + width_px] = rng.uniform(0, 255)
    return out


def mixup(x: np.ndarray, y: np.ndarray, alpha: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Each image of a batch blended with another one of it, and their soft labels in the same shares.

    `x` float32 (N, H, W, 1), `y` float32 (N, classes). The shares are from Beta(α, α); the larger one is the image's own.
    α = 0 changes nothing. Zhang et al. 2018, arXiv 1710.09412.
    """
    if not alpha:
        return x, y
    share = rng.beta(alpha, alpha, len(x)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    other = rng.permutation(len(x))
    image_share = share[:, None, None, None]
    return image_share * x + (1 - image_share) * x[other], share[:, None] * y + (1 - share[:, None]) * y[other]
