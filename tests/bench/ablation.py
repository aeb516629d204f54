"""`python tests/bench/ablation.py --data PATH --out DIR [--preset edge] [--seeds 3]`: the effect of each part of a recipe.

Trains the preset as it is and once with each of its ingredients changed, for every seed, and writes DIR/ablation.json and .md:
the best PublicTest accuracy of each, mean and standard deviation over seeds. PrivateTest is never looked at. Each run has
its own folder under DIR and resumes; a run that is done is not repeated. With the edge preset on two cores all of it takes
days: it is meant for an accelerator (`KERAS_BACKEND=jax`), or for fewer epochs and the rows that `--only` names.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from convert.data.ferplus import FERPLUS_LABELS
from convert.data.loader import load
from convert.train.augmentation import NO_AUGMENTATION
from convert.train.hardware import dtype_policies, has_accelerator
from convert.train.networks import NETWORKS, Network
from convert.train.presets import PRESETS, Recipe
from convert.train.run_folder import find_float_model
from convert.train.trainer import train
from fer_edge.argument_types import whole_number
from fer_edge.atomic_file import write_atomically
from fer_edge.errors import UsageError, exit_code_of

AS_IT_IS = "as it is"
VOTES_HEAD = "with a second head of FER+'s votes"


@dataclass(frozen=True, slots=True)
class Result:
    """A row of the table: the best PublicTest accuracy (0–1) of each seed."""

    name: str
    accuracies: tuple[float, ...]


def without_each(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """Each row's name and recipe: the recipe as it is, then with one ingredient left out, added or changed."""
    yield AS_IT_IS, recipe
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
    if recipe.teacher_share:
        yield "without teachers", replace(recipe, teacher_share=0.0)
        yield "teachers alone", replace(recipe, teacher_share=1.0)
    if not recipe.votes_weight:
        yield VOTES_HEAD, replace(recipe, votes_weight=PRESETS["teacher"].votes_weight)
        if recipe.teacher_share:
            by_votes = replace(recipe, teacher_share=0.0, votes_weight=PRESETS["teacher"].votes_weight)
            yield f"without teachers, {VOTES_HEAD}", by_votes
    yield "half the epochs", of_length(recipe, max(1, recipe.epochs // 2))
    yield "twice the epochs", of_length(recipe, 2 * recipe.epochs)
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


def of_length(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe with another number of epochs, of which the warm-up and the average of the weights take the same share.

    The average of 144 epochs would hold the weights of the first steps at the end of ten.
    """
    share = epochs / recipe.epochs
    return replace(
        recipe,
        epochs=epochs,
        warmup=round(recipe.warmup * share, 3),
        averaging=round(recipe.averaging ** (1 / share), 6),
    )


def main(argv: list[str] | None = None) -> int:
    """Trains what is left to train, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="edge")
    parser.add_argument("--seeds", type=whole_number(1), default=3, help="of the recipe as it is")
    parser.add_argument("--varied-seeds", type=whole_number(1), help="of each other row (default: as many)")
    parser.add_argument(
        "--epochs", type=whole_number(1), help="instead of the preset's; warm-up and average of the weights follow"
    )
    parser.add_argument("--only", nargs="+", metavar="ROW", help="names of the rows beside the recipe as it is")
    parser.add_argument(
        "--teacher", type=Path, nargs="+", default=[], help="runs or float models that the preset learns from"
    )
    parser.add_argument("--votes", type=Path, help="table of FER+ votes, for the rows with a second head")
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    recipe = PRESETS[args.preset]
    if args.epochs:
        recipe = of_length(recipe, args.epochs)
    if not args.teacher:
        recipe = replace(recipe, teacher_share=0.0)
    if not args.votes:
        recipe = replace(recipe, votes_weight=0.0)
    rows = {name: row for name, row in without_each(recipe) if args.votes or not row.votes_weight}
    if unknown := set(args.only or ()) - set(rows):
        raise UsageError(f"no row is named {', '.join(sorted(unknown))}; there are: {', '.join(rows)}")
    if args.only:
        rows = {name: row for name, row in rows.items() if name in (AS_IT_IS, *args.only)}
    samples = load(args.data, votes=args.votes, vote_labels=False)
    network = NETWORKS[args.preset]
    slim = isinstance(network, Network) and network.separable
    policy, teachers_policy = dtype_policies(slim)
    accelerator = has_accelerator()
    teachers = [find_float_model(path) for path in args.teacher]
    results: list[Result] = []
    for name, varied in rows.items():
        reached = []
        for seed in range(args.seeds if name == AS_IT_IS else args.varied_seeds or args.seeds):
            out = args.out / f"{re.sub('[^a-z]+', '-', name.lower())}-{seed}"
            heads = replace(network, votes=len(FERPLUS_LABELS)) if varied.votes_weight else network
            trained = train(
                samples,
                out,
                heads,
                replace(varied, seed=seed),
                resume=(out / "checkpoint.npz").exists(),
                policy=policy,
                teachers=teachers if varied.teacher_share else (),
                teachers_policy=teachers_policy,
                on_device=accelerator,
            )
            reached.append(trained.best.judged_by)
            results = [*(row for row in results if row.name != name), Result(name, tuple(reached))]
            _write(args.out, f"{args.preset}, {recipe.epochs} epochs", results, len(samples.part("validation").y))
    return 0


def table(title: str, results: Sequence[Result], n: int) -> str:
    """Markdown: of each row the mean of the seeds, its standard deviation, and the difference from the first row's mean."""
    first = np.mean(results[0].accuracies)
    lines = [f"| {title}, PublicTest, n = {n:,} | accuracy %, mean ± sd | difference | seeds |", "|---|---|---|---|"]
    for row in results:
        reached = np.array(row.accuracies) * 100
        spread = f" ± {reached.std(ddof=1):.2f}" if len(reached) > 1 else ""
        lines.append(
            f"| {row.name} | {reached.mean():.2f}{spread} | {reached.mean() - first * 100:+.2f} | {len(reached)} |"
        )
    return "\n".join(lines) + "\n"


def _write(out: Path, title: str, results: Sequence[Result], n: int) -> None:
    rows = [{"recipe": row.name, "best_validation_accuracy": list(row.accuracies)} for row in results]
    write_atomically(out / "ablation.json", json.dumps(rows, indent=1) + "\n")
    write_atomically(out / "ablation.md", text := table(title, results, n))
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
