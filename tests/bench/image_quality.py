"""`python -m tests.bench.image_quality --data PATH`: accuracy on bad images, and whether the device's quality detects them.

Validation faces are made dark (with a sensor's noise), blurred and small, more and more. Beside the accuracy stands the quality
that the device gives the crops, the share of them that it would call unsure, and the accuracy on those it would not. For
turned heads, which cannot be made, faces are found in scenes and put in order of how far they are turned.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from convert.crops.synthetic_scenes import find_pasted_face, scenes, stratified_rows
from convert.data.loader import load
from convert.data.samples import Samples
from device.config import Settings
from fer_edge.argument_types import whole_number
from fer_edge.bundle import Bundle
from fer_edge.detection.registry import find_detector
from fer_edge.detection.types import Face
from fer_edge.errors import exit_code_of
from fer_edge.quality import crop_quality, head_turn
from tests.system.dated_result import bench_parser, bundle_facts, reported

GAINS, SIGMAS, SIDES_PX = (0.5, 0.3, 0.2, 0.1), (0.8, 1.2, 1.6, 2.0, 3.0), (36, 24, 20, 16, 12)
NOISE_LEVELS = 3.0
TURNS = (0.0, 0.2, 0.4, 0.6, 9.0)
_STRAIGHT = Face((0, 0, 1, 1), 1.0)


def spoiled(rng: np.random.Generator) -> dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]]:
    """By what is done to a crop uint8 (48, 48): the px of the frame it then stands for, and the doing."""
    import cv2

    def dark(gain: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda crop: np.clip(crop * gain + rng.normal(0, NOISE_LEVELS, crop.shape), 0, 255).astype(np.uint8)

    def blurred(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda crop: cv2.GaussianBlur(crop, (0, 0), sigma)

    def tiny(px: int) -> Callable[[np.ndarray], np.ndarray]:
        def shrunk(crop: np.ndarray) -> np.ndarray:
            small = cv2.resize(crop, (px, px), interpolation=cv2.INTER_AREA)
            return cv2.resize(small, crop.shape[::-1], interpolation=cv2.INTER_LINEAR)

        return shrunk

    done: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {"as it is": (48, lambda crop: crop)}
    done |= {f"light × {gain:g}": (48, dark(gain)) for gain in GAINS}
    done |= {f"blur, sigma {sigma:g} px": (48, blurred(sigma)) for sigma in SIGMAS}
    return done | {f"{px} px a side": (px, tiny(px)) for px in SIDES_PX}


def measure(bundle: Bundle, part: Samples, n: int, seed: int) -> list[dict[str, Any]]:
    """A row for each way of spoiling `n` crops."""
    rows = stratified_rows(part.y, n, seed)
    crops, y = part.x[rows, :, :, 0], part.y[rows]
    table_rows = []
    for name, (side_px, spoil) in spoiled(np.random.default_rng(seed)).items():
        bad = np.stack([spoil(crop) for crop in crops])
        values = np.array([crop_quality(crop, _STRAIGHT, side_px).value for crop in bad])
        table_rows.append(_row(name, bundle.classify(bad).argmax(1) == y, values))
    return table_rows


def turned(bundle: Bundle, part: Samples, n: int, seed: int) -> list[dict[str, Any]]:
    """A row for each range of TURNS, of `n` faces in scenes that were found."""
    detector, seen = find_detector(), []
    for scene in scenes(part, n, 180, seed):
        if (face := find_pasted_face(scene, detector)) is not None:
            crop = bundle.crop(scene.gray, face, detector.name)
            right = int(bundle.classify(crop[None]).argmax()) == part.y[scene.row]
            seen.append((head_turn(face), right, crop_quality(crop, face, 180).value))
    by, good, values = np.array(seen, float).T
    rows = []
    for low, high in itertools.pairwise(TURNS):
        inside = (by >= low) & (by < high)
        rows.append(_row(f"turned {low:g} to {high:g}", good[inside] > 0, values[inside]))
    return rows


def _row(name: str, right: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    is_sure = values >= Settings().min_quality
    return {
        "what": name,
        "n": len(right),
        "accuracy": float(right.mean()) if len(right) else None,
        "quality": float(np.median(values)) if len(right) else None,
        "unsure": float(1 - is_sure.mean()) if len(right) else None,
        "accuracy_said": float(right[is_sure].mean()) if is_sure.any() else None,
    }


def text(result: dict[str, Any]) -> str:
    """The table for people."""
    lines = [
        f"{result['bundle']}, validation faces, seed {result['seed']}, on {result['host']},"
        f" load {result['load']:g} of {result['cores']}",
        "",
    ]
    lines += [f"{'':22}{'n':>7}{'accuracy':>10}{'quality':>9}{'unsure':>8}{'accuracy of the rest':>22}"]
    for row in result["rows"]:
        cells = [
            f"{row[name]:.1%}" if row[name] is not None else "" for name in ("accuracy", "unsure", "accuracy_said")
        ]
        middle = "" if row["quality"] is None else f"{row['quality']:.2f}"
        lines.append(f"{row['what']:22}{row['n']:>7,}{cells[0]:>10}{middle:>9}{cells[1]:>8}{cells[2]:>22}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments, measures, and prints the table."""
    parser = bench_parser("image_quality", __doc__, with_data=True)
    parser.add_argument("--n", type=whole_number(1), default=1500)
    args = parser.parse_args(argv)
    return exit_code_of(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    bundle = Bundle.load(args.bundle)
    part = load(args.data, bundle.side, classes=bundle.labels).part("validation")
    rows = measure(bundle, part, args.n, args.seed) + turned(bundle, part, args.n, args.seed)
    result = {
        **bundle_facts(bundle),
        "part": "validation",
        "seed": args.seed,
        "rows": rows,
    }
    return reported("image-quality", result, text, args)


if __name__ == "__main__":
    sys.exit(main())
