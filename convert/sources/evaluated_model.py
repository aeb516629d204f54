"""The model under evaluation, opened from a .keras, a .tflite, a bundle or a training's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convert.tflite.keras_export import float_tflite, load_keras
from convert.train.history import TrainingHistory
from fer_edge.bundle import Bundle
from fer_edge.classifier import Classifier, Runtime
from fer_edge.errors import UsageError
from fer_edge.labels import LABELS


@dataclass(frozen=True)
class Model:
    """A model to evaluate, as it will run."""

    name: str
    kind: str  # "bundle", "tflite", or "keras, as float TFLite"
    file: Path
    content: bytes  # of the TFLite file that runs
    labels: tuple[str, ...]  # of its outputs, in order
    history: Path | None  # of its training, where one lies beside it
    bundle: Bundle | None = None  # that it stands in, which tells what a pixel is to it

    @staticmethod
    def open(path: Path | None) -> Model:
        """The model at `path`; the bundle that came with the package for None. Raises UsageError when there is none."""
        if path is None or (path.is_dir() and not (path / "model.keras").is_file()):
            bundle = Bundle.load(path)
            history = _beside(bundle.model)
            return Model(bundle.name, "bundle", bundle.model, bundle.model.read_bytes(), bundle.labels, history, bundle)
        if path.is_dir():
            path = path / "model.keras"
        if not path.exists():
            raise UsageError(f"{path} does not exist; name a .keras, a .tflite or a bundle's folder")
        name = path.absolute().parent.name if path.stem in ("model", "float") else path.stem
        if path.suffix == ".keras":
            content = float_tflite(load_keras(path))
            return Model(name, "keras, as float TFLite", path, content, _labels(path), _beside(path))
        if path.suffix == ".tflite":
            return Model(name, "tflite", path, path.read_bytes(), _labels(path), _beside(path))
        raise UsageError(f"{path} is neither a .keras, nor a .tflite, nor a bundle's folder")

    def classifier(self, runtime: Runtime | None, threads: int, kernels: str) -> Classifier:
        """The classifier that runs it. Raises UsageError when it does not give the seven classes."""
        if self.bundle:
            return self.bundle.make_classifier(runtime, kernels, threads)
        made = Classifier(self.content, runtime, threads, kernels)
        if made.classes != len(self.labels):
            raise UsageError(
                f"{self.file} gives {made.classes} classes, not the {len(self.labels)} of {', '.join(self.labels)}"
            )
        return made


def _beside(file: Path) -> Path | None:
    path = file.with_name("history.json")
    return path if path.is_file() else None


def _labels(file: Path) -> tuple[str, ...]:
    """The labels of a training's own classes, else the seven expressions."""
    beside = _beside(file)
    return TrainingHistory.read(beside).labels if beside else LABELS
