"""The images on which the ranges of an int8 model are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.data.samples import Samples
from fer_edge.errors import NotEnoughData

PER_CLASS = 50  # training images of each class; 350 in all, of the 100 to 500 that are usual


@dataclass(frozen=True)
class Calibration:
    """The images an int8 file's ranges are chosen on: `x` uint8 (N, side, side), and where they come from."""

    x: np.ndarray
    origin: dict[str, Any]  # JSON values; for data: the file names and their indices in the training part


def from_data(samples: Samples, per_class: int = PER_CLASS, seed: int = 0) -> Calibration:
    """A sample of the training part, the same number of each class where the class has that many.

    Raises NotEnoughData when the training part is empty.
    """
    part = samples.part("train")
    if not len(part.y):
        raise NotEnoughData("the set has no training part to calibrate on; give one with images in it")
    rng = np.random.default_rng(seed)
    picks = [rng.permutation(np.flatnonzero(part.y == k))[:per_class] for k in np.unique(part.y)]
    rows = np.sort(np.concatenate(picks))
    origin = {
        "kind": "training images",
        "images": len(rows),
        "per_class": per_class,
        "seed": seed,
        "indices": [int(i) for i in rows],  # into the training part, in the order of its file names
        "files": [part.source[i] for i in rows],
    }
    return Calibration(part.x[rows, :, :, 0], origin)
