"""The float model that int8 is held against: for raw gray pixels, on the interpreter that int8 runs on.

`python -m convert.floats BUNDLE --out float.tflite` writes it as a file for `fer-edge bench --float`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.sources.checks import refuse_unfit
from convert.sources.keras_adapter import open_float
from convert.sources.model_source import Source
from convert.tflite.fixed_batch import single
from convert.tflite.io_signature import output_of, pixels_of
from convert.tflite.keras_export import float_tflite
from fer_edge.bundle import Bundle, sha256_of
from fer_edge.bundle_provenance import FloatModelRecord
from fer_edge.classifier import RAW_RANGE, Classifier, softmax
from fer_edge.errors import BundleRefused, UsageError
from fer_edge.synthetic_face import synthetic_face_crops


@dataclass(frozen=True, slots=True)
class Float:
    """A float model ready to be quantized or compared with."""

    source: Source
    content: bytes  # of the TFLite file that does what it does
    classifier: Classifier  # that runs this
    file: Path  # what a bundle keeps of it: .keras, or .tflite where there is none
    model: Any  # the Keras model for raw gray pixels; None where the source is a TFLite file

    @staticmethod
    def open(source: Source, scratch: Path, threads: int = 1) -> Float:
        """The float model of `source`; what it is not yet in a file of its own is written to the folder `scratch`.

        Raises UsageError when it is no classifier of one square picture, or its weights are no numbers.
        """
        path = source.model
        if source.is_tflite:
            content = single(path.read_bytes(), path)
            refuse_unfit(content, path)
            return Float(
                source, content, _classifier(content, source.pixels or pixels_of(content, path), threads), path, None
            )
        model, own = open_float(path, source.pixels)
        content = float_tflite(model)
        refuse_unfit(content, path)
        file = path
        if path.is_dir():
            file = scratch / "float.tflite"
            file.write_bytes(content)
        elif not own or path.suffix != ".keras":
            file = scratch / "float.keras"
            model.save(file)
        return Float(source, content, _classifier(content, RAW_RANGE, threads), file, model)

    def record(self) -> FloatModelRecord:
        """The float model's entry in bundle.json: the file it came from, and the input range of the one in the bundle."""
        return FloatModelRecord(self.source.model.name, self.source.sha256, self.classifier.input_range)

    @staticmethod
    def of_bundle(bundle: Bundle, threads: int = 1) -> Float:
        """The float model that a bundle keeps. Raises UsageError when it keeps none, BundleRefused when it is another."""
        made = bundle.spec.provenance
        if made.float_sha256 is None:
            raise UsageError(
                f"{bundle.path} was made without a float model to compare with; name one, `convert.quantize --float PATH`"
            )
        path = next((p for n in ("float.keras", "float.tflite") if (p := bundle.path / n).is_file()), None)
        if path is None:
            raise UsageError(
                f"{bundle.path} holds no float model (float.keras): parity needs it; take the bundle as `convert.quantize`"
                " wrote it"
            )
        if sha256_of(path) != made.float_sha256:
            raise BundleRefused(f"{path} is not the float model this bundle was made from (its hash differs)")
        low, high = made.float_model.range if made.float_model else RAW_RANGE
        source = Source(path, bundle.name, bundle.labels, None, (low, high))
        return Float.open(source, bundle.path, threads)

    def against(self, model: Classifier) -> Classifier:
        """The float classifier to hold `model` against: where that gives probabilities, with the same least one."""
        ours = self.classifier
        if model.output_kind == "logits":
            return ours
        kind = LogProbabilities if ours.output_kind == "logits" else Classifier
        return kind(
            self.content,
            ours.runtime,
            input_range=ours.input_range,
            output_kind=ours.output_kind,
            smallest_probability=least(model),
        )


class LogProbabilities(Classifier):
    """A classifier of logits whose `logits` are the logarithms of its probabilities, none under that of `tiny`.

    So a float model is held against a file whose output tensor has no smaller steps than that.
    """

    def logits(self, faces: np.ndarray) -> np.ndarray:
        """The logarithms, float32 (N, K), for faces uint8 (N, side, side)."""
        said = super().logits(faces)
        return np.log(np.maximum(softmax(said), np.float32(self.smallest_probability)))


def least(model: Classifier) -> float | None:
    """The least probability of `model` that is compared: four steps of a tensor of whole numbers; None for logits.

    One of a single step is told as half as much or half as much again, and its logarithm says nothing of the network.
    """
    if model.output_kind == "logits":
        return None
    return model.smallest_probability * (1 if model.output_range is None else 8)


def _classifier(content: bytes, pixels: tuple[float, float], threads: int) -> Classifier:
    """The classifier of a float TFLite file, told by what it answers whether that is logits or probabilities."""
    plain = Classifier(content, threads=threads, input_range=pixels)
    output = output_of(plain, synthetic_face_crops(plain.side))
    return (
        plain
        if output == plain.output_kind
        else Classifier(content, threads=threads, input_range=pixels, output_kind=output)
    )
