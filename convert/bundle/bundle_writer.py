"""What a bundle is written from: a TFLite file, what is known of it, and the report on it."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import fer_edge
from convert.bundle.bundle_update import write_spec
from convert.bundle.golden_vectors import NAME as GOLDEN
from convert.bundle.golden_vectors import write_golden
from convert.data.detector_mappings import DETECTOR_MAPPINGS
from convert.data.samples import Samples, fingerprint
from convert.parity.parity_report import ParityReport
from convert.parity.reference_free_report import Alone
from convert.quantize.synthetic_images import STAND_IN, StandIn
from convert.sources.float_model import Float
from convert.sources.model_source import Source
from convert.tflite.inspection import multiply_adds_of, operators, parameters_of, versions_of
from convert.tflite.op_versions import known, newer
from convert.train.history import TrainingHistory
from fer_edge.bundle import Bundle, file_entries, replaced_folder, sha256_of
from fer_edge.bundle_provenance import CalibrationRecord, Provenance, SourceFile
from fer_edge.bundle_spec import (
    FORMAT,
    BundleSpec,
    Cost,
    GoldenSummary,
    InputSpec,
    Operators,
    OutputSpec,
    QuantizationSpec,
    TensorQuantization,
    Thresholds,
)
from fer_edge.classifier import Classifier, Runtime
from fer_edge.errors import BundleRefused
from fer_edge.json_fields import JsonFields
from fer_edge.preprocess import PREPROCESS_ID

Card = Callable[[BundleSpec, dict[str, Any], TrainingHistory | None], str]


@dataclass(frozen=True)
class Made:
    """A TFLite file and all that its bundle tells of it."""

    source: Source
    content: bytes  # of model.tflite
    model: Classifier  # that runs it, as the bundle will
    card: Card  # CARD.md from bundle.json, parity.json and the history of a training
    origin: dict[str, Any]  # what it was calibrated on, as JSON values
    report: ParityReport | Alone | None = None
    float_model: Float | None = None  # what it was held against
    stand_in: StandIn | None = None
    samples: Samples | None = None

    def classifier(self, runtime: Runtime | None = None, kernels: str = "default") -> Classifier:
        """The classifier of this file on another runtime or kernel path."""
        return Classifier(
            self.content,
            runtime,
            kernels=kernels,
            input_range=self.model.input_range,
            output_kind=self.model.output_kind,
        )

    def write(self, out: Path) -> Bundle:
        """The bundle written to `out`, which is replaced whole or left as it was."""
        with replaced_folder(out) as folder:
            (folder / "model.tflite").write_bytes(self.content)
            if self.float_model:
                shutil.copyfile(self.float_model.file, folder / f"float{self.float_model.file.suffix}")
            if self.source.history:
                self.source.history.write(folder / "history.json")
            if self.stand_in:
                self.stand_in.save(folder / STAND_IN)
            (folder / "calibration.json").write_text(json.dumps(self.origin, indent=1) + "\n")
            assert self.report is not None, "judged before it is written"
            told = self.report.to_json()
            (folder / "parity.json").write_text(json.dumps(told, indent=1) + "\n")
            inputs = self.input_spec()
            spec = self.spec(inputs, write_golden(folder / GOLDEN, self.source.labels, inputs, self.classifier))
            (folder / "CARD.md").write_text(self.card(spec, told, self.source.history))
            write_spec(folder, replace(spec, files=file_entries(folder)))
            Bundle.load(folder)  # what is put in place can be read
        return Bundle.load(out)

    def input_spec(self) -> InputSpec:
        """The model's input, for bundle.json."""
        return InputSpec(
            side=self.model.side,
            channels=self.model.channels,
            pixels="gray 0 to 255",
            range=self.model.input_range,
            preprocess=PREPROCESS_ID,
            mappings=dict(DETECTOR_MAPPINGS),
        )

    def spec(self, inputs: InputSpec, golden: GoldenSummary) -> BundleSpec:
        """bundle.json without the hashes of the other files."""
        (input_details,) = self.model.interpreter.get_input_details()
        (output_details,) = self.model.interpreter.get_output_details()
        assert self.report is not None, "judged before it is told of"
        sure, theirs = self.report.confidence, self.float_model
        calibration = {k: v for k, v in self.origin.items() if k not in ("files", "indices")}
        packages = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "ai-edge-litert")
        provenance = Provenance(
            source=SourceFile(self.source.model.name, self.source.sha256),
            float_sha256=sha256_of(theirs.file) if theirs else None,
            float_model=theirs.record() if theirs else None,
            calibration=CalibrationRecord.read(fields_of(calibration, "calibration")),
            versions={"fer-edge": fer_edge.__version__, **{name: _version(name) for name in packages}},
            parity_runtime=self.model.runtime.id,
            data=None if self.samples is None else fingerprint(self.samples),
        )
        return BundleSpec(
            format=FORMAT,
            name=self.source.name,
            labels=tuple(self.source.labels),
            input=inputs,
            output=OutputSpec(self.model.output_kind),
            quantization=QuantizationSpec(
                scheme(self.content), _quantization(input_details), _quantization(output_details)
            ),
            thresholds=Thresholds(sure.temperature if sure else 1.0, sure.unsure_below if sure else 0.0),
            cost=Cost(parameters_of(self.content), multiply_adds_of(self.content), len(self.content)),
            operators=Operators(
                versions=versions_of(self.content),
                supported_by=tuple(runtime for runtime in known() if not newer(self.content, runtime)),
            ),
            runtimes=self.report.runtimes(),
            provenance=provenance,
            golden=golden,
        )


def scheme(content: bytes) -> str:
    """What a TFLite file calculates in: "int8", "float32", or "int8 and float32" and the like, where it does both."""
    kinds = {dtype for op in operators(content) for dtype in op.dtypes} - {"int32", "int64", "bool"}
    return " and ".join(sorted(kinds, key=lambda kind: ("float" in kind, kind)))


def fields_of(values: dict[str, Any], name: str) -> JsonFields:
    """The fields of a part of bundle.json that is written here."""
    return JsonFields.of(values, f"bundle.json, {name}", BundleRefused, "report this")


def _quantization(details: dict[str, Any]) -> TensorQuantization:
    scale, zero = details["quantization"]
    return TensorQuantization(np.dtype(details["dtype"]).name, float(scale), int(zero))


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
