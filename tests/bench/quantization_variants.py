"""`python -m tests.bench.quantization_variants --bundle models/nano --data PATH --out models/choices`:
the loss, size and time of each quantization variant.

Converts the float model of a bundle with each variant and compares it with the float model on FER2013's PublicTest, in one
run. Variants: formats (float16, dynamic range, int8 per channel and per tensor, 16×8), choices of ranges, the parts of int8's
error (weights, activations or output alone), number and kind of calibration images, logits or softmax as output, and the
converter (TensorFlow's, or litert-quantizer with its own
calibration). Writes NAME.json, NAME.md and NAME.png; NAME is the bundle's name. PrivateTest is not used. The defaults of
`convert.quantize` follow from the table.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.data.loader import load
from convert.data.samples import Samples
from convert.parity.paired_comparison import compare_logits, compare_part
from convert.parity.runtime_logits import logits_of
from convert.parity.tolerances import Margins
from convert.quantize.calibration_set import CalibrationSet, calibration_set
from convert.quantize.full_integer import quantize_graph
from convert.quantize.layer_error import int8_in_part
from convert.quantize.range_search import FOR_SYNTHETIC_IMAGES, QuantizationOptions
from convert.quantize.synthetic_images import FILE_NAME, SyntheticImages
from convert.report.plots import COLOURS, STYLE
from convert.tflite.compaction import compact
from convert.tflite.graph import Graph
from convert.tflite.inspection import operator_versions
from convert.tflite.keras_export import converter_of, float_tflite, load_keras
from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.argument_types import whole_number
from fer_edge.atomic_file import write_atomically
from fer_edge.bundle import Bundle
from fer_edge.classifier import Classifier, find_runtime
from fer_edge.errors import UsageError, exit_code_of
from fer_edge.hardware import board_name
from tests.bench.latency import take_turns

# Each pass of convert.quantize on its own, and all passes without one.
RANGES = {
    "range search only": QuantizationOptions(equalize=0, correct=False),
    "channel equalization only": QuantizationOptions(clip=0, correct=False),
    "bias correction only": QuantizationOptions(equalize=0, clip=0),
    "without range search": QuantizationOptions(clip=0),
    "without channel equalization": QuantizationOptions(equalize=0),
    "without bias correction": QuantizationOptions(correct=False),
    "weights rounded by layer error": QuantizationOptions(round_by_error=True),
    "weights rounded by layer error, ranges refined": QuantizationOptions(round_by_error=True, refine=True),
}
COUNTS = (50, 100, 200, 350, 700, 2000)


@dataclass(frozen=True, slots=True)
class Choice:
    """One variant on n images: its figures minus those of float, its bytes, and its time relative to float32."""

    name: str
    group: str
    n: int
    accuracy_points: float
    low: float | None
    high: float | None
    macro_auc: float
    agreement: float
    slope: float
    rms: float
    bytes: int
    ratio: float | None
    operators: str  # the highest version of each kind, which a runtime must have


def variants(
    model: Any, samples: Samples, bundle: Bundle, seeds: int
) -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Group and name of each variant, and the function that makes its file."""
    import tensorflow as tf

    float_file, default_images = float_tflite(model), calibration_set(samples)

    def int8(
        options: QuantizationOptions | None = None, images: CalibrationSet = default_images, content: bytes = float_file
    ) -> bytes:
        return compact(quantize_graph(Graph(content), images.x, options))

    def converted(set_up: Callable[[Any], None], of: Any = model) -> bytes:
        converter = converter_of(of)
        set_up(converter)
        with quiet_tensorflow():
            return compact(Graph(converter.convert()))

    def optimised(converter: Any, **attributes: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        for name, value in attributes.items():
            setattr(converter, name, value)

    def representative() -> Iterator[list[np.ndarray]]:
        for image in default_images.x:
            yield [image[None, :, :, None].astype(np.float32)]

    def float16(converter: Any) -> None:
        optimised(converter)
        converter.target_spec.supported_types = [tf.float16]

    def int16_activations(converter: Any) -> None:
        optimised(converter, representative_dataset=representative)
        kind = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [kind]

    def full_int8(converter: Any) -> None:
        optimised(converter, representative_dataset=representative, inference_input_type=tf.int8)
        converter.inference_output_type = tf.int8
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]

    yield "format", "float32", lambda: float_file
    yield "format", "float16", lambda: converted(float16)
    yield "format", "dynamic range", lambda: converted(optimised)
    yield "format", "int8, per channel", int8
    yield "format", "int8, per tensor", lambda: int8(QuantizationOptions(per_channel=False))
    yield "format", "16×8", lambda: converted(int16_activations)
    yield "ending", "int8, softmax in the graph", lambda: int8(content=float_tflite(_with_softmax(model)))
    yield "ranges", "TensorFlow's converter, min–max ranges", lambda: converted(full_int8)
    for name, options in RANGES.items():
        yield "ranges", name, lambda o=options: int8(o)
    yield "parts", "int8 weights, float activations", lambda: _in_part(float_file, default_images, weights=True)
    yield "parts", "float weights, int8 activations", lambda: _in_part(float_file, default_images, weights=False)
    yield "parts", "float, int8 output", lambda: _in_part(float_file, default_images, weights=False, output_only=True)
    if (bundle.path / FILE_NAME).is_file():
        synthetic = SyntheticImages.load(bundle.path / FILE_NAME, bundle.path / "float.keras").calibration()
        yield "calibration", f"{len(synthetic.x)} synthetic images", lambda: int8(FOR_SYNTHETIC_IMAGES, synthetic)
    for count in COUNTS:
        for seed in range(seeds):
            sample = _sample(samples, count, seed)
            yield "calibration", f"{count} Training images, seed {seed}", lambda s=sample: int8(images=s)
    yield "converter", "litert-quantizer's own calibration, 350 Training images", lambda: _litert(model, default_images)


def measure(bundle: Bundle, samples: Samples, seeds: int) -> list[Choice]:
    """The figures of every variant on the validation part; times of formats and converters only, in turns."""
    from tqdm import tqdm

    model = load_keras(bundle.path / "float.keras")
    validation = samples.part("validation")
    images, margins = validation.x[..., 0], Margins.load()
    reference: np.ndarray | None = None
    timed_files: dict[str, bytes] = {}
    rows = []
    for group, name, make in tqdm(
        list(variants(model, samples, bundle, seeds)), unit="variant", disable=not sys.stderr.isatty()
    ):
        content = make()
        kind = "probabilities" if group == "ending" else "logits"
        logits = logits_of(Classifier(content, output_kind=kind), images, name)
        reference = logits if reference is None else reference
        part = compare_part(reference, logits, validation.y, bundle.labels, margins)
        error = compare_logits("validation", reference, logits, margins.logits_rms)
        change = part.accuracy
        assert change.low is not None and change.high is not None and part.macro_auc is not None
        rows.append(
            Choice(
                name,
                group,
                len(validation.y),
                change.difference * 100,
                change.low * 100,
                change.high * 100,
                part.macro_auc.difference,
                part.agreement,
                error.slope,
                error.rms,
                len(content),
                None,
                _operators(content),
            )
        )
        if group in ("format", "converter"):
            timed_files[name] = content
    return _timed(rows, timed_files)


def _timed(rows: list[Choice], contents: dict[str, bytes]) -> list[Choice]:
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{i}.tflite" for i, name in enumerate(contents)}
        for name, path in files.items():
            path.write_bytes(contents[name])
        ratios = {name: latency.ratio for name, latency in take_turns(files, "float32").items()}
    return [Choice(**{**asdict(row), "ratio": ratios.get(row.name)}) for row in rows]


def _in_part(content: bytes, images: CalibrationSet, *, weights: bool, output_only: bool = False) -> bytes:
    """The float model with what the best int8 model rounds in its weights, or else in its activations, or the output alone."""
    float_graph = Graph(content)
    int8_graph = quantize_graph(float_graph, images.x, QuantizationOptions(round_by_error=True))
    if weights:
        return compact(int8_in_part(float_graph, int8_graph, weights=True))
    layers = range(len(list(float_graph.layers())))
    places = layers[-1:] if output_only else layers
    return compact(int8_in_part(float_graph, int8_graph, activations=places))


def _sample(samples: Samples, count: int, seed: int) -> CalibrationSet:
    """About `count` Training images, the same number of each class where there are enough."""
    return calibration_set(samples, per_class=-(-count // len(samples.labels)), seed=seed)


def _with_softmax(model: Any) -> Any:
    import keras

    return keras.Model(model.input, keras.layers.Softmax()(model.output))


def _litert(model: Any, calibration: CalibrationSet) -> bytes:
    import tensorflow as tf
    from litert_quantizer import Quantizer, recipe

    with tempfile.TemporaryDirectory() as folder, quiet_tensorflow():
        path = Path(folder) / "float.tflite"
        path.write_bytes(
            tf.lite.TFLiteConverter.from_keras_model(model).convert()
        )  # with a signature, which calibration needs
        quantizer = Quantizer(str(path), recipe.static_wi8_ai8())
        ((key, signature),) = Classifier(path).interpreter.get_signature_list().items()
        names = signature["inputs"]
        rows = [{names[0]: image[None, :, :, None].astype(np.float32)} for image in calibration.x]
        statistics = quantizer.calibrate({key: rows})
        return bytes(quantizer.quantize(statistics, enable_progress_report=False).quantized_model)


def _operators(content: bytes) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(operator_versions(Graph(content)).items()))


def table(rows: list[Choice], setup: dict[str, Any]) -> str:
    """The rows as Markdown."""
    lines = [
        f"`{setup['bundle']}` on {setup['part']}, n = {rows[0].n:,}; differences from its float model; on {setup['host']},"
        f" {setup['runtime']}, one thread. Times are relative to float32 in the same run.",
        "",
        "| | accuracy, points (95 %) | macro AUC | same label % | slope | RMS | bytes | time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        time = "" if r.ratio is None else f"{r.ratio:.2f}×"
        lines.append(
            f"| {r.name} | {r.accuracy_points:+.2f} ({r.low:+.2f} to {r.high:+.2f}) | {r.macro_auc:+.4f} |"
            f" {r.agreement * 100:.2f} | {r.slope:.3f} | {r.rms:.3f} | {r.bytes:,} | {time} |"
        )
    lines += ["", "Operators and the highest version of each:", ""]
    seen: dict[str, list[str]] = {}
    for r in rows:
        seen.setdefault(r.operators, []).append(r.name)
    lines += [f"- {', '.join(names[:4])}{' …' if len(names) > 4 else ''}: {ops}" for ops, names in seen.items()]
    return "\n".join(lines) + "\n"


def picture(rows: list[Choice]) -> bytes:
    """A PNG: the difference of accuracy of each variant, and the agreement by number of calibration images."""
    import matplotlib
    from matplotlib.figure import Figure

    png = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure((10, 5.6), layout="constrained")
        axis_left, axis_right = figure.subplots(1, 2, width_ratios=(1.2, 1))
        formats = [r for r in rows if r.group != "calibration" and r.name != "float32"]
        places = np.arange(len(formats))[::-1]
        points = np.array([r.accuracy_points for r in formats])
        intervals = [
            (p if r.low is None else r.low, p if r.high is None else r.high)
            for p, r in zip(points, formats, strict=True)
        ]
        bars = np.array([[p - low, high - p] for p, (low, high) in zip(points, intervals, strict=True)]).T
        axis_left.errorbar(points, places, xerr=bars, fmt="o", color=COLOURS[5], capsize=2)
        axis_left.axvline(0, color="#999999", lw=0.8, ls=":")
        axis_left.set_yticks(places, [r.name for r in formats])
        axis_left.set_xlabel("accuracy minus float, points, 95 % interval")
        axis_left.set_title("formats, ranges, outputs, converters")
        by_count = [r for r in rows if "Training images, seed" in r.name]
        counts = [int(r.name.split()[0]) for r in by_count]
        axis_right.plot(
            counts, [100 * r.agreement for r in by_count], "o", color=COLOURS[5], label="Training images, one seed each"
        )
        for r in rows:
            if r.name.endswith("synthetic images"):
                axis_right.axhline(100 * r.agreement, color=COLOURS[0], ls=DASH, label=r.name)
        axis_right.set_xscale("log")
        axis_right.set_xticks(sorted(set(counts)), [str(c) for c in sorted(set(counts))])
        axis_right.minorticks_off()
        axis_right.set(xlabel="calibration images", title="same label as float, % of images")
        axis_right.grid()
        axis_right.set_axisbelow(True)
        axis_right.legend()
        figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


DASH = (0, (5, 1.5))


def main(argv: list[str] | None = None) -> int:
    """Measures all variants and writes the table and the picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quantization_variants", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=whole_number(1), default=3, help="for each number of calibration images")
    args = parser.parse_args(argv)

    def run() -> int:
        bundle = Bundle.load(args.bundle)
        if not (bundle.path / "float.keras").is_file():
            raise UsageError(f"{bundle.path} has no float.keras to convert; name a bundle with its float model")
        samples = load(args.data, bundle.side, classes=bundle.labels)
        rows = measure(bundle, samples, args.seeds)
        setup = {"bundle": bundle.name, "part": "PublicTest", "host": board_name()[0], "runtime": find_runtime().id}
        args.out.mkdir(parents=True, exist_ok=True)
        values = json.dumps({**setup, "rows": [asdict(row) for row in rows]}, indent=1, ensure_ascii=False) + "\n"
        text, png = table(rows, setup), picture(rows)
        write_atomically(args.out / f"{bundle.name}.json", values)
        write_atomically(args.out / f"{bundle.name}.md", text)
        write_atomically(args.out / f"{bundle.name}.png", png)
        print(text)
        return 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
