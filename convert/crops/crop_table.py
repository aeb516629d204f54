"""`python -m convert.crops --data PATH --bundle BUNDLE`: what a detector's crops cost a model, near and far.

Validation faces are pasted into synthetic scenes, detected, mapped and cropped as on the device. For each detected face the
label of the detected crop is compared with the label of the data set's own crop; missed faces are counted separately.
The sensitivity sweep also reports what a mapping that is a little off would give: the square wider, shifted, turned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from convert.crops.detected_crops import Row, Shown, look
from convert.crops.sensitivity import Step, sweep
from convert.crops.synthetic_scenes import SCENE
from convert.evaluate.bootstrap import DRAWS, SEED
from fer_edge.console import message
from fer_edge.detection.registry import DETECTORS, find_detector
from fer_edge.detection.types import Detector
from fer_edge.errors import UsageError

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


def _detectors(name: str) -> Iterator[Detector]:
    """The detector called so, or with "all" each that is installed."""
    if name != "all":
        yield find_detector(name)
        return
    for each in DETECTORS:
        try:
            yield find_detector(each)
        except UsageError as error:
            message(f"left out: {error}")
