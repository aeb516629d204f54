"""The one place that opens and checks a model: a Keras file, a SavedModel, a .tflite, the int8 or float model of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert.sources.checks import require_runnable
from convert.sources.keras_adapter import open_keras
from convert.sources.model_source import SAVED_MODEL, ModelSource
from convert.sources.saved_model_check import require_harmless
from convert.tflite.edits import prepend_gray_input, remove_final_softmax
from convert.tflite.fixed_batch import with_batch_of_one
from convert.tflite.graph import Graph
from convert.tflite.io_signature import output_of, pixels_of
from convert.tflite.keras_export import float_tflite, saved_model_tflite
from convert.tflite.op_versions import require_operators
from fer_edge.bundle import Bundle
from fer_edge.bundle_files import sha256_of
from fer_edge.bundle_spec import OutputSpec
from fer_edge.classifier import RAW_RANGE, Classifier, Runtime, find_runtime
from fer_edge.errors import BundleRefused, UsageError
from fer_edge.limits import MODEL_BYTES
from fer_edge.model_trial import try_model
from fer_edge.synthetic_face import synthetic_face_crops

_MODEL_FILES = ("model.keras", SAVED_MODEL)  # what makes a folder one of a training or a SavedModel


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model ready to run: its TFLite graph for one image, the range of its pixels, and the kind of its output."""

    source: ModelSource
    kind: str  # "keras", "saved model", "tflite" or "bundle"
    graph: Graph
    content: bytes  # the graph's TFLite file
    input_range: tuple[float, float]  # the input's values for the pixel values 0 and 255
    output: OutputSpec
    keras_model: Any = field(default=None, repr=False)  # for raw gray pixels; None where the source is not a Keras file
    is_unchanged: bool = True  # whether the source's own file does what `content` does

    def classifier(
        self,
        runtime: Runtime | None = None,
        kernels: str = "default",
        threads: int = 1,
        input_range: tuple[float, float] | None = None,
    ) -> Classifier:
        """A classifier that runs it; `input_range` replaces the input's values for the pixel values 0 and 255."""
        kind, smallest = self.output.kind, self.output.smallest_probability
        return Classifier(self.content, runtime, threads, kernels, input_range or self.input_range, kind, smallest)

    @property
    def stated_range(self) -> tuple[float, float]:
        """The values for the pixel values 0 and 255 that the source's own network is given."""
        if self.source.input_range is not None or self.kind != "tflite":
            return self.source.input_range or RAW_RANGE
        return self.input_range

    def classifier_for_range(self, pixels: tuple[float, float]) -> Classifier:
        """A classifier that gives the source's own network `pixels` for the pixel values 0 and 255, not the stated range."""
        low, high = self.stated_range
        ours_low, ours_high = self.input_range
        scale = (ours_high - ours_low) / (high - low)
        first, last = (ours_low + (value - low) * scale for value in pixels)
        return self.classifier(input_range=(first, last))

    def float_file(self, folder: Path) -> Path:
        """The file that a bundle stores of it: the source's own where it is unchanged, else one written to `folder`."""
        if self.is_unchanged:
            return self.source.path
        if self.keras_model is None:
            file = folder / "float.tflite"
            file.write_bytes(self.content)
        else:
            file = folder / "float.keras"
            self.keras_model.save(file)
        return file


def open_model(source: ModelSource, claimed: tuple[str, ...] = ()) -> OpenedModel:
    """The model of `source`, opened and checked; a Keras model or SavedModel is converted to float TFLite first.

    Raises UsageError when it is no classifier of one square picture, cannot run on TFLite, has weights that are not finite
    numbers, or, a .tflite, operators that a runtime of `claimed` lacks; BundleRefused when a .tflite file is none, or ends
    the child process in which it is run first.
    """
    path = source.path
    if source.is_tflite:
        if path.stat().st_size > MODEL_BYTES:
            raise BundleRefused(
                f"{path} has {path.stat().st_size:,} bytes; at most {MODEL_BYTES:,} are read of a model"
            )
        return _opened_tflite(source, path.read_bytes(), claimed)
    if path.is_dir():
        return _opened_saved_model(source)
    model, own = open_keras(path, source.input_range)
    content = float_tflite(model)
    graph = Graph(content)
    require_runnable(graph, path)
    is_unchanged = own and path.suffix == ".keras"
    return OpenedModel(
        source, "keras", graph, content, RAW_RANGE, _output(graph, content, RAW_RANGE, path), model, is_unchanged
    )


def open_named(
    path: Path | None,
    is_trusted: bool = False,
    labels: Sequence[str] | None = None,
    input_range: tuple[float, float] | None = None,
) -> OpenedModel:
    """The model at `path` as it runs: a bundle's int8 model, else the model in a file or a training's folder.

    None selects the bundle in use; the others are as in `ModelSource.find`. Raises UsageError when there is none, or for
    labels or a range of a bundle, BundleRefused when it is damaged.
    """
    is_model = path is not None and (not path.is_dir() or any((path / name).is_file() for name in _MODEL_FILES))
    if path is None or not is_model:
        if labels is not None:
            raise UsageError(
                "a bundle has labels of its own; evaluate a model file, or make a bundle with other --labels"
            )
        if input_range is not None:
            raise UsageError(
                "a bundle has an input range of its own; evaluate a model file, or make a bundle with another --input-range"
            )
        return open_bundle(Bundle.load(path))
    return open_model(ModelSource.find(path, labels=labels, input_range=input_range, is_trusted=is_trusted))


def open_bundle(bundle: Bundle) -> OpenedModel:
    """The model that a bundle runs on the device. Raises BundleRefused when it cannot be run."""
    bundle.try_unknown_model(find_runtime())
    content = bundle.contents["model.tflite"]
    source = ModelSource(bundle.model, bundle.name, bundle.labels, None)
    spec = bundle.spec
    return OpenedModel(source, "bundle", Graph(content, str(bundle.model)), content, spec.input.range, spec.output)


def open_float_of_bundle(bundle: Bundle) -> OpenedModel:
    """The float model that a bundle holds. Raises UsageError when it holds none, BundleRefused when its hash differs."""
    provenance = bundle.spec.provenance
    if provenance.float_sha256 is None:
        raise UsageError(
            f"{bundle.path} was made without a float model to compare with; name one, `convert.quantize --float PATH`"
        )
    path = next((p for n in ("float.keras", "float.tflite") if (p := bundle.path / n).is_file()), None)
    if path is None:
        raise UsageError(
            f"{bundle.path} holds no float model (float.keras), which parity needs; use the bundle as"
            " `convert.quantize` wrote it"
        )
    if sha256_of(path) != provenance.float_sha256:
        raise BundleRefused(f"{path} is not the float model this bundle was made from (its hash differs)")
    input_range = provenance.float_model.range if provenance.float_model else RAW_RANGE
    return open_model(ModelSource(path, bundle.name, bundle.labels, None, input_range))


def _opened_tflite(source: ModelSource, content: bytes, claimed: tuple[str, ...]) -> OpenedModel:
    parsed = Graph(content, str(source.path))
    require_runnable(parsed, source.path)
    require_operators(parsed, claimed)
    try_model(content, source.path, find_runtime())
    graph = with_batch_of_one(parsed, source.path)
    if graph is not parsed:
        content = graph.to_bytes()
    pixels = source.input_range or pixels_of(content, source.path)
    return OpenedModel(source, "tflite", graph, content, pixels, _output(graph, content, pixels, source.path))


def _opened_saved_model(source: ModelSource) -> OpenedModel:
    if not source.is_trusted:
        require_harmless(source.path)
    graph = with_batch_of_one(Graph(saved_model_tflite(source.path)), source.path)
    require_runnable(graph, source.path)
    (entry,) = graph.inputs
    remove_final_softmax(graph)
    pixels = source.input_range or RAW_RANGE
    if pixels != RAW_RANGE or graph.shape(entry)[3] != 1:
        prepend_gray_input(graph, pixels)
    content = graph.to_bytes()
    return OpenedModel(
        source,
        "saved model",
        graph,
        content,
        RAW_RANGE,
        _output(graph, content, RAW_RANGE, source.path),
        is_unchanged=False,
    )


def _output(graph: Graph, content: bytes, pixels: tuple[float, float], path: Path) -> OutputSpec:
    """The kind of a model's output, by its graph and its outputs for synthetic faces and noise."""
    model = Classifier(content, input_range=pixels)
    noise = np.random.default_rng(0).integers(0, 256, (8, model.side, model.side), np.uint8)
    return output_of(graph, model, np.concatenate([synthetic_face_crops(model.side), noise]), path)
