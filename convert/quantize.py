"""`python -m convert.quantize [--model FLOAT.keras] [--data PATH] [--out DIR]`: an int8 bundle, proved against its float model.

Without --model the float model that came with the package is taken. Without --data the ranges are chosen on images drawn
out of the model itself (convert.calibration), and parity is judged on logits alone.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fer_edge
from convert.arguments import whole_number
from convert.calibration import STAND_IN, Calibration, StandIn, from_data, stand_in
from convert.candidate import read_history
from convert.card import card, parity_table
from convert.confidence import Confidence
from convert.data import load, remarks
from convert.golden import write_golden
from convert.mapping import KNOWN
from convert.pack import pack
from convert.parity import ParityReport, float_classifier, on_data, without_data
from convert.tflite import converter_of, load_keras, multiply_adds_of, operators, parameters_of, quiet_tensorflow
from convert.train import fingerprint
from fer_edge.bundle import FORMAT, Bundle, default_path, describe_files, refuse_other_folders, replacing, sha256_of
from fer_edge.classifier import Classifier
from fer_edge.errors import ParityFailed, UsageError, guarded
from fer_edge.labels import LABELS
from fer_edge.preprocess import PREPROCESS_ID


@dataclass(frozen=True)
class Source:
    """The float model to quantize: its file, the bundle's name, and the labels of its outputs in order."""

    model: Path
    name: str
    labels: tuple[str, ...]
    history: dict[str, Any] | None  # of its training, where it lies beside the model

    @staticmethod
    def find(model: Path | None, name: str | None = None) -> Source:
        """The float model in `model`: a .keras file, a folder of `convert.train` or a bundle; the package's own for None.

        Raises UsageError when there is none.
        """
        path = model if model is not None else default_path()
        if path.is_dir():
            found = [path / n for n in ("float.keras", "model.keras") if (path / n).is_file()]
            if not found:
                raise UsageError(
                    f"{path} holds no float model (float.keras or model.keras); name a .keras file with --model"
                )
            path = found[0]
        if not path.is_file():
            raise UsageError(f"{path} does not exist; name a .keras file with --model")
        if path.suffix != ".keras":
            raise UsageError(f"{path} is no .keras file; save the float model with Keras 3, `model.save('x.keras')`")
        labels: tuple[str, ...] = LABELS
        spec, told = path.with_name("bundle.json"), path.with_name("history.json")
        if spec.is_file():
            labels = Bundle.load(path.parent).labels
        history = _history(told) if told.is_file() else None
        if history and not spec.is_file():
            labels = tuple(history.get("labels", LABELS))
        stem = path.absolute().parent.name if path.stem in ("float", "model") else path.stem
        return Source(path, name or stem.removeprefix("bundle-"), labels, history)


def to_int8(model: Any, calibration: Calibration, *, packed: bool = True) -> bytes:
    """The bytes of a TFLite file whose input, output and every operator are int8, by TensorFlow's post-training converter.

    `calibration` chooses the ranges; `packed` leaves out what no interpreter reads (convert.pack). Raises ParityFailed when
    operators in floating point are left.
    """
    import tensorflow as tf

    converter = converter_of(model)

    def representative() -> Iterator[list[np.ndarray]]:
        for image in calibration.x:
            yield [image[None, :, :, None].astype(np.float32)]
        # both ends of the pixel range, so that a pixel's value is its int8 value plus 128 on every model
        for level in (0.0, 255.0):
            yield [np.full((1, *calibration.x.shape[1:], 1), level, np.float32)]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    with quiet_tensorflow():
        content: bytes = converter.convert()
    refuse_float_operators(content)
    return pack(content) if packed else content


def refuse_float_operators(content: bytes) -> None:
    """Raises ParityFailed, naming them, when a TFLite file holds operators that read or write floating point."""
    left = sorted({op.name for op in operators(content) if any("float" in d.lower() for d in op.dtypes)})
    if left:
        raise ParityFailed(f"operators in floating point are left: {', '.join(left)}; build the model without them")


def quantize(
    source: Source,
    out: Path,
    data: Path | None = None,
    *,
    seed: int = 0,
    threads: int = 1,
) -> tuple[Bundle, ParityReport]:
    """The bundle written to `out` and its parity report; `out` is replaced whole, or left as it was when parity fails.

    Raises ParityFailed with the reasons when the int8 model is outside the tolerances.
    """
    refuse_other_folders(out)
    model = load_keras(source.model)
    side = model.input_shape[1]
    if model.output_shape[-1] != len(source.labels):
        raise UsageError(
            f"{source.model} gives {model.output_shape[-1]} classes, not the {len(source.labels)} of {', '.join(source.labels)}"
        )
    samples = load(data, side, classes=source.labels) if data is not None else None
    for remark in remarks(samples) if samples is not None else ():
        _say(remark)
    shipped = _stand_in(source, make=samples is None, seed=seed)
    if samples is not None:
        calibration = from_data(samples, seed=seed)
    else:
        assert shipped is not None, "made where there are no data"
        calibration = shipped.calibration()

    _say(f"quantizing {source.model} on {len(calibration.x)} images ({calibration.origin['kind']})")
    content = to_int8(model, calibration)
    int8_model = Classifier(content, threads=threads)
    float_model = float_classifier(source.model, threads)
    _say("comparing float and int8")
    if samples is not None:
        report = on_data(float_model, int8_model, samples, source.labels)
    else:
        assert shipped is not None
        report = without_data(float_model, int8_model, shipped.check, source.labels)
    if not report.passed:
        print(parity_table(report.to_json()))
        raise ParityFailed(f"{'; '.join(report.failures)}. {out} was left as it was")

    with replacing(out) as folder:
        (folder / "model.tflite").write_bytes(content)
        shutil.copyfile(source.model, folder / "float.keras")
        if source.history:
            (folder / "history.json").write_text(json.dumps(source.history, indent=1) + "\n")
        if shipped is not None:
            shipped.save(folder / STAND_IN)
        (folder / "calibration.json").write_text(json.dumps(calibration.origin, indent=1) + "\n")
        (folder / "parity.json").write_text(json.dumps(report.to_json(), indent=1) + "\n")
        write_golden(folder / "golden.npz", int8_model)
        spec = _spec(source, side, int8_model, content, calibration, report.confidence)
        if samples is not None:
            spec["provenance"]["data"] = fingerprint(samples)
        (folder / "CARD.md").write_text(card(spec, report.to_json(), source.history))
        spec["files"] = describe_files(folder)
        (folder / "bundle.json").write_text(json.dumps(spec, indent=1) + "\n")
        Bundle.load(folder)  # what is put in place can be read
    return Bundle.load(out), report


def _spec(
    source: Source, side: int, model: Classifier, content: bytes, calibration: Calibration, sure: Confidence | None
) -> dict[str, Any]:
    """bundle.json but for the files' hashes."""

    def quantization(details: dict[str, Any]) -> dict[str, Any]:
        scale, zero = details["quantization"]
        return {"dtype": np.dtype(details["dtype"]).name, "scale": float(scale), "zero_point": int(zero)}

    (inputs,), (outputs,) = model.interpreter.get_input_details(), model.interpreter.get_output_details()
    return {
        "format": FORMAT,
        "name": source.name,
        "labels": list(source.labels),
        "input": {
            "side": side,
            "channels": 1,
            "pixels": "gray 0 to 255",
            "preprocess": PREPROCESS_ID,
            "mappings": {name: asdict(mapping) for name, mapping in KNOWN.items()},
        },
        "quantization": {"input": quantization(inputs), "output": quantization(outputs)},
        "thresholds": {"temperature": sure.temperature if sure else 1.0},
        "cost": {
            "parameters": parameters_of(content),
            "multiply_adds": multiply_adds_of(content),
            "bytes": len(content),
        },
        "provenance": {
            "float_sha256": sha256_of(source.model),
            "calibration": {k: v for k, v in calibration.origin.items() if k not in ("files", "indices")},
            "versions": {
                "fer-edge": fer_edge.__version__,
                **{p: _version(p) for p in ("tensorflow", "tensorflow-cpu", "keras", "numpy", "ai-edge-litert")},
            },
            "parity_runtime": model.runtime.id,
        },
    }


def _stand_in(source: Source, make: bool, seed: int) -> StandIn | None:
    beside = source.model.with_name(STAND_IN)
    if beside.is_file():
        return StandIn.load(beside, source.model)
    if not make:
        return None
    _say(f"no data and no {beside.name} beside the model: drawing images out of the model itself, which takes minutes")
    return stand_in(source.model, seed=seed)


def _history(path: Path) -> dict[str, Any]:
    """A training's history.json, with what a card tells of it. Raises UsageError when it is not one."""
    read_history(path)
    history: dict[str, Any] = json.loads(path.read_text())
    if missing := {"recipe", "network", "policy", "data"} - history.keys():
        raise UsageError(f"{path} does not tell {', '.join(sorted(missing))}; train again, or move it away")
    return history


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Writes the bundle and prints its parity table; 0 done, 2 bad input, 3 parity failed."""
    parser = argparse.ArgumentParser(prog="python -m convert.quantize", description=__doc__)
    parser.add_argument("--model", type=Path, help="float model: a .keras file, a training's folder or a bundle")
    parser.add_argument("--data", type=Path, help="any data set that `python -m convert.data` reads")
    parser.add_argument("--out", type=Path, help="the bundle's folder; default: ./bundle-NAME")
    parser.add_argument("--name", help="the bundle's name; default: the model's")
    parser.add_argument("--seed", type=whole_number(0), default=0)
    parser.add_argument("--threads", type=whole_number(1), default=1, help="for the comparison; the file is the same")
    parser.add_argument("--json", action="store_true", help="print the parity report as JSON")
    args = parser.parse_args(argv)

    def run() -> int:
        source = Source.find(args.model, args.name)
        out = args.out or Path(f"bundle-{source.name}")
        bundle, report = quantize(source, out, args.data, seed=args.seed, threads=args.threads)
        print(json.dumps(report.to_json(), indent=1) if args.json else parity_table(report.to_json()))
        size, was = bundle.model.stat().st_size, source.model.stat().st_size
        _say(f"{out}: {size:,} bytes of int8 from a float model of {was:,}; `fer-edge run --bundle {out}` uses it")
        return 0

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
