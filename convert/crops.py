"""`python -m convert.crops --data PATH --bundle BUNDLE`: what a detector's crops cost a model, near and far.

Validation faces are pasted into scenes (convert.scenes), found, mapped and cropped as the device does it. On the faces that
were found, the label from the detected crop stands beside the label from the data set's own; missed faces are told apart.
With --sweep it also says what a mapping that is a little off would give: the square wider, shifted, turned.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from convert.arguments import whole_number
from convert.bootstrap import DRAWS, SEED
from convert.checkpoint import write_beside
from convert.data import load, remarks
from convert.detection import FACES, Row, Shown, look
from convert.scenes import SCENE
from convert.sweep import Step, sweep
from fer_edge.bundle import Bundle
from fer_edge.errors import UsageError, guarded
from fer_edge.faces import DETECTORS, Detector, find_detector

SIZES_PX = (60, 90, 120, 180, 240)
SWEEP_PX = 120  # or the next size up of which a detector finds half


def table(shown: Shown, detectors: Sequence[Detector], sizes_px: Sequence[int], with_sweep: bool) -> dict[str, Any]:
    """Everything that is reported, ready for JSON: `rows`, `sweep` (empty when not asked for), and what they rest on."""
    rows: list[Row] = []
    steps: list[Step] = []
    for detector in detectors:
        seen = [look(shown, detector, size_px) for size_px in sorted(sizes_px)]
        rows += [row for row, _ in seen]
        if with_sweep and any(row.found for row, _ in seen):
            half = [s for s in seen if s[0].size_px >= SWEEP_PX and s[0].found_share >= 0.5]
            row, faces = half[0] if half else max(seen, key=lambda s: s[0].found)
            steps += sweep(shown, detector.name, row.size_px, faces)
    return {
        "bundle": shown.bundle.name,
        "bundle_sha256": shown.bundle.sha256,
        "part": "validation",
        "n": shown.n,
        "seed": shown.seed,
        "scene_px": list(SCENE),
        "bootstrap": {"draws": DRAWS, "seed": SEED},
        "accuracy_crops": shown.accuracy(),
        "mappings": {detector.name: asdict(shown.bundle.mapping(detector.name)) for detector in detectors},
        "rows": [asdict(row) for row in rows],
        "sweep": [asdict(step) for step in steps],
    }


def text(told: dict[str, Any]) -> str:
    """The table for people."""
    height, width = told["scene_px"]
    lines = [
        f"{told['bundle']}: {told['n']:,} validation faces in {width}×{height} scenes, seed {told['seed']}; "
        f"accuracy on all their own crops {told['accuracy_crops']:.1%}",
        "",
        f"{'':22}{'size':>7}{'found':>15}{'own crop':>10}{'detected':>10}   {'difference, 95 %':24}"
        f"{'same label':>10}{'box itself':>12}{'missed wrong':>14}",
    ]
    for row in told["rows"]:
        lines.append(f"{row['detector']:22}{row['size_px']:>4} px{row['found']:>7,} {row['found_share']:>6.1%}")
        if row["found"]:
            d = row["difference"]
            span = f"{d['value'] * 100:+.1f} ({d['low'] * 100:+.1f} to {d['high'] * 100:+.1f})"
            lines[-1] += (
                f"{row['accuracy_crop']:>10.1%}{row['accuracy_detected']:>10.1%}   {span:24}"
                f"{row['same_label']:>10.1%}{row['accuracy_box']:>12.1%}{row['accuracy_all']:>14.1%}"
            )
    swept: dict[tuple[str, int, int, str], list[str]] = {}
    for step in told["sweep"]:
        by = (
            f"{step['by']:+.0f}°"
            if step["axis"] == "turn"
            else f"{step['by']:{'+' if step['axis'] != 'level' else ''}.0%}"
        )
        key = (step["detector"], step["size_px"], step["n"], step["axis"])
        swept.setdefault(key, []).append(f"{by} {step['accuracy']:.1%}")
    if swept:
        lines += ["", "accuracy where the mapping is off (level: the share of the eyes' tilt undone)"]
    lines += [
        f"{name}, {px} px, n = {n:,}, {axis:6}  " + "  ".join(cells) for (name, px, n, axis), cells in swept.items()
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments, and prints the table or writes it."""
    parser = argparse.ArgumentParser(prog="python -m convert.crops", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="any data set that `python -m convert.data` reads")
    parser.add_argument("--bundle", type=Path, help="a bundle's folder; default: the one that came with the package")
    parser.add_argument(
        "--detector", choices=(*DETECTORS, "all"), default="all", help="default: all that are installed"
    )
    parser.add_argument("--n", type=whole_number(1), default=FACES, help=f"faces (default {FACES})")
    parser.add_argument(
        "--sizes",
        type=whole_number(24),
        nargs="+",
        default=SIZES_PX,
        metavar="PX",
        help="of the faces (default 60 to 240)",
    )
    parser.add_argument("--sweep", action="store_true", help="also what a mapping that is a little off would give")
    parser.add_argument("--seed", type=whole_number(0), default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the JSON there too")
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if max(args.sizes) > min(SCENE):
        raise UsageError(f"--sizes {max(args.sizes)} does not fit into a {SCENE[1]}×{SCENE[0]} scene")
    if args.out and (args.out.is_dir() or not args.out.absolute().parent.is_dir()):
        raise UsageError(f"{args.out} cannot be written: name a file in a folder that is there")
    bundle = Bundle.load(args.bundle)
    detectors = list(_detectors(args.detector))
    samples = load(args.data, bundle.side, classes=bundle.labels)
    for remark in remarks(samples):
        _say(remark)
    told = table(Shown.of(samples, bundle, args.n, args.seed), detectors, args.sizes, args.sweep)
    if args.out:
        raw = json.dumps(told, indent=1) + "\n"
        write_beside(args.out, lambda path: Path(path).write_text(raw))
    print(json.dumps(told) if args.json else text(told))
    return 0


def _detectors(name: str) -> Iterator[Detector]:
    """The detector called so, or with "all" each that is installed."""
    if name != "all":
        yield find_detector(name)
        return
    for each in DETECTORS:
        try:
            yield find_detector(each)
        except UsageError as error:
            _say(f"left out: {error}")


def _say(remark: str) -> None:
    print(f"fer-edge: {remark}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
