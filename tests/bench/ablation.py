"""`python tests/bench/ablation.py --data PATH --out DIR [--preset edge] [--seeds 3]`: the effect of each part of a recipe.

Trains the preset as it is and once without each of its ingredients, for every seed, and writes DIR/ablation.json and .md: the
best PublicTest accuracy of each, mean and standard deviation over seeds. PrivateTest is never looked at. Each run has its
own folder under DIR and resumes; a run that is done is not repeated. With the edge preset on two cores this takes days: it
is meant for an accelerator (`KERAS_BACKEND=jax`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from convert.argument_types import whole_number
from convert.data.loader import load
from convert.train.augmentation import NO_AUGMENTATION
from convert.train.hardware import bfloat16_is_fast, has_accelerator
from convert.train.networks import NETWORKS, Network
from convert.train.presets import PRESETS, Recipe
from convert.train.run_folder import find_float_model
from convert.train.trainer import train
from fer_edge.atomic_file import write_atomically
from fer_edge.errors import exit_code_of


def without_each(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """The recipe's name for itself and for each ingredient it has, and the recipe without that."""
    yield "as it is", recipe
    for name in (
        "label_smoothing",
        "mixup",
        "unmixed_final_share",
        "averaging",
        "weight_decay",
        "class_balance",
        "warmup",
    ):
        if getattr(recipe, name):
            yield f"without {name.replace('_', ' ')}", replace(recipe, **{name: 0.0})
    if recipe.progressive_sides:
        yield "at full size throughout", replace(recipe, progressive_sides=())
    if recipe.schedule != "constant":
        yield "at a constant rate", replace(recipe, schedule="constant")
    if recipe.augmentation != NO_AUGMENTATION:
        yield "without augmentation", replace(recipe, augmentation=NO_AUGMENTATION)
        for name, value in vars(recipe.augmentation).items():
            if value:
                less = replace(recipe.augmentation, **{name: 0.0})
                yield f"without {name}", replace(recipe, augmentation=less)


def main(argv: list[str] | None = None) -> int:
    """Trains what is left to train, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="edge")
    parser.add_argument("--seeds", type=whole_number(1), default=3)
    parser.add_argument("--epochs", type=whole_number(1), help="instead of the preset's")
    parser.add_argument("--teacher", type=Path, nargs="+", default=[])
    args = parser.parse_args(argv)

    def run() -> int:
        samples = load(args.data)
        network = NETWORKS[args.preset]
        slim = isinstance(network, Network) and network.separable
        accelerator = has_accelerator()
        policy = "mixed_bfloat16" if accelerator or (bfloat16_is_fast() and not slim) else "float32"
        teachers = [find_float_model(path) for path in args.teacher]
        recipe = replace(PRESETS[args.preset], epochs=args.epochs or PRESETS[args.preset].epochs)
        rows = []
        for name, varied in without_each(recipe):
            reached = []
            for seed in range(args.seeds):
                out = args.out / f"{name.replace(' ', '-')}-{seed}"
                resume = (out / "checkpoint.npz").exists()
                seeded = replace(varied, seed=seed)
                trained = train(
                    samples,
                    out,
                    network,
                    seeded,
                    resume=resume,
                    policy=policy,
                    teachers=teachers,
                    on_device=accelerator,
                )
                reached.append(trained.best.judged_by)
            rows.append({"recipe": name, "best_validation_accuracy": reached})
            _write(args.out, args.preset, rows, len(samples.part("validation").y))
        return 0

    return exit_code_of(run)


def _write(out: Path, preset: str, rows: list[dict[str, object]], n: int) -> None:
    first = np.mean(rows[0]["best_validation_accuracy"])
    lines = [f"| {preset}, PublicTest, n = {n:,} | accuracy %, mean ± sd | difference | seeds |", "|---|---|---|---|"]
    for row in rows:
        reached = np.array(row["best_validation_accuracy"]) * 100
        spread = f" ± {reached.std(ddof=1):.2f}" if len(reached) > 1 else ""
        lines.append(
            f"| {row['recipe']} | {reached.mean():.2f}{spread} | {reached.mean() - first * 100:+.2f} | {len(reached)} |"
        )
    text = "\n".join(lines) + "\n"
    write_atomically(out / "ablation.json", json.dumps(rows, indent=1) + "\n")
    write_atomically(out / "ablation.md", text)
    print(text)


if __name__ == "__main__":
    sys.exit(main())
