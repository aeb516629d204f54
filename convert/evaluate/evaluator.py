"""Evaluation of a model on a data set, with the code that runs on the device, and its cost.

A Keras model is converted to float TFLite in memory, so that every model runs through the device's classifier.
"""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

import numpy as np

import fer_edge
from convert.data.class_selection import NAME_FOLDERS, NAME_FOLDERS_OR_LABELS
from convert.data.loader import load, remarks
from convert.data.picture import PARTS
from convert.data.samples import Samples, also_in, fingerprint
from convert.evaluate import inference_cost
from convert.evaluate.bootstrap import DRAWS, SEED
from convert.evaluate.evaluation_report import EvaluationData, EvaluationReport, Subject
from convert.evaluate.metrics import roc_curves, score
from convert.evaluate.plausibility import doubts, range_doubt
from convert.evaluate.reported_labels import ReportingRule, clear_majority, reported_by_class
from convert.progress_bar import progress_bar
from convert.sources.checks import require_bundle, require_label_count
from convert.sources.opened_model import OpenedModel
from convert.tflite.inspection import operator_types
from convert.train.history import TrainingHistory
from fer_edge.bundle import Bundle
from fer_edge.classifier import Classifier, Runtime
from fer_edge.console import message
from fer_edge.errors import DataError, UsageError
from fer_edge.face_crop import PREPROCESS_ID
from fer_edge.thresholds import StatedPrior

CHUNK = 64  # images per step of the progress bar
_KINDS = {"keras": "keras, as float TFLite", "saved model": "saved model, as float TFLite"}  # in reports


def evaluate(
    model: OpenedModel,
    data: Path,
    part: str = "test",
    *,
    seed: int = 0,
    threads: int = 1,
    runtime: Runtime | None = None,
    kernels: str = "default",
    history: Path | None = None,
    votes: Path | None = None,
    prior: StatedPrior | None = None,
) -> tuple[EvaluationReport, Samples]:
    """The report on one part of the set at `data`, or on `all`, and the images that were evaluated.

    `votes` is a table of FER+ votes, whose majority is then the label of each image. `prior` is the one that the owner of a
    device states (`fer-edge run --prior`): it changes what is reported, and no score. Raises UsageError for no bundle.
    """
    source = model.source
    if prior is not None:
        require_bundle(model.kind, source.path, "--prior")
    rule = ReportingRule.of(Bundle.load(source.path.parent), prior) if model.kind == "bundle" else None
    beside = source.path.with_name("history.json")
    history_path = history or (beside if beside.is_file() else None)
    training = TrainingHistory.read(history_path) if history_path else None
    classifier = model.classifier(runtime, kernels, threads)
    require_label_count(source.path, classifier.classes, source.labels)
    remedy = NAME_FOLDERS if model.kind == "bundle" else NAME_FOLDERS_OR_LABELS
    samples = load(data, classifier.side, seed, classes=source.labels, votes=votes, remedy=remedy)
    for remark in remarks(samples):
        message(remark)
    data_set = fingerprint(samples)
    counts_by_part = {part_name: getattr(data_set, part_name) for part_name in PARTS}
    evaluated = samples if part == "all" else samples.part(part)
    if not len(evaluated.y):
        counts = ", ".join(f"{name} {count:,}" for name, count in counts_by_part.items())
        raise DataError(f"{data} has no image in its {part} part; its parts are {counts}; choose another with --split")
    y = evaluated.y  # indices into the model's labels: the set was read with them
    logits = _logits(classifier, evaluated.x[..., 0], source.path)
    wrong_range = None if model.kind == "bundle" else range_doubt(model, samples)
    is_training_set = training is not None and training.data.sha256 == data_set.sha256
    in_training, unseen_note = _in_training(samples, part, is_training_set)
    trained_on = training.data.sha256 if training else data_set.sha256
    if trained_on != data_set.sha256 and not _is_of_own_labels(trained_on, samples, data, seed, source.labels):
        unseen_note += (
            " The model was trained on another set, or on another draw of this one's parts, which is not known here."
        )
    one_thread = classifier if threads == 1 else model.classifier(runtime, kernels, 1)
    report = EvaluationReport(
        subject=Subject(
            name=source.name,
            kind=_KINDS.get(model.kind, model.kind),
            file=source.path.name,
            file_bytes=source.path.stat().st_size if source.path.is_file() else len(model.content),
            sha256=source.sha256,
            dtypes=tuple(sorted({dtype for op in operator_types(model.graph) for dtype in op.dtypes})),
            runtime=classifier.runtime.id,
            kernels=kernels,
            preprocess=PREPROCESS_ID,
        ),
        data=EvaluationData(
            name=data.absolute().name,
            form=samples.form,
            part=part,
            split_rule=f"parts {samples.split_rule}",
            counts=counts_by_part,
            sha256=data_set.sha256,
            seed=seed,
            left_out=samples.left_out,
            skipped=len(samples.skipped),
            labels_from=samples.labels_from,
        ),
        scores=score(logits, y, source.labels),
        unseen=None
        if in_training is None or in_training.all()
        else score(logits[~in_training], y[~in_training], source.labels),
        unseen_why=unseen_note,
        curves=roc_curves(logits, y, source.labels),
        cost=inference_cost.measure_cost(
            model.graph, len(model.content), one_thread, evaluated.x[: inference_cost.TIMED, :, :, 0]
        ),
        history=training.summary() if training else None,
        bootstrap={"draws": DRAWS, "seed": SEED},
        versions=_versions(model.kind),
        reported=reported_by_class(rule.reported(logits), y, source.labels) if rule else None,
        reported_prior=prior.text if prior else None,
        clear=clear_majority(logits, y, evaluated.votes, source.labels, rule) if evaluated.votes is not None else None,
        doubts=(*(doubts(logits, y, source.labels) or ()), *([wrong_range] if wrong_range else ())) or None,
    )
    return report, evaluated


def _logits(classifier: Classifier, faces: np.ndarray, file: Path) -> np.ndarray:
    """The logits float32 (N, K) of faces uint8 (N, side, side), with a progress bar on stderr.

    Raises UsageError when they are not finite.
    """
    logits = []
    with progress_bar(total=len(faces), title="evaluating", unit="img", leave=True) as bar:
        for start in range(0, len(faces), CHUNK):
            logits.append(classifier.logits(faces[start : start + CHUNK]))
            _check_logits(logits[-1], file)
            bar.update(len(logits[-1]))
    return np.concatenate(logits)


def _check_logits(logits: np.ndarray, file: Path) -> None:
    if not np.isfinite(logits).all():
        raise UsageError(
            f"{file} returns values that are not finite; where the Keras model itself returns finite ones, one of its layers"
            " has no equal in TFLite (UnitNormalization): replace it, else train again"
        )


def _is_of_own_labels(trained_on: str, samples: Samples, data: Path, seed: int, labels: tuple[str, ...]) -> bool:
    """Whether `trained_on` is the SHA-256 of the set in `data` by its own labels, where `samples` have those of votes."""
    if samples.labels_from is None:
        return False
    try:
        return fingerprint(load(data, samples.x.shape[1], seed, classes=labels)).sha256 == trained_on
    except DataError:  # the set's own labels are not those of the model
        return False


def _in_training(samples: Samples, part: str, is_training_set: bool) -> tuple[np.ndarray | None, str]:
    """Whether each image of a part is also in the training part, bool (N,), and a note; None where that is not known."""
    if part in ("train", "all") and not is_training_set:
        return None, "Whether the model was trained on these images, or on some of them, is not known."
    if part in ("train", "all"):
        return (
            None,
            "These images, or some of them, are the training part itself: the scores are not those on new faces.",
        )
    if not np.any(samples.split == "train"):
        return None, "The set has no training part, so it is not known which images the model was trained on."
    found = also_in(samples, part, "train")
    if found.all():
        note = f"All {len(found):,} images are also in the training part, pixel for pixel: none is left without them."
    else:
        note = f"{int(found.sum()):,} of these images are also in the training part of the same set, pixel for pixel."
    return found, note


def _versions(kind: str) -> dict[str, str]:
    packages = ["numpy", "opencv-python-headless", "scikit-learn"]
    packages += ["tensorflow", "tensorflow-cpu", "keras"] if kind in _KINDS else []
    versions = {"fer-edge": fer_edge.__version__, "python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
