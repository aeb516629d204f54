"""The table of the runs of `make train-models` on an accelerator, beside the run in PyTorch whose recipe they have."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from convert.train.history import TrainingHistory

BEGIN = "<!-- accelerator, written by `python -m convert.readme`; do not edit by hand -->"
# in their order; each is a file of models/accelerator
RUNS = ("teacher1", "teacher2", "teacher3", "large", "edge", "nano")


def block(models: Path) -> str:
    """The table from models/accelerator/NAME.json, the histories of the runs, and from those of `edge` and `large`."""
    runs = {name: TrainingHistory.read(models / "accelerator" / f"{name}.json") for name in RUNS}
    (where,) = {f"{run.framework}, {run.hardware}" for run in runs.values()}
    in_pytorch = {name: _external_run(models / name / "history.json") for name in ("edge", "large")}
    external = in_pytorch["large"].external
    assert external is not None
    others = {name: (run.best.val_accuracy, f"{run.last_epoch}") for name, run in in_pytorch.items()}
    others |= {f"teacher{i}": (teacher.val_accuracy, "") for i, teacher in enumerate(external.teachers, 1)}
    lines = [
        f"PublicTest, n = {runs['edge'].data.validation:,}, best epoch; {where}; {runs['edge'].policy}; one seed each.",
        "",
        "| run | epochs | accuracy % | s an epoch | in PyTorch | epochs there |",
        "|---|---|---|---|---|---|",
    ]
    for name, run in runs.items():
        accuracy, epochs = others.get(name, (None, ""))
        seconds = median(row.seconds or 0.0 for row in run.epochs[1:])
        made = f"{run.last_epoch} of {run.recipe['epochs']}"
        lines.append(
            f"| {name} | {made} | {_percent(run.best.val_accuracy)} | {seconds:.1f} | {_percent(accuracy)} | {epochs} |"
        )
    return "\n".join(lines)


def _external_run(path: Path) -> TrainingHistory:
    """The history of the run in PyTorch: the model's own, or that of the model from which it was trained further."""
    history = TrainingHistory.read(path)
    if history.external is None and history.init is not None and history.init.history is not None:
        history = history.init.history
    assert history.external is not None, f"{path} tells of no training outside convert.train"
    return history


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.1f}"
