"""Post-hoc logit adjustment: the last biases of a trained model are shifted, so that no class is given up.

A network trained for accuracy predicts rare or ambiguous classes too seldom: low recall, high precision. Each class's logit
is raised by τ · log(images of the class / predictions of the class), counted on the validation part (Menon et al. 2021, arXiv
2007.07314, with the observed frequencies as the target). τ is searched: it maximizes the weakest recall, then the next
weakest on ties, while the accuracy falls by MAX_ACCURACY_LOSS at most. The offsets are added to the biases of the last layer,
so that the network does not grow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from convert.data.loader import load
from convert.data.samples import fingerprint
from convert.tflite.keras_export import load_keras
from convert.tflite.tensorflow_output import quiet_tensorflow
from convert.train.history import OffsetsRecord
from convert.train.run_folder import trained_model
from fer_edge.atomic_file import atomic_file
from fer_edge.errors import NotEnoughData, UsageError

MAX_ACCURACY_LOSS = 0.002  # a share, accepted for a better weakest recall
STRENGTHS = tuple(round(0.05 * step, 2) for step in range(21))  # candidates for τ
MIN_IMAGES_PER_CLASS = 20  # in the validation part


@dataclass(frozen=True, slots=True)
class LogitOffsets:
    """τ, the offsets of the logits (K,), and accuracy and weakest recall on the validation part, before and after."""

    strength: float
    values: tuple[float, ...]
    accuracy: tuple[float, float]
    weakest_recall: tuple[float, float]


def choose_offsets(logits: np.ndarray, y: np.ndarray, allowed: float = MAX_ACCURACY_LOSS) -> LogitOffsets:
    """The offsets for float logits (N, K) of images with labels (N,).

    Raises NotEnoughData when a class has fewer than FEWEST images.
    """
    class_counts = np.bincount(y, minlength=logits.shape[1])
    if class_counts.min() < MIN_IMAGES_PER_CLASS:
        raise NotEnoughData(
            f"a class has {class_counts.min()} validation images; offsets need {MIN_IMAGES_PER_CLASS} of each"
        )
    predicted_counts = np.bincount(logits.argmax(1), minlength=logits.shape[1])
    unit = np.log((class_counts + 1) / (predicted_counts + 1))
    unit -= unit.mean()  # softmax ignores a common offset
    scores = {strength: _accuracy_and_recalls(logits + strength * unit, y, class_counts) for strength in STRENGTHS}
    min_accuracy = max(accuracy for accuracy, _ in scores.values()) - allowed
    best = max((t for t in STRENGTHS if scores[t][0] >= min_accuracy), key=lambda t: scores[t][1])
    (accuracy_before, recalls_before), (accuracy_after, recalls_after) = scores[0.0], scores[best]
    values = tuple(round(float(v), 4) for v in best * unit)
    return LogitOffsets(best, values, (accuracy_before, accuracy_after), (recalls_before[0], recalls_after[0]))


def _accuracy_and_recalls(logits: np.ndarray, y: np.ndarray, class_counts: np.ndarray) -> tuple[float, list[float]]:
    """The accuracy, and the recalls of the classes, the weakest first."""
    hits = logits.argmax(1) == y
    return float(hits.mean()), sorted((np.bincount(y[hits], minlength=len(class_counts)) / class_counts).tolist())


def apply_offsets(run: Path, data: Path, allowed: float = MAX_ACCURACY_LOSS) -> LogitOffsets:
    """Chooses the offsets for the model of a training run, writes them into its last layer and its history.json.

    Returns the offsets. Raises UsageError when `run` holds no training on this data set, or one that has offsets already.
    """
    path, history = trained_model(run)
    if history.offsets:
        raise UsageError(f"{path} has offsets already, chosen on {history.offsets.chosen_on}")
    model = load_keras(path)
    samples = load(data, model.input_shape[1], classes=history.labels)
    if fingerprint(samples) != history.data:
        raise UsageError(
            f"{data} is not the set that {run} was trained on; offsets need the validation part of that set"
        )
    validation = samples.part("validation")
    logits = np.asarray(model.predict(validation.x.astype(np.float32), batch_size=256, verbose=0), np.float64)
    adjustment = choose_offsets(logits, validation.y, allowed)
    last = [layer for layer in model.layers if layer.weights][-1]
    weights, bias = last.get_weights()
    last.set_weights([weights, (bias + np.array(adjustment.values)).astype(bias.dtype)])
    offsets = OffsetsRecord(
        chosen_on="validation",
        strength=adjustment.strength,
        values=dict(zip(history.labels, adjustment.values, strict=True)),
        val_accuracy=adjustment.accuracy,
        val_weakest_recall=adjustment.weakest_recall,
    )
    with quiet_tensorflow(), atomic_file(path) as fresh:
        model.save(fresh)
    replace(history, offsets=offsets).write(run / "history.json")
    return adjustment
