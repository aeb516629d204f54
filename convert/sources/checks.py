"""Checks that a model must pass before a bundle is made of it; each raises an error that says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert.data.samples import Samples
from convert.tflite.graph import Graph
from convert.tflite.inspection import custom_operators, nonfinite_tensors, operator_types
from fer_edge.classifier import Classifier
from fer_edge.errors import NotEnoughData, ParityFailed, UsageError

SATURATED_SHARE = 0.05  # ranges from calibration reach the ends of int8 on the one or two images that set them
FEWEST_LEVELS = 160  # of 256 gray levels; half of them remain where −1…1 is given to an input of 0…1
_CHUNK = 32  # images at a time until two labels were seen
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


def require_runnable(graph: Graph, path: Path) -> None:
    """Raises UsageError when a model made from `path` holds custom operators, or weights that are not finite numbers."""
    if names := custom_operators(graph):
        raise UsageError(
            f"{path} needs operators that are not TFLite's own: {', '.join(names)}; build the model without them"
        )
    if tensors := nonfinite_tensors(graph):
        some = ", ".join(tensors[:3]) + (", …" if len(tensors) > 3 else "")
        raise UsageError(f"{path} has weights that are not finite numbers, in {some}; train it again")


def require_int8(graph: Graph) -> None:
    """Raises ParityFailed, naming them, when a model holds operators that read or write floating point."""
    left = {op.name for op in operator_types(graph) if any("float" in d.lower() for d in op.dtypes)}
    if left:
        named = sorted(left - set(_CONVERSIONS)) or sorted(left)
        raise ParityFailed(f"operators in floating point are left: {', '.join(named)}; build the model without them")


def require_label_count(path: Path, classes: int, labels: tuple[str, ...]) -> None:
    """Raises UsageError when the model in `path` gives another number of classes than there are labels."""
    if classes != len(labels):
        raise UsageError(
            f"{path} gives {classes} classes, not the {len(labels)} of {', '.join(labels)}; name its own with --labels"
        )


def require_several_classes(samples: Samples) -> None:
    """Raises NotEnoughData when all images of the training part, which calibrates, are of one class."""
    present = np.unique(samples.part("train").y)
    if len(present) == 1:
        raise NotEnoughData(
            f"all calibration images are of one class, {samples.labels[present[0]]}; the logits of the others would have no"
            " range; give training images of every class"
        )


def require_different_answers(model: Classifier, images: np.ndarray, labels: tuple[str, ...], path: Path) -> None:
    """Raises UsageError when the model in `path` gives all images uint8 (N, side, side) one label, or no numbers."""
    answered: set[int] = set()
    for start in range(0, len(images), _CHUNK):
        logits = model.logits(images[start : start + _CHUNK])
        if not np.isfinite(logits).all():
            raise UsageError(f"{path} answers with values that are not finite numbers; train it again")
        answered |= set(logits.argmax(1).tolist())
        if len(answered) > 1:
            return
    if len(images) > 1:
        raise UsageError(
            f"{path} answers “{labels[answered.pop()]}” to all {len(images)} images, and the ranges of its other answers cannot"
            " be known: name the range of pixels it was trained on (--input-range), or give images of its kind (--data)"
        )


def require_unsaturated(model: Classifier, images: np.ndarray, path: Path) -> None:
    """Raises ParityFailed when int8 logits stand at an end of their range on more than SATURATED_SHARE of the images.

    Probabilities reach the ends of their range by nature, and floating point has no ends.
    """
    if model.output_range is None or model.output_kind == "probabilities" or not len(images):
        return
    low, high = model.output_range
    outputs = model.outputs(images)
    share = float(np.mean(((outputs <= low) | (outputs >= high)).any(1)))
    if share > max(SATURATED_SHARE, 2 / len(images)):
        raise ParityFailed(
            f"the output of {path} is saturated: on {share * 100:.0f} % of {len(images)} images a logit stands at an end of"
            f" its range, {low:.4g} to {high:.4g}; calibrate it on images that reach further"
        )


def require_gray_levels(model: Classifier, path: Path) -> None:
    """Raises UsageError when the pixels' range does not fit what the input tensor of the model in `path` can hold."""
    levels = len(np.unique(model.input_values))
    if levels < FEWEST_LEVELS:
        low, high = model.input_range
        raise UsageError(
            f"with pixels from {low:g} to {high:g} the input of {path} keeps {levels} of 256 gray levels;"
            " give the range it was made for, --input-range LOW,HIGH"
        )
