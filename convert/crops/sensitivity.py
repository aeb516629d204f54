"""The accuracy around a mapping: what a model would say if the detected square were wider, shifted, turned or levelled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from convert.crops.detected_crops import Shown
from convert.crops.synthetic_scenes import scenes, watched
from fer_edge.detection.types import Face
from fer_edge.preprocess import Mapping, cut, square, tilt_rad

SWEEP = {
    "margin": (-0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4),  # of the square's side
    "right": (-0.2, -0.1, 0.0, 0.1, 0.2),  # sides of the square
    "down": (-0.2, -0.1, 0.0, 0.1, 0.2),
    "turn": (-20.0, -10.0, 0.0, 10.0, 20.0),  # degrees, clockwise
    "level": (0.0, 0.25, 0.5, 0.75, 1.0),  # share of the eyes' tilt that is undone, instead of the mapping's
}


@dataclass(frozen=True, slots=True)
class Step:
    """The accuracy of `n` found faces of one size where the mapping is off `by` so much on one of SWEEP's axes."""

    detector: str
    size_px: int
    n: int
    axis: str
    by: float
    accuracy: float


def sweep(shown: Shown, detector: str, size_px: int, faces: list[Face | None]) -> list[Step]:
    """The accuracy around a detector's mapping, on the `faces` that `look` gave at that size, at least one of them found."""
    levels = any(face and face.eyes for face in faces)
    steps = [(axis, by) for axis, values in SWEEP.items() for by in values if axis != "level" or levels]
    hits = dict.fromkeys(steps, 0)
    found = 0
    what = f"{detector} {size_px} px, sweep"
    for scene, face in zip(
        watched(scenes(shown.part, shown.n, size_px, shown.seed), shown.n, what), faces, strict=True
    ):
        if face is None:
            continue
        found += 1
        mapping = shown.bundle.mapping(face.by or detector)
        known: dict[tuple[tuple[int, int, int], float], int] = {}  # what is off by nothing is asked once
        for (axis, by), square_px, turn_rad in _off(steps, mapping, face, scene.gray.shape):
            if (square_px, turn_rad) not in known:
                crop = cut(scene.gray, square_px, shown.bundle.side, turn_rad)
                known[square_px, turn_rad] = int(shown.said([crop])[0])
            hits[axis, by] += known[square_px, turn_rad] == int(shown.part.y[scene.row])
    return [Step(detector, size_px, found, axis, by, count / found) for (axis, by), count in hits.items()]


def _off(
    steps: list[tuple[str, float]], mapping: Mapping, face: Face, shape: tuple[int, ...]
) -> Iterator[tuple[tuple[str, float], tuple[int, int, int], float]]:
    """For each step the square and the turn in radians that it makes of a face."""
    tilt = tilt_rad(face.eyes) if face.eyes else 0.0
    for axis, by in steps:
        off, turn_rad = mapping, mapping.level * tilt
        if axis == "margin":
            off = replace(mapping, scale=mapping.scale * (1 + by), grow=mapping.grow * (1 + by))
        elif axis == "right":
            off = replace(mapping, dx=mapping.dx + by)
        elif axis == "down":
            off = replace(mapping, dy=mapping.dy + by)
        elif axis == "turn":
            turn_rad += float(np.deg2rad(by))
        else:
            turn_rad = by * tilt
        yield (axis, by), square(face.xywh, off, shape), turn_rad
