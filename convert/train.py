"""`python -m convert.train --preset paper --data PATH --out DIR`: a trained float model, its history and its checkpoint."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.arguments import whole_number
from convert.cpu import bfloat16_is_fast
from convert.data import Samples, load, remarks
from convert.model import NETWORKS, Network, build, multiply_adds, parameters
from fer_edge.errors import DataError, UsageError, guarded
from fer_edge.labels import LABELS

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Defaults: the published protocol (doi 10.55452/1998-6688-2026-23-1-163-172)."""

    epochs: int = 15
    batch: int = 256
    learning_rate: float = 1e-4  # Adam, constant; categorical cross-entropy; no weight decay, no augmentation
    early_stopping: int = 0  # epochs without a better validation accuracy before it stops; 0: never
    seed: int = 0


RECIPES = {"paper": Recipe()}
MAY_CHANGE = ("epochs", "early_stopping")  # on resume


def train(
    samples: Samples,
    out: Path,
    network: Network = NETWORKS["paper"],
    recipe: Recipe = RECIPES["paper"],
    *,
    resume: bool = False,
    policy: str = "float32",
) -> dict[str, Any]:
    """The history of a training run; `out` then holds model.keras (the best epoch, float32), history.json, checkpoint.npz.

    `samples` must have a train and a validation part. After each epoch a checkpoint is written beside and renamed, with
    everything the next epoch depends on (weights, optimizer, dropout's random state), so that a run that was killed and
    resumed ends where one that was not would have: to the last bit in one thread. Raises UsageError when the checkpoint is
    of another run.
    """
    import keras
    import tensorflow as tf

    fit, held = samples.part("train"), samples.part("validation")
    if not len(fit.y) or not len(held.y):
        raise DataError(f"the set has {len(fit.y)} training and {len(held.y)} validation images; both are needed")
    out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(recipe.seed)
    model = build(network, policy, fused=True)
    plain = build(network)  # what is validated and saved: float32, and no layer of ours
    optimizer = keras.optimizers.Adam(recipe.learning_rate)
    optimizer.build(model.trainable_variables)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(reduce_retracing=True)
    def step(x: Any, y: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = cross_entropy(y, logits)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss, tf.reduce_sum(tf.cast(tf.argmax(logits, 1) == y, tf.int64))

    @tf.function(reduce_retracing=True)
    def infer(x: Any) -> Any:
        return plain(x, training=False)

    run = {
        "network": asdict(network),
        "recipe": asdict(recipe),
        "data": fingerprint(samples),
        "policy": policy,
    }
    run = json.loads(json.dumps(run))  # tuples as lists, as a checkpoint gives them back
    state = [*model.variables, *optimizer.variables]
    history = _restore(out / "checkpoint.npz", run, state) if resume else {**run, "epochs": []}
    epochs: list[dict[str, float]] = history["epochs"]
    progress = _Progress(recipe.epochs - len(epochs), len(fit.y))

    while len(epochs) < recipe.epochs and not _stale(epochs, recipe.early_stopping):
        began = time.monotonic()
        order = np.random.default_rng([recipe.seed, len(epochs)]).permutation(len(fit.y))
        loss_sum, hits = 0.0, 0
        for rows in _batches(order, recipe.batch):
            loss, right = step(fit.x[rows].astype(np.float32), fit.y[rows])
            loss_sum, hits = loss_sum + float(loss) * len(rows), hits + int(right)
            progress.add(len(rows))
        _copy_weights(model, plain)
        outputs = [infer(held.x[rows].astype(np.float32)) for rows in _batches(np.arange(len(held.y)), recipe.batch)]
        logits = np.concatenate([np.asarray(o) for o in outputs])
        row = {
            "epoch": len(epochs) + 1,
            "loss": loss_sum / len(fit.y),
            "accuracy": hits / len(fit.y),
            "val_loss": float(cross_entropy(held.y, logits)),
            "val_accuracy": float(np.mean(logits.argmax(1) == held.y)),
            "seconds": round(time.monotonic() - began, 1),
        }
        if row["val_accuracy"] > max((e["val_accuracy"] for e in epochs), default=-1.0):
            _write_beside(out / "model.keras", plain.save)
        epochs.append(row)
        history["best_epoch"] = 1 + int(np.argmax([e["val_accuracy"] for e in epochs]))
        _write_beside(out / "checkpoint.npz", lambda path: _save_checkpoint(path, history, state))
        _write_history(out, history)
        progress.said(row)
    progress.close()
    _write_history(out, history)  # a run that was resumed with other limits says so, even if no epoch was left
    return history


def fingerprint(samples: Samples) -> dict[str, Any]:
    """Counts per part and a SHA-256 over pixels, labels and parts: two sets with the same one train the same model."""
    digest = hashlib.sha256()
    for array in (samples.x, samples.y, samples.split.astype("S")):
        digest.update(np.ascontiguousarray(array).tobytes())
    counts = {part: int(np.sum(samples.split == part)) for part in ("train", "validation", "test")}
    return {**counts, "sha256": digest.hexdigest()}


def _batches(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _stale(epochs: list[dict[str, float]], patience: int) -> bool:
    if not patience or not epochs:
        return False
    return len(epochs) - 1 - int(np.argmax([e["val_accuracy"] for e in epochs])) >= patience


def _copy_weights(source: keras.Model, target: keras.Model) -> None:
    target.set_weights(source.get_weights())


def _save_checkpoint(path: str, history: dict[str, Any], state: list[Any]) -> None:
    arrays: dict[str, Any] = {f"v{i}": np.asarray(v) for i, v in enumerate(state)}
    np.savez(path, history=np.array(json.dumps(history)), **arrays)


def _restore(path: Path, run: dict[str, Any], state: list[Any]) -> dict[str, Any]:
    if not path.exists():
        raise UsageError(f"nothing to resume: {path} does not exist; leave out --resume to begin")
    try:
        with np.load(path) as saved:
            history: dict[str, Any] = json.loads(str(saved["history"]))
            arrays = [saved[f"v{i}"] for i in range(len(state))]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is damaged ({error}); leave out --resume and begin in another folder") from error
    for key, value in run.items():
        told = history[key]
        if key == "recipe":  # a resumed run may go on for longer
            told = {**told, **{name: value[name] for name in MAY_CHANGE}}
        if told != value:
            raise UsageError(f"{path} is of another run: its {key} is {told}, this run's {value}")
    for variable, array in zip(state, arrays, strict=True):
        variable.assign(array)
    return {**history, **run}


def _write_history(out: Path, history: dict[str, Any]) -> None:
    _write_beside(out / "history.json", lambda path: Path(path).write_text(json.dumps(history, indent=1) + "\n"))


def _write_beside(path: Path, write: Any) -> None:
    """Lets `write` make a file beside `path` and renames it into place, so that `path` is whole or as it was."""
    beside = path.with_name(f".{path.stem}.partial{path.suffix}")
    write(str(beside))
    beside.replace(path)


class _Progress:
    """A bar over all images of all epochs to come, with the time left; a line an epoch where stderr is a file."""

    def __init__(self, epochs: int, images: int) -> None:
        from tqdm import tqdm

        self.bar = tqdm(total=epochs * images, unit="img", mininterval=0.5 if sys.stderr.isatty() else 60)

    def add(self, images: int) -> None:
        self.bar.update(images)

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
        "--early-stopping", type=whole_number(0), metavar="N", default=0, help="stop after N epochs without a gain"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0)
    parser.add_argument(
        "--threads", type=whole_number(1), help="processor threads; 1 makes a run repeatable to the last bit"
    )
    parser.add_argument("--precision", choices=("auto", "float32", "mixed_bfloat16"), default="auto")
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.out.exists() and not args.out.is_dir():
        raise UsageError(f"{args.out} is a file; --out names a folder")
    if not args.resume and (args.out / "checkpoint.npz").exists():
        raise UsageError(f"{args.out} holds a run already; --resume goes on with it, another --out begins anew")
    samples = load(args.data)
    for remark in remarks(samples):
        print(remark, file=sys.stderr)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    if args.threads:
        tf.config.threading.set_intra_op_parallelism_threads(args.threads)
        tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    policy = args.precision
    if policy == "auto":
        policy = "mixed_bfloat16" if bfloat16_is_fast() else "float32"
    network = replace(NETWORKS[args.preset], side=samples.x.shape[1], classes=len(LABELS))
    recipe = replace(RECIPES[args.preset], seed=args.seed, early_stopping=args.early_stopping)
    recipe = replace(recipe, epochs=args.epochs or recipe.epochs)
    model = build(network)
    print(
        f"{args.preset}: {parameters(model):,} parameters, {multiply_adds(model) / 1e6:.0f} M multiply-adds, {policy}",
        file=sys.stderr,
    )
    history = train(samples, args.out, network, recipe, resume=args.resume, policy=policy)
    best = history["epochs"][history["best_epoch"] - 1]
    print(f"{args.out / 'model.keras'}: epoch {best['epoch']}, validation accuracy {best['val_accuracy']:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
