"""An existing TFLite file, taken as it is: what it takes and gives, and what can be shown of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from convert.bundle.bundle_writer import Made
from convert.data.samples import held_out
from convert.parity import reference_free_report
from convert.parity.backends import here
from convert.parity.comparison import Terms
from convert.quantize import synthetic_images
from convert.report.model_card import parity_table
from convert.sources.checks import (
    refuse_one_answer,
    refuse_other_labels,
    refuse_other_pixels,
    refuse_saturated,
    refuse_unfit,
)
from convert.sources.float_model import Float
from convert.sources.model_source import Source
from convert.tflite.fixed_batch import single
from convert.tflite.io_signature import output_of, pixels_of
from convert.tflite.op_versions import refuse_newer
from convert.train.history import TrainingHistory
from fer_edge.bundle_spec import BundleSpec
from fer_edge.classifier import Classifier, Runtime
from fer_edge.errors import NotEnoughData, UsageError
from fer_edge.labels import LABELS
from fer_edge.synthetic_face import synthetic_face_crops

ENOUGH = 200  # held-out images that show whether answers vary and saturate


def take(source: Source, against: Source | None, scratch: Path, terms: Terms) -> Made:
    """The TFLite file of `source` with the report on it: held against the float model `against` where one is named.

    What is not in a file of its own yet is written to the folder `scratch`. Raises UsageError when the file cannot run on
    the runtimes claimed, or takes and gives other things than it is said to, BundleRefused when it is no TFLite file, and
    ParityFailed when its output is saturated.
    """
    path, labels = source.model, source.labels
    content = single(path.read_bytes(), path)
    refuse_unfit(content, path)
    refuse_newer(content, terms.claimed)
    pixels = source.pixels or pixels_of(content, path)
    plain = Classifier(content, threads=terms.threads, input_range=pixels)
    refuse_other_labels(path, plain.classes, labels)
    refuse_other_pixels(plain, path)
    if source.pixels is None:
        low, high = pixels
        print(f"a pixel's 0 to 255 is taken for {low:g} to {high:g}; --input-range says otherwise", file=sys.stderr)
    samples = terms.samples(plain.side, labels)
    images = synthetic_face_crops(plain.side) if samples is None else held_out(samples)[0]
    if not len(images):
        raise NotEnoughData(f"{terms.data} holds no validation and no test images; without --data none are needed")
    output = output_of(plain, images[:ENOUGH])

    def making(runtime: Runtime | None, kernels: str) -> Classifier:
        return Classifier(content, runtime, terms.threads, kernels, pixels, output)

    model = making(None, "default")
    if samples is not None:
        some = images[:: max(1, len(images) // ENOUGH)]
        refuse_one_answer(model, some, labels, path)
        refuse_saturated(model, some, path)
    origin = {"kind": "not known: the file was taken as it is"}
    made = Made(source, content, model, card, origin, samples=samples)
    if against is None:
        return replace(
            made, report=reference_free_report.report(list(here(making, images, terms.columns)), samples, labels)
        )
    theirs = Float.open(against, scratch, terms.threads)
    refuse_other_labels(against.model, theirs.classifier.classes, labels)
    if theirs.classifier.side != model.side:
        raise UsageError(
            f"{path} takes {model.side} px and {against.model} {theirs.classifier.side} px; they are not one model"
        )
    shipped = synthetic_images.of_model(theirs, terms.seed, make=samples is None)
    report = terms.compare(theirs, model, content, samples, shipped, labels)
    return replace(made, report=report, float_model=theirs, stand_in=shipped)


def card(spec: BundleSpec, told: dict[str, Any], history: TrainingHistory | None) -> str:  # noqa: ARG001
    """CARD.md of a file that was taken as it is: what it takes and gives, and what was and was not compared."""
    cost, made, given = spec.cost, spec.provenance, spec.input
    compared = made.float_model
    low, high = given.range
    seven = set(spec.labels) == set(LABELS)
    return "\n".join(
        [
            f"# {spec.name}",
            "",
            ("A displayed facial expression, one of " if seven else "A face's class, one of ")
            + f"{', '.join(spec.labels)}, from a gray face crop of {given.side}×{given.side} px. A label says what a"
            " face shows, not what a person feels, and no figure below is about a person.",
            "",
            "An existing file, taken as it is: how it was trained and calibrated is not known here.",
            "",
            "| | |",
            "|---|---|",
            f"| file | model.tflite, {cost.bytes:,} bytes, in {spec.quantization.scheme},"
            f" from {made.source.file} (SHA-256 {made.source.sha256[:16]}…) |",
            f"| cost of one face | {cost.multiply_adds / 1e6:.1f} M multiply-adds, {cost.parameters:,} parameters |",
            f"| in | {spec.quantization.input.dtype}, {given.channels} channel"
            f"{'s, the gray in each' if given.channels > 1 else ''}, a pixel's 0 to 255 as {low:g} to {high:g} |",
            f"| out | {spec.output.kind}, {spec.quantization.output.dtype} |",
            f"| crop | {given.preprocess} |",
            f"| starts on | {', '.join(spec.operators.supported_by)} |",
            "| held against | "
            + (f"{compared.file}, SHA-256 {compared.sha256[:16]}…" if compared else "nothing: no float model was named")
            + " |",
            "",
            "## What was and was not compared",
            "",
            parity_table(told) if compared else reference_free_report.table(told),
            "",
        ]
    )
