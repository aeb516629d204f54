"""The views of a batch, computed by the device that trains, in operations of Keras that every backend compiles.

`convert.train.augmentation` draws the random numbers and defines a view. The only difference to its OpenCV code is rounding:
OpenCV rounds positions to 1/32 px and intermediate pixels to whole gray levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.train.augmentation import Mixing, Views


def view_inputs(views: Views, mixing: Mixing) -> dict[str, np.ndarray]:
    """The numbers of a batch of N views as float32 and int32 arrays, each with N rows, as a compiled step takes them."""
    numbers = [views.contrast, views.brightness, views.gray, mixing.share]
    return {
        "matrices": views.matrices.reshape(-1, 6).astype(np.float32),
        "photometry": np.stack(numbers, 1).astype(np.float32),
        "blur_side": views.blur_side.astype(np.int32),
        "erased": views.erased.astype(np.int32),
        "other": mixing.other.astype(np.int32),
    }


def render_views_on_device(pixels: Any, inputs: dict[str, Any], side: int) -> Any:
    """Views float32 (N, side, side, 1), 0–255, of images uint8 (N, H, H, 1); `inputs` are those of `view_inputs`."""
    from keras import ops

    x = _warp(pixels, inputs["matrices"], side)
    blur = ops.take(ops.convert_to_tensor(_blur_matrices(side)), inputs["blur_side"], axis=0)  # (N, side, side)
    x = ops.matmul(ops.matmul(blur, x), ops.transpose(blur, (0, 2, 1)))
    contrast, brightness, gray = (inputs["photometry"][:, i, None, None] for i in range(3))
    x = ops.clip((x - 127.5) * contrast + 127.5 + brightness, 0.0, 255.0)
    top, left, height, width = (inputs["erased"][:, i, None] for i in range(4))
    at = ops.convert_to_tensor(np.arange(side, dtype=np.int32)[None])
    rows, columns = (ops.logical_and(at >= low, at < low + size) for low, size in ((top, height), (left, width)))
    erased = ops.logical_and(rows[:, :, None], columns[:, None, :])
    return ops.where(erased, gray, x)[..., None]


def mix_on_device(x: Any, inputs: dict[str, Any]) -> Any:
    """Rows of any shape (N, …), each blended with another one as `Mixing` says; `inputs` are those of `view_inputs`."""
    from keras import ops

    share = ops.reshape(inputs["photometry"][:, 3], (-1, *(1,) * (len(x.shape) - 1)))
    return share * x + (1.0 - share) * ops.take(x, inputs["other"], axis=0)


def _warp(pixels: Any, matrices: Any, side: int) -> Any:
    """Pixels float32 (N, side, side) by bilinear interpolation at affine positions; the border repeats."""
    from keras import ops

    height, width = pixels.shape[1:3]
    flat = ops.reshape(ops.cast(pixels, "float32"), (-1, height * width))
    v, u = (ops.convert_to_tensor(a.reshape(1, -1).astype(np.float32)) for a in np.mgrid[:side, :side])
    m = [matrices[:, i, None] for i in range(6)]
    # sums of products rather than a matrix product, which accelerators compute with ten bits
    x = ops.clip(m[0] * u + m[1] * v + m[2], 0.0, width - 1.0)
    y = ops.clip(m[3] * u + m[4] * v + m[5], 0.0, height - 1.0)
    left, top = ops.floor(x), ops.floor(y)
    x_share, y_share = x - left, y - top
    left, top = ops.cast(left, "int32"), ops.cast(top, "int32")
    right, bottom = ops.minimum(left + 1, width - 1), ops.minimum(top + 1, height - 1)

    def at(row: Any, column: Any) -> Any:
        return ops.take_along_axis(flat, row * width + column, axis=1)

    upper = (1 - x_share) * at(top, left) + x_share * at(top, right)
    lower = (1 - x_share) * at(bottom, left) + x_share * at(bottom, right)
    return ops.reshape((1 - y_share) * upper + y_share * lower, (-1, side, side))


def _blur_matrices(side: int) -> np.ndarray:
    """For each size 0 … side the matrix that shrinks a row of `side` px to it and enlarges it again; side: identity.

    float32 (side + 1, side, side). Shrinking averages areas, enlarging is linear, as in OpenCV's INTER_AREA and INTER_LINEAR.
    """
    matrices = np.zeros((side + 1, side, side), np.float32)
    edges = np.arange(side)
    for small in range(1, side):
        low, high = ((np.arange(small)[:, None] + d) * side / small for d in (0, 1))
        shrink = np.clip(np.minimum(high, edges + 1) - np.maximum(low, edges), 0, None) * small / side
        position = np.clip((edges + 0.5) * small / side - 0.5, 0, small - 1)
        first = np.minimum(np.floor(position).astype(int), max(0, small - 2))
        share = position - first
        enlarge = np.zeros((side, small))
        np.add.at(enlarge, (edges, first), 1 - share)
        np.add.at(enlarge, (edges, np.minimum(first + 1, small - 1)), share)
        matrices[small] = enlarge @ shrink
    matrices[side] = np.eye(side)
    return matrices
