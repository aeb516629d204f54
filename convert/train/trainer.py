"""One training run: epochs with validation, the best weights, the history, and a checkpoint to resume from."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convert.data.samples import Samples, fingerprint
from convert.tflite.keras_export import load_keras
from convert.train.checkpoints import load_checkpoint, save_checkpoint
from convert.train.history import EpochRecord, InitialModel, TrainingHistory, TrainingSetup
from convert.train.loss import cross_entropy, distillation_loss, label_hits
from convert.train.networks import NETWORKS, Architecture, build_network
from convert.train.optimizer import learning_rate_after, make_optimizer
from convert.train.presets import PRESETS, Recipe
from convert.train.progress import TrainingProgress
from convert.train.weight_averaging import WeightAverage
from fer_edge.atomic_file import atomic_file
from fer_edge.errors import DataError, UsageError
from fer_edge.json_fields import to_json

if TYPE_CHECKING:
    import keras


def train(
    samples: Samples,
    out: Path,
    network: Architecture = NETWORKS["paper"],
    recipe: Recipe = PRESETS["paper"],
    *,
    resume: bool = False,
    policy: str = "float32",
    teachers: Sequence[Path] = (),
    init: Path | None = None,
) -> TrainingHistory:
    """The history of a training run. `out` then holds model.keras (best epoch, float32), history.json and checkpoint.npz.

    `samples` must have a train and a validation part. After each epoch a checkpoint is written with everything that the next
    epoch depends on (weights, their average, optimizer, dropout's random state). A run that was killed and resumed therefore
    gives the same result as an uninterrupted one: to the last bit in one thread. Runs on any backend of Keras 3.

    `teachers` are float models (.keras) whose mean softened probabilities join the loss (distillation.Teachers). `init` is a
    float model whose weights the run starts from, except for a last layer of another size. Raises UsageError when the
    checkpoint belongs to another run or a model does not fit.
    """
    import keras

    from convert.train.batches import Batches
    from convert.train.distillation import Teachers

    training, validation = samples.part("train"), samples.part("validation")
    if not len(training.y) or not len(validation.y):
        raise DataError(
            f"the set has {len(training.y)} training and {len(validation.y)} validation images; both are needed"
        )
    out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(recipe.seed)
    model = build_network(replace(network, side=None) if recipe.sides else network, policy, fused=True)
    saved_model = build_network(network)  # for validation and for the file: float32, standard layers only
    if init is not None:
        load_initial_weights(init, model)
    optimizer = make_optimizer(recipe, steps_per_epoch=-(-len(training.y) // recipe.batch))
    optimizer.build(model.trainable_variables)
    loss, hits = distillation_loss(network.classes, recipe), label_hits(network.classes)
    model.compile(optimizer, loss=loss, metrics=[hits], jit_compile=False)

    setup = TrainingSetup(
        network=to_json(network),
        recipe=to_json(recipe),
        data=fingerprint(samples),
        labels=samples.labels,
        policy=policy,
        teachers=tuple(_sha256(path) for path in teachers),
        init=_initial_model(init) if init else None,
    )
    average = WeightAverage(model, recipe.averaging)
    variables = [*model.variables, *optimizer.variables]
    history: TrainingHistory | None = None
    if resume:
        history, arrays = load_checkpoint(out / "checkpoint.npz", setup)
        average.load(arrays[len(variables) :])
        for variable, array in zip(variables, arrays, strict=False):
            variable.assign(array)
    epochs = list(history.epochs) if history else []
    progress = TrainingProgress(recipe.epochs - len(epochs), len(training.y), recipe.batch)
    ensemble = Teachers(teachers, policy, recipe, training.x, network.classes) if teachers else None

    while len(epochs) < recipe.epochs and not _should_stop(epochs, recipe.early_stopping):
        start_s = time.monotonic()
        if recipe.schedule == "plateau":
            optimizer.learning_rate = learning_rate_after(recipe, [e.val_accuracy for e in epochs])
        batches = Batches(training.x, training.y, network.classes, recipe, len(epochs), ensemble)
        fitted = model.fit(batches, verbose=0, shuffle=False, callbacks=[average.callback(), progress.callback()])
        saved_model.set_weights(average.weights())
        logits = saved_model.predict(validation.x.astype(np.float32), batch_size=256, verbose=0)
        row = EpochRecord(
            epoch=len(epochs) + 1,
            loss=float(fitted.history["loss"][0]),
            accuracy=float(fitted.history["hits"][0]),
            val_loss=cross_entropy(logits, validation.y),
            val_accuracy=float(np.mean(logits.argmax(1) == validation.y)),
            seconds=round(time.monotonic() - start_s, 1),
        )
        if row.val_accuracy > max((e.val_accuracy for e in epochs), default=-1.0):
            with atomic_file(out / "model.keras") as fresh:
                saved_model.save(fresh)
        epochs.append(row)
        history = TrainingHistory.of(setup, epochs, _best_epoch(epochs))
        state = [*(keras.ops.convert_to_numpy(v) for v in [*model.variables, *optimizer.variables]), *average.arrays]
        with atomic_file(out / "checkpoint.npz") as fresh:
            save_checkpoint(history, state, str(fresh))
        history.write(out / "history.json")
        progress.print_epoch(row)
    progress.close()
    assert history is not None, "a recipe has at least one epoch"
    history.write(
        out / "history.json"
    )  # a run that was resumed with other limits records them, even without a new epoch
    return history


def load_initial_weights(path: Path, model: keras.Model) -> None:
    """Copies a float model's weights into `model`, except for a last layer with another number of classes.

    Raises UsageError when the two are not the same network.
    """
    weights = load_keras(path).get_weights()
    current = model.get_weights()
    if [w.shape for w in weights[:-2]] != [w.shape for w in current[:-2]]:
        raise UsageError(f"{path} is of another network than this preset; name the preset it was trained with")
    same_classes = weights[-1].shape == current[-1].shape
    model.set_weights(weights if same_classes else [*weights[:-2], *current[-2:]])


def _best_epoch(epochs: list[EpochRecord]) -> int:
    """The first epoch with the best validation accuracy, counted from 1."""
    return 1 + int(np.argmax([e.val_accuracy for e in epochs]))


def _should_stop(epochs: list[EpochRecord], patience: int) -> bool:
    """Whether the validation accuracy has not improved for `patience` epochs; never for 0."""
    return bool(patience and epochs) and len(epochs) - _best_epoch(epochs) >= patience


def _initial_model(model: Path) -> InitialModel:
    """The record of a float model that a run starts from: its hash, and its history where history.json lies beside it."""
    path = model.with_name("history.json")
    return InitialModel(_sha256(model), TrainingHistory.read(path) if path.is_file() else None)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
