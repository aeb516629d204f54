"""CARD.md: the properties and limits of a bundle's model; every figure is from a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convert.data.ferplus import FERPLUS_LABELS, IN_SEVEN_CLASSES, OTHER_IN_FER2013
from convert.parity.parity_report import ParityReport
from convert.parity.reference_free_report import ReferenceFreeReport
from convert.report.external_training import external_training
from convert.report.parity_table import report_table
from convert.report.table_cells import cell
from convert.train.history import TrainingHistory
from fer_edge.bundle_provenance import CalibrationRecord, RangeSearchRecord
from fer_edge.bundle_spec import BundleSpec
from fer_edge.labels import LABELS

_NOT_A_SETTING = ("epochs", "seed", "early_stopping")  # of a recipe: the card has them elsewhere
_OF_TEACHERS = (
    "teacher_share",
    "temperature",
    "teachers_see",
    "draws",
)  # of a recipe, without effect if there are none


def bundle_card(spec: BundleSpec, report: ParityReport | ReferenceFreeReport, history: TrainingHistory | None) -> str:
    """CARD.md of a bundle: of a model that was quantized here, or of an existing file that was used as it is."""
    if spec.provenance.calibration.ranges is None:
        return "\n".join([*_title(spec), *_existing_file(spec), *_comparison(report), ""])
    training = _training(history) if history else []
    return "\n".join([*_title(spec), *_quantized(spec), *training, *_comparison(report), *_LIMITS])


def _title(spec: BundleSpec) -> list[str]:
    side = spec.input.side
    expressions = set(LABELS) <= set(spec.labels) <= set(FERPLUS_LABELS)
    kind = "A displayed facial expression, one of" if expressions else "A face's class, one of"
    return [
        f"# {spec.name}",
        "",
        f"{kind} {', '.join(spec.labels)}, from a gray face crop of {side}×{side} px. A label names what a face displays, not"
        " what a person feels. The figures below describe the model, not a person.",
        "",
    ]


def _quantized(spec: BundleSpec) -> list[str]:
    cost, q, made = spec.cost, spec.quantization, spec.provenance
    return [
        "| | |",
        "|---|---|",
        f"| file | model.tflite, {cost.bytes:,} bytes, {_arithmetic(spec)} |",
        f"| cost of one face | {cost.multiply_adds / 1e6:.1f} M multiply-adds, {cost.parameters:,} parameters |",
        f"| input | {q.input.dtype}, gray 0–255, scale {q.input.scale:.6g}, zero point {q.input.zero_point} |",
        f"| output | {spec.output.kind}, {q.output.dtype}, scale {q.output.scale:.6g}, zero point {q.output.zero_point} |",
        f"| crop | {spec.input.preprocess}, defined in fer_edge/face_crop.py |",
        *_default_threshold(spec),
        *([f"| labels of the data | {cell(made.labels_from)} |"] if made.labels_from else []),
        f"| float model | SHA-256 {(made.float_sha256 or '')[:16]}… |",
        f"| calibrated on | {cell(calibration_text(made.calibration))} |",
        f"| ranges | {range_search_text(made.calibration.ranges)} |",
        f"| made with | {', '.join(f'{name} {version}' for name, version in made.versions.items() if version)} |",
    ]


def _existing_file(spec: BundleSpec) -> list[str]:
    cost, made, entry = spec.cost, spec.provenance, spec.input
    low, high = entry.range
    compared = made.float_model
    channels = f"{entry.channels} channels, each the gray value" if entry.channels > 1 else "1 channel"
    reference = (
        f"{cell(compared.file)}, SHA-256 {compared.sha256[:16]}…"
        if compared
        else "nothing, because no float model was given"
    )
    return [
        "An existing file, used as it is. Its training and its calibration are not known here.",
        "",
        "| | |",
        "|---|---|",
        f"| file | model.tflite, {cost.bytes:,} bytes, in {spec.quantization.scheme}, from {cell(made.source.file)}"
        f" (SHA-256 {made.source.sha256[:16]}…) |",
        f"| cost of one face | {cost.multiply_adds / 1e6:.1f} M multiply-adds, {cost.parameters:,} parameters |",
        f"| input | {spec.quantization.input.dtype}, {channels}, pixels 0 to 255 as {low:g} to {high:g} |",
        f"| output | {spec.output.kind}, {spec.quantization.output.dtype} |",
        f"| crop | {entry.preprocess}, defined in fer_edge/face_crop.py |",
        *_default_threshold(spec),
        f"| starts on | {', '.join(spec.operators.supported_by)} |",
        f"| compared with | {reference} |",
    ]


def _default_threshold(spec: BundleSpec) -> list[str]:
    """The row on the threshold of `unsure` where it is a default; none where it was fitted: the report has it."""
    sentence = spec.thresholds.default_sentence
    return [f"| labels are reported | {sentence} (`python -m convert.thresholds` fits one) |"] if sentence else []


def _precision(history: TrainingHistory) -> str:
    other = history.teachers_policy not in (None, history.policy)
    return f"{history.policy} (teachers' answers: {history.teachers_policy})" if other else history.policy


def _training(history: TrainingHistory) -> list[str]:
    best, data = history.best, history.data
    figures = [] if best.val_accuracy is None else [f"accuracy {best.val_accuracy:.4f}"]
    if best.val_score is not None:
        figures.insert(0, f"score {best.val_score:.4f}, which is half accuracy, half the mean share of FER+'s votes")
    lines = [
        "",
        "## Training",
        "",
        f"{history.last_epoch} epochs on {data.train:,} training images, seed {history.seed},"
        f" precision {_precision(history)}."
        f" The weights are those of epoch {best.epoch}, the best on {data.validation:,} validation images"
        f" ({'; '.join(figures)}). This is one run with one seed. Recipe (convert/train/presets.py explains the terms):"
        f" {_recipe(history)}. Network (convert/train/networks.py):"
        f" {_in_words(history.network)}.",
    ]
    if history.external:
        lines += ["", *external_training(history.external)]
    else:
        lines += _run_by_convert(history)
    if mean := history.interpolation:
        (a, b, c), (d, e, f) = mean.val_accuracy, mean.val_balanced_accuracy_on_votes
        lines.append(
            f"The weights are then {mean.share:g} of those of that epoch and {1 - mean.share:g} of the initial ones (WiSE-FT,"
            " arXiv 2109.01903), so that the accuracy on the set's own labels falls by little. Chosen on the validation part,"
            f" where it is {c:.4f} (initial {a:.4f}, trained {b:.4f}), and the balanced accuracy on the majority of FER+'s"
            f" votes {f:.4f} (initial {d:.4f}, trained {e:.4f})."
        )
    if offsets := history.offsets:
        values = ", ".join(f"{label} {value:+.2f}" for label, value in offsets.values.items())
        (a, b), (c, d) = offsets.val_accuracy, offsets.val_weakest_recall
        lines.append(
            f"Logit adjustment then shifted the last biases ({values}). It was chosen on the validation part, where accuracy"
            f" went from {a:.4f} to {b:.4f} and the weakest recall from {c:.3f} to {d:.3f}."
        )
    if history.teachers:
        teachers = ", ".join(f"{sha[:16]}…" for sha in history.teachers)
        lines.append(
            f"The model was also trained on the outputs of the float models of SHA-256 {teachers} (distillation), on training"
            " images only."
        )
    if history.init:
        lines.append(f"Training started from the float model of SHA-256 {history.init.sha256[:16]}….")
        if first := history.init.history:
            lines.append(
                f"That model was trained for {first.last_epoch} epochs, seed {first.seed}, and is of epoch"
                f" {first.best_epoch}. Recipe: {_recipe(first)}."
            )
    return lines


def _run_by_convert(history: TrainingHistory) -> list[str]:
    """Framework and hardware of a run of `python -m convert.train`, and its outside labels, where they are known."""
    lines = []
    if history.framework and history.hardware:
        hours = sum(row.seconds or 0.0 for row in history.epochs) / 3600
        lines.append(f"It was trained with {history.framework} on {history.hardware}, in {hours:.2f} hours.")
    if labels := history.known_outside_labels:
        lines.append(f"Outside labels: {labels}.")
    return lines


def _comparison(report: ParityReport | ReferenceFreeReport) -> list[str]:
    return ["", "## Float against int8", "", report_table(report)]


_LIMITS = [
    "## What was not evaluated",
    "",
    "Differences by age, skin, gender or culture; lighting and pose at the place of use; spontaneous rather than collected"
    " expressions; speed on any Raspberry Pi. Of a model that was trained or evaluated on FER2013: these images come from the"
    " web and were labelled by few raters; the majority of ten later raters (FER+) is another label than FER2013's for"
    f" {OTHER_IN_FER2013 / IN_SEVEN_CLASSES:.0%} of the {IN_SEVEN_CLASSES:,} whose majority is one of the seven labels.",
    "",
    "## Licence",
    "",
    "fer-edge's code, and the weights that its repository ships: MIT. Other weights: what their makers state. FER2013's images"
    " were collected from the web for research. If the weights were trained on them, the user must judge whether they may be"
    " used commercially.",
    "",
]


def _recipe(history: TrainingHistory) -> str:
    """The settings of a run in words; those of teachers only where it had some."""
    has_teachers = bool(history.teachers or (history.external and history.external.teachers))
    return _in_words(history.recipe, but=_NOT_A_SETTING if has_teachers else (*_NOT_A_SETTING, *_OF_TEACHERS))


def _in_words(values: Mapping[str, Any], but: Sequence[str] = ()) -> str:
    """The fields of a recipe or a network in words; those that are off are left out."""
    words = []
    for key, value in values.items():
        if key in but or not value:
            continue
        inner = f"({_in_words(value)})" if isinstance(value, dict) else value
        words.append(f"{key.replace('_', ' ')} {inner}")
    return ", ".join(words)


def _arithmetic(spec: BundleSpec) -> str:
    mixed = spec.provenance.calibration.mixed_precision
    return f"int8 except {', '.join(mixed.layers)} in float" if mixed else "every operator int8"


def range_search_text(settings: RangeSearchRecord | None) -> str:
    """The settings of the range search in words."""
    if settings is None:
        return "not known"
    words = [
        f"range search by least squared error, clipping weighted {settings.clip:g} times"
        if settings.clip
        else "extremes"
    ]
    if settings.widen != 1:
        words.append(f"widened {settings.widen:g} times")
    if settings.refine:
        words.append("ranges refined by the error of the outputs")
    if settings.equalize:
        words.append(f"channel equalization of strength {settings.equalize:g}")
    if settings.correct and settings.round_by_error:
        words.append("weights rounded by the error of their layer's output")
    elif settings.correct:
        words.append("bias correction for rounded weights")
    return ", ".join(words)


def calibration_text(record: CalibrationRecord) -> str:
    """The images that the ranges of int8 were chosen on, in words."""
    if record.per_class is not None:
        return f"{record.images} training images, at most {record.per_class} of each class, seed {record.seed}"
    loss = "" if record.loss is None else f", loss {record.loss:.4f}"
    return (
        f"{record.images} synthetic images, made from the float model's own statistics ({record.steps} steps, seed"
        f" {record.seed}{loss}); they show no real person"
    )
