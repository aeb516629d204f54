"""`python -m tests.bench.quantization_variants --bundle models/nano --data PATH --out models/choices`:
what each way to a small file costs.

The float model of a bundle, converted every way there is, judged on FER2013's PublicTest against the float model in the same
run: formats (float16, dynamic range, int8 per channel and per tensor, 16×8), how ranges are chosen, how many
calibration images and which, logits or softmax at the end, TensorFlow's converter or litert-quantizer with its
own calibration. Writes NAME.json, NAME.md and NAME.png, NAME being the
bundle's. PrivateTest is never looked at. The defaults of `convert.quantize` follow from the table.
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

from convert.argument_types import whole_number
from convert.data.loader import load
from convert.data.samples import Samples
from convert.parity.paired_comparison import compare_logits, compare_part
from convert.parity.runtime_logits import logits_of
from convert.parity.tolerances import Margins
from convert.quantize.calibration_set import CalibrationSet, calibration_set
from convert.quantize.full_integer import quantize_graph
from convert.quantize.range_search import FOR_SYNTHETIC_IMAGES, QuantizationOptions
from convert.quantize.synthetic_images import FILE_NAME, SyntheticImages
from convert.report.plots import COLOURS, STYLE
from convert.tflite.compaction import compact
from convert.tflite.graph import Graph
from convert.tflite.inspection import operator_versions
from convert.tflite.keras_export import converter_of, float_tflite, load_keras
from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.atomic_file import write_atomically
from fer_edge.bundle import Bundle
from fer_edge.classifier import Classifier, find_runtime
from fer_edge.errors import UsageError, exit_code_of
from fer_edge.hardware import board_name
from tests.bench.latency import take_turns

# What each part of convert.quantize.range_search buys: alone, and left out.
RANGES = {
    "ranges of least squared error alone": QuantizationOptions(equalize=0, correct=False),
    "equalized alone": QuantizationOptions(clip=0, correct=False),
    "biases corrected alone": QuantizationOptions(equalize=0, clip=0),
    "all but ranges": QuantizationOptions(clip=0),
    "all but equalizing": QuantizationOptions(equalize=0),
    "all but biases": QuantizationOptions(correct=False),
}
COUNTS = (50, 100, 200, 350, 700, 2000)


@dataclass(frozen=True, slots=True)
class Choice:
    """One way, on n images: int8 (or what it is) minus float, its bytes, and its time over float32's in the same run."""

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
    operators: str  # the highest version of each kind, which is what a runtime must know


def ways(model: Any, samples: Samples, bundle: Bundle, seeds: int) -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Group, name, and how the file is made."""
    import tensorflow as tf

    plain, usual = float_tflite(model), calibration_set(samples)

    def ours(
        options: QuantizationOptions | None = None, images: CalibrationSet = usual, content: bytes = plain
    ) -> bytes:
        return compact(quantize_graph(Graph(content), images.x, options))

    def converted(set_up: Callable[[Any], None], of: Any = model) -> bytes:
        converter = converter_of(of)
        set_up(converter)
        with quiet_tensorflow():
            return compact(Graph(converter.convert()))

    def optimised(converter: Any, **more: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        for name, value in more.items():
            setattr(converter, name, value)

    def representative() -> Iterator[list[np.ndarray]]:
        for image in usual.x:
            yield [image[None, :, :, None].astype(np.float32)]

    def half(converter: Any) -> None:
        optimised(converter)
        converter.target_spec.supported_types = [tf.float16]

    def sixteen(converter: Any) -> None:
        optimised(converter, representative_dataset=representative)
        kind = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [kind]

    def whole(converter: Any) -> None:
        optimised(converter, representative_dataset=representative, inference_input_type=tf.int8)
        converter.inference_output_type = tf.int8
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]

    yield "format", "float32", lambda: plain
    yield "format", "float16", lambda: converted(half)
    yield "format", "dynamic range", lambda: converted(optimised)
    yield "format", "int8, per channel", ours
    yield "format", "int8, per tensor", lambda: ours(QuantizationOptions(per_channel=False))
    yield "format", "16×8", lambda: converted(sixteen)
    yield "ending", "int8, softmax in the graph", lambda: ours(content=float_tflite(_with_softmax(model)))
    yield "ranges", "the converter's own, least to most", lambda: converted(whole)
    for name, options in RANGES.items():
        yield "ranges", name, lambda o=options: ours(o)
    if (bundle.path / FILE_NAME).is_file():
        synthetic = SyntheticImages.load(bundle.path / FILE_NAME, bundle.path / "float.keras").calibration()
        yield "calibration", f"{len(synthetic.x)} synthetic images", lambda: ours(FOR_SYNTHETIC_IMAGES, synthetic)
    for count in COUNTS:
        for seed in range(seeds):
            sample = _sample(samples, count, seed)
            yield "calibration", f"{count} of Training, seed {seed}", lambda s=sample: ours(images=s)
    yield "converter", "litert-quantizer's own calibration, 350 of Training", lambda: _litert(model, usual)


def measure(bundle: Bundle, samples: Samples, seeds: int) -> list[Choice]:
    """Every way, judged on the validation part; times of the formats alone, in turns."""
    from tqdm import tqdm

    model = load_keras(bundle.path / "float.keras")
    held = samples.part("validation")
    images, margins = held.x[..., 0], Margins.load()
    reference: np.ndarray | None = None
    made: dict[str, bytes] = {}
    rows = []
    for group, name, make in tqdm(
        list(ways(model, samples, bundle, seeds)), unit="way", disable=not sys.stderr.isatty()
    ):
        content = make()
        kind = "probabilities" if group == "ending" else "logits"
        logits = logits_of(Classifier(content, output_kind=kind), images, name)
        reference = logits if reference is None else reference
        part = compare_part(reference, logits, held.y, bundle.labels, margins)
        error = compare_logits("validation", reference, logits, margins.logits_rms)
        change = part.accuracy
        assert change.low is not None and change.high is not None and part.macro_auc is not None
        rows.append(
            Choice(
                name,
                group,
                len(held.y),
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
            made[name] = content
    return _timed(rows, made)


def _timed(rows: list[Choice], made: dict[str, bytes]) -> list[Choice]:
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{i}.tflite" for i, name in enumerate(made)}
        for name, path in files.items():
            path.write_bytes(made[name])
        ratios = {name: latency.ratio for name, latency in take_turns(files, "float32").items()}
    return [Choice(**{**asdict(row), "ratio": ratios.get(row.name)}) for row in rows]


def _sample(samples: Samples, count: int, seed: int) -> CalibrationSet:
    """About `count` Training images, as many of each class as there are."""
    return calibration_set(samples, per_class=-(-count // len(samples.labels)), seed=seed)


def _with_softmax(model: Any) -> Any:
    import keras

    return keras.Model(model.input, keras.layers.Softmax()(model.output))


def _litert(model: Any, calibration: CalibrationSet) -> bytes:
    from litert_quantizer import Quantizer, recipe

    with tempfile.TemporaryDirectory() as folder, quiet_tensorflow():
        path = Path(folder) / "float.tflite"
        path.write_bytes(float_tflite(model))
        made = Quantizer(str(path), recipe.static_wi8_ai8())
        (key,) = Classifier(path).interpreter.get_signature_list() or {"serving_default": None}
        names = Classifier(path).interpreter.get_signature_list()[key]["inputs"]
        rows = [{names[0]: image[None, :, :, None].astype(np.float32)} for image in calibration.x]
        found = made.calibrate({key: rows})
        return bytes(made.quantize(found, enable_progress_report=False).quantized_model)


def _operators(content: bytes) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(operator_versions(Graph(content)).items()))


def table(rows: list[Choice], told: dict[str, Any]) -> str:
    """The rows as Markdown."""
    lines = [
        f"`{told['bundle']}` on {told['part']}, n = {rows[0].n:,}; against its float model, on {told['host']},"
        f" {told['runtime']}, one thread. Time over float32's in the same run.",
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
    """PNG: agreement and accuracy lost of each way, calibrations by their number of images."""
    import matplotlib
    from matplotlib.figure import Figure

    png = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure((10, 5.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
        formats = [r for r in rows if r.group != "calibration" and r.name != "float32"]
        places = np.arange(len(formats))[::-1]
        points = np.array([r.accuracy_points for r in formats])
        ends = [
            (p if r.low is None else r.low, p if r.high is None else r.high)
            for p, r in zip(points, formats, strict=True)
        ]
        bars = np.array([[p - low, high - p] for p, (low, high) in zip(points, ends, strict=True)]).T
        left.errorbar(points, places, xerr=bars, fmt="o", color=COLOURS[5], capsize=2)
        left.axvline(0, color="#999999", lw=0.8, ls=":")
        left.set_yticks(places, [r.name for r in formats])
        left.set_xlabel("accuracy against float, points, 95 % interval")
        left.set_title("formats, ranges, endings, converters")
        drawn = [r for r in rows if "of Training, seed" in r.name]
        counts = [int(r.name.split()[0]) for r in drawn]
        right.plot(
            counts, [100 * r.agreement for r in drawn], "o", color=COLOURS[5], label="Training images, one seed each"
        )
        for r in rows:
            if r.name.endswith("of no one"):
                right.axhline(100 * r.agreement, color=COLOURS[0], ls=DASH, label=r.name)
        right.set_xscale("log")
        right.set_xticks(sorted(set(counts)), [str(c) for c in sorted(set(counts))])
        right.minorticks_off()
        right.set(xlabel="calibration images", title="the same label as float, % of images")
        right.grid()
        right.set_axisbelow(True)
        right.legend()
        figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


DASH = (0, (5, 1.5))


def main(argv: list[str] | None = None) -> int:
    """Measures all of it and writes the table and the picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quantization_variants", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=whole_number(1), default=3, help="for each number of calibration images")
    args = parser.parse_args(argv)

    def run() -> int:
        bundle = Bundle.load(args.bundle)
        if not (bundle.path / "float.keras").is_file():
            raise UsageError(f"{bundle.path} holds no float.keras to convert")
        samples = load(args.data, bundle.side, classes=bundle.labels)
        rows = measure(bundle, samples, args.seeds)
        told = {"bundle": bundle.name, "part": "PublicTest", "host": board_name()[0], "runtime": find_runtime().id}
        args.out.mkdir(parents=True, exist_ok=True)
        values = json.dumps({**told, "rows": [asdict(row) for row in rows]}, indent=1, ensure_ascii=False) + "\n"
        text, png = table(rows, told), picture(rows)
        write_atomically(args.out / f"{bundle.name}.json", values)
        write_atomically(args.out / f"{bundle.name}.md", text)
        write_atomically(args.out / f"{bundle.name}.png", png)
        print(text)
        return 0

    return exit_code_of(run)


if __name__ == "__main__":
    sys.exit(main())
