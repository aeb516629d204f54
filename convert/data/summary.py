"""The summary of a data set: counts, identical images, conflicting labels, and a picture with samples of each class."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.data.picture import PARTS
from fer_edge.atomic_file import write_atomically
from fer_edge.errors import UsageError
from fer_edge.json_fields import to_json

if TYPE_CHECKING:
    from convert.data.samples import Samples

COLUMNS = 16  # samples of each class
GAP_PX = 2
MARGIN_PX = 84  # at least, for the name of a class at the left of its row


@dataclass(frozen=True, slots=True)
class RepeatedImages:
    """The number of groups of identical images, and of the images in them."""

    groups: int
    images: int


@dataclass(frozen=True, slots=True)
class IdenticalImages(RepeatedImages):
    """Identical images of a set, within each part, and across parts: `across[a][b]` images of part a are also in part b."""

    within: dict[str, RepeatedImages]
    across: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class ConflictingLabels(RepeatedImages):
    """Groups of identical images that have different labels; each image as its source and its label."""

    sets: tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True)
class DataSummary:
    """Everything countable about a set. `counts` is by part and label, `totals` by part.

    Two images are identical when every pixel is, after the reduction to the model's side.
    """

    form: str
    images: int
    shape: tuple[int, ...]
    labels: tuple[str, ...]
    split_rule: str
    counts: dict[str, dict[str, int]]
    totals: dict[str, int]
    left_out: dict[str, int]
    skipped: tuple[str, ...]
    identical: IdenticalImages
    conflicting: ConflictingLabels

    def to_json(self) -> dict[str, Any]:
        """The summary as JSON values."""
        values: dict[str, Any] = to_json(self)
        return values


def summarize(samples: Samples) -> DataSummary:
    """The summary of a set."""
    groups = samples.identical_groups()
    members = {int(group): np.flatnonzero(groups == group) for group in _repeated_values(groups)}
    conflicts = [rows for rows in members.values() if len(set(samples.y[rows].tolist())) > 1]
    in_part = {part: groups[samples.split == part] for part in PARTS}
    repeated = _count_repeated(groups)
    return DataSummary(
        form=samples.form,
        images=len(samples.y),
        shape=samples.x.shape[1:],
        labels=samples.labels,
        split_rule=samples.split_rule,
        counts={part: samples.class_counts(part) for part in PARTS},
        totals={part: len(in_part[part]) for part in PARTS},
        left_out=samples.left_out,
        skipped=samples.skipped,
        identical=IdenticalImages(
            groups=repeated.groups,
            images=repeated.images,
            within={part: _count_repeated(in_part[part]) for part in PARTS},
            across={
                part: {other: int(np.isin(in_part[part], in_part[other]).sum()) for other in PARTS if other != part}
                for part in PARTS
            },
        ),
        conflicting=ConflictingLabels(
            groups=len(conflicts),
            images=sum(len(rows) for rows in conflicts),
            sets=tuple(
                tuple((samples.source[row], samples.labels[samples.y[row]]) for row in rows) for rows in conflicts
            ),
        ),
    )


def summary_table(summary: DataSummary) -> str:
    """A summary as a table and a few sentences."""
    shape = "×".join(str(n) for n in summary.shape[:2])
    lines = [f"{summary.images:,} images of {shape} px, read from a {summary.form}", ""]
    counts, labels = summary.counts, summary.labels
    width = max(10, 1 + max(map(len, labels)))
    lines.append(" " * width + "".join(f"{part:>12}" for part in PARTS))
    lines += [f"{label:{width}}" + "".join(f"{counts[part][label]:>12,}" for part in PARTS) for label in labels]
    lines.append(f"{'all':{width}}" + "".join(f"{summary.totals[part]:>12,}" for part in PARTS))
    identical, conflicting = summary.identical, summary.conflicting
    lines += ["", f"parts: {summary.split_rule}"]
    lines.append(f"identical pixels: {identical.images:,} images in {identical.groups:,} groups")
    lines += [f"  within {part}: {n.images:,} in {n.groups:,}" for part, n in identical.within.items() if n.images]
    for part, other in permutations(reversed(PARTS), 2):
        if count := identical.across[part][other]:
            lines.append(f"  {count:,} images of {part} are also in {other}")
    lines.append(f"conflicting labels: {conflicting.images:,} images in {conflicting.groups:,} of these groups")
    return "\n".join(lines)


def write_sheet(samples: Samples, path: Path, seed: int = 0) -> None:
    """Writes a PNG of COLUMNS samples of each class, one row per class with its name at the left, by way of a rename."""
    import cv2

    side = samples.x.shape[1]
    pitch = side + GAP_PX
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.42  # of ASCII only
    margin = max(MARGIN_PX, *(12 + cv2.getTextSize(label, font, scale, 1)[0][0] for label in samples.labels))
    sheet = np.full((len(samples.labels) * pitch + GAP_PX, margin + COLUMNS * pitch + GAP_PX), 255, np.uint8)
    rng = np.random.default_rng(seed)
    for i, label in enumerate(samples.labels):
        top = GAP_PX + i * pitch
        cv2.putText(sheet, label, (6, top + side // 2 + 4), font, scale, 0, 1, cv2.LINE_AA)
        rows = np.flatnonzero(samples.y == i)
        for j, row in enumerate(rng.permutation(rows)[:COLUMNS]):
            left = margin + GAP_PX + j * pitch
            sheet[top : top + side, left : left + side] = samples.x[row, :, :, 0]
    try:
        write_atomically(path, cv2.imencode(".png", sheet)[1].tobytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _repeated_values(groups: np.ndarray) -> np.ndarray:
    values, counts = np.unique(groups, return_counts=True)
    return np.asarray(values[counts > 1])


def _count_repeated(groups: np.ndarray) -> RepeatedImages:
    """The number of groups with more than one image, and of the images in them."""
    _, counts = np.unique(groups, return_counts=True)
    return RepeatedImages(int(np.sum(counts > 1)), int(counts[counts > 1].sum()))
