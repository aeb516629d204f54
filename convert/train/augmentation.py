"""Augmentation: what a training image becomes each time it is seen, so that a model meets what a device will show it.

Geometry covers the jitter that a detector's box leaves around the mapped square (`convert.mapping` measures it), so scale,
shift and rotation are one affine map and the pixels are interpolated once. Every number is drawn from the generator given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ERASED_SHARE, ERASED_ASPECT = (0.02, 0.2), (0.4, 2.5)  # of a hole: share of the image, width over height
BLURRED_TO = (0.45, 0.9)  # a blurred image is shrunk to this share of its side and enlarged again


@dataclass(frozen=True)
class Augmentation:
    """What is drawn for each image. All zero: the image as it is."""

    flip: float = 0.0  # probability of the mirrored image
    rotation: float = 0.0  # degrees, uniform, to both sides
    shift: float = 0.0  # shares of the side, uniform, to all four sides
    scale: float = 0.0  # the view's side is exp(u) times the crop's, u uniform to both sides of 0
    brightness: float = 0.0  # added, in shares of 255, uniform to both sides
    contrast: float = 0.0  # factor around mid-gray, 1 ± this, uniform
    blur: float = 0.0  # probability of a loss of resolution
    erasing: float = 0.0  # probability of one rectangle of a random gray


NONE = Augmentation()


def augment(x: np.ndarray, how: Augmentation, rng: np.random.Generator, side: int | None = None) -> np.ndarray:
    """Float32 (N, side, side, 1), gray 0–255, from uint8 (N, H, H, 1). `side` None keeps H; what lies beyond is repeated."""
    import cv2

    count, height = x.shape[:2]
    side = side or height
    mirrored = rng.random((count,)) < how.flip
    angle = np.deg2rad(rng.uniform(-how.rotation, how.rotation, count))
    across, down = rng.uniform(-how.shift, how.shift, (2, count)) * height
    factor = np.exp(rng.uniform(-how.scale, how.scale, count)) * height / side  # source pixels a target pixel
    blurred = rng.random((count,)) < how.blur
    small = np.maximum(8, np.rint(rng.uniform(*BLURRED_TO, count) * side)).astype(int)
    out = np.empty((count, side, side, 1), np.float32)
    middle, centre = (side - 1) / 2, (height - 1) / 2
    for i in range(count):
        c, s = np.cos(angle[i]) * factor[i], np.sin(angle[i]) * factor[i]
        left_right = -1.0 if mirrored[i] else 1.0
        # from a target pixel to the source's: about the middles, turned, scaled, mirrored, shifted
        matrix = np.array([[c * left_right, -s * left_right, 0.0], [s, c, 0.0]])
        matrix[:, 2] = (centre + across[i], centre + down[i]) - matrix[:, :2] @ (middle, middle)
        image = cv2.warpAffine(
            x[i, :, :, 0],
            matrix,
            (side, side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        if blurred[i]:
            shrunk = cv2.resize(image, (small[i], small[i]), interpolation=cv2.INTER_AREA)
            image = cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_LINEAR)
        out[i, :, :, 0] = image
    contrast = 1 + rng.uniform(-how.contrast, how.contrast, (count, 1, 1, 1))
    brightness = 255 * rng.uniform(-how.brightness, how.brightness, (count, 1, 1, 1))
    if how.contrast or how.brightness:
        out = np.clip((out - 127.5) * contrast + 127.5 + brightness, 0, 255).astype(np.float32)
    for hole in np.flatnonzero(rng.random((count,)) < how.erasing):
        area, aspect = rng.uniform(*ERASED_SHARE) * side * side, np.exp(rng.uniform(*np.log(ERASED_ASPECT)))
        high, wide = (max(1, min(side, round(edge))) for edge in (np.sqrt(area / aspect), np.sqrt(area * aspect)))
        top, left = rng.integers(0, side - high + 1), rng.integers(0, side - wide + 1)
        out[hole, top : top + high, left : left + wide] = rng.uniform(0, 255)
    return out


def mixup(x: np.ndarray, y: np.ndarray, alpha: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Each image of a batch blended with another of it, and its soft labels alike; shares from Beta(α, α), own image first.

    `x` float32 (N, H, W, 1), `y` float32 (N, classes). Zhang et al. 2018, arXiv 1710.09412. α = 0 changes nothing.
    """
    if not alpha:
        return x, y
    share = rng.beta(alpha, alpha, len(x)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    other = rng.permutation(len(x))
    wide = share[:, None, None, None]
    return wide * x + (1 - wide) * x[other], share[:, None] * y + (1 - share[:, None]) * y[other]
