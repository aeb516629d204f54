"""The folder of a training run: its float model, and whether a run may begin or go on there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from convert.train.checkpoints import require_checkpoint
from convert.train.history import TrainingHistory
from fer_edge.bundle import Bundle
from fer_edge.errors import UsageError
from fer_edge.journal.segments import lock_folder
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


def trained_model(run: Path) -> tuple[Path, TrainingHistory]:
    """model.keras and the history of a training run, whose weights a command changes. Raises UsageError for any other folder.

    A bundle is refused: its int8 model and the hashes of its files would be those of other weights.
    """
    if (run / "bundle.json").exists():
        raise UsageError(f"{run} is a bundle; name the training run that it was made from, and quantize that one again")
    model, history = run / "model.keras", run / "history.json"
    if missing := [path.name for path in (model, history) if not path.is_file()]:
        raise UsageError(f"{run} holds no {missing[0]}; name a folder of `python -m convert.train`")
    found = TrainingHistory.read(history)
    if found.recipe.get("targets") == "votes":
        raise UsageError(f"{run} was trained on people's votes in place of labels; this command needs labels")
    return model, found


@contextmanager
def held_run(out: Path, resume: bool, is_first: bool = True) -> Iterator[None]:
    """Holds a folder for one training run, from before its data are read to its end; makes it where it does not exist.

    Of several processes the first one holds it. Raises UsageError where another run writes into it, or where this one may not
    begin or go on there.
    """
    may_go_on = require_resumable if resume else refuse_used
    may_go_on(out)
    if not is_first:
        yield
        return
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    held: int | None = None
    try:
        held = _locked(out)
        may_go_on(out)  # another run may have ended meanwhile
        yield
    finally:
        if held is not None:
            os.close(held)
        for folder in made:
            with suppress(OSError):  # one with files stays
                folder.rmdir()


def _locked(out: Path) -> int | None:
    """The descriptor that holds the folder; None on a file system without locks."""
    try:
        return lock_folder(out)
    except BlockingIOError as error:
        raise UsageError(f"another training writes into {out}; wait for its end, or name another --out") from error
    except OSError:
        return None


def refuse_used(out: Path) -> None:
    """Raises UsageError where a folder has files that a new run would replace: another run's, or a model."""
    if (out / "checkpoint.npz").exists():
        raise UsageError(f"{out} already contains a run; continue it with --resume, or name another --out")
    if found := [name for name in _REPLACED if (out / name).exists()]:
        raise UsageError(f"{out} holds {found[0]}, which a run there would replace; name another --out")


def require_resumable(out: Path) -> None:
    """Raises UsageError where there is no run to resume, or its model was changed after the training."""
    if (out / "model.keras").exists() and not (out / "checkpoint.npz").exists():
        raise UsageError(f"nothing to resume: {out} holds a model and no checkpoint.npz; begin in another --out")
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
