"""A detector on the faces of a data set: how many it finds in scenes, and a model's accuracy on its crops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from convert.crops.synthetic_scenes import SCENE, Scene, pasted_face, scenes, stratified_rows
from convert.data.samples import Samples
from convert.evaluate.bootstrap import interval, resamples
from convert.evaluate.metrics import Interval
from fer_edge.bundle import Bundle
from fer_edge.detection.types import Detector, Face
from fer_edge.errors import NotEnoughData
from fer_edge.face_crop import frame_crop

FACES = 1500


@dataclass(frozen=True, slots=True)
class CropScores:
    """A detector at one size of the face: it found `found` of `n`. Shares (0–1) of the found ones; None where none was.

    `some_face_share`, of all `n`, counts the scenes in which any face was found, also one whose box does not fit the pasted
    one: a data set's crop may show more than its face, or no face.

    `accuracy_crop` is on the data set's own crops, `accuracy_detected` on the detected ones, `accuracy_box` on the boxes
    without a mapping. `difference` is detected less own, paired. `same_label`: the labels of detected and own crop agree.
    `accuracy_all` is of all `n`, missed faces counted as wrong.
    """

    detector: str
    size_px: int
    n: int
    found: int
    found_share: float
    some_face_share: float
    accuracy_crop: float | None
    accuracy_detected: float | None
    accuracy_box: float | None
    difference: Interval | None
    same_label: float | None
    accuracy_all: float


@dataclass(frozen=True, slots=True)
class CropExperiment:
    """The faces of an experiment, and the bundle that classifies them."""

    part: Samples  # the validation part
    bundle: Bundle
    n: int  # faces
    seed: int  # for the faces and their places
    own_labels: dict[int, int]  # row of the part: index of the label that the bundle gives the data set's own crop
    shape: tuple[int, int] = SCENE  # height and width of the scenes in px

    @staticmethod
    def of(
        samples: Samples, bundle: Bundle, n: int = FACES, seed: int = 0, shape: tuple[int, int] = SCENE
    ) -> CropExperiment:
        """An experiment with `n` of the validation faces. Raises NotEnoughData when there are none.

        `samples` must be read with the bundle's side and labels.
        """
        part = samples.part("validation")
        rows = stratified_rows(part.y, n, seed)
        if not len(rows):
            raise NotEnoughData("the set has no validation part, so there are no faces")
        own = bundle.classify(part.x[rows, :, :, 0]).argmax(1)
        own_labels = dict(zip(rows.tolist(), own.tolist(), strict=True))
        return CropExperiment(part, bundle, len(rows), seed, own_labels, shape)

    def accuracy(self) -> float:
        """The accuracy on the own crops of all faces, found or not."""
        return float(np.mean([self.part.y[row] == label for row, label in self.own_labels.items()]))

    def scenes(self, size_px: int) -> Iterator[Scene]:
        """The scenes of the faces at one size."""
        return scenes(self.part, self.n, size_px, self.seed, self.shape)

    def classify(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """The indices int64 (N,) of the labels that the bundle gives crops uint8 (side, side)."""
        return self.bundle.classify(np.stack(crops)).argmax(1)


def measure_detector(
    experiment: CropExperiment, detector: Detector, size_px: int, scene_done: Callable[[], object] = lambda: None
) -> tuple[CropScores, list[Face | None]]:
    """The scores of a detector at one size, and the face that it found in each scene, after which `scene_done` is called."""
    side = experiment.bundle.side
    faces: list[Face | None] = []
    own, detected, boxes, true = [], [], [], []
    with_some_face = 0
    for scene in experiment.scenes(size_px):
        scene_done()
        in_scene = detector.detect(scene.gray)
        with_some_face += bool(in_scene)
        faces.append(face := pasted_face(scene, in_scene))
        if face is None:
            continue
        crops = [
            experiment.bundle.crop(scene.gray, face, detector.name),
            frame_crop(scene.gray, face.xywh, side)[0],
        ]
        detected_label, box_label = experiment.classify(crops)
        own.append(experiment.own_labels[scene.row])
        detected.append(detected_label)
        boxes.append(box_label)
        true.append(experiment.part.y[scene.row])
    found = len(true)
    if not found:
        some = with_some_face / experiment.n
        return CropScores(detector.name, size_px, experiment.n, 0, 0.0, some, None, None, None, None, None, 0.0), faces
    y, own_hits, detected_hits = np.array(true), np.array(own) == true, np.array(detected) == true
    return CropScores(
        detector=detector.name,
        size_px=size_px,
        n=experiment.n,
        found=found,
        found_share=found / experiment.n,
        some_face_share=with_some_face / experiment.n,
        accuracy_crop=float(own_hits.mean()),
        accuracy_detected=float(detected_hits.mean()),
        accuracy_box=float((np.array(boxes) == y).mean()),
        difference=_paired_difference(own_hits, detected_hits),
        same_label=float((np.array(own) == np.array(detected)).mean()),
        accuracy_all=float(detected_hits.sum() / experiment.n),
    ), faces


def _paired_difference(before: np.ndarray, after: np.ndarray) -> Interval:
    """The difference of two accuracies on the same faces, from hits bool (N,) each, and its bootstrapped 95 % interval."""
    change = after.astype(np.float32) - before.astype(np.float32)
    low, high = interval(resamples(len(change)) @ change / len(change))
    return Interval(float(after.mean()) - float(before.mean()), low, high)
