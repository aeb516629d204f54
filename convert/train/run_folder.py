"""The folder of a training run: its float model, and whether a run may begin or go on there."""

from __future__ import annotations

from pathlib import Path

from convert.train.checkpoints import require_checkpoint
from convert.train.history import TrainingHistory
from fer_edge.bundle import Bundle
from fer_edge.errors import UsageError
from fer_edge.shipped_bundles import SHIPPED, shipped_path

_REPLACED = ("model.keras", "float.keras", "bundle.json", "history.json")


def find_float_model(path: Path) -> Path:
    """The .keras file in the folder of a training run or of a bundle, or `path` itself. Raises UsageError when there is none.

    "edge" and "nano" name the bundles that come with the package, unless a path of that name exists here.
    """
    if str(path) in SHIPPED and not path.exists():
        path = shipped_path(str(path))
    for file in (path / "model.keras", path / "float.keras", path):
        if file.is_file() and file.suffix == ".keras":
            return file
    raise UsageError(
        f"{path} holds no float model (model.keras or float.keras); name the folder of a training run or of a bundle"
    )


def refuse_used(out: Path) -> None:
    """Raises UsageError where a folder has files that a new run would replace: another run's, or a model."""
    if (out / "checkpoint.npz").exists():
        raise UsageError(f"{out} already contains a run; continue it with --resume, or name another --out")
    if found := [name for name in _REPLACED if (out / name).exists()]:
        raise UsageError(f"{out} holds {found[0]}, which a run there would replace; name another --out")


def require_resumable(out: Path) -> None:
    """Raises UsageError where there is no run to resume, or its model was changed after the training."""
    require_checkpoint(out / "checkpoint.npz")
    history = history_beside(out / "model.keras")
    if history is not None and (history.offsets or history.interpolation):
        command = "logit_adjustment" if history.offsets else "interpolate"
        raise UsageError(
            f"{out / 'model.keras'} was changed by `python -m convert.{command}` after the training, which --resume would "
            "not know; train into another --out"
        )


def history_beside(model: Path) -> TrainingHistory | None:
    """The history of the training in whose folder a model is; None where there is none."""
    path = model.with_name("history.json")
    return TrainingHistory.read(path) if path.is_file() else None


def labels_beside(model: Path, history: TrainingHistory | None = None) -> tuple[str, ...] | None:
    """The labels of a model's outputs, in order: those of the bundle or the training run in whose folder it is, else None.

    `history` is that of the folder, where it has been read.
    """
    if model.with_name("bundle.json").is_file():
        return Bundle.load(model.parent).labels
    history = history or history_beside(model)
    return history.labels if history else None
