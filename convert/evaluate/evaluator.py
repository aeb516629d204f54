"""`python -m convert.evaluate MODEL --data PATH`: how well a model does, by the device's own code, and its cost.

MODEL is a `.keras`, any `.tflite`, a bundle's folder or a training's folder. A Keras model is turned into float TFLite
in memory, so that every model is measured with the lines a device runs.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path

import numpy as np

import fer_edge
from convert.data.loader import load, remarks
from convert.data.readers import PARTS
from convert.data.samples import Samples, also_in, fingerprint
from convert.evaluate import inference_cost
from convert.evaluate.bootstrap import DRAWS, SEED
from convert.evaluate.evaluation_report import Data, Report, Subject
from convert.evaluate.metrics import curves, score
from convert.sources.evaluated_model import Model
from convert.tflite.inspection import operators
from convert.train.run_folder import read_history
from fer_edge.bundle import sha256_of
from fer_edge.classifier import Classifier, Runtime
from fer_edge.console import message
from fer_edge.errors import DataError, UsageError
from fer_edge.preprocess import PREPROCESS_ID

CHUNK = 64  # images between two steps of the progress bar


def evaluate(
    model: Model,
    data: Path,
    part: str = "test",
    *,
    seed: int = 0,
    threads: int = 1,
    runtime: Runtime | None = None,
    kernels: str = "default",
    history: Path | None = None,
) -> tuple[Report, Samples]:
    """The report on one part of the set at `data`, or on `all`, and the images of it that were evaluated."""
    told = read_history(history or model.history)
    classifier = model.classifier(runtime, threads, kernels)
    samples = load(data, classifier.side, seed, classes=model.labels)
    for remark in remarks(samples):
        message(remark)
    counts = fingerprint(samples)
    chosen = samples if part == "all" else samples.part(part)
    if not len(chosen.y):
        held = ", ".join(f"{name} {counts[name]:,}" for name in PARTS)
        raise DataError(f"{data} has no image in its {part} part; its parts are {held}; choose another with --split")
    y = chosen.y  # indices into the model's own labels, by which the set was read
    logits = _logits(classifier, chosen.x[..., 0], model.file)
    seen, why = _seen(samples, part)
    if told and told.get("data") and told["data"]["sha256"] != counts["sha256"]:
        why += (
            " The model was trained on another set, or on another draw of this one's parts: of that nothing is known."
        )
    alone = classifier if threads == 1 else model.classifier(runtime, 1, kernels)
    report = Report(
        subject=Subject(
            name=model.name,
            kind=model.kind,
            file=model.file.name,
            file_bytes=model.file.stat().st_size,
            sha256=sha256_of(model.file),
            dtypes=tuple(sorted({dtype for op in operators(model.content) for dtype in op.dtypes})),
            runtime=classifier.runtime.id,
            kernels=kernels,
            preprocess=PREPROCESS_ID,
        ),
        data=Data(
            name=data.absolute().name,
            form=samples.form,
            part=part,
            split_rule=f"parts {samples.split_rule}",
            counts={name: int(counts[name]) for name in PARTS},
            sha256=str(counts["sha256"]),
            seed=seed,
            left_out=samples.left_out,
            skipped=len(samples.skipped),
        ),
        scores=score(logits, y, model.labels),
        unseen=None if seen is None or seen.all() else score(logits[~seen], y[~seen], model.labels),
        unseen_why=why,
        curves=curves(logits, y, model.labels),
        cost=inference_cost.measure(model.content, alone, chosen.x[: inference_cost.TIMED, :, :, 0]),
        history=told,
        bootstrap={"draws": DRAWS, "seed": SEED},
        versions=_versions(model.kind),
    )
    return report, chosen


def _logits(classifier: Classifier, faces: np.ndarray, file: Path) -> np.ndarray:
    """The logits float32 (N, K) of faces uint8 (N, side, side), with a progress bar on stderr.

    Raises UsageError when they are no numbers, or probabilities: a model must leave the softmax to the classifier.
    """
    from tqdm import tqdm

    found = []
    with tqdm(total=len(faces), desc="evaluating", unit="img", mininterval=0.5 if sys.stderr.isatty() else 30) as bar:
        for start in range(0, len(faces), CHUNK):
            found.append(classifier.logits(faces[start : start + CHUNK]))
            _refuse(found[-1], file)
            bar.update(len(found[-1]))
    return np.concatenate(found)


def _refuse(logits: np.ndarray, file: Path) -> None:
    if not np.isfinite(logits).all():
        raise UsageError(f"{file} gives values that are no numbers; it was not trained or not converted well")
    sums = logits.sum(1)
    if len(logits) >= 8 and logits.min() >= 0 and np.abs(sums - 1).max() < 0.05:  # 0.05: seven int8 roundings
        raise UsageError(
            f"{file} gives probabilities, not logits; save it without its last softmax, which the classifier does"
        )


def _seen(samples: Samples, part: str) -> tuple[np.ndarray | None, str]:
    """Which images of the part also stand in Training, bool (N,), or None if that cannot be asked; and why."""
    if part in ("train", "all"):
        return (
            None,
            "These images, or some of them, are the training part itself: they do not tell how it does on new faces.",
        )
    if not np.any(samples.split == "train"):
        return None, "The set has no training part, so nothing is known of images the model was trained on."
    seen = also_in(samples, part, "train")
    if seen.all():
        return (
            seen,
            f"All {len(seen):,} images also stand in the training part, pixel for pixel: nothing is left without them.",
        )
    return (
        seen,
        f"{int(seen.sum()):,} of these images also stand in the training part of the same set, pixel for pixel.",
    )


def _versions(kind: str) -> dict[str, str]:
    wanted = ["numpy", "opencv-python-headless", "scikit-learn"]
    wanted += ["tensorflow", "tensorflow-cpu", "keras"] if kind.startswith("keras") else []
    found = {"fer-edge": fer_edge.__version__, "python": platform.python_version()}
    for name in wanted:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
