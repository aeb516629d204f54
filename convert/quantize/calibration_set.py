"""The images on which the ranges of an int8 model are chosen, and the record of where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.data.samples import Samples
from fer_edge.bundle_provenance import CalibrationRecord
from fer_edge.errors import NotEnoughData
from fer_edge.json_fields import to_json

PER_CLASS = 50  # training images of each class; 350 in all, of the 100 to 500 that are usual


@dataclass(frozen=True, slots=True)
class Calibration:
    """calibration.json: the record that bundle.json holds too and, for images of a data set, which ones they are."""

    record: CalibrationRecord
    indices: tuple[int, ...] = ()  # into the training part, in the order of its file names
    files: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The JSON values of calibration.json."""
        values: dict[str, Any] = to_json(self.record)
        return {**values, "indices": list(self.indices), "files": list(self.files)} if self.files else values


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """The images that int8 ranges are chosen on: `x` uint8 (N, side, side), and where they come from."""

    x: np.ndarray
    origin: Calibration


def calibration_set(samples: Samples, per_class: int = PER_CLASS, seed: int = 0) -> CalibrationSet:
    """A sample of the training part, the same number of each class where the class has that many.

    Raises NotEnoughData when the training part is empty.
    """
    part = samples.part("train")
    if not len(part.y):
        raise NotEnoughData("the set has no training part to calibrate on; give one with images in it")
    rng = np.random.default_rng(seed)
    picks = [rng.permutation(np.flatnonzero(part.y == k))[:per_class] for k in np.unique(part.y)]
    rows = np.sort(np.concatenate(picks))
    record = CalibrationRecord("training images", images=len(rows), per_class=per_class, seed=seed)
    origin = Calibration(record, tuple(int(i) for i in rows), tuple(part.source[i] for i in rows))
    return CalibrationSet(part.x[rows, :, :, 0], origin)
