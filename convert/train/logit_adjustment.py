"""`python -m convert.offsets RUN --data PATH`: a trained model's last biases shifted, so that no class is given up.

A network trained for accuracy gives the label of a rare or a vague class too seldom: its recall is low and its precision
high. Each class's logit is raised by τ times the logarithm of how often the class is there over how often its label is
given, on the validation part (a post-hoc logit adjustment, Menon et al. 2021, arXiv 2007.07314, towards the frequencies
that were seen). τ, the one figure that is searched for, makes the weakest recall largest, and the next weakest where
several do, at no loss of accuracy worth the name. The offsets become part of the last layer: nothing is added to the network.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.data.loader import load
from convert.data.samples import fingerprint
from convert.tflite.keras_export import load_keras
from convert.tflite.tensorflow_output import quiet_tensorflow
from convert.train.run_folder import float_model, read_history
from fer_edge.atomic_file import atomic_file, write_atomically
from fer_edge.errors import NotEnoughData, UsageError

ALLOWED = 0.002  # of accuracy, for a better weakest recall
STRENGTHS = tuple(round(0.05 * step, 2) for step in range(21))  # of τ
FEWEST = 20  # validation images of each class


@dataclass(frozen=True, slots=True)
class Offsets:
    """τ, what it adds to the logits (K,), and what that does on the validation part, before and after."""

    strength: float
    values: tuple[float, ...]
    accuracy: tuple[float, float]
    weakest_recall: tuple[float, float]


def choose(logits: np.ndarray, y: np.ndarray, allowed: float = ALLOWED) -> Offsets:
    """The offsets for float logits (N, K) of images with labels (N,).

    Raises NotEnoughData where a class has fewer than FEWEST images.
    """
    there = np.bincount(y, minlength=logits.shape[1])
    if there.min() < FEWEST:
        raise NotEnoughData(
            f"a class has {there.min()} validation images; offsets want {FEWEST} of each, or the search finds chance"
        )
    given = np.bincount(logits.argmax(1), minlength=logits.shape[1])
    one = np.log((there + 1) / (given + 1))
    one -= one.mean()  # softmax does not see what is common to all
    found = {strength: _figures(logits + strength * one, y, there) for strength in STRENGTHS}
    good_enough = max(accuracy for accuracy, _ in found.values()) - allowed
    best = max((t for t in STRENGTHS if found[t][0] >= good_enough), key=lambda t: found[t][1])
    (before, weak), (after, less_weak) = found[0.0], found[best]
    values = tuple(round(float(v), 4) for v in best * one)
    return Offsets(best, values, (before, after), (weak[0], less_weak[0]))


def _figures(logits: np.ndarray, y: np.ndarray, there: np.ndarray) -> tuple[float, list[float]]:
    """Accuracy, and the recalls, the weakest first."""
    hits = logits.argmax(1) == y
    return float(hits.mean()), sorted((np.bincount(y[hits], minlength=len(there)) / there).tolist())


def apply(run: Path, data: Path, allowed: float = ALLOWED) -> Offsets:
    """The offsets chosen for a training's model, which then has them in its last layer and in its history.json.

    Raises UsageError when `run` holds no training of this data set, or one that has offsets already.
    """
    path, told = float_model(run), run / "history.json"
    if not told.is_file():
        raise UsageError(f"{run} holds no history.json; name a folder of `python -m convert.train`")
    read_history(told)
    history: dict[str, Any] = json.loads(told.read_text())
    if "offsets" in history:
        raise UsageError(f"{path} has offsets already, chosen on {history['offsets']['chosen_on']}")
    model = load_keras(path)
    samples = load(data, model.input_shape[1], classes=tuple(history["labels"]))
    if fingerprint(samples) != history["data"]:
        raise UsageError(f"{data} is not the set that {run} was trained on; offsets want its own validation part")
    held = samples.part("validation")
    logits = np.asarray(model.predict(held.x.astype(np.float32), batch_size=256, verbose=0), np.float64)
    found = choose(logits, held.y, allowed)
    last = [layer for layer in model.layers if layer.weights][-1]
    weights, bias = last.get_weights()
    last.set_weights([weights, (bias + np.array(found.values)).astype(bias.dtype)])
    history["offsets"] = {
        "chosen_on": "validation",
        "strength": found.strength,
        "values": dict(zip(history["labels"], found.values, strict=True)),
        "val_accuracy": list(found.accuracy),
        "val_weakest_recall": list(found.weakest_recall),
    }
    with quiet_tensorflow(), atomic_file(path) as fresh:
        model.save(fresh)
    write_atomically(told, json.dumps(history, indent=1) + "\n")
    return found
