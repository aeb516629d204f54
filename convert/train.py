"""`python -m convert.train --preset paper --data PATH --out DIR`: a trained float model, its history and its checkpoint."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.arguments import whole_number
from convert.averages import Averages
from convert.checkpoint import restore, save, write_beside
from convert.classes import EXPRESSIONS, classes_argument
from convert.cpu import bfloat16_is_fast, limit_threads
from convert.data import Samples, load, remarks
from convert.model import NETWORKS, Network, build, multiply_adds, parameters
from convert.recipe import RECIPES, Recipe
from convert.resemotenet import ResEmoteNet
from fer_edge.bundle import SHIPPED, shipped_path
from fer_edge.errors import DataError, UsageError, guarded

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

    `teachers` are float models (.keras) whose mean softened answers join the loss (convert.batches.Teachers); `init` is a
    float model to begin from, all of it but a last layer of another size. Raises UsageError when the checkpoint is of
    another run or a model does not fit.
    """
    import keras

    from convert.batches import Batches, Teachers

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
            write_beside(out / "model.keras", plain.save)
        epochs.append(row)
        history["best_epoch"] = 1 + int(np.argmax([e["val_accuracy"] for e in epochs]))
        state = [*(keras.ops.convert_to_numpy(v) for v in [*model.variables, *optimizer.variables]), *averages.arrays]
        write_beside(out / "checkpoint.npz", partial(save, history, state))
        _write_history(out, history)
        progress.said(row)
    progress.close()
    _write_history(out, history)  # a run that was resumed with other limits says so, even if no epoch was left
    return history


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    """The mean of -log p(true class) over float (N, classes) logits and int (N,) labels, in nats."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(y)), y]))


def float_model(path: Path) -> Path:
    """The .keras file in a training's or a bundle's folder, or `path` itself if it is one. Raises UsageError for none.

    "edge" or "nano", where nothing here is called so, is that of the bundle that comes with the package.
    """
    if str(path) in SHIPPED and not path.exists():
        path = shipped_path(str(path))
    for file in (path / "model.keras", path / "float.keras", path):
        if file.is_file() and file.suffix == ".keras":
            return file
    raise UsageError(
        f"{path} holds no float model (model.keras or float.keras); name a training's or a bundle's folder"
    )


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


def fingerprint(samples: Samples) -> dict[str, Any]:
    """Counts per part and a SHA-256 over pixels, labels and parts: two sets with the same one train the same model."""
    digest = hashlib.sha256()
    for array in (samples.x, samples.y, samples.split.astype("S")):
        digest.update(np.ascontiguousarray(array).tobytes())
    counts = {part: int(np.sum(samples.split == part)) for part in ("train", "validation", "test")}
    return {**counts, "sha256": digest.hexdigest()}


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
    write_beside(out / "history.json", lambda path: Path(path).write_text(json.dumps(history, indent=1) + "\n"))


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


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments, trains, and says where the model is."""
    parser = argparse.ArgumentParser(prog="python -m convert.train", description=__doc__)
    parser.add_argument("--preset", choices=sorted(RECIPES), default="paper")
    parser.add_argument("--data", type=Path, required=True, help="any data set that `python -m convert.data` reads")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.keras, history.json, checkpoint.npz")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--epochs", type=whole_number(1), help="instead of the preset's")
    parser.add_argument(
        "--early-stopping", type=whole_number(0), metavar="N", help="stop after N epochs without a gain; 0: never"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0)
    parser.add_argument(
        "--threads", type=whole_number(1), help="processor threads; 1 makes a run repeatable to the last bit"
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="trainings or bundles whose float models' answers join the loss (distillation)",
    )
    parser.add_argument("--init", type=Path, metavar="DIR", help="begin from this training's or bundle's float model")
    parser.add_argument(
        "--classes",
        type=classes_argument,
        default=EXPRESSIONS,
        help="own: every class of the set by its own name; or names, with commas; default: the seven expressions",
    )
    parser.add_argument("--learning-rate", type=float, help="instead of the preset's; a tenth of it suits --init")
    parser.add_argument("--precision", choices=("auto", "float32", "mixed_bfloat16"), default="auto")
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.out.exists() and not args.out.is_dir():
        raise UsageError(f"{args.out} is a file; --out names a folder")
    if not args.resume and (args.out / "checkpoint.npz").exists():
        raise UsageError(f"{args.out} holds a run already; --resume goes on with it, another --out begins anew")
    teachers = [float_model(path) for path in args.teacher]
    init = float_model(args.init) if args.init else None
    if args.learning_rate is not None and not 0 < args.learning_rate < math.inf:
        raise UsageError(f"--learning-rate {args.learning_rate} is no rate; give a positive number")
    samples = load(args.data, classes=args.classes)
    for remark in remarks(samples):
        print(remark, file=sys.stderr)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if args.threads:
        limit_threads(args.threads)
    network = replace(NETWORKS[args.preset], side=samples.x.shape[1], classes=len(samples.labels))
    policy = args.precision
    if policy == "auto":  # depthwise convolutions have no fast kernels in bfloat16 on a processor
        slim = isinstance(network, Network) and network.separable
        policy = "mixed_bfloat16" if bfloat16_is_fast() and not slim else "float32"
    recipe = RECIPES[args.preset]
    chosen = {"epochs": args.epochs, "early_stopping": args.early_stopping, "learning_rate": args.learning_rate}
    recipe = replace(recipe, seed=args.seed, **{name: value for name, value in chosen.items() if value is not None})
    model = build(network)
    print(
        f"{args.preset}: {parameters(model):,} parameters, {multiply_adds(model) / 1e6:.0f} M multiply-adds, {policy}",
        file=sys.stderr,
    )
    history = train(samples, args.out, network, recipe, resume=args.resume, policy=policy, teachers=teachers, init=init)
    best = history["epochs"][history["best_epoch"] - 1]
    print(f"{args.out / 'model.keras'}: epoch {best['epoch']}, validation accuracy {best['val_accuracy']:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
