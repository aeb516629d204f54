"""What `python -m convert.quantize` makes of the shipped float models: `python -m tests.frozen.quantized --check`.

--check makes each bundle again and exits 0 only when every int8 output and every byte of model.tflite is the one that was
stored, on the machine that stored them. --write stores what this commit makes. Without FER2013 in the environment only
those without data. The images are drawn from a seed; only the outputs are stored.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.frozen.commands import FIXTURES, ROOT, ran
from tests.frozen.normalise import BUNDLE_VARIES, EXACT, differences, masked, read, write

LOGITS, TOLD = FIXTURES / "logits.npz", FIXTURES / "quantized.json"
SEED, SMOOTH, NOISE = 20241, 40, 24
# Without data nano's ranges fall outside the usual margin (58 clear images, of which it loses one); the file counts here.
MARGINS = "[labels]\nagreement = 0.8\nclear_agreement = 0.8\n"


@dataclass(frozen=True)
class Case:
    """One command: a shipped model, with FER2013 or without data."""

    model: str
    with_data: bool

    @property
    def name(self) -> str:
        return f"{self.model}, {'FER2013' if self.with_data else 'no data'}"


CASES = [Case(model, with_data) for with_data in (False, True) for model in ("edge", "nano", "paper")]
USUAL = {"edge, no data", "nano, no data", "nano, FER2013"}  # those that a run of all tests has the time for


@dataclass(frozen=True)
class Made:
    """What came of a case: the outputs on the fixed images, int8 (64, 7), and all else that is compared."""

    outputs: np.ndarray
    told: dict[str, Any]
    seconds: float
    processor: str


def processor() -> str:
    """The processor's name, family and model: those of another one round float sums otherwise."""
    lines = (line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in lines}
    return " ".join(fields.get(name, "") for name in ("model name", "cpu family", "model"))


def images(side: int) -> np.ndarray:
    """64 images of no one, uint8 (64, side, side): smooth ones and noise, by integers alone, so the same everywhere."""
    random = np.random.default_rng(SEED)
    knots, steps = 6, 64
    coarse = random.integers(0, 256, (SMOOTH, knots, knots))
    at = np.arange(side) * (knots - 1) * steps // side
    low, part = at // steps, at % steps
    rows = coarse[:, low] * (steps - part)[None, :, None] + coarse[:, low + 1] * part[None, :, None]
    smooth = (rows[:, :, low] * (steps - part) + rows[:, :, low + 1] * part) // steps**2
    noise = random.integers(0, 256, (NOISE, side, side))
    return np.concatenate([smooth, noise]).astype(np.uint8)


def answers(model: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The raw outputs of a TFLite file on those images, and its operators, input and output.

    By LiteRT's own kernels, one thread, no delegate: these give the same on every processor, but for rare ties.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(model), num_threads=1, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    _, side, _, channels = taken["shape"]
    scale, zero = taken["quantization"]
    outputs = []
    for image in images(int(side)):
        raw = np.round(image.astype(np.float64) / scale) + zero
        pixels = np.repeat(np.clip(raw, -128, 127).astype(np.int8)[None, :, :, None], int(channels), axis=3)
        interpreter.set_tensor(taken["index"], pixels)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(given["index"])[0].copy())
    shape = {
        "operators": [op["op_name"] for op in interpreter._get_ops_details()],
        "input": _tensor(taken),
        "output": _tensor(given),
    }
    return np.stack(outputs), shape


def _tensor(details: dict[str, Any]) -> dict[str, Any]:
    scale, zero = details["quantization"]
    shape = [int(n) for n in details["shape"]]
    return {"shape": shape, "dtype": np.dtype(details["dtype"]).name, "scale": float(scale), "zero_point": int(zero)}


def make(case: Case, folder: Path, data: Path | None) -> Made:
    """Runs the command in `folder` and looks at what it wrote."""
    margins, out = folder / "margins.toml", folder / "bundle"
    margins.write_text(MARGINS)
    words = ["python", "-m", "convert.quantize", "--model", str(ROOT / "models" / case.model), "--out", str(out)]
    words += ["--data", str(data)] if case.with_data else ["--margins", str(margins)]
    start_s = time.monotonic()
    ended = ran(words, folder)
    seconds = time.monotonic() - start_s
    if not (out / "model.tflite").exists():
        raise AssertionError(f"{case.name}: exit {ended.returncode}, no bundle\n{ended.stderr}")
    outputs, shape = answers(out / "model.tflite")
    content = (out / "model.tflite").read_bytes()
    told = {
        "exit": ended.returncode,
        "files": sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **shape,
        "bundle.json": masked(read(out / "bundle.json"), BUNDLE_VARIES),
        "parity.json": masked(read(out / "parity.json"), ()),
    }
    return Made(outputs, told, seconds, processor())


def stored(case: Case) -> Made:
    """What came of a case when the outputs were stored."""
    told = read(TOLD)[case.name]
    with np.load(LOGITS) as arrays:
        return Made(arrays[case.name], told, 0.0, told.pop("processor"))


def unequal(case: Case, made: Made) -> list[str]:
    """Each difference from what was stored, to the last bit; nothing where there is none."""
    frozen = stored(case)
    found = list(differences(frozen.told, made.told, EXACT))
    if not np.array_equal(frozen.outputs, made.outputs):
        found.append(f"{np.mean(frozen.outputs != made.outputs):.2%} of the int8 outputs differ")
    return found


def main() -> int:
    """0 when all that was asked for is identical or was stored, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.frozen.quantized", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="exit 0 only when all is identical")
    what.add_argument("--write", action="store_true", help="store what this commit makes")
    parser.add_argument("--only", action="append", metavar="CASE", help=f"of {'; '.join(c.name for c in CASES)}")
    args = parser.parse_args()
    data = Path(os.environ["FER2013"]) if os.environ.get("FER2013") else None
    arrays = dict(np.load(LOGITS)) if LOGITS.exists() else {}
    told = read(TOLD) if TOLD.exists() else {}
    failed = 0
    for case in CASES:
        if args.only and case.name not in args.only:
            continue
        if case.with_data and data is None:
            print(f"{case.name}: left out, FER2013 is not set")
            continue
        with tempfile.TemporaryDirectory() as folder:
            made = make(case, Path(folder), data)
        if args.write:
            arrays[case.name] = made.outputs
            told[case.name] = {**made.told, "processor": made.processor}
            print(f"{case.name}: stored, {made.seconds:.0f} s", flush=True)
            continue
        found = unequal(case, made)
        failed += bool(found)
        print(
            f"{case.name}: {'NOT identical' if found else 'identical to the last bit'}, {made.seconds:.0f} s",
            flush=True,
        )
        for difference in found[:20]:
            print(f"    {difference}")
    if args.write:
        np.savez_compressed(LOGITS, **arrays)
        write(TOLD, told)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
