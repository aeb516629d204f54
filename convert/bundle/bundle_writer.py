"""Writing a bundle from a model, the facts about the model, and the parity report."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import fer_edge
from convert.bundle.bundle_update import runtime_claims, write_spec
from convert.bundle.golden_vectors import NAME as GOLDEN
from convert.bundle.golden_vectors import write_golden
from convert.data.detector_mappings import DETECTOR_MAPPINGS
from convert.data.samples import Samples, fingerprint
from convert.parity.parity_report import FILE_NAME as PARITY
from convert.parity.reports import Report
from convert.quantize.calibration_set import Calibration
from convert.quantize.synthetic_images import FILE_NAME as SYNTHETIC
from convert.quantize.synthetic_images import SyntheticImages
from convert.report.model_card import bundle_card
from convert.sources.opened_model import OpenedModel
from convert.tflite.inspection import arithmetic, multiply_adds, operator_versions, parameter_count
from convert.tflite.op_versions import known, missing_operators
from fer_edge.bundle import Bundle
from fer_edge.bundle_files import file_entries, replaced_folder, sha256_of
from fer_edge.bundle_provenance import FloatModelRecord, Provenance, SourceFile
from fer_edge.bundle_spec import (
    FORMAT,
    BundleSpec,
    Cost,
    GoldenSummary,
    InputSpec,
    Operators,
    QuantizationSpec,
    TensorQuantization,
)
from fer_edge.classifier import Classifier
from fer_edge.console import notice
from fer_edge.face_crop import PREPROCESS_ID
from fer_edge.folder_files import in_sentence
from fer_edge.thresholds import Thresholds

PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "ai-edge-litert", "litert-quantizer")


@dataclass(frozen=True, slots=True)
class BundleDraft:
    """A model and everything that its bundle records about it."""

    model: OpenedModel  # that the device runs
    calibration: Calibration
    report: Report
    float_model: OpenedModel | None = None  # what it was compared with
    float_file: Path | None = None  # its file for the bundle
    synthetic: SyntheticImages | None = None
    samples: Samples | None = None

    def write(self, out: Path) -> Bundle:
        """The bundle, written to `out`, which is replaced whole or left as it was. What else is in it stays, and is named."""
        history = self.model.source.history
        with replaced_folder(out) as folder:
            if others := sorted(found.name for found in folder.iterdir()):
                notice(f"{out} keeps {in_sentence(others)}, which may tell of the bundle before")
            (folder / "model.tflite").write_bytes(self.model.content)
            if self.float_file:
                shutil.copyfile(self.float_file, folder / f"float{self.float_file.suffix}")
            if history:
                history.write(folder / "history.json")
            if self.synthetic:
                self.synthetic.save(folder / SYNTHETIC)
            (folder / "calibration.json").write_text(
                json.dumps(self.calibration.to_json(), indent=1, allow_nan=False) + "\n"
            )
            (folder / PARITY).write_text(json.dumps(self.report.to_json(), indent=1, allow_nan=False) + "\n")
            classifier = self.model.classifier()
            inputs = input_spec(classifier)
            golden = write_golden(folder / GOLDEN, self.model.source.labels, inputs, self.model.classifier)
            spec = self._spec(classifier, inputs, golden)
            (folder / "CARD.md").write_text(bundle_card(spec, self.report, history))
            write_spec(folder, replace(spec, files=file_entries(folder)))
            Bundle.load(folder)  # what is put in place can be read
        return Bundle.load(out)

    def _spec(self, classifier: Classifier, inputs: InputSpec, golden: GoldenSummary) -> BundleSpec:
        """bundle.json without the hashes of the other files."""
        source, graph, confidence = self.model.source, self.model.graph, self.report.confidence
        (input_details,) = classifier.interpreter.get_input_details()
        (output_details,) = classifier.interpreter.get_output_details()
        float_record = None
        if self.float_model:
            origin = self.float_model.source
            float_record = FloatModelRecord(origin.path.name, origin.sha256, self.float_model.input_range)
        provenance = Provenance(
            source=SourceFile(source.path.name, source.sha256),
            float_sha256=sha256_of(self.float_file) if self.float_file else None,
            float_model=float_record,
            calibration=self.calibration.record,
            versions={"fer-edge": fer_edge.__version__, **{name: _version(name) for name in PACKAGES}},
            parity_runtime=classifier.runtime.id,
            data=fingerprint(self.samples) if self.samples else None,
            labels_from=self.samples.labels_from if self.samples else None,
            train_counts=self.samples.class_counts("train") if self.samples else None,
        )
        return BundleSpec(
            format=FORMAT,
            name=source.name,
            labels=source.labels,
            input=inputs,
            output=self.model.output,
            quantization=QuantizationSpec(
                arithmetic(graph), _quantization(input_details), _quantization(output_details)
            ),
            thresholds=confidence.thresholds if confidence else Thresholds.default(len(source.labels)),
            cost=Cost(parameter_count(graph), multiply_adds(graph), len(self.model.content)),
            operators=Operators(
                versions=operator_versions(graph),
                supported_by=tuple(runtime for runtime in known() if not missing_operators(graph, runtime)),
            ),
            runtimes=runtime_claims(self.report),
            provenance=provenance,
            golden=golden,
        )


def input_spec(classifier: Classifier) -> InputSpec:
    """The model's input, for bundle.json."""
    return InputSpec(
        side=classifier.side,
        channels=classifier.channels,
        pixels="gray 0 to 255",
        range=classifier.input_range,
        preprocess=PREPROCESS_ID,
        mappings=dict(DETECTOR_MAPPINGS),
    )


def _quantization(details: dict[str, Any]) -> TensorQuantization:
    scale, zero_point = details["quantization"]
    return TensorQuantization(np.dtype(details["dtype"]).name, float(scale), int(zero_point))


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
