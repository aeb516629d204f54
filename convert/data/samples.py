"""The samples of a data set as arrays, with the part and the source of each image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import numpy as np

from convert.data.picture import PARTS
from fer_edge.bundle_provenance import DataFingerprint
from fer_edge.errors import UsageError
from fer_edge.labels import LABELS


@dataclass(frozen=True)
class Samples:
    """The images of a data set as a model takes them, with their labels, parts and origin.

    `skipped` lists the few images that could not be read, each with its name and fault. `left_out` counts the images of
    other classes by the name of their class. `split_rule` explains where the parts come from. `votes` are the shares of FER+'s
    eight classes, in the order of `convert.data.ferplus.FERPLUS_LABELS`; zeros for an image without a usable majority.
    """

    x: np.ndarray  # uint8 (N, H, W, 1), gray 0–255
    y: np.ndarray  # int64 (N,), index into `labels`
    split: np.ndarray  # numpy strings (N,), each one of PARTS
    source: tuple[str, ...]  # N names: the file in the set, or `file.csv:line`
    left_out: dict[str, int] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    split_rule: str = ""
    form: str = ""  # of the data set: "zip with class folders"
    labels: tuple[str, ...] = LABELS  # K names of classes, in the order of `y` and of a model's outputs
    votes: np.ndarray | None = None  # float32 (N, 8), of the set that was read with a table of votes
    other_files: tuple[str, ...] = ()  # of the set, which are no pictures, or were not followed
    labels_from: str | None = None  # the rule of the labels, where they are not the set's own
    whole_pictures: str | None = None  # a sentence, where the pictures look like whole scenes instead of face crops

    def __post_init__(self) -> None:
        count = len(self.source)
        assert self.x.dtype == np.uint8 and self.x.ndim == 4 and self.x.shape[3] == 1, (self.x.dtype, self.x.shape)
        assert self.y.dtype == np.int64 and len(self.x) == len(self.y) == len(self.split) == count
        assert self.votes is None or (self.votes.dtype == np.float32 and self.votes.shape == (count, 8))
        assert not count or 0 <= self.y.min() <= self.y.max() < len(self.labels), (self.y.max(), self.labels)

    def part(self, name: str) -> Samples:
        """The images of one part, in their order; there may be none."""
        if name not in PARTS:
            raise UsageError(f"{name!r} is not a part of a data set; the parts are {', '.join(PARTS)}")
        return self.take(np.flatnonzero(self.split == name))

    def take(self, rows: np.ndarray) -> Samples:
        """The images at `rows`, int (M,), in that order."""
        source = tuple(self.source[row] for row in rows)
        votes = None if self.votes is None else self.votes[rows]
        return replace(self, x=self.x[rows], y=self.y[rows], split=self.split[rows], source=source, votes=votes)

    def class_counts(self, part: str) -> dict[str, int]:
        """The number of images of each label in a part."""
        counts = np.bincount(self.y[self.split == part], minlength=len(self.labels))
        return dict(zip(self.labels, counts.tolist(), strict=True))

    def identical_groups(self) -> np.ndarray:
        """For each image the index of the first one with the same pixels: int64 (N,)."""
        return identical_groups(self.x)


def also_in(samples: Samples, part: str, other: str) -> np.ndarray:
    """Whether each image of `samples.part(part)` has the pixels of an image of `other`: bool (M,), in the part's order."""
    groups = samples.identical_groups()
    return np.isin(groups[samples.split == part], groups[samples.split == other])


def identical_groups(x: np.ndarray) -> np.ndarray:
    """For each image of uint8 (N, H, W, 1) the index of the first one with the same pixels: int64 (N,)."""
    first: dict[bytes, int] = {}
    keys = (hashlib.blake2b(image, digest_size=16).digest() for image in x)
    return np.array([first.setdefault(key, i) for i, key in enumerate(keys)], np.int64)


HELD_OUT_PARTS = ("validation", "test")


def held_out(samples: Samples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The images for parity: uint8 (N, side, side), labels int64 (N,), and the part of each (N,), validation first."""
    rows = [samples.part(part) for part in HELD_OUT_PARTS]
    part = np.repeat(HELD_OUT_PARTS, [len(r.y) for r in rows])
    return np.concatenate([r.x[..., 0] for r in rows]), np.concatenate([r.y for r in rows]), part


def fingerprint(samples: Samples) -> DataFingerprint:
    """The fingerprint of a data set: two sets with the same one train the same model."""
    digest = hashlib.sha256()
    for array in (samples.x, samples.y, samples.split.astype("S")):
        digest.update(np.ascontiguousarray(array).tobytes())
    train, validation, test = (int(np.sum(samples.split == part)) for part in PARTS)
    return DataFingerprint(train, validation, test, digest.hexdigest())
