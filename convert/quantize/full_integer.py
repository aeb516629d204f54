"""Full-integer quantization of a float TFLite file."""

from __future__ import annotations

import numpy as np

from convert.quantize.mixed_precision import keep_float as kept
from convert.quantize.range_search import Choices, int8
from convert.sources.checks import (
    refuse_float_operators,
)
from convert.tflite.compaction import pack


def to_int8(
    content: bytes,
    images: np.ndarray,
    choices: Choices | None = None,
    *,
    keep_float: tuple[str, ...] = (),
    packed: bool = True,
) -> bytes:
    """The bytes of a TFLite file whose input, output and every operator are int8, from those of a float one.

    `images`, uint8 (N, side, side), and `choices` set the ranges (range_search). Layers named in `keep_float` stay float;
    `packed` drops what no interpreter reads (tflite.compaction). Raises ParityFailed when operators remain in floating point
    that `keep_float` does not name, UsageError when the quantizer rejects the model.
    """
    if keep_float:
        return kept(content, images, keep_float, choices)
    made = int8(content, images, choices)
    refuse_float_operators(made)
    return pack(made) if packed else made
