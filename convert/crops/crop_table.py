"""The table of accuracies on detected crops, by detector and size of the face.

Validation faces are pasted into synthetic scenes, detected, mapped and cropped as on the device. For each detected face the
label of the detected crop is compared with the label of the data set's own crop; missed faces are counted separately.
The sensitivity sweep adds the accuracy with a wrong mapping: the square scaled, shifted or rotated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from convert.crops.detected_crops import CropExperiment, CropScores, measure_detector
from convert.crops.sensitivity import SweepPoint, sweep_mapping
from convert.evaluate.bootstrap import DRAWS, SEED
from convert.progress_bar import progress_bar
from fer_edge.console import message
from fer_edge.detection.registry import DETECTORS, find_detector
from fer_edge.detection.types import Detector
from fer_edge.errors import UsageError
from fer_edge.face_crop import CropMapping
from fer_edge.json_fields import to_json

SIZES_PX = (60, 90, 120, 180, 240, 300, 400, 460)
FAR_SIZES_PX = (30, 40, 60, 90)  # with --far
SWEEP_PX = 120  # or the next larger size at which a detector finds half of the faces


@dataclass(frozen=True, slots=True)
class CropTable:
    """The rows by detector and size, the points of the sweep (empty without --sweep), and the conditions of both."""

    bundle: str
    bundle_sha256: str
    part: str
    n: int
    seed: int
    scene_px: tuple[int, int]  # height, width
    bootstrap: dict[str, int]
    accuracy_crops: float  # on the data set's own crops of all n faces
    mappings: dict[str, CropMapping]
    rows: tuple[CropScores, ...]
    sweep: tuple[SweepPoint, ...]

    def to_json(self) -> dict[str, Any]:
        """The table as JSON values."""
        values: dict[str, Any] = to_json(self)
        return values


def measure_crops(
    experiment: CropExperiment, detectors: Sequence[Detector], sizes_px: Sequence[int], with_sweep: bool
) -> CropTable:
    """The table of these detectors at these sizes."""
    rows: list[CropScores] = []
    points: list[SweepPoint] = []
    every = progress_bar(total=len(detectors) * len(sizes_px) * experiment.n, title="scenes", unit="scene")
    for detector in detectors:
        measured = []
        for size_px in sorted(sizes_px):
            every.set_description(f"{detector.name} {size_px} px", refresh=False)
            measured.append(measure_detector(experiment, detector, size_px, every.update))
        rows += [scores for scores, _ in measured]
        if with_sweep and any(scores.found for scores, _ in measured):
            eligible = [pair for pair in measured if pair[0].size_px >= SWEEP_PX and pair[0].found_share >= 0.5]
            scores, faces = eligible[0] if eligible else max(measured, key=lambda pair: pair[0].found)
            points += sweep_mapping(experiment, detector.name, scores.size_px, faces)
    every.close()
    return CropTable(
        bundle=experiment.bundle.name,
        bundle_sha256=experiment.bundle.sha256,
        part="validation",
        n=experiment.n,
        seed=experiment.seed,
        scene_px=experiment.shape,
        bootstrap={"draws": DRAWS, "seed": SEED},
        accuracy_crops=experiment.accuracy(),
        mappings={detector.name: experiment.bundle.mapping(detector.name) for detector in detectors},
        rows=tuple(rows),
        sweep=tuple(points),
    )


def crop_table_text(table: CropTable) -> str:
    """The table as text."""
    height, width = table.scene_px
    lines = [
        f"{table.bundle}: {table.n:,} validation faces in {width}×{height} scenes, seed {table.seed}; "
        f"accuracy on all their own crops {table.accuracy_crops:.1%}",
        "",
        f"{'':22}{'size':>7}{'found':>15}{'some face':>11}{'own crop':>10}{'detected':>10}   {'difference, 95 %':24}"
        f"{'same label':>10}{'box itself':>12}{'missed wrong':>14}",
    ]
    for row in table.rows:
        lines.append(
            f"{row.detector:22}{row.size_px:>4} px{row.found:>7,} {row.found_share:>6.1%}{row.some_face_share:>11.1%}"
        )
        if row.difference is not None:
            d = row.difference
            span = f"{d.value * 100:+.1f} ({_points(d.low)} to {_points(d.high)})"
            lines[-1] += (
                f"{row.accuracy_crop:>10.1%}{row.accuracy_detected:>10.1%}   {span:24}"
                f"{row.same_label:>10.1%}{row.accuracy_box:>12.1%}{row.accuracy_all:>14.1%}"
            )
    cells: dict[tuple[str, int, int, str], list[str]] = {}
    for point in table.sweep:
        key = (point.detector, point.size_px, point.n, point.axis)
        cells.setdefault(key, []).append(f"{_offset_text(point)} {point.accuracy:.1%}")
    if cells:
        lines += ["", "accuracy where the mapping is off (level: the share of the eyes' tilt undone)"]
    lines += [f"{name}, {px} px, n = {n:,}, {axis:6}  " + "  ".join(row) for (name, px, n, axis), row in cells.items()]
    return "\n".join(lines)


def _points(share: float | None) -> str:
    """A difference of shares in percentage points."""
    return "?" if share is None else f"{share * 100:+.1f}"


def _offset_text(point: SweepPoint) -> str:
    if point.axis == "turn":
        return f"{point.by:+.0f}°"
    return f"{point.by:.0%}" if point.axis == "level" else f"{point.by:+.0%}"


def installed_detectors(name: str) -> Iterator[Detector]:
    """The detector of this name; for "all" each that is installed, with a message on each that is not."""
    if name != "all":
        yield find_detector(name)
        return
    for detector in DETECTORS:
        try:
            yield find_detector(detector)
        except UsageError as error:
            message(f"left out: {error}")
