"""What a TFLite file takes and gives at its two ends: one image, pixels of a range, logits or probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fer_edge.classifier import RAW_RANGE, Classifier, make_interpreter
from fer_edge.errors import UsageError

PIXELS = ((0.0, 1.0), (-1.0, 1.0), RAW_RANGE)  # the ranges that an input's own scale can be told by


def pixels_of(content: bytes, path: Path) -> tuple[float, float]:
    """What 0 and 255 of a pixel are to a TFLite file, as its input's scale tells; 0 and 255 where that is floating point.

    Raises UsageError when the input stands for another range than one of PIXELS.
    """
    (details, *_) = make_interpreter(content).get_input_details()
    scale, zero = details["quantization"]
    if not scale:
        return RAW_RANGE
    limits = np.iinfo(details["dtype"])
    reach = np.array([limits.min - zero, limits.max - zero]) * scale
    for known in PIXELS:
        if np.abs(reach - known).max() <= 0.02 * (known[1] - known[0]):
            return known
    low, high = reach
    raise UsageError(
        f"the input of {path} stands for {low:.4g} to {high:.4g}, not for 0 to 1, -1 to 1 or 0 to 255; say what 0 and 255 of"
        " a pixel are to it with --input-range LOW,HIGH"
    )


def output_of(model: Classifier, images: np.ndarray) -> str:
    """Whether a model gives "probabilities", which are 0 or more and add up to 1 for every image, or "logits"."""
    said = model.outputs(images)
    rounding = max(1e-3, model.classes * model.smallest_probability)
    sums = np.abs(said.sum(1) - 1) <= rounding
    return "probabilities" if (said >= 0).all() and sums.all() else "logits"
