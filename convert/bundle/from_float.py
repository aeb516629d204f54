"""A bundle made from a float model by int8 quantization, or from an existing .tflite file, and compared with float."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from convert.bundle.bundle_writer import BundleDraft
from convert.bundle.from_tflite import draft_from_tflite
from convert.data.class_selection import NAME_FOLDERS_OR_LABELS
from convert.evaluate.plausibility import printed_range_doubt
from convert.parity.comparison import ConversionOptions, compare, print_missing_held_out
from convert.parity.reports import Report, with_doubt
from convert.quantize.calibration_set import calibration_set
from convert.quantize.full_integer import quantize_graph, require_layers
from convert.quantize.mixed_precision import cost_sentence, mixed_precision_cost
from convert.quantize.range_search import FOR_SYNTHETIC_IMAGES, QuantizationOptions
from convert.quantize.synthetic_images import synthetic_images_of
from convert.report.parity_table import report_table
from convert.sources.checks import (
    require_different_answers,
    require_label_count,
    require_several_classes,
    require_unsaturated,
)
from convert.sources.model_source import ModelSource
from convert.sources.opened_model import OpenedModel, open_model
from convert.tflite.compaction import compact
from convert.tflite.op_versions import require_operators
from fer_edge.bundle import Bundle
from fer_edge.bundle_files import refuse_unless_bundle
from fer_edge.bundle_provenance import RangeSearchRecord
from fer_edge.classifier import RAW_RANGE
from fer_edge.console import notice, result_output
from fer_edge.errors import ParityFailed, UsageError


def make_bundle(
    source: ModelSource,
    out: Path,
    options: ConversionOptions | None = None,
    *,
    against: ModelSource | None = None,
) -> tuple[Bundle, Report]:
    """The bundle written to `out` and the report on it; `out` is replaced whole, or left as it was when parity fails.

    `against` is the float model that an existing TFLite file is compared with. Raises ParityFailed with the reasons when the
    int8 model is outside the margins, UsageError or NotEnoughData when no bundle can be made of the model or the images.
    """
    options = options or ConversionOptions()
    source.require_bundle_name()
    for each in (source, against) if against else (source,):
        each.require_printable_file()
    refuse_unless_bundle(out)
    quantization = {
        "--keep-float": options.keep_float,
        "--weight-rounding error": options.round_by_error,
        "--refine-ranges": options.refine_ranges,
    }
    if source.is_tflite and any(quantization.values()):
        given = ", ".join(name for name, value in quantization.items() if value)
        raise UsageError(f"{given}: for a model that is quantized here; {source.path} is used as it is")
    if against is not None and not source.is_tflite:
        raise UsageError(f"--float is for an existing .tflite; {source.path} is a float model itself")
    with tempfile.TemporaryDirectory(prefix="fer-edge-") as scratch:
        if source.is_tflite:
            draft = draft_from_tflite(source, against, Path(scratch), options)
        else:
            draft = draft_from_float(source, Path(scratch), options)
        if not draft.report.passed:
            result_output(report_table(draft.report))
            raise ParityFailed(f"{'; '.join(draft.report.failures)}. {out} was left as it was")
        return draft.write(out), draft.report


def draft_from_float(source: ModelSource, scratch: Path, options: ConversionOptions) -> BundleDraft:
    """The int8 model of a float one, and the report on it; a float file that does not exist yet is written to `scratch`."""
    float_model = open_model(source)
    require_layers(float_model.graph, options.keep_float)
    classifier = float_model.classifier(threads=options.threads)
    require_label_count(source.path, classifier.classes, source.labels)
    samples = options.samples(classifier.side, source.labels, NAME_FOLDERS_OR_LABELS)
    print_missing_held_out(samples)
    float_file = float_model.float_file(scratch)
    synthetic = synthetic_images_of(float_model, float_file, options.seed, make=samples is None)
    doubt = printed_range_doubt(float_model, samples)
    if samples is not None:
        require_several_classes(samples)
        images, settings = calibration_set(samples, seed=options.seed), QuantizationOptions()
    else:
        assert synthetic is not None, "made where there are no data"
        images, settings = synthetic.calibration(), FOR_SYNTHETIC_IMAGES
    settings = replace(settings, round_by_error=options.round_by_error, refine=options.refine_ranges)
    require_different_answers(classifier, images.x, source, samples is not None)

    notice(f"quantizing {source.path} on {len(images.x)} images ({images.origin.record.kind})")
    graph = quantize_graph(float_model.graph, images.x, settings, may_keep_float=bool(options.keep_float))
    content = compact(graph)
    record = replace(images.origin.record, ranges=RangeSearchRecord(**asdict(settings)))
    if options.keep_float:
        int8_content = content
        graph = quantize_graph(float_model.graph, images.x, settings, keep_float=options.keep_float)
        content = compact(graph)
        cost = mixed_precision_cost(int8_content, content, options.keep_float, images.x)
        notice(cost_sentence(cost))
        record = replace(record, mixed_precision=cost)
    require_operators(graph, options.claimed)
    model = OpenedModel(source, "int8", graph, content, RAW_RANGE, float_model.output)
    require_unsaturated(model.classifier(threads=options.threads), images.x, source.path)
    return BundleDraft(
        model=model,
        calibration=replace(images.origin, record=record),
        report=with_doubt(compare(float_model, model, samples, synthetic, options), doubt),
        float_model=float_model,
        float_file=float_file,
        synthetic=synthetic,
        samples=samples,
    )
