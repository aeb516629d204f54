"""What no bundle is made of, and the sentence that says so: models that cannot run, or whose answers say nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert.data.samples import Samples
from convert.tflite.inspection import custom_of, not_finite_of, operators
from fer_edge.classifier import Classifier
from fer_edge.errors import NotEnoughData, ParityFailed, UsageError

SATURATED_SHARE = 0.05  # ranges from calibration reach the ends of int8 on the one or two images that set them
FEWEST_LEVELS = 160  # of 256 gray levels; half of them are left where −1…1 was read for 0…1
_LOOKED_AT = 32  # images at a time until two answers were seen
_BRIDGES = ("QUANTIZE", "DEQUANTIZE")


def refuse_unfit(content: bytes, path: Path) -> None:
    """Raises UsageError when a TFLite file made from `path` holds custom operators, or weights that are no numbers."""
    if names := custom_of(content):
        raise UsageError(
            f"{path} needs operators that are none of TFLite's own: {', '.join(names)}; build the model without them"
        )
    if tensors := not_finite_of(content):
        some = ", ".join(tensors[:3]) + (", …" if len(tensors) > 3 else "")
        raise UsageError(f"{path} has weights that are not finite numbers, in {some}; train it again")


def refuse_float_operators(content: bytes) -> None:
    """Raises ParityFailed, naming them, when a TFLite file holds operators that read or write floating point."""
    left = {op.name for op in operators(content) if any("float" in d.lower() for d in op.dtypes)}
    if left:
        named = sorted(left - set(_BRIDGES)) or sorted(left)
        raise ParityFailed(f"operators in floating point are left: {', '.join(named)}; build the model without them")


def refuse_other_labels(path: Path, classes: int, labels: tuple[str, ...]) -> None:
    """Raises UsageError when the model in `path` gives another number of classes than there are labels."""
    if classes != len(labels):
        raise UsageError(
            f"{path} gives {classes} classes, not the {len(labels)} of {', '.join(labels)}; name its own with --labels"
        )


def refuse_one_class(samples: Samples) -> None:
    """Raises NotEnoughData when all images to calibrate on, the training part, are of one class."""
    held = np.unique(samples.part("train").y)
    if len(held) == 1:
        raise NotEnoughData(
            f"all images to calibrate on are of one class, {samples.labels[held[0]]}; the others' answers would have no"
            " range; give training images of every class"
        )


def refuse_one_answer(model: Classifier, images: np.ndarray, labels: tuple[str, ...], path: Path) -> None:
    """Raises UsageError when the model in `path` gives every image uint8 (N, side, side) the same label, or no numbers."""
    seen: set[int] = set()
    for start in range(0, len(images), _LOOKED_AT):
        logits = model.logits(images[start : start + _LOOKED_AT])
        if not np.isfinite(logits).all():
            raise UsageError(f"{path} answers with values that are not finite numbers; train it again")
        seen |= set(logits.argmax(1).tolist())
        if len(seen) > 1:
            return
    if len(images) > 1:
        raise UsageError(
            f"{path} answers “{labels[seen.pop()]}” to all {len(images)} images, and the ranges of its other answers cannot"
            " be known: name the range of pixels it was trained on (--input-range), or give images of its kind (--data)"
        )


def refuse_saturated(model: Classifier, images: np.ndarray, path: Path) -> None:
    """Raises ParityFailed when logits of int8 stand at an end of their range on more than SATURATED_SHARE of the images.

    Probabilities belong at the ends, and floating point has none.
    """
    if model.output_range is None or model.output_kind == "probabilities" or not len(images):
        return
    low, high = model.output_range
    said = model.outputs(images)
    share = float(np.mean(((said <= low) | (said >= high)).any(1)))
    if share > max(SATURATED_SHARE, 2 / len(images)):
        raise ParityFailed(
            f"the output of {path} is saturated: on {share * 100:.0f} % of {len(images)} images a logit stands at an end of"
            f" its range, {low:.4g} to {high:.4g}; calibrate it on images that reach further"
        )


def refuse_other_pixels(model: Classifier, path: Path) -> None:
    """Raises UsageError when the pixels' range does not fit what the input tensor of the model in `path` can hold."""
    kept = len(np.unique(model.input_values))
    if kept < FEWEST_LEVELS:
        low, high = model.input_range
        raise UsageError(
            f"with pixels from {low:g} to {high:g} the input of {path} keeps {kept} of 256 gray levels;"
            " give the range it was made for, --input-range LOW,HIGH"
        )
