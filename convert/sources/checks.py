"""Checks of a model before it becomes a bundle; each raises an error that states the remedy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert.data.samples import Samples
from convert.sources.model_source import ModelSource
from convert.tflite.graph import CHANNEL_AXIS, Graph
from convert.tflite.inspection import custom_operators, nonfinite_tensors, operator_types
from fer_edge.classifier import Classifier
from fer_edge.errors import NotEnoughData, ParityFailed, UsageError

SATURATED_SHARE = 0.05  # of the images; the one or two that set a calibrated range lie at its ends by construction
FEWEST_LEVELS = 160  # of 256 gray levels; pixels of −1…1 for an input of 0…1 keep half of them
_CHUNK = 32  # images at a time until two labels were seen
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
_RANDOM = {"RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL"}


def require_bundle(kind: str, path: Path, option: str) -> None:
    """Raises UsageError when a model of this kind at `path` is no bundle, without which `option` has no meaning."""
    if kind != "bundle":
        raise UsageError(f"{option} changes what a bundle reports, and {path} is not a bundle; name a bundle's folder")


def require_runnable(graph: Graph, path: Path) -> None:
    """Raises UsageError when a model made from `path` has custom or random operators, or weights that are not finite."""
    if names := custom_operators(graph):
        raise UsageError(
            f"{path} needs operators that TFLite does not have: {', '.join(names)}; build the model without them"
        )
    if names := sorted(_RANDOM & {op.name for op in operator_types(graph)}):
        raise UsageError(
            f"{path} draws random numbers ({', '.join(names)}), so its answers for one picture differ; export it with"
            " training=False as convert/README.md shows, or build the model without them"
        )
    if tensors := nonfinite_tensors(graph):
        some = ", ".join(tensors[:3]) + (", …" if len(tensors) > 3 else "")
        raise UsageError(f"{path} has weights that are not finite numbers, in {some}; train it again")


def require_int8(graph: Graph, float_graph: Graph | None = None) -> None:
    """Raises ParityFailed when a model has operators that read or write floating point; the message names them.

    With the float graph that it was made from, the message names the `--keep-float` that keeps their whole layers in float:
    a normalization by the image's own mean is to be calculated in one precision.
    """
    left = {op.name for op in operator_types(graph) if any("float" in d.lower() for d in op.dtypes)}
    if not left:
        return
    named = sorted(left - set(_CONVERSIONS)) or sorted(left)
    remedy = "build the model without them"
    if float_graph is not None and (whole := _layers_with(float_graph, named)):
        remedy = f"keep their layers in float with --keep-float {','.join(whole)}, or {remedy}"
    raise ParityFailed(f"these operators are still in floating point: {', '.join(named)}; {remedy}")


def _layers_with(graph: Graph, kinds: list[str]) -> list[str]:
    """The names of the operators of the Keras layers that hold operators of these kinds, by the names of tensors.

    An operator straight in a model, as `keras.ops.flip` makes one, is named by itself. The scope of a model is one that all
    operators share, or in which a layer with weights has a scope of its own.
    """
    operators = {
        op: (graph.tensor(op.outputs[0]).name or b"").decode("utf-8", "replace").split(";") for op in graph.layers()
    }
    in_scopes = [places for places in operators.values() if any("/" in place for place in places)]
    weighted = [place for op, places in operators.items() if op.kind in CHANNEL_AXIS for place in places]

    def is_model(scope: str) -> bool:
        inner = f"{scope}/"
        return all(any(place.startswith(inner) for place in places) for places in in_scopes) or any(
            place.startswith(inner) and "/" in place.removeprefix(inner) for place in weighted
        )

    scopes = {place.rpartition("/")[0] for op, places in operators.items() if op.kind in kinds for place in places}
    layers = tuple(f"{scope}/" for scope in scopes if scope and not is_model(scope))
    return [
        op.name
        for op, places in operators.items()
        if op.kind in kinds or any(place.startswith(layers) for place in places)
    ]


def require_label_count(path: Path, classes: int, labels: tuple[str, ...]) -> None:
    """Raises UsageError when the number of classes of the model in `path` differs from the number of labels."""
    if classes != len(labels):
        raise UsageError(
            f"{path} has {classes} classes, but there are {len(labels)} labels ({', '.join(labels)});"
            " name its labels with --labels"
        )


def require_several_classes(samples: Samples) -> None:
    """Raises NotEnoughData when all images of the training part, which is used for calibration, are of one class."""
    present = np.unique(samples.part("train").y)
    if len(present) == 1:
        raise NotEnoughData(
            f"all calibration images are of one class, {samples.labels[present[0]]}; the logits of the others would have no"
            " range; give training images of every class"
        )


def require_different_answers(model: Classifier, images: np.ndarray, source: ModelSource, has_data: bool) -> None:
    """Raises UsageError when the model of `source` gives all images uint8 (N, side, side) one label, or non-finite logits.

    `has_data`: the images are of a data set that the user named.
    """
    path, labels = source.path, source.labels
    predicted: set[int] = set()
    for start in range(0, len(images), _CHUNK):
        logits = model.logits(images[start : start + _CHUNK])
        if not np.isfinite(logits).all():
            raise UsageError(f"{path} outputs values that are not finite numbers; train it again")
        predicted |= set(logits.argmax(1).tolist())
        if len(predicted) > 1:
            return
    if len(images) > 1:
        raise UsageError(
            f"{path} labels all {len(images)} images “{labels[predicted.pop()]}”, so the ranges of its other logits are"
            f" unknown; {_one_class_remedy(source, has_data)}"
        )


def _one_class_remedy(source: ModelSource, has_data: bool) -> str:
    """What to do about a model that gives one class: only what the user has not done already."""
    if source.history is not None:  # its range of pixels is known
        accuracy = source.history.best.val_accuracy
        scored = (
            "" if accuracy is None else f" (validation accuracy {accuracy:.2f} after epoch {source.history.last_epoch})"
        )
        return f"train it longer{scored}"
    remedy = "name the range of pixels it was trained on (--input-range)"
    if source.input_range is not None:
        low, high = source.input_range
        remedy += f" if that is not {low:g} to {high:g}"
    if not has_data:
        return f"{remedy}, or give images like its training images (--data)"
    return f"{remedy}, or train it longer"


def require_unsaturated(model: Classifier, images: np.ndarray, path: Path) -> None:
    """Raises ParityFailed when int8 logits are at an end of their range on more than SATURATED_SHARE of the images.

    Probabilities are not checked, because they reach 0 and 1 normally, and neither are floating-point outputs.
    """
    if model.output_range is None or model.output_kind == "probabilities" or not len(images):
        return
    low, high = model.output_range
    outputs = model.outputs(images)
    share = float(np.mean(((outputs <= low) | (outputs >= high)).any(1)))
    if share > max(SATURATED_SHARE, 2 / len(images)):
        raise ParityFailed(
            f"the output of {path} is saturated: on {share * 100:.0f} % of {len(images)} images a logit is at an end of"
            f" its range, {low:.4g} to {high:.4g}; calibrate it on images with a wider range of logits"
        )


def require_gray_levels(model: Classifier, path: Path) -> None:
    """Raises UsageError when the input tensor of the model in `path` cannot represent the range of the pixels."""
    levels = len(np.unique(model.input_values))
    if levels < FEWEST_LEVELS:
        low, high = model.input_range
        raise UsageError(
            f"with pixels from {low:g} to {high:g} the input of {path} distinguishes {levels} of 256 gray levels;"
            " give the range that the model was trained on with --input-range LOW,HIGH"
        )
