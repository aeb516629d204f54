"""`python -m convert.layers BUNDLE [--data PATH]`: where an int8 model's error comes from, layer by layer.

Float and int8 run side by side on the same images, Training ones or the bundle's own stand-ins, and each layer's output is
compared. The names in the table are those that a layer is left in float by (convert.quantize.mixed_precision).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from convert.data.loader import load, remarks
from convert.quantize.calibration_set import from_data
from convert.quantize.layer_error import Layer, layers
from convert.quantize.synthetic_images import STAND_IN, StandIn
from convert.sources.float_model import Float
from convert.tflite.keras_export import load_keras
from fer_edge.bundle import Bundle
from fer_edge.errors import NotEnoughData

IMAGES = 128


HEADS = (
    *("layer", "in Keras", "error there, %", "its rounding alone, %", "logits from it alone, %", "range", "seen"),
    *("99.9 % under", "saturated, %", "weights, worst channel, %"),
)


def cells(row: Layer) -> list[str]:
    """A layer's line of the table, under HEADS; shares in percent."""
    shares = [f"{100 * v:.2f}" for v in (row.error, row.rounding, row.logits)]
    chosen = "float" if row.scale is None else f"{row.low:.3g} to {row.high:.3g}"
    worst = "" if row.weights_error is None else f"{100 * row.weights_error:.2f} ({row.weights_channel})"
    seen = f"{row.seen_low:.3g} to {row.seen_high:.3g}"
    return [
        row.name,
        row.keras or "",
        *shares,
        chosen,
        seen,
        f"{row.seen_p999:.3g}",
        f"{100 * row.saturated:.3f}",
        worst,
    ]


def table(told: Sequence[Layer]) -> str:
    """The layers as a Markdown table."""
    lines = [f"| {' | '.join(HEADS)} |", "|" + "---|" * 2 + "---:|" * (len(HEADS) - 2)]
    return "\n".join([*lines, *(f"| {' | '.join(cells(row))} |" for row in told)])


def of_bundle(bundle: Bundle, data: Path | None = None, most: int = IMAGES) -> list[Layer]:
    """The layers of a bundle's model beside the float model it keeps, on at most so many images.

    They are of the training part of `data`, as many of each class as there are, or the bundle's stand-in images that were
    not calibrated on. Raises NotEnoughData where there are neither, UsageError where there is no float model or the bundle's
    is not int8.
    """
    source = Float.of_bundle(bundle)
    if data is not None:
        samples = load(data, bundle.side, classes=bundle.labels)
        for remark in remarks(samples):
            print(remark, file=sys.stderr)
        images = from_data(samples, max(1, most // len(bundle.labels)), seed=1).x
    elif (bundle.path / STAND_IN).is_file():
        images = StandIn.load(bundle.path / STAND_IN, source.file).check[:most]
    else:
        raise NotEnoughData(f"{bundle.path} holds no {STAND_IN}, and no --data was given: there is nothing to run on")
    known = [layer.name for layer in load_keras(source.file).layers] if source.file.suffix == ".keras" else []
    pixels = bundle.classifier.input_range
    return layers(source.content, bundle.model.read_bytes(), images, source.classifier.input_range, pixels, known)
