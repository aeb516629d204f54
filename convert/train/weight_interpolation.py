"""Interpolation between the weights that a run started from and those it ended with (WiSE-FT).

A network that is trained further for other labels gains on these and loses on the old ones. Between its weights before and
after lie networks that keep more of the old labels for the same gain (Wortsman et al. 2022, arXiv 2109.01903). Here the old
labels are FER2013's and the new ones the majority of FER+'s votes: of the shares of the new weights in SHARES whose accuracy
on the old labels is at most `allowed` below that of the initial weights, the one with the largest balanced accuracy on the new
labels is chosen. Both are measured on the validation part. The moving statistics of batch normalisations are interpolated too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from convert.data.loader import load
from convert.data.samples import Samples, fingerprint
from convert.tflite.keras_export import load_keras
from convert.tflite.tensorflow_output import quiet_tensorflow
from convert.train.history import InterpolationRecord
from convert.train.run_folder import find_float_model, trained_model
from fer_edge.atomic_file import atomic_file
from fer_edge.bundle_files import sha256_of
from fer_edge.errors import UsageError

ALLOWED_ACCURACY_LOSS = 0.03  # a share, of the accuracy on the old labels
SHARES = tuple(round(0.05 * step, 2) for step in range(21))


def choose_share(scores: Mapping[float, tuple[float, float]], allowed: float = ALLOWED_ACCURACY_LOSS) -> float:
    """The share with the largest second score whose first score is at most `allowed` below that of share 0.

    `scores` has, for each share of the new weights, the accuracy on the old labels and the balanced accuracy on the new ones.
    """
    lowest = scores[0.0][0] - allowed
    return max((share for share in scores if scores[share][0] >= lowest), key=lambda share: scores[share][1])


def interpolate(
    run: Path, initial: Path, data: Path, votes: Path, allowed: float = ALLOWED_ACCURACY_LOSS
) -> InterpolationRecord:
    """Chooses the share for the model of a training run that started from `initial`, writes model and history.json.

    `data` and `votes` are the set and the table of FER+ votes. Raises UsageError when `run` holds no training on this data
    set, one that did not start from `initial`, or one whose weights were interpolated or offset already.
    """
    (path, history), initial_path = trained_model(run), find_float_model(initial)
    if history.interpolation or history.offsets:
        raise UsageError(f"the weights of {path} were changed after the training already, as its history.json says")
    if history.init is None or history.init.sha256 != sha256_of(initial_path):
        raise UsageError(f"{run} was not started from {initial_path}; name the model that was its --init")
    old = load(data, classes=history.labels)
    if fingerprint(old) != history.data:
        raise UsageError(f"{data} is not the set that {run} was trained on")
    old_part, new_part = old.part("validation"), load(data, classes=history.labels, votes=votes).part("validation")
    model = load_keras(path)
    before, after = load_keras(initial_path).get_weights(), model.get_weights()
    if [w.shape for w in before] != [w.shape for w in after]:
        raise UsageError(f"{path} and {initial_path} are not the same network")

    def set_share(share: float) -> None:
        model.set_weights([(1 - share) * a + share * b for a, b in zip(before, after, strict=True)])

    def answers(part: Samples) -> np.ndarray:
        return np.asarray(model.predict(part.x.astype(np.float32), batch_size=256, verbose=0)).argmax(1)

    scores = {}
    for share in SHARES:
        set_share(share)
        accuracy = float(np.mean(answers(old_part) == old_part.y))
        scores[share] = accuracy, balanced_accuracy(answers(new_part), new_part.y)
    share = choose_share(scores, allowed)
    set_share(share)
    record = InterpolationRecord(
        share=share,
        chosen_on="validation",
        val_accuracy=(scores[0.0][0], scores[1.0][0], scores[share][0]),
        val_balanced_accuracy_on_votes=(scores[0.0][1], scores[1.0][1], scores[share][1]),
    )
    with quiet_tensorflow(), atomic_file(path) as fresh:
        model.save(fresh)
    replace(history, interpolation=record).write(run / "history.json")
    return record


def balanced_accuracy(answers: np.ndarray, y: np.ndarray) -> float:
    """The mean recall of the classes of labels `y` (N,) that occur."""
    return float(np.mean([np.mean(answers[y == k] == k) for k in np.unique(y)]))
