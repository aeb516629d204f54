"""`python -m convert.mapping --data PATH`: how a detector's box becomes the crop that models were trained on.

FER2013's crops are tight and a detector's boxes are not. Training faces are pasted into scenes at many sizes;
what lies between the box and the true square is the mapping, and what remains around it is the jitter that a model meets on
the device. `python -m convert.crops` measures the loss of accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convert.crops.synthetic_scenes import SCENE, find_pasted_face, scenes, with_progress_bar
from convert.data.detector_mappings import DEFAULT_LEVEL
from convert.data.samples import Samples
from fer_edge.detection.two_stage import TwoStageDetector
from fer_edge.detection.types import Detector
from fer_edge.errors import NotEnoughData
from fer_edge.face_crop import CropMapping, eye_tilt_rad

FACES, SIZES_PX = 4000, (50, 320)
MIN_FOUND = 50  # found faces, for a median


@dataclass(frozen=True, slots=True)
class FittedMapping:
    """A mapping, and the faces that it was fitted on.

    `found` of `n` faces were found; their sides were between the two of `sizes_px`. The jitter is the error that remains after
    the mapping, as standard deviations: of the true side over the mapped one, and of the centre's shifts in sides of the
    mapped square. `tilt` is the mean and the standard deviation of the tilt of the line between the eyes, in degrees,
    clockwise positive; None where the detector returns no eyes.
    """

    detector: str
    mapping: CropMapping
    n: int
    found: int
    sizes_px: tuple[int, int]
    seed: int
    jitter_scale: float
    jitter_dx: float
    jitter_dy: float
    tilt: tuple[float, float] | None


def fit_mapping(
    samples: Samples, detector: Detector, seed: int = 0, n: int = FACES, sizes_px: tuple[int, int] = SIZES_PX
) -> FittedMapping:
    """The median mapping from the detector's boxes to the true squares of `n` training faces of many sizes.

    The box of a face of side s is p·s − q wide, with q some pixels of the detector's own small input: as a ratio alone,
    BlazeFace's scale is 1.54 at 60 px and 1.19 at 240 px. p and q are fitted by median regression of the box on the side,
    because the box is what scatters; the mapping is the inverse. Raises NotEnoughData when the set has no training part or
    too few faces are found.
    """
    part = samples.part("train")
    n_scenes, rows, tilts = 0, [], []
    for scene in with_progress_bar(scenes(part, n, sizes_px, seed), n, detector.name):
        n_scenes += 1
        if (face := find_pasted_face(scene, detector)) is not None and face.detector in ("", detector.name):
            x, y, w, h = face.xywh
            (left, top), size = scene.xy, scene.size_px
            rows.append((size, max(w, h), left + size / 2 - (x + w / 2), top + size / 2 - (y + h / 2)))
            tilts += [np.rad2deg(eye_tilt_rad(face.eyes))] if face.eyes else []
    if len(rows) < MIN_FOUND:
        raise NotEnoughData(
            f"{detector.name} found {len(rows)} of {n_scenes} training faces of {sizes_px[0]} to {sizes_px[1]} px; "
            f"a mapping needs {MIN_FOUND}"
        )
    size, box, shift_x, shift_y = np.array(rows, np.float64).T
    if isinstance(detector, TwoStageDetector):  # its box is proportional: it detects each face at the same size
        slope, offset = float(np.median(box / size)), 0.0
    else:
        slope, offset = _median_line(max(SCENE) / size, box / size)  # the box as a share of the side
    scale, grow = round(1 / slope, 3), round(-offset / slope, 4)
    side = scale * box + grow * max(SCENE)
    mapping = CropMapping(
        scale,
        round(float(np.median(shift_x / side)), 3),
        round(float(np.median(shift_y / side)), 3),
        grow,
        DEFAULT_LEVEL if tilts else 0.0,
    )
    return FittedMapping(
        detector=detector.name,
        mapping=mapping,
        n=n_scenes,
        found=len(rows),
        sizes_px=sizes_px,
        seed=seed,
        jitter_scale=float((size / side).std()),
        jitter_dx=float((shift_x / side).std()),
        jitter_dy=float((shift_y / side).std()),
        tilt=(float(np.mean(tilts)), float(np.std(tilts))) if tilts else None,
    )


def _median_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The intercept and the slope of the median regression line of points (N,)."""
    from sklearn.linear_model import QuantileRegressor

    line = QuantileRegressor(quantile=0.5, alpha=0, solver="highs").fit(x[:, None], y)
    return float(line.intercept_), float(line.coef_[0])
