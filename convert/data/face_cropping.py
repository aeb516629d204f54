"""Face crops of whole pictures, in class folders: made by the detector, the mapping and the crop of the device."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from convert.data.archives import open_container
from convert.data.class_selection import EXPRESSIONS, TAKE_OWN_CLASSES, Classes
from convert.data.detector_mappings import DETECTOR_MAPPINGS
from convert.data.picture import Picture
from convert.data.readers import read_pictures, with_progress_bar
from fer_edge.bundle import Bundle
from fer_edge.detection.registry import counted_faces, find_detector
from fer_edge.detection.types import Detector
from fer_edge.errors import DataError, NotEnoughData, UsageError
from fer_edge.face_crop import IDENTITY, CropMapping, crop_square, frame_crop
from fer_edge.folder_files import in_sentence
from fer_edge.termination import cleaned_up_when_terminated

MIN_SIDE_PX = 24  # of the square; below half of the 48 px that models take, most pixels would be interpolated
MAX_NAMES = 10  # of pictures in a remark
_LONGEST_STEM_BYTES = 200  # of a file name: file systems take 255, with a number and a suffix
OUTCOMES = ("found", "no_face", "too_small")


@dataclass(frozen=True, slots=True)
class FaceCropper:
    """Cuts faces out of pictures: a detector, the mappings of boxes to the model's square by detector, and the crop's side, px.

    A detector of two networks returns boxes of several, each with its own mapping.
    """

    detector: Detector
    mappings: Mapping[str, CropMapping]
    side: int = 48

    @staticmethod
    def of(detector: str | None = None, bundle: Path | None = None) -> FaceCropper:
        """The cropper with the detector of this name, or the best that is installed, and the bundle's mapping and side.

        Without a bundle the mapping is the one that new bundles get. Raises UsageError when the detector or the bundle does
        not exist, BundleRefused when the bundle is damaged.
        """
        found = find_detector(detector)
        if bundle is None:
            return FaceCropper(found, DETECTOR_MAPPINGS)
        loaded = Bundle.load(bundle)
        return FaceCropper(found, loaded.spec.input.mappings, loaded.side)

    def mapping(self, detector: str = "") -> CropMapping:
        """The mapping of the boxes of the detector called `detector`, which is the cropper's own by default."""
        return self.mappings.get(detector or self.detector.name, IDENTITY)

    def crop(self, gray: np.ndarray) -> tuple[str, np.ndarray | None]:
        """The outcome for a picture uint8 (H, W), one of OUTCOMES, and for "found" the largest face uint8 (side, side)."""
        faces = counted_faces(self.detector, gray)
        if not faces:
            return "no_face", None
        face, mapping = faces[0], self.mapping(faces[0].detector)
        if crop_square(face.xywh, mapping, gray.shape)[2] < MIN_SIDE_PX:
            return "too_small", None
        return "found", frame_crop(gray, face.xywh, self.side, mapping, face.eyes)[0]


@dataclass(frozen=True, slots=True)
class CroppingReport:
    """The outcomes for the pictures of a set: counts by class and outcome, and the names of the pictures left out.

    `skipped` lists pictures that could not be read, each with its fault; `left_out` counts pictures of other classes;
    `other_files` are no pictures.
    """

    cropper: FaceCropper
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    no_face: list[str] = field(default_factory=list)
    too_small: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    other_files: list[str] = field(default_factory=list)

    def add(self, picture: Picture, outcome: str) -> None:
        """Counts a picture of one of the classes, and stores its name if it was left out."""
        assert picture.label is not None
        self.counts.setdefault(picture.label, dict.fromkeys(OUTCOMES, 0))[outcome] += 1
        if outcome != "found":
            (self.no_face if outcome == "no_face" else self.too_small).append(picture.source)

    def total(self, outcome: str) -> int:
        """The number of pictures of all classes with one of OUTCOMES."""
        return sum(count[outcome] for count in self.counts.values())

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values, the classes in alphabetical order."""
        return {
            "detector": self.cropper.detector.name,
            "mapping": asdict(self.cropper.mapping()),
            "side": self.cropper.side,
            "classes": dict(sorted(self.counts.items())),
            "no_face": self.no_face,
            "too_small": self.too_small,
            "skipped": self.skipped,
            "other_files": self.other_files,
            "left_out": dict(sorted(self.left_out.items())),
        }

    def remarks(self) -> list[str]:
        """Sentences for the user on the pictures left out, with the names of the first."""
        classes = [f"{name} {count:,}" for name, count in sorted(self.left_out.items())]
        reasons = {
            f"no face found by {self.cropper.detector.name}": self.no_face,
            f"a face of less than {MIN_SIDE_PX} px": self.too_small,
            "that cannot be read": self.skipped,
        }
        sentences = [
            f"{len(names):,} picture{'s' if names[1:] else ''} left out, {why}: {'; '.join(names[:MAX_NAMES])}"
            + ("; …" if names[MAX_NAMES:] else "")
            for why, names in reasons.items()
            if names
        ]
        if self.other_files:
            sentences.append(f"{len(self.other_files):,} other files left out: {in_sentence(self.other_files)}")
        return sentences + ([f"classes left out: {', '.join(classes)}"] if classes else [])


def write_crops(
    path: Path, out: Path, cropper: FaceCropper, classes: str | Sequence[str] = EXPRESSIONS
) -> CroppingReport:
    """Writes the face crops of the pictures at `path` into the new folder `out` as gray PNG files; returns the outcomes.

    The crops are in part/class/ where the set names its parts, else in class/, each under its picture's own name. `classes`
    is as in `convert.data.loader.load`. Raises DataError when `path` is no set of pictures, UsageError when `out` exists and
    is not empty or lies in the set itself, NotEnoughData when no face is found; then nothing is written.
    """
    import cv2

    path, selected = Path(path), Classes.of(classes)
    report, names = CroppingReport(cropper), _UniqueNames()
    with _new_folder(out, path) as fresh, open_container(path) as files:
        found = read_pictures(files, None, selected)
        report.other_files.extend(found.other_files)
        for picture in with_progress_bar(found.pictures, found.total, path):
            if picture.fault:
                report.skipped.append(f"{picture.source}: {picture.fault}")
                continue
            if picture.label is None or picture.pixels is None:
                report.left_out[picture.class_name] += 1
                continue
            outcome, crop = cropper.crop(picture.pixels)
            report.add(picture, outcome)
            if crop is not None:
                file = fresh / names.path_for(picture)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(cv2.imencode(".png", crop)[1].tobytes())
        if not report.counts and report.skipped:
            raise DataError(f"none of the images in {path} can be read: {'; '.join(report.skipped[:3])}")
        if not report.counts:
            # raises DataError, which names the classes of the set
            selected.labels((), report.left_out, path, TAKE_OWN_CLASSES)
        if not report.total("found"):
            count = sum(map(report.total, OUTCOMES))
            raise NotEnoughData(f"{cropper.detector.name} found no face to cut out of the {count:,} pictures in {path}")
    return report


def cropping_table(report: CroppingReport) -> str:
    """The counts as a table, one row per class."""
    width = max(10, 1 + max(map(len, report.counts)))
    lines = [f"{'':{width}}{'found':>12}{'no face':>12}{'too small':>12}"]
    for label, count in sorted(report.counts.items()):
        lines.append(f"{label:{width}}" + "".join(f"{count[outcome]:>12,}" for outcome in OUTCOMES))
    return "\n".join([*lines, f"{'all':{width}}" + "".join(f"{report.total(outcome):>12,}" for outcome in OUTCOMES)])


class _UniqueNames:
    """File names for pictures, each returned once, regardless of case: a.jpg and A.png become a.png and A-2.png."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._repeats: Counter[str] = Counter()
        self._has_parts: bool | None = None

    def path_for(self, picture: Picture) -> Path:
        """The relative path of a picture's crop. Raises DataError when only some pictures have a part."""
        if self._has_parts not in (None, bool(picture.part)):
            raise DataError(f"{picture.source}: some pictures are in train, validation or test, and some in no part")
        self._has_parts = bool(picture.part)
        stem = PurePosixPath(picture.source).stem
        if len(os.fsencode(stem)) > _LONGEST_STEM_BYTES:
            stem = os.fsencode(stem)[:_LONGEST_STEM_BYTES].decode(errors="ignore")
        path = preferred = f"{picture.part}/{picture.label}/{stem}".lstrip("/")
        while path.casefold() in self._used:
            self._repeats[preferred.casefold()] += 1
            path = f"{preferred}-{1 + self._repeats[preferred.casefold()]}"
        self._used.add(path.casefold())
        return Path(f"{path}.png")


@contextmanager
def _new_folder(out: Path, path: Path) -> Iterator[Path]:
    """As `_fresh_folder`, also when the process is terminated."""
    with cleaned_up_when_terminated(), _fresh_folder(out, path) as fresh:
        yield fresh


@contextmanager
def _fresh_folder(out: Path, path: Path) -> Iterator[Path]:
    """A fresh folder, whose content is in `out` when the block ends without an error, and which is deleted otherwise.

    An empty folder that exists stays the same: it may be a link, a mount point, or where the command was called.
    """
    out, path = out.resolve(), path.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not empty; name a new folder with --crop")
    if path.resolve() in (out, *out.parents):
        raise UsageError(f"{out} is inside the data set and would be read as part of it; name another with --crop")
    existed = out.exists()
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out if existed else out.parent))
    try:
        yield fresh
        if not existed:
            fresh.replace(out)
            return
        for child in sorted(fresh.iterdir()):
            child.replace(out / child.name)
    finally:
        if fresh.exists():
            shutil.rmtree(fresh)
