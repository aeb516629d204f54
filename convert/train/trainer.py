"""One training run: epochs with validation, the best weights, the history, and a checkpoint to resume from."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.data.ferplus import FERPLUS_LABELS
from convert.data.samples import Samples, fingerprint
from convert.tflite.keras_export import load_keras
from convert.train.checkpoints import load_checkpoint, save_checkpoint
from convert.train.class_shares import shares_of
from convert.train.hardware import framework, hardware
from convert.train.history import EpochRecord, TrainingHistory, TrainingSetup
from convert.train.loops import HostLoop, TrainingLoop
from convert.train.loss import cross_entropy
from convert.train.networks import NETWORKS, Architecture, Network, build_network, heads_of, weights_of_heads
from convert.train.optimizer import learning_rate_after, make_optimizer
from convert.train.presets import PRESETS, Recipe
from convert.train.processes import ONE_PROCESS, Processes, on_this_process
from convert.train.progress import TrainingProgress
from convert.train.run_folder import labels_beside
from convert.train.setup_record import initial_model, model_sha256, outside_labels, votes_sha256
from fer_edge.atomic_file import atomic_file
from fer_edge.errors import DataError, UsageError
from fer_edge.json_fields import to_json

if TYPE_CHECKING:
    import keras

CHECKPOINT_EVERY_S = 20.0  # on an accelerator an epoch takes one to three seconds (models/README.md)


def train(
    samples: Samples,
    out: Path,
    network: Architecture = NETWORKS["paper"],
    recipe: Recipe = PRESETS["paper"],
    *,
    resume: bool = False,
    policy: str = "float32",
    teachers: Sequence[Path] = (),
    teachers_policy: str | None = None,
    init: Path | None = None,
    on_device: bool = False,
    processes: Processes = ONE_PROCESS,
) -> TrainingHistory:
    """The history of a training run. `out` then holds model.keras (best epoch, float32), history.json and checkpoint.npz.

    `samples` must have a train and a validation part. After an epoch a checkpoint is written with everything that the next
    epoch depends on (weights, their average, optimizer, dropout's random state): after the first and the last one, and else
    once CHECKPOINT_EVERY_S have passed, so that only epochs that are shorter share one. The first epoch without a finite loss
    ends a run with UsageError; the files then hold the epochs before it. A run that was killed and resumed
    gives the same result as an uninterrupted one: to the last bit in one thread. Runs on any backend of Keras 3. With
    `on_device` the views are computed by the device that trains too (device_training.TrainingStep), else by OpenCV. Of several
    `processes`, which train on the device, the first one writes the files; to resume, all read its checkpoint.

    `teachers` are float models (.keras) whose mean softened probabilities join the loss (distillation.Teachers). They run in
    the Keras dtype policy `teachers_policy` (None: in `policy`, that of the trained network). `init` is a float model whose
    weights the run starts from, except for a last layer of other classes. A network with a second head (`Network.votes`) learns
    `samples.votes` beside the labels; model.keras has the labels' head only, and the same network with the votes' head is
    written to votes/model.keras, as a teacher. Raises UsageError when the checkpoint belongs to another run or a model does
    not fit.
    """
    import keras

    from convert.train.batches import TrainingImages, steps_per_epoch
    from convert.train.distillation import Teachers

    if processes.count > 1 and not on_device:
        raise ValueError("several processes train with the views on the device")
    teachers_policy = teachers_policy or policy
    training, validation = samples.part("train"), samples.part("validation")
    if not len(training.y) or not len(validation.y):
        raise DataError(
            f"the set has {len(training.y)} training and {len(validation.y)} validation images; both are needed"
        )
    second_head = network.votes if isinstance(network, Network) else 0
    uses_votes = bool(second_head) or recipe.targets != "labels"
    if uses_votes and training.votes is None:
        raise UsageError("this preset learns people's votes; give their file with --votes")
    if processes.is_first and not resume:
        out.mkdir(parents=True, exist_ok=True)
    setup = TrainingSetup(
        network=to_json(network),
        recipe=to_json(recipe),
        data=fingerprint(samples),
        labels=samples.labels,
        policy=policy,
        teachers=tuple(model_sha256(path) for path in teachers),
        teachers_policy=teachers_policy if teachers else None,
        init=initial_model(init) if init else None,
        votes=votes_sha256(samples) if uses_votes else None,
    )
    processes.require_same(json.dumps(to_json(setup)))
    keras.utils.set_random_seed(recipe.seed)
    model = build_network(replace(network, side=None) if recipe.progressive_sides else network, policy, fused=True)
    saved = _SavedModels(out, network, processes)
    if init is not None:
        load_initial_weights(init, model, samples.labels)
    optimizer = make_optimizer(recipe, steps_per_epoch(len(training.y), recipe.batch))
    known: dict[str, Any] = {
        "framework": framework(),
        "hardware": hardware(),
        "outside_labels": outside_labels(uses_votes, teachers, init),
    }
    votes = training.votes if uses_votes else None
    if votes is not None and recipe.targets != "labels":
        votes = shares_of(votes, FERPLUS_LABELS, samples.labels)
    worth = _worth_of_labels(validation, network.classes, recipe) if recipe.targets == "both" else None
    images = TrainingImages.of(training.x, training.y, network.classes, recipe, votes)
    # answers on whole images are computed before the training, by each process for itself
    with on_this_process() if recipe.teachers_see == "images" else nullcontext():
        ensemble = Teachers(teachers, teachers_policy, recipe, images.x, samples.labels) if teachers else None
    if ensemble and processes.count == 1:
        ensemble.notice_guesses(images.x, images.y)
    loop = _loop(on_device, processes)(model, optimizer, images, recipe, ensemble)
    history: TrainingHistory | None = None
    if resume:
        history, arrays = load_checkpoint(out / "checkpoint.npz", setup, loop.state())
        loop.load(arrays)
        saved.require_files()
    epochs = list(history.epochs) if history else []
    processes.require_same(json.dumps(to_json(epochs)))
    progress = TrainingProgress(recipe.epochs - len(epochs), len(training.y), recipe.batch, processes.is_first)
    written_s = -math.inf

    while len(epochs) < recipe.epochs and not _should_stop(epochs, recipe.early_stopping):
        start_s = time.monotonic()
        if recipe.schedule == "plateau":
            optimizer.learning_rate = learning_rate_after(recipe, [e.judged_by for e in epochs])
        loss, accuracy = loop.train_epoch(len(epochs), [progress.callback()])
        logits = saved.logits(loop.averaged_weights(), validation.x)
        val_loss = cross_entropy(logits, validation.y)
        row = EpochRecord(
            epoch=len(epochs) + 1,
            loss=loss,
            accuracy=accuracy,
            val_loss=val_loss,
            val_accuracy=float(np.mean(logits.argmax(1) == validation.y)),
            val_score=None if worth is None else float(np.take_along_axis(worth, logits.argmax(1)[:, None], 1).mean()),
            seconds=round(time.monotonic() - start_s, 1),
        )
        if not math.isfinite(loss) or not math.isfinite(val_loss):
            progress.close()
            if processes.is_first and history is not None:
                saved.write()
                history.write(out / "history.json")
            raise UsageError(_divergence(row, epochs, recipe, out))
        if row.judged_by > max((e.judged_by for e in epochs), default=-1.0):
            saved.remember()
        epochs.append(row)
        history = replace(TrainingHistory.of(setup, epochs, _best_epoch(epochs)), **known)
        last = len(epochs) == recipe.epochs or _should_stop(epochs, recipe.early_stopping)
        if processes.is_first and (last or time.monotonic() >= written_s + CHECKPOINT_EVERY_S):
            _write_run(out, saved, history, loop)
            written_s = time.monotonic()
        progress.print_epoch(row)
    progress.close()
    assert history is not None, "a recipe has at least one epoch"
    if processes.is_first:
        # a run that was resumed with other limits records them, even without a new epoch
        history.write(out / "history.json")
    return history


def _write_run(out: Path, saved: _SavedModels, history: TrainingHistory, loop: TrainingLoop) -> None:
    """Writes the models, the checkpoint and the history; where the first checkpoint fails, no model stays without one."""
    is_first = not (out / "checkpoint.npz").exists()
    try:
        saved.write()
        with atomic_file(out / "checkpoint.npz") as fresh:
            save_checkpoint(history, loop.state(), str(fresh))
    except BaseException:
        if is_first:
            saved.remove()
        raise
    history.write(out / "history.json")


def _worth_of_labels(validation: Samples, classes: int, recipe: Recipe) -> np.ndarray:
    """What each label of a validation image is worth with the targets "both", float32 (N, classes).

    Half of it is 1 for the image's own label, half the share of people's votes: an epoch is chosen by both kinds of labels.
    """
    from convert.train.batches import TrainingImages

    votes = validation.votes
    if votes is not None:
        votes = shares_of(votes, FERPLUS_LABELS, validation.labels)
    return TrainingImages.of(validation.x, validation.y, classes, replace(recipe, label_smoothing=0.0), votes).labels


def _loop(on_device: bool, processes: Processes) -> Callable[..., TrainingLoop]:
    """What makes the loop."""
    if not on_device:
        return HostLoop
    from convert.train.device_training import DeviceLoop

    return partial(DeviceLoop, processes=processes)


class _SavedModels:
    """The models of a run in float32 with standard layers only, for validation and for the files: one for each head.

    Of several processes the first one validates.
    """

    def __init__(self, out: Path, network: Architecture, processes: Processes) -> None:
        self.processes, self.classes = processes, network.classes
        with on_this_process():
            self.models = [build_network(head) for head in heads_of(network)]
        self.files = [out / "model.keras", out / "votes" / "model.keras"][: len(self.models)]
        self.remembered: list[list[np.ndarray]] = []  # weights of each model, not yet written

    def require_files(self) -> None:
        """Raises UsageError where one is missing: a later epoch may not be better, and the best one would be lost."""
        if missing := [path for path in self.files if self.processes.is_first and not path.is_file()]:
            raise UsageError(
                f"{missing[0]} is missing, which has the best epoch of the run; copy it there too, or begin again"
            )

    def logits(self, weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
        """The labels' logits of these weights for images uint8 (N, H, H, 1)."""
        for model, own in zip(self.models, weights_of_heads(weights, len(self.models)), strict=True):
            model.set_weights(own)
        logits = np.zeros((len(x), self.classes), np.float32)
        if self.processes.is_first:
            with on_this_process():
                logits = np.asarray(self.models[0].predict(x.astype(np.float32), batch_size=256, verbose=0))
        return self.processes.from_first(logits)  # all decide alike when to stop

    def remember(self) -> None:
        """Keeps the weights of the last call of `logits`: those that `write` writes."""
        self.remembered = [model.get_weights() for model in self.models]

    def write(self) -> None:
        """Writes the models with the weights kept since the last call, if there are any."""
        for model, path, weights in zip(self.models, self.files, self.remembered, strict=False):
            path.parent.mkdir(exist_ok=True)
            model.set_weights(weights)
            with atomic_file(path) as fresh:
                model.save(fresh)
        self.remembered = []

    def remove(self) -> None:
        """Removes the files."""
        for path in self.files:
            path.unlink(missing_ok=True)


def load_initial_weights(path: Path, model: keras.Model, labels: Sequence[str]) -> None:
    """Copies a float model's weights into `model`, whose outputs are `labels`, except for a last layer of other classes.

    Of a model without labels beside it, only their number is compared. Raises UsageError when the two are not the same network.
    """
    weights = load_keras(path).get_weights()
    current = model.get_weights()
    if [w.shape for w in weights[:-2]] != [w.shape for w in current[:-2]]:
        raise UsageError(f"{path} is of another network than this preset; name the preset it was trained with")
    known_labels = labels_beside(path)
    same_classes = weights[-1].shape == current[-1].shape and known_labels in (None, tuple(labels))
    model.set_weights(weights if same_classes else [*weights[:-2], *current[-2:]])


def _divergence(row: EpochRecord, epochs: list[EpochRecord], recipe: Recipe, out: Path) -> str:
    """The sentence on a run whose epoch `row` has no finite loss, after the epochs before it."""
    kept = f"{out / 'model.keras'} stays that of epoch {_best_epoch(epochs)}" if epochs else "no model was kept"
    return (
        f"the training diverged in epoch {row.epoch}: its loss is {row.loss:g}, its validation loss {row.val_loss:g}; {kept};"
        f" train again with a lower --learning-rate than {recipe.learning_rate:g}{' and another --out' if epochs else ''}"
    )


def _best_epoch(epochs: list[EpochRecord]) -> int:
    """The first epoch with the best validation score or accuracy, counted from 1."""
    return 1 + int(np.argmax([e.judged_by for e in epochs]))


def _should_stop(epochs: list[EpochRecord], patience: int) -> bool:
    """Whether the validation score or accuracy has not improved for `patience` epochs; never for 0."""
    return bool(patience and epochs) and len(epochs) - _best_epoch(epochs) >= patience
