"""`python -m convert.mapping --data PATH`: how a detector's box becomes the crop that models were trained on.

FER2013's crops are tight and a detector's boxes are not. Training faces are pasted into scenes at many sizes;
what lies between the box and the true square is the mapping, and what remains around it is the jitter that a model meets on
the device. `python -m convert.crops` says what that costs a model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convert.crops.synthetic_scenes import SCENE, find_in, scenes, watched
from convert.data.detector_mappings import LEVEL
from convert.data.samples import Samples
from fer_edge.detection.two_stage import Zoomed
from fer_edge.detection.types import Detector
from fer_edge.errors import NotEnoughData
from fer_edge.preprocess import Mapping, tilt_rad

FACES, SIZES_PX = 4000, (50, 320)
MIN_FOUND = 50  # fewer found faces give no median worth the name


@dataclass(frozen=True, slots=True)
class FittedMapping:
    """A mapping, and how much it rests on.

    `n` faces were shown, of sides between the two of `sizes_px`, and `found` of them found. The jitter is what the mapping
    leaves, as standard deviations: of the true side over the mapped one, and of the centre's shifts in sides of the mapped
    square. `tilt` is the mean and the standard deviation of the line between the eyes, in degrees, clockwise positive; None
    where the detector gives no eyes.
    """

    detector: str
    mapping: Mapping
    n: int
    found: int
    sizes_px: tuple[int, int]
    seed: int
    jitter_scale: float
    jitter_dx: float
    jitter_dy: float
    tilt: tuple[float, float] | None


def fit(
    samples: Samples, detector: Detector, seed: int = 0, n: int = FACES, sizes_px: tuple[int, int] = SIZES_PX
) -> FittedMapping:
    """The median mapping from the detector's boxes to the true squares of `n` training faces of many sizes.

    Detectors draw the box of a face of side s as p·s − q, with q some pixels of their own small input: taken as a ratio
    alone, BlazeFace's scale is 1.54 at 60 px and 1.19 at 240 px. p and q are fitted as medians of the box given the side,
    for the box is what scatters; the mapping is their inverse. Raises NotEnoughData when the set has no training part or
    too few faces are found.
    """
    part = samples.part("train")
    shown, rows, tilts = 0, [], []
    for scene in watched(scenes(part, n, sizes_px, seed), n, detector.name):
        shown += 1
        if (face := find_in(scene, detector)) is not None and face.by in ("", detector.name):
            x, y, w, h = face.xywh
            (left, top), size = scene.xy, scene.size_px
            rows.append((size, max(w, h), left + size / 2 - (x + w / 2), top + size / 2 - (y + h / 2)))
            tilts += [np.rad2deg(tilt_rad(face.eyes))] if face.eyes else []
    if len(rows) < MIN_FOUND:
        raise NotEnoughData(
            f"{detector.name} found {len(rows)} of {shown} training faces of {sizes_px[0]} to {sizes_px[1]} px; "
            f"a mapping wants {MIN_FOUND}"
        )
    size, box, right, down = np.array(rows, np.float64).T
    if isinstance(detector, Zoomed):  # it draws each face at the same size
        slope, offset = float(np.median(box / size)), 0.0
    else:
        slope, offset = _median_line(max(SCENE) / size, box / size)  # the box's share of the side
    scale, grow = round(1 / slope, 3), round(-offset / slope, 4)
    side = scale * box + grow * max(SCENE)
    mapping = Mapping(
        scale,
        round(float(np.median(right / side)), 3),
        round(float(np.median(down / side)), 3),
        grow,
        LEVEL if tilts else 0.0,
    )
    return FittedMapping(
        detector=detector.name,
        mapping=mapping,
        n=shown,
        found=len(rows),
        sizes_px=sizes_px,
        seed=seed,
        jitter_scale=float((size / side).std()),
        jitter_dx=float((right / side).std()),
        jitter_dy=float((down / side).std()),
        tilt=(float(np.mean(tilts)), float(np.std(tilts))) if tilts else None,
    )


def _median_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The constant and the slope of the line with as many points (N,) above as below it, at every x."""
    from sklearn.linear_model import QuantileRegressor

    line = QuantileRegressor(quantile=0.5, alpha=0, solver="highs").fit(x[:, None], y)
    return float(line.intercept_), float(line.coef_[0])
