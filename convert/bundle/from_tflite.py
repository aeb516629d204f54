"""A bundle of an existing TFLite file, used as it is, compared with a float model where one is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from convert.bundle.bundle_writer import BundleDraft
from convert.data.class_selection import NAME_FOLDERS_OR_LABELS
from convert.data.samples import held_out
from convert.evaluate.plausibility import printed_range_doubt
from convert.parity.comparison import ConversionOptions, compare, print_missing_held_out
from convert.parity.reference_free_report import reference_free_report
from convert.parity.reports import with_doubt
from convert.parity.runtime_logits import measured_here
from convert.quantize.calibration_set import Calibration
from convert.quantize.synthetic_images import synthetic_images_of
from convert.sources.checks import (
    require_different_answers,
    require_gray_levels,
    require_label_count,
    require_unsaturated,
)
from convert.sources.model_source import ModelSource
from convert.sources.opened_model import open_model
from fer_edge.bundle_provenance import CalibrationRecord
from fer_edge.console import notice
from fer_edge.errors import NotEnoughData, UsageError
from fer_edge.synthetic_face import synthetic_face_crops

ENOUGH = 200  # held-out images that show whether answers vary and saturate


def draft_from_tflite(
    source: ModelSource, against: ModelSource | None, scratch: Path, options: ConversionOptions
) -> BundleDraft:
    """The TFLite file of `source` and the report on it, compared with the float model `against` where one is named.

    A float model whose range of pixels is not stated is given that of the file. A float file that does not exist yet is
    written to `scratch`. Raises UsageError when the file cannot run on the claimed runtimes, or its inputs and outputs are not
    those stated; BundleRefused when it is not a TFLite file; ParityFailed when its output is saturated.
    """
    path, labels = source.path, source.labels
    model = open_model(source, options.claimed)
    classifier = model.classifier(threads=options.threads)
    require_label_count(path, classifier.classes, labels)
    require_gray_levels(classifier, path)
    low, high = model.input_range
    if source.input_range is None:
        notice(f"pixels 0 to 255 are given as {low:g} to {high:g}; --input-range says otherwise")
    samples = options.samples(classifier.side, labels, NAME_FOLDERS_OR_LABELS)
    if against is not None:
        print_missing_held_out(samples)
    images = synthetic_face_crops(classifier.side) if samples is None else held_out(samples)[0]
    if not len(images):
        raise NotEnoughData(f"{options.data} holds no validation and no test images; leave out --data, or give some")
    doubt = printed_range_doubt(model, samples)
    if samples is not None:
        some = images[:: max(1, len(images) // ENOUGH)]
        require_different_answers(classifier, some, source, True)
        require_unsaturated(classifier, some, path)
    calibration = Calibration(CalibrationRecord("not known: the file was used as it is"))
    if against is None:
        runtimes = [*measured_here(model.classifier, images, options.runtimes)]
        report = reference_free_report(runtimes, samples, labels, options.prior)
        return BundleDraft(model, calibration, with_doubt(report, doubt), samples=samples)
    if against.input_range is None:
        against = replace(against, input_range=model.input_range)
        if source.input_range is None:
            notice(f"{against.path} is given pixels from {low:g} to {high:g} too; --float-range says otherwise")
    float_model = open_model(against)
    reference = float_model.classifier(threads=options.threads)
    require_label_count(against.path, reference.classes, labels)
    if reference.side != classifier.side:
        raise UsageError(
            f"{path} takes {classifier.side} px and {against.path} {reference.side} px; they must be the same network"
        )
    float_doubt = printed_range_doubt(float_model, samples, is_reference=True)
    float_file = float_model.float_file(scratch)
    synthetic = synthetic_images_of(float_model, float_file, options.seed, make=samples is None)
    return BundleDraft(
        model=model,
        calibration=calibration,
        report=with_doubt(with_doubt(compare(float_model, model, samples, synthetic, options), doubt), float_doubt),
        float_model=float_model,
        float_file=float_file,
        synthetic=synthetic,
        samples=samples,
    )
