"""The layer errors of a bundle's int8 model: measured on training or synthetic images, and as a table.

The names in the table are those by which `convert.quantize --keep-float` leaves a layer in float.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convert.data.loader import load, remarks
from convert.quantize.calibration_set import calibration_set
from convert.quantize.layer_error import LayerError, layer_errors
from convert.quantize.synthetic_images import FILE_NAME, SyntheticImages
from convert.sources.opened_model import open_bundle, open_float_of_bundle
from fer_edge.bundle import Bundle
from fer_edge.console import notice
from fer_edge.errors import NotEnoughData

IMAGES = 128
HEADS = (
    *("layer", "in Keras", "its error, %", "its rounding alone, %", "logits from it alone, %", "range", "float values"),
    *("99.9 % under", "saturated, %", "weights, worst channel, %"),
)


def cells(row: LayerError) -> list[str]:
    """A layer's line of the table, under HEADS; shares in percent."""
    shares = [f"{100 * v:.2f}" for v in (row.error, row.rounding, row.logits)]
    int8_range = "float" if row.scale is None else f"{row.low:.3g} to {row.high:.3g}"
    worst = "" if row.weights_error is None else f"{100 * row.weights_error:.2f} ({row.weights_channel})"
    return [
        row.name,
        row.keras or "",
        *shares,
        int8_range,
        f"{row.seen_low:.3g} to {row.seen_high:.3g}",
        f"{row.seen_p999:.3g}",
        f"{100 * row.saturated:.3f}",
        worst,
    ]


def table(rows: Sequence[LayerError]) -> str:
    """The layers as a Markdown table."""
    lines = [f"| {' | '.join(HEADS)} |", "|" + "---|" * 2 + "---:|" * (len(HEADS) - 2)]
    return "\n".join([*lines, *(f"| {' | '.join(cells(row))} |" for row in rows)])


def layer_errors_of_bundle(
    bundle: Bundle, data: Path | None = None, most: int = IMAGES, votes: Path | None = None
) -> list[LayerError]:
    """The layers of a bundle's model beside the float model it holds, on at most `most` images.

    They come from the training part of `data`, the same number of each class (by the table of FER+ `votes`, where given), or
    are the bundle's synthetic images that were not calibrated on. Raises NotEnoughData where there are neither,
    UsageError where there is no float model or the bundle's is not int8.
    """
    float_model = open_float_of_bundle(bundle)
    if data is not None:
        samples = load(data, bundle.side, classes=bundle.labels, votes=votes)
        for remark in remarks(samples):
            notice(remark)
        images = calibration_set(samples, max(1, most // len(bundle.labels)), seed=1).x
    elif (bundle.path / FILE_NAME).is_file():
        images = SyntheticImages.load(bundle.path / FILE_NAME, float_model.source.path).check[:most]
    else:
        raise NotEnoughData(f"{bundle.path} holds no {FILE_NAME}, and no --data was given: there is nothing to run on")
    known = [layer.name for layer in float_model.keras_model.layers] if float_model.keras_model else []
    int8 = open_bundle(bundle)
    return layer_errors(float_model.graph, int8.graph, images, float_model.input_range, int8.input_range, known)
