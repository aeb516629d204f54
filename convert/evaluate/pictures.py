"""The evaluation of a model on whole pictures: detector, crop, classifier and threshold, as a device uses them.

Pictures stand in class folders. In each, the largest face counts. A folder `none` holds pictures without a face.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.data.archives import open_container
from convert.data.class_selection import Classes
from convert.data.detector_mappings import DETECTOR_MAPPINGS
from convert.data.picture import Picture
from convert.data.readers import read_pictures, with_progress_bar
from convert.evaluate.bootstrap import DRAWS, SEED, interval, resamples
from convert.evaluate.metrics import Interval, wilson_interval
from convert.evaluate.person_names import person_of
from convert.sources.checks import require_bundle
from convert.sources.opened_model import OpenedModel
from fer_edge.bundle import Bundle
from fer_edge.certainty import thresholds_by_label
from fer_edge.classifier import Runtime
from fer_edge.detection.registry import counted_faces, find_detector
from fer_edge.detection.types import Detector, Face
from fer_edge.errors import DataError
from fer_edge.events import UNSURE
from fer_edge.face_crop import IDENTITY, frame_crop
from fer_edge.folder_files import in_sentence
from fer_edge.json_fields import to_json
from fer_edge.label_priors import prior_ratio, weighted
from fer_edge.labels import NONE
from fer_edge.quality import Quality, crop_quality, unsure_reason
from fer_edge.thresholds import StatedPrior

MIN_PERSONS = 10  # names of persons from which on intervals are by person; fewer may be names of parts or classes
FEWEST_PERSONS = 5  # with pictures that a share counts; of fewer a share by person has no interval


BY_PERSON = (
    f"bootstrap over persons, {DRAWS} draws, seed {SEED}; of 0 and 100 % Wilson's, over persons; none from fewer than"
    f" {FEWEST_PERSONS} persons, or where all of them have the same share"
)


@dataclass(frozen=True, slots=True)
class FaceReader:
    """A model with a detector: `read` gives a face's probabilities float32 (K,) and the quality of its crop.

    `thresholds` are those of `thresholds_by_label`.
    """

    name: str
    labels: tuple[str, ...]
    detector: Detector
    read: Callable[[np.ndarray, Face], tuple[np.ndarray, Quality]]
    thresholds: tuple[float, ...]
    prior: StatedPrior | None = None  # by which the probabilities are weighted

    @staticmethod
    def of(
        model: OpenedModel,
        detector: str | None = None,
        runtime: Runtime | None = None,
        prior: StatedPrior | None = None,
    ) -> FaceReader:
        """The reader of a bundle with its mappings, temperature and thresholds; of another model with none of the last two.

        `prior` is the one that the owner of a device states. Raises UsageError for one with a model that is no bundle.
        """
        source = model.source
        if prior is not None:
            require_bundle(model.kind, source.path, "--prior")
        found = find_detector(detector)
        if model.kind == "bundle":
            bundle = Bundle.load(source.path.parent)
            ratio = prior_ratio(bundle.spec, prior)
            classifier = bundle.make_classifier(runtime)

            def read(gray: np.ndarray, face: Face) -> tuple[np.ndarray, Quality]:
                crop = bundle.crop(gray, face, found.name)
                probabilities = classifier.probabilities(crop[None], bundle.temperature)
                return weighted(probabilities, ratio)[0], bundle.quality(crop, gray, face, found.name)

            return FaceReader(bundle.name, bundle.labels, found, read, thresholds_by_label(bundle.spec), prior)
        plain = model.classifier(runtime)

        def read_plain(gray: np.ndarray, face: Face) -> tuple[np.ndarray, Quality]:
            mapping = DETECTOR_MAPPINGS.get(face.detector or found.name, IDENTITY)
            crop, side_px = frame_crop(gray, face.xywh, plain.side, mapping, face.eyes)
            return plain.probabilities(crop[None])[0], crop_quality(crop, face, side_px)

        return FaceReader(source.name, source.labels, found, read_plain, (0.0,) * len(source.labels))


@dataclass(frozen=True, slots=True)
class PictureOutcome:
    """What a picture of class `label` gave: the number of faces, the largest one's label, and what is reported of it.

    `predicted` and `reported` are None where no face was found; `reported` may be UNSURE.
    `group` is the person, or the picture.
    """

    label: str
    group: str
    faces: int
    predicted: str | None
    reported: str | None


@dataclass(frozen=True, slots=True)
class Proportion:
    """A share of `n`, with its 95 % interval; None where n is 0.

    The interval's limits are None where it would be by person, and too few persons contribute or all have the same share.
    """

    n: int
    share: Interval | None


@dataclass(frozen=True, slots=True)
class PictureScores:
    """The scores of the pictures of one class, or of all that show a face.

    Of the class NONE `found` is the share in which a face was found all the same, and the shares of right labels are None.
    """

    found: Proportion
    right_of_found: Proportion | None
    reported_of_found: Proportion
    right_of_reported: Proportion | None


@dataclass(frozen=True, slots=True)
class PictureReport:
    """The scores by class and in all, and by label the share of the pictures of which it was reported that are of its class.

    `intervals` says how the intervals were made. `several` counts pictures with more than one face. `unreadable` names files
    with their faults, `left_out` counts pictures of other classes, `other_files` are no pictures.
    """

    model: str
    detector: str
    pictures: int
    persons: int | None  # None where file names give none
    intervals: str
    several: int
    classes: dict[str, PictureScores]
    all_faces: PictureScores | None  # None where there are only pictures without a face
    right_by_label: dict[str, Proportion]
    unreadable: tuple[str, ...]
    left_out: dict[str, int]
    prior: str | None = None  # neutral=0.3: stated, and the probabilities are weighted by it
    other_files: tuple[str, ...] = ()

    def remarks(self) -> list[str]:
        """Sentences for the user on the files that were left out, with the names of the first."""
        count = len(self.other_files)
        if not count:
            return []
        return [f"{count:,} other file{'s' * (count > 1)} left out: {in_sentence(self.other_files)}"]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        values: dict[str, Any] = to_json(self)
        return values


def evaluate_pictures(reader: FaceReader, folder: Path) -> PictureReport:
    """The report on the pictures below `folder`, in class folders named as the reader's labels, or `none`.

    Raises DataError when there is no such picture, or none can be read.
    """
    classes = Classes((*(Classes.of(reader.labels).names or ()), NONE))
    outcomes: list[PictureOutcome] = []
    unreadable: list[str] = []
    left_out: Counter[str] = Counter()
    with open_container(folder) as files:
        found = read_pictures(files, None, classes)
        for picture in with_progress_bar(found.pictures, found.total, folder):
            if picture.fault:
                unreadable.append(f"{picture.source}: {picture.fault}")
            elif picture.label is None or picture.pixels is None:
                left_out[picture.class_name] += 1
            else:
                outcomes.append(_outcome(reader, picture, picture.label, picture.pixels))
    if not outcomes and unreadable:
        raise DataError(f"none of the pictures in {folder} can be read: {'; '.join(unreadable[:3])}")
    if not outcomes:
        others = ", ".join(sorted(left_out)) or "none at all"
        raise DataError(
            f"{folder} has no picture in a folder named {', '.join(reader.labels)} or {NONE}; its folders are {others}"
        )
    return picture_report(reader, outcomes, unreadable, left_out, found.other_files)


def picture_report(
    reader: FaceReader,
    outcomes: Sequence[PictureOutcome],
    unreadable: Iterable[str] = (),
    left_out: Counter[str] | None = None,
    other_files: tuple[str, ...] = (),
) -> PictureReport:
    """The report on these outcomes, at least one."""
    persons = {outcome.group for outcome in outcomes if "/" not in outcome.group}
    by_person = len(persons) >= MIN_PERSONS
    shares = _Shares(outcomes, by_person)
    present = [label for label in (*reader.labels, NONE) if any(outcome.label == label for outcome in outcomes)]
    with_face = [outcome.label != NONE for outcome in outcomes]
    return PictureReport(
        model=reader.name,
        detector=reader.detector.name,
        pictures=len(outcomes),
        persons=len(persons) if by_person else None,
        intervals=BY_PERSON if by_person else "Wilson's, over pictures",
        several=sum(outcome.faces > 1 for outcome in outcomes),
        classes={label: shares.scores([o.label == label for o in outcomes], label) for label in dict.fromkeys(present)},
        all_faces=shares.scores(with_face, "") if any(with_face) else None,
        right_by_label={
            label: shares.proportion([o.reported == label for o in outcomes], [o.label == label for o in outcomes])
            for label in reader.labels
            if any(o.reported == label for o in outcomes)
        },
        unreadable=tuple(unreadable),
        left_out=dict(sorted((left_out or {}).items())),
        prior=reader.prior.text if reader.prior else None,
        other_files=other_files,
    )


@dataclass(frozen=True, slots=True)
class _Shares:
    """The outcomes of a report, and whether pictures of one person are drawn together."""

    outcomes: Sequence[PictureOutcome]
    by_person: bool

    def scores(self, chosen: Sequence[bool], label: str) -> PictureScores:
        """The scores of the chosen outcomes, which are of the class `label`, or of several."""
        found = [c and o.faces > 0 for c, o in zip(chosen, self.outcomes, strict=True)]
        reported = [f and o.reported != UNSURE for f, o in zip(found, self.outcomes, strict=True)]
        right = [o.predicted == o.label for o in self.outcomes]
        return PictureScores(
            found=self.proportion(chosen, found),
            right_of_found=None if label == NONE else self.proportion(found, right),
            reported_of_found=self.proportion(found, reported),
            right_of_reported=None if label == NONE else self.proportion(reported, right),
        )

    def proportion(self, among: Sequence[bool], hits: Sequence[bool]) -> Proportion:
        """The share of hits among the outcomes for which `among` is true."""
        n = sum(among)
        if not n:
            return Proportion(0, None)
        count = sum(a and h for a, h in zip(among, hits, strict=True))
        if not self.by_person:
            return Proportion(n, wilson_interval(count, n))
        return Proportion(n, Interval(count / n, *self._by_person(np.array(among), np.array(among) & np.array(hits))))

    def _by_person(self, among: np.ndarray, hits: np.ndarray) -> tuple[float | None, float | None]:
        _, group = np.unique([outcome.group for outcome in self.outcomes], return_inverse=True)
        pictures, right = (np.bincount(group, rows).astype(np.float32) for rows in (among, hits))
        persons = int(np.count_nonzero(pictures))
        if persons < FEWEST_PERSONS:
            return None, None
        if right.sum() in (0, pictures.sum()):  # every draw would be the same
            alike = wilson_interval(persons if right.any() else 0, persons)
            return alike.low, alike.high
        seen = pictures > 0
        if np.ptp(right[seen] / pictures[seen]) == 0:  # here too
            return None, None
        drawn = resamples(len(pictures))
        with np.errstate(invalid="ignore"):
            return interval((drawn @ right) / (drawn @ pictures))


def _outcome(reader: FaceReader, picture: Picture, label: str, gray: np.ndarray) -> PictureOutcome:
    group = person_of(picture.source) or f"/{picture.source}"
    faces = counted_faces(reader.detector, gray)
    if not faces:
        return PictureOutcome(label, group, 0, None, None)
    p, quality = reader.read(gray, faces[0])
    best = int(p.argmax())
    is_unsure = unsure_reason(float(p[best]), quality, reader.thresholds[best])
    return PictureOutcome(label, group, len(faces), reader.labels[best], UNSURE if is_unsure else reader.labels[best])
