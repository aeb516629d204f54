"""What a detector does to the faces of a data set: how many it finds in scenes, and what a model says of its crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convert.crops.synthetic_scenes import find_in, scenes, stratified, watched
from convert.data.samples import Samples
from convert.evaluate.bootstrap import difference, resamples
from convert.evaluate.metrics import Interval
from fer_edge.bundle import Bundle
from fer_edge.detection.types import Detector, Face
from fer_edge.errors import NotEnoughData
from fer_edge.preprocess import face_crop

FACES = 1500


@dataclass(frozen=True, slots=True)
class Row:
    """A detector at one size: `n` faces shown, `found` of them found. Shares 0–1 and of those found; None where none was.

    `accuracy_crop` is on the data set's own crops, `accuracy_detected` on the detected ones, `accuracy_box` on the boxes
    themselves without a mapping. `difference` is detected less own, paired. `same_label`: detected and own crop agree.
    `accuracy_all` is of all `n`, missed faces counted wrong.
    """

    detector: str
    size_px: int
    n: int
    found: int
    found_share: float
    accuracy_crop: float | None
    accuracy_detected: float | None
    accuracy_box: float | None
    difference: Interval | None
    same_label: float | None
    accuracy_all: float


@dataclass(frozen=True, slots=True)
class Shown:
    """The faces that are shown: a part of a set, which of it, the labels a bundle gives their own crops, and where."""

    part: Samples
    bundle: Bundle
    n: int
    seed: int
    own: dict[int, int]  # row of the part: index into the bundle's labels

    @staticmethod
    def of(samples: Samples, bundle: Bundle, n: int = FACES, seed: int = 0) -> Shown:
        """`n` of the validation faces. Raises NotEnoughData when there are none.

        `samples` are read with the bundle's side and labels.
        """
        part = samples.part("validation")
        rows = stratified(part.y, n, seed)
        if not len(rows):
            raise NotEnoughData("the set has no validation part; there is no face to show")
        own = bundle.classify(part.x[rows, :, :, 0]).argmax(1)
        return Shown(part, bundle, len(rows), seed, dict(zip(rows.tolist(), own.tolist(), strict=True)))

    def accuracy(self) -> float:
        """The accuracy on the own crops of all that are shown, found or not."""
        return float(np.mean([self.part.y[row] == said for row, said in self.own.items()]))

    def said(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """The bundle's labels int64 (N,) of crops uint8 (side, side)."""
        return self.bundle.classify(np.stack(crops)).argmax(1)


def look(shown: Shown, detector: Detector, size_px: int) -> tuple[Row, list[Face | None]]:
    """What `detector` does at one size, and the face that it found in each scene."""
    side = shown.bundle.side
    faces: list[Face | None] = []
    own, detected, raw, true = [], [], [], []
    what = f"{detector.name} {size_px} px"
    for scene in watched(scenes(shown.part, shown.n, size_px, shown.seed), shown.n, what):
        faces.append(face := find_in(scene, detector))
        if face is None:
            continue
        both = [
            shown.bundle.crop(scene.gray, face, detector.name),
            face_crop(scene.gray, face.xywh, side),
        ]
        mapped, box = shown.said(both)
        own.append(shown.own[scene.row])
        detected.append(mapped)
        raw.append(box)
        true.append(shown.part.y[scene.row])
    found = len(true)
    if not found:
        return Row(detector.name, size_px, shown.n, 0, 0.0, None, None, None, None, None, 0.0), faces
    y, before, after = np.array(true), np.array(own) == true, np.array(detected) == true
    return Row(
        detector=detector.name,
        size_px=size_px,
        n=shown.n,
        found=found,
        found_share=found / shown.n,
        accuracy_crop=float(before.mean()),
        accuracy_detected=float(after.mean()),
        accuracy_box=float((np.array(raw) == y).mean()),
        difference=_paired(before, after),
        same_label=float((np.array(own) == np.array(detected)).mean()),
        accuracy_all=float(after.sum() / shown.n),
    ), faces


def _paired(before: np.ndarray, after: np.ndarray) -> Interval:
    """The difference of two accuracies on the same faces, bool (N,) each, and its 95 % interval over resampled faces."""
    change = after.astype(np.float32) - before.astype(np.float32)
    told = difference(len(change), before.mean(), after.mean(), resamples(len(change)) @ change / len(change))
    return Interval(told["difference"], told["low"], told["high"])
