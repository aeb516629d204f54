"""The model that the user names: its file, the labels of its outputs, and the range of its input_range."""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.data.class_selection import Classes
from convert.train.history import TrainingHistory
from convert.train.run_folder import history_beside, labels_beside
from fer_edge.bundle_files import sha256_of
from fer_edge.bundle_spec import NAME_RULE, is_bundle_name
from fer_edge.errors import UsageError
from fer_edge.labels import LABELS
from fer_edge.shipped_bundles import default_path

KERAS = (".keras", ".h5", ".hdf5")
SAVED_MODEL = "saved_model.pb"  # what makes a folder one
ACCEPTED = "name a .keras, .h5 or .tflite file, or a SavedModel's folder"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model as the user named it. `input_range` are the values that the network expects for 0 and 255; None: not stated.

    `is_trusted`: the user vouches for a SavedModel, whose operators may then reach files.
    """

    path: Path  # a file, or a SavedModel's folder
    name: str
    labels: tuple[str, ...]
    history: TrainingHistory | None  # of its training, where it lies beside the model
    input_range: tuple[float, float] | None = None
    is_trusted: bool = False

    @staticmethod
    def find(
        model: Path | None,
        name: str | None = None,
        labels: Sequence[str] | None = None,
        input_range: tuple[float, float] | None = None,
        is_trusted: bool = False,
    ) -> ModelSource:
        """The model in `model`: a file, a SavedModel, a folder of `convert.train` or a bundle; the package's own for None.

        The labels are those given, else those of the bundle or the training it stands in, else the seven expressions.
        Raises UsageError when there is no model, or when labels are empty, twice the same, or fewer than two.
        """
        path = model if model is not None else default_path()
        if path.is_dir() and not (path / SAVED_MODEL).is_file():
            found = [path / n for n in ("float.keras", "model.keras") if (path / n).is_file()]
            if not found:
                raise UsageError(f"{path} holds no float model (float.keras, model.keras or {SAVED_MODEL}); {ACCEPTED}")
            path = found[0]
        if not path.exists():
            raise UsageError(f"{path} does not exist; {ACCEPTED}")
        if path.is_file() and path.suffix.lower() not in (*KERAS, ".tflite"):
            raise UsageError(f"{path} is not a model that can be read; {ACCEPTED}")
        path = path if path.name else path.absolute()  # “.” has no name
        history = history_beside(path)
        if labels is None:
            labels = labels_beside(path, history) or LABELS
        stem = path.absolute().parent.name if path.stem in ("float", "model") else path.stem
        names = Classes.of(labels).names or LABELS
        return ModelSource(path, name or stem.removeprefix("bundle-"), names, history, input_range, is_trusted)

    def require_bundle_name(self) -> None:
        """Raises UsageError when a bundle cannot have its name."""
        if not is_bundle_name(self.name):
            raise UsageError(f"the bundle's name is {ascii(self.name)[:80]}, not {NAME_RULE}; give another with --name")

    def require_printable_file(self) -> None:
        """Raises UsageError when a bundle cannot record the name of its file."""
        if not self.path.name.isprintable():
            raise UsageError(
                f"the name of the model's file, {ascii(self.path.name)[:80]}, cannot be printed; rename it"
            )

    @property
    def is_tflite(self) -> bool:
        """Whether it is a TFLite file, which is used as it is; float models of other kinds are quantized."""
        return self.path.suffix.lower() == ".tflite"

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file; of a SavedModel, that of its files' names and hashes."""
        if self.path.is_file():
            return sha256_of(self.path)
        files = sorted(p for p in self.path.rglob("*") if p.is_file())
        lines = "".join(f"{sha256_of(p)}  {p.relative_to(self.path).as_posix()}\n" for p in files)
        return hashlib.sha256(lines.encode()).hexdigest()


def add_input_range_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--input-range`: a pair of numbers, None without it. The command's words go through `joined` first."""
    parser.add_argument(
        "--input-range",
        type=input_range_argument,
        metavar="LOW,HIGH",
        help="input values for the pixel values 0 and 255: 0,1 or -1,1 or 0,255; default: what an int8 .tflite states, else"
        " 0,255",
    )


def input_range_argument(text: str) -> tuple[float, float]:
    """The value of `--input-range`: two numbers LOW,HIGH. Raises ValueError, which argparse reports, for anything else."""
    low, high = (float(word) for word in text.split(","))
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(text)
    return low, high


def joined(argv: Sequence[str]) -> list[str]:
    """The same arguments with `--input-range -1,1` as one word, which argparse would take for two options."""
    words: list[str] = []
    for word in argv:
        if words and words[-1] in ("--input-range", "--float-range"):
            words[-1] = f"{words[-1]}={word}"
        else:
            words.append(word)
    return words
