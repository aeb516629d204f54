"""`python -m convert.quantize [--model MODEL] [--data PATH] [--out DIR]`: a bundle, proved against its float model.

Without --model the float model that came with the package is taken. Without --data the ranges are chosen on images drawn
out of the model itself (convert.calibration), and parity is judged on logits alone.

Any classifier of one square picture will do, with --labels for the names of its outputs and --input-range for what it takes
a pixel for: a .keras or .h5 file or a SavedModel becomes int8 that takes raw pixels; a .tflite is taken as it is and held
against the float model that --float names.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from convert.bundle.bundle_writer import Made
from convert.bundle.from_tflite import take
from convert.parity import reference_free_report
from convert.parity.comparison import Terms
from convert.parity.parity_report import ParityReport
from convert.parity.reference_free_report import Alone
from convert.quantize import synthetic_images
from convert.quantize.calibration_set import from_data
from convert.quantize.full_integer import to_int8
from convert.quantize.mixed_precision import price
from convert.quantize.range_search import FOR_STAND_IN, Choices
from convert.report.model_card import card, parity_table
from convert.sources.checks import (
    refuse_one_answer,
    refuse_one_class,
    refuse_other_labels,
    refuse_saturated,
)
from convert.sources.float_model import Float
from convert.sources.model_source import Source
from convert.tflite.op_versions import refuse_newer
from fer_edge.bundle import Bundle, refuse_unless_bundle
from fer_edge.classifier import Classifier
from fer_edge.errors import ParityFailed, UsageError


def quantize(
    source: Source,
    out: Path,
    data: Path | None = None,
    *,
    against: Source | None = None,
    terms: Terms | None = None,
    seed: int = 0,
    threads: int = 1,
) -> tuple[Bundle, ParityReport | Alone]:
    """The bundle written to `out` and the report on it; `out` is replaced whole, or left as it was when parity fails.

    `against` is the float model that an existing TFLite file is held against. `terms` says all that `data`, `seed` and
    `threads` say, and more. Raises ParityFailed with the reasons when the int8 model is outside the margins, UsageError or
    NotEnoughData when the model, or the images, are none that a bundle can be made of.
    """
    terms = terms or Terms(data, seed=seed, threads=threads)
    refuse_unless_bundle(out)
    if terms.keep_float and source.is_tflite:
        raise UsageError(f"--keep-float is for a model that is quantized here; {source.model} is taken as it is")
    if against is not None and not source.is_tflite:
        raise UsageError(f"--float is for a .tflite that exists already; {source.model} is a float model itself")
    with tempfile.TemporaryDirectory(prefix="fer-edge-") as scratch:
        made = (
            take(source, against, Path(scratch), terms) if source.is_tflite else convert(source, Path(scratch), terms)
        )
        report = made.report
        assert report is not None, "both ways end in one"
        if not report.passed:
            print(table_of(report))
            raise ParityFailed(f"{'; '.join(report.failures)}. {out} was left as it was")
        return made.write(out), report


def convert(source: Source, scratch: Path, terms: Terms) -> Made:
    """The int8 file of a float model, and the report on it; what is not in a file of its own yet goes to `scratch`."""
    path, labels = source.model, source.labels
    float_model = Float.open(source, scratch, terms.threads)
    theirs = float_model.classifier
    refuse_other_labels(path, theirs.classes, labels)
    samples = terms.samples(theirs.side, labels)
    shipped = synthetic_images.of_model(float_model, terms.seed, make=samples is None)
    if samples is not None:
        refuse_one_class(samples)
        calibration, choices = from_data(samples, seed=terms.seed), Choices()
    else:
        assert shipped is not None, "made where there are no data"
        calibration, choices = shipped.calibration(), FOR_STAND_IN
    refuse_one_answer(theirs, calibration.x, labels, path)

    print(f"quantizing {path} on {len(calibration.x)} images ({calibration.origin['kind']})", file=sys.stderr)
    content = to_int8(float_model.content, calibration.x, choices)
    origin = {**calibration.origin, "ranges": asdict(choices)}
    if terms.keep_float:
        whole, content = content, to_int8(float_model.content, calibration.x, choices, keep_float=terms.keep_float)
        cost = price(whole, content, terms.keep_float, calibration.x)
        print(cost.sentence(), file=sys.stderr)
        origin["mixed_precision"] = cost.to_json()
    refuse_newer(content, terms.claimed)
    model = Classifier(content, threads=terms.threads, output_kind=theirs.output_kind)
    refuse_saturated(model, calibration.x, path)
    report = terms.compare(float_model, model, content, samples, shipped, labels)
    return Made(source, content, model, card, origin, report, float_model, shipped, samples)


def table_of(report: ParityReport | Alone) -> str:
    """A report as Markdown."""
    told = report.to_json()
    return parity_table(told) if isinstance(report, ParityReport) else reference_free_report.table(told)
