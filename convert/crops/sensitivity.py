"""The accuracy with a changed mapping: the detected square scaled, shifted, rotated or upright."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from convert.crops.detected_crops import CropExperiment
from convert.crops.synthetic_scenes import with_progress_bar
from fer_edge.detection.types import Face
from fer_edge.face_crop import CropMapping, crop_square, cut_square, eye_tilt_rad, subsample_square

SWEEP = {
    "margin": (-0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4),  # of the square's side
    "right": (-0.2, -0.1, 0.0, 0.1, 0.2),  # sides of the square
    "down": (-0.2, -0.1, 0.0, 0.1, 0.2),
    "turn": (-20.0, -10.0, 0.0, 10.0, 20.0),  # degrees, clockwise
    "level": (0.0, 0.25, 0.5, 0.75, 1.0),  # share of the eyes' tilt that is undone, instead of the mapping's
}


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """The accuracy on `n` found faces of one size, with an error `by` of the mapping on one of SWEEP's axes."""

    detector: str
    size_px: int
    n: int
    axis: str
    by: float
    accuracy: float


def sweep_mapping(
    experiment: CropExperiment, detector: str, size_px: int, faces: list[Face | None]
) -> list[SweepPoint]:
    """The accuracies around a detector's mapping on the `faces` that `measure_detector` returned; at least one is not None."""
    levels = any(face and face.eyes for face in faces)
    offsets = [(axis, by) for axis, values in SWEEP.items() for by in values if axis != "level" or levels]
    hits = dict.fromkeys(offsets, 0)
    found = 0
    title = f"{detector} {size_px} px, sweep"
    all_scenes = experiment.scenes(size_px)
    for scene, face in zip(with_progress_bar(all_scenes, experiment.n, title), faces, strict=True):
        if face is None:
            continue
        found += 1
        mapping = experiment.bundle.mapping(face.detector or detector)
        labels: dict[tuple[tuple[int, int, int], float], int] = {}  # an offset of 0 is classified once
        for (axis, by), square_px, rotation_rad in _squares(offsets, mapping, face, scene.gray.shape):
            if (square_px, rotation_rad) not in labels:
                crop = cut_square(*subsample_square(scene.gray, square_px), experiment.bundle.side, rotation_rad)
                labels[square_px, rotation_rad] = int(experiment.classify([crop])[0])
            hits[axis, by] += labels[square_px, rotation_rad] == int(experiment.part.y[scene.row])
    return [SweepPoint(detector, size_px, found, axis, by, count / found) for (axis, by), count in hits.items()]


def _squares(
    offsets: list[tuple[str, float]], mapping: CropMapping, face: Face, shape: tuple[int, ...]
) -> Iterator[tuple[tuple[str, float], tuple[int, int, int], float]]:
    """For each offset the square of a face in px, and its turn in radians."""
    tilt = eye_tilt_rad(face.eyes) if face.eyes else 0.0
    for axis, by in offsets:
        changed, rotation_rad = mapping, mapping.level * tilt
        if axis == "margin":
            changed = replace(mapping, scale=mapping.scale * (1 + by), grow=mapping.grow * (1 + by))
        elif axis == "right":
            changed = replace(mapping, dx=mapping.dx + by)
        elif axis == "down":
            changed = replace(mapping, dy=mapping.dy + by)
        elif axis == "turn":
            rotation_rad += float(np.deg2rad(by))
        else:
            rotation_rad = by * tilt
        yield (axis, by), crop_square(face.xywh, changed, shape), rotation_rad
