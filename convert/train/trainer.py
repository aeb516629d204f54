"""`python -m convert.train --preset paper --data PATH --out DIR`: a trained float model, its history and its checkpoint."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.data.samples import Samples, fingerprint
from convert.train.checkpoints import restore, save
from convert.train.networks import NETWORKS, Network, build
from convert.train.presets import RECIPES, Recipe
from convert.train.resemotenet import ResEmoteNet
from convert.train.weight_averaging import Averages
from fer_edge.atomic_file import atomic_file, write_atomically
from fer_edge.errors import DataError, UsageError

if TYPE_CHECKING:
    import keras


def train(
    samples: Samples,
    out: Path,
    network: Network | ResEmoteNet = NETWORKS["paper"],
    recipe: Recipe = RECIPES["paper"],
    *,
    resume: bool = False,
    policy: str = "float32",
    teachers: Sequence[Path] = (),
    init: Path | None = None,
) -> dict[str, Any]:
    """The history of a training run; `out` then holds model.keras (the best epoch, float32), history.json, checkpoint.npz.

    `samples` must have a train and a validation part. After each epoch a checkpoint is written beside and renamed, with
    everything the next epoch depends on (weights, their average, optimizer, dropout's random state), so that a run that was
    killed and resumed ends where one that was not would have: to the last bit in one thread. Runs on any backend of Keras 3.

    `teachers` are float models (.keras) whose mean softened answers join the loss (distillation.Teachers); `init` is a
    float model to begin from, all of it but a last layer of another size. Raises UsageError when the checkpoint is of
    another run or a model does not fit.
    """
    import keras

    from convert.train.batches import Batches
    from convert.train.distillation import Teachers

    fit, held = samples.part("train"), samples.part("validation")
    if not len(fit.y) or not len(held.y):
        raise DataError(f"the set has {len(fit.y)} training and {len(held.y)} validation images; both are needed")
    out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(recipe.seed)
    model = build(replace(network, side=None) if recipe.sides else network, policy, fused=True)
    plain = build(network)  # what is validated and saved: float32, and no layer of ours
    if init is not None:
        begin_from(init, model)
    steps = -(-len(fit.y) // recipe.batch)
    optimizer = _optimizer(recipe, steps)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, loss=_loss(network.classes, recipe), metrics=[_hits(network.classes)], jit_compile=False)

    run = {
        "network": asdict(network),
        "recipe": asdict(recipe),
        "data": fingerprint(samples),
        "labels": samples.labels,
        "policy": policy,
        "teachers": [_sha256(path) for path in teachers],
        "init": _origin(init) if init else None,
    }
    run = json.loads(json.dumps(run))  # tuples as lists, as a checkpoint gives them back
    averages = Averages(model, recipe.averaging)
    history = {**run, "epochs": []}
    if resume:
        history, arrays = restore(out / "checkpoint.npz", run)
        averages.load(arrays[len(model.variables) + len(optimizer.variables) :])
        for variable, array in zip([*model.variables, *optimizer.variables], arrays, strict=False):
            variable.assign(array)
    epochs: list[dict[str, float]] = history["epochs"]
    progress = _Progress(recipe.epochs - len(epochs), len(fit.y), recipe.batch)
    asked = Teachers(teachers, policy, recipe, fit.x, network.classes) if teachers else None

    while len(epochs) < recipe.epochs and not _stale(epochs, recipe.early_stopping):
        began = time.monotonic()
        batches = Batches(fit.x, fit.y, network.classes, recipe, len(epochs), asked)
        told = model.fit(batches, verbose=0, shuffle=False, callbacks=[averages.callback(), progress.callback()])
        plain.set_weights(averages.now())
        logits = plain.predict(held.x.astype(np.float32), batch_size=256, verbose=0)
        row = {
            "epoch": len(epochs) + 1,
            "loss": float(told.history["loss"][0]),
            "accuracy": float(told.history["hits"][0]),
            "val_loss": cross_entropy(logits, held.y),
            "val_accuracy": float(np.mean(logits.argmax(1) == held.y)),
            "seconds": round(time.monotonic() - began, 1),
        }
        if row["val_accuracy"] > max((e["val_accuracy"] for e in epochs), default=-1.0):
            with atomic_file(out / "model.keras") as fresh:
                plain.save(fresh)
        epochs.append(row)
        history["best_epoch"] = 1 + int(np.argmax([e["val_accuracy"] for e in epochs]))
        state = [*(keras.ops.convert_to_numpy(v) for v in [*model.variables, *optimizer.variables]), *averages.arrays]
        with atomic_file(out / "checkpoint.npz") as fresh:
            save(history, state, str(fresh))
        _write_history(out, history)
        progress.said(row)
    progress.close()
    _write_history(out, history)  # a run that was resumed with other limits says so, even if no epoch was left
    return history


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    """The mean of -log p(true class) over float (N, classes) logits and int (N,) labels, in nats."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(y)), y]))


def begin_from(path: Path, model: keras.Model) -> None:
    """Copies a float model's weights into `model`, but for a last layer of another number of classes.

    Raises UsageError when the two are not the same network.
    """
    import keras

    try:
        begun = keras.models.load_model(path, compile=False).get_weights()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no float model that Keras can load: {error}") from error
    own = model.get_weights()
    if [w.shape for w in begun[:-2]] != [w.shape for w in own[:-2]]:
        raise UsageError(f"{path} is of another network than this preset; name the preset it was trained with")
    same_classes = begun[-1].shape == own[-1].shape
    model.set_weights(begun if same_classes else [*begun[:-2], *own[-2:]])


def _optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    import keras

    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        warm = round(recipe.warmup * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warm else rate,
            max(1, recipe.epochs * steps - warm),
            warmup_target=rate if warm else None,
            warmup_steps=warm,
        )
    decay = recipe.weight_decay or None
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=recipe.nesterov, weight_decay=decay)
    else:
        optimizer = keras.optimizers.Adam(rate, weight_decay=decay)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _loss(classes: int, recipe: Recipe) -> Any:
    """Cross-entropy with soft labels; where the targets hold a teacher's answer too, its share at its temperature."""
    import keras

    def loss(targets: Any, logits: Any) -> Any:
        own = keras.ops.categorical_crossentropy(targets[:, :classes], logits, from_logits=True)
        if targets.shape[1] == classes:
            return own
        heat, share = recipe.temperature, recipe.teacher_share
        taught = keras.ops.categorical_crossentropy(targets[:, classes:], logits / heat, from_logits=True)
        return (1 - share) * own + share * heat * heat * taught

    return loss


def _hits(classes: int) -> Any:
    import keras

    def hits(targets: Any, logits: Any) -> Any:
        right = keras.ops.argmax(targets[:, :classes], 1) == keras.ops.argmax(logits, 1)
        return keras.ops.cast(right, "float32")

    return hits


def _stale(epochs: list[dict[str, float]], patience: int) -> bool:
    if not patience or not epochs:
        return False
    return len(epochs) - 1 - int(np.argmax([e["val_accuracy"] for e in epochs])) >= patience


def _origin(model: Path) -> dict[str, Any]:
    """What a float model is that a run begins from: its hash, and how it was trained where that is told beside it."""
    told = model.with_name("history.json")
    return {"sha256": _sha256(model), "history": json.loads(told.read_text()) if told.is_file() else None}


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _write_history(out: Path, history: dict[str, Any]) -> None:
    write_atomically(out / "history.json", json.dumps(history, indent=1) + "\n")


class _Progress:
    """A bar over all images of all epochs to come, with the time left; a line an epoch where stderr is a file."""

    def __init__(self, epochs: int, images: int, batch: int) -> None:
        from tqdm import tqdm

        self.images, self.batch = images, batch
        self.bar = tqdm(total=epochs * images, unit="img", mininterval=0.5 if sys.stderr.isatty() else 60)

    def callback(self) -> keras.callbacks.Callback:
        """What has Keras move the bar."""
        import keras

        bar, end = self.bar, self.bar.n + self.images
        batch_size = self.batch

        class _Add(keras.callbacks.Callback):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
                bar.update(min(batch_size, end - bar.n))

        return _Add()

    def said(self, row: dict[str, float]) -> None:
        self.bar.write(
            f"epoch {row['epoch']:>3}  loss {row['loss']:.4f}  accuracy {row['accuracy']:.4f}  "
            f"validation loss {row['val_loss']:.4f}  accuracy {row['val_accuracy']:.4f}  {row['seconds']:.0f} s",
            file=sys.stderr,
        )

    def close(self) -> None:
        self.bar.close()
