"""Face crops of a set of whole pictures, as a class tree: cut by the detector, the mapping and the crop of the device."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from convert.data.archives import opened
from convert.data.class_selection import EXPRESSIONS, Classes
from convert.data.detector_mappings import KNOWN
from convert.data.readers import Picture, pictures, progress
from fer_edge.bundle import Bundle
from fer_edge.detection.registry import find_detector
from fer_edge.detection.types import Detector, largest_first
from fer_edge.errors import DataError, NotEnoughData, UsageError
from fer_edge.preprocess import Mapping, face_crop, square

MIN_SIDE_PX = 24  # of the square cut out; below half of the 48 px that models take, a face is mostly made up
NAMED = 10  # pictures named in a remark
FATES = ("found", "no_face", "too_small")


@dataclass(frozen=True, slots=True)
class Cutter:
    """What cuts a face out of a picture: a detector, how its boxes become the model's square, and the crop's side in px."""

    detector: Detector
    mapping: Mapping
    side: int = 48

    @staticmethod
    def of(detector: str | None = None, bundle: Path | None = None) -> Cutter:
        """The one with the detector called so, else the best installed, as the bundle in a folder has it on the device.

        Without a bundle the mapping is the one that new bundles are made with. Raises UsageError when the detector or the
        bundle is not there, BundleRefused when one is damaged.
        """
        finder = find_detector(detector)
        if bundle is None:
            return Cutter(finder, KNOWN[finder.name])
        read = Bundle.load(bundle)
        return Cutter(finder, read.mapping(finder.name), read.side)

    def cut(self, gray: np.ndarray) -> tuple[str, np.ndarray | None]:
        """What became of a picture uint8 (H, W), one of FATES, and if found its largest face as uint8 (side, side)."""
        faces = largest_first(self.detector.detect(gray))
        if not faces:
            return "no_face", None
        if square(faces[0].xywh, self.mapping, gray.shape)[2] < MIN_SIDE_PX:
            return "too_small", None
        return "found", face_crop(gray, faces[0].xywh, self.side, self.mapping, faces[0].eyes)


@dataclass(frozen=True, slots=True)
class Cropped:
    """What became of the pictures of a set: how many of each class met which of FATES, and the names of those left out.

    `skipped` are pictures that could not be read, each with its fault; `left_out` counts those of classes not asked for.
    """

    cutter: Cutter
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    no_face: list[str] = field(default_factory=list)
    too_small: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, picture: Picture, fate: str) -> None:
        """Counts a picture of one of the classes, and keeps its name if it was left out."""
        assert picture.label is not None
        self.counts.setdefault(picture.label, dict.fromkeys(FATES, 0))[fate] += 1
        if fate != "found":
            (self.no_face if fate == "no_face" else self.too_small).append(picture.source)

    def total(self, fate: str) -> int:
        """How many pictures of all classes met one of FATES."""
        return sum(count[fate] for count in self.counts.values())

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for JSON, the classes in alphabetical order."""
        return {
            "detector": self.cutter.detector.name,
            "mapping": asdict(self.cutter.mapping),
            "side": self.cutter.side,
            "classes": dict(sorted(self.counts.items())),
            "no_face": self.no_face,
            "too_small": self.too_small,
            "skipped": self.skipped,
            "left_out": dict(sorted(self.left_out.items())),
        }

    def remarks(self) -> list[str]:
        """What a user should be told: the pictures left out, the first of them by name."""
        classes = [f"{name} {count:,}" for name, count in sorted(self.left_out.items())]
        told = {
            f"no face found by {self.cutter.detector.name}": self.no_face,
            f"a face of less than {MIN_SIDE_PX} px": self.too_small,
            "that cannot be read": self.skipped,
        }
        said = [
            f"{len(names):,} picture{'s' if names[1:] else ''} left out, {why}: {'; '.join(names[:NAMED])}"
            + ("; …" if names[NAMED:] else "")
            for why, names in told.items()
            if names
        ]
        return said + ([f"classes left out: {', '.join(classes)}"] if classes else [])


def write_crops(path: Path, out: Path, cutter: Cutter, classes: str | Sequence[str] = EXPRESSIONS) -> Cropped:
    """What became of the pictures at `path`, whose face crops then are in the new folder `out` as gray PNG files.

    They are in part/class/ where the set names its parts, else in class/, each under its picture's own name. `classes` is
    as in `convert.data.load`. Raises DataError when it is no set of pictures, UsageError when `out` is there and not
    empty, or in the set itself, NotEnoughData when no face is found; then nothing is written.
    """
    import cv2

    path, wanted = Path(path), Classes.of(classes)
    cropped, taken = Cropped(cutter), _Names()
    with _new_folder(out, path) as fresh, opened(path) as files:
        shown, total, _ = pictures(files, None, wanted)
        for picture in progress(shown, total, path):
            if picture.fault:
                cropped.skipped.append(f"{picture.source}: {picture.fault}")
                continue
            if picture.label is None or picture.pixels is None:
                cropped.left_out[picture.class_name] += 1
                continue
            fate, crop = cutter.cut(picture.pixels)
            cropped.add(picture, fate)
            if crop is not None:
                file = fresh / taken.free(picture)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(cv2.imencode(".png", crop)[1].tobytes())
        if not cropped.counts and cropped.skipped:
            raise DataError(f"none of the images in {path} can be read: {'; '.join(cropped.skipped[:3])}")
        if not cropped.counts:
            wanted.labels((), cropped.left_out, path)  # which says what classes there are
        if not cropped.total("found"):
            seen = sum(map(cropped.total, FATES))
            raise NotEnoughData(f"{cutter.detector.name} found no face to cut out of the {seen:,} pictures in {path}")
    return cropped


def text(cropped: Cropped) -> str:
    """The counts as a table, a row a class."""
    wide = max(10, 1 + max(map(len, cropped.counts)))
    lines = [f"{'':{wide}}{'found':>12}{'no face':>12}{'too small':>12}"]
    for label, count in sorted(cropped.counts.items()):
        lines.append(f"{label:{wide}}" + "".join(f"{count[fate]:>12,}" for fate in FATES))
    return "\n".join([*lines, f"{'all':{wide}}" + "".join(f"{cropped.total(fate):>12,}" for fate in FATES)])


class _Names:
    """Names of files for pictures, each given out once, whatever the case: a.jpg and A.png become a.png and A-2.png."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: Counter[str] = Counter()
        self._parted: bool | None = None

    def free(self, picture: Picture) -> Path:
        """The path of a picture's crop, relative. Raises DataError when only some pictures stand in a part."""
        if self._parted not in (None, bool(picture.part)):
            raise DataError(f"{picture.source}: some pictures stand in train, validation or test, and some in no part")
        self._parted = bool(picture.part)
        stem = PurePosixPath(picture.source).stem
        path = wanted = f"{picture.part}/{picture.label}/{stem}".lstrip("/")
        while path.casefold() in self._taken:
            self._next[wanted.casefold()] += 1
            path = f"{wanted}-{1 + self._next[wanted.casefold()]}"
        self._taken.add(path.casefold())
        return Path(f"{path}.png")


@contextmanager
def _new_folder(out: Path, path: Path) -> Iterator[Path]:
    """A fresh folder beside `out`, put in its place when the block ends without an error, and gone with one."""
    out, path = out.absolute(), path.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there and not empty; name a new folder with --crop")
    if path.resolve() in (out.resolve(), *out.resolve().parents):
        raise UsageError(f"{out} lies in the set itself and would be read as part of it; name another with --crop")
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        fresh.chmod(0o755)
        yield fresh
        fresh.replace(out)
    finally:
        if fresh.exists():
            shutil.rmtree(fresh)
