"""What a bundle is written from: a TFLite file, what is known of it, and the report on it."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fer_edge
from convert.bundle.golden_vectors import NAME as GOLDEN
from convert.bundle.golden_vectors import write_golden
from convert.data.detector_mappings import KNOWN
from convert.data.samples import Samples, fingerprint
from convert.parity.parity_report import ParityReport
from convert.parity.reference_free_report import Alone
from convert.quantize.synthetic_images import STAND_IN, StandIn
from convert.sources.float_model import Float
from convert.sources.model_source import Source
from convert.tflite.inspection import multiply_adds_of, operators, parameters_of, versions_of
from convert.tflite.op_versions import known, newer
from fer_edge.bundle import FORMAT, Bundle, describe_files, replacing, sha256_of
from fer_edge.classifier import Classifier, Runtime
from fer_edge.preprocess import PREPROCESS_ID

Card = Callable[[dict[str, Any], dict[str, Any], dict[str, Any] | None], str]


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
        return Classifier(self.content, runtime, kernels=kernels, pixels=self.model.pixels, output=self.model.output)

    def write(self, out: Path) -> Bundle:
        """The bundle written to `out`, which is replaced whole or left as it was."""
        with replacing(out) as folder:
            (folder / "model.tflite").write_bytes(self.content)
            if self.float_model:
                shutil.copyfile(self.float_model.file, folder / f"float{self.float_model.file.suffix}")
            if self.source.history:
                (folder / "history.json").write_text(json.dumps(self.source.history, indent=1) + "\n")
            if self.stand_in:
                self.stand_in.save(folder / STAND_IN)
            (folder / "calibration.json").write_text(json.dumps(self.origin, indent=1) + "\n")
            assert self.report is not None, "judged before it is written"
            told = self.report.to_json()
            (folder / "parity.json").write_text(json.dumps(told, indent=1) + "\n")
            spec = self.spec()
            spec["golden"] = write_golden(folder / GOLDEN, spec, self.classifier)
            (folder / "CARD.md").write_text(self.card(spec, told, self.source.history))
            spec["files"] = describe_files(folder)
            (folder / "bundle.json").write_text(json.dumps(spec, indent=1) + "\n")
            Bundle.load(folder)  # what is put in place can be read
        return Bundle.load(out)

    def spec(self) -> dict[str, Any]:
        """bundle.json but for the files' hashes and the golden vectors."""
        (inputs,) = self.model.interpreter.get_input_details()
        (outputs,) = self.model.interpreter.get_output_details()
        assert self.report is not None, "judged before it is told of"
        sure, theirs = self.report.confidence, self.float_model
        provenance: dict[str, Any] = {
            "source": {"file": self.source.model.name, "sha256": self.source.sha256},
            "float_sha256": sha256_of(theirs.file) if theirs else None,
            "float": theirs.told() if theirs else None,
            "calibration": {k: v for k, v in self.origin.items() if k not in ("files", "indices")},
            "versions": {
                "fer-edge": fer_edge.__version__,
                **{p: _version(p) for p in ("tensorflow", "tensorflow-cpu", "keras", "numpy", "ai-edge-litert")},
            },
            "parity_runtime": self.model.runtime.id,
        }
        if self.samples is not None:
            provenance["data"] = fingerprint(self.samples)
        return {
            "format": FORMAT,
            "name": self.source.name,
            "labels": list(self.source.labels),
            "input": {
                "side": self.model.side,
                "channels": self.model.channels,
                "pixels": "gray 0 to 255",
                "range": list(self.model.pixels),
                "preprocess": PREPROCESS_ID,
                "mappings": {name: asdict(mapping) for name, mapping in KNOWN.items()},
            },
            "output": {"kind": self.model.output},
            "quantization": {
                "scheme": scheme(self.content),
                "input": _quantization(inputs),
                "output": _quantization(outputs),
            },
            "thresholds": {
                "temperature": sure.temperature if sure else 1.0,
                "unsure_below": sure.unsure_below if sure else 0.0,
            },
            "cost": {
                "parameters": parameters_of(self.content),
                "multiply_adds": multiply_adds_of(self.content),
                "bytes": len(self.content),
            },
            "operators": {
                "versions": versions_of(self.content),
                "had_by": [runtime for runtime in known() if not newer(self.content, runtime)],
            },
            "runtimes": self.report.runtimes(),
            "provenance": provenance,
        }


def scheme(content: bytes) -> str:
    """What a TFLite file calculates in: "int8", "float32", or "int8 and float32" and the like, where it does both."""
    kinds = {dtype for op in operators(content) for dtype in op.dtypes} - {"int32", "int64", "bool"}
    return " and ".join(sorted(kinds, key=lambda kind: ("float" in kind, kind)))


def _quantization(details: dict[str, Any]) -> dict[str, Any]:
    scale, zero = details["quantization"]
    return {"dtype": np.dtype(details["dtype"]).name, "scale": float(scale), "zero_point": int(zero)}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
