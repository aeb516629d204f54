"""What a set of samples holds: counts, identical images, conflicting labels, and a sheet to look at."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.data.readers import PARTS
from fer_edge.atomic_file import write_atomically
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from convert.data.samples import Samples

GAP_PX = 2
MARGIN_PX = 84  # at least, for the name of a class left of its row


def describe(samples: Samples) -> dict[str, Any]:
    """Everything countable about a set, ready for JSON.

    Two images are identical when every pixel is, after the reduction to the model's side. `within` counts for each part
    the groups of identical images and the images in them; `across` says for two parts how many images of the first also
    stand in the second; `conflicting` lists the groups whose images have different labels.
    """
    groups = samples.groups()
    members = {int(g): np.flatnonzero(groups == g) for g in _repeated(groups)}
    conflicts = [rows for rows in members.values() if len(set(samples.y[rows].tolist())) > 1]
    in_part = {part: groups[samples.split == part] for part in PARTS}
    return {
        "form": samples.form,
        "images": len(samples.y),
        "shape": list(samples.x.shape[1:]),
        "labels": list(samples.labels),
        "split_rule": samples.split_rule,
        "counts": {part: _counts(samples.y[samples.split == part], samples.labels) for part in PARTS},
        "totals": {part: len(in_part[part]) for part in PARTS},
        "left_out": samples.left_out,
        "skipped": list(samples.skipped),
        "identical": {
            **_sizes(groups),
            "within": {part: _sizes(in_part[part]) for part in PARTS},
            "across": {
                part: {other: int(np.isin(in_part[part], in_part[other]).sum()) for other in PARTS if other != part}
                for part in PARTS
            },
        },
        "conflicting": {
            "groups": len(conflicts),
            "images": sum(len(rows) for rows in conflicts),
            "sets": [[[samples.source[row], samples.labels[samples.y[row]]] for row in rows] for rows in conflicts],
        },
    }


def text(description: dict[str, Any]) -> str:
    """A description as a table and a few sentences."""
    shape = "×".join(str(n) for n in description["shape"][:2])
    lines = [f"{description['images']:,} images of {shape} px, read from a {description['form']}", ""]
    counts = description["counts"]
    labels = description["labels"]
    wide = max(10, 1 + max(map(len, labels)))
    lines.append(" " * wide + "".join(f"{part:>12}" for part in PARTS))
    lines += [f"{label:{wide}}" + "".join(f"{counts[part][label]:>12,}" for part in PARTS) for label in labels]
    lines.append(f"{'all':{wide}}" + "".join(f"{description['totals'][part]:>12,}" for part in PARTS))
    same = description["identical"]
    lines += ["", f"parts: {description['split_rule']}"]
    lines.append(f"identical pixels: {same['images']:,} images in {same['groups']:,} groups")
    lines += [
        f"  within {part}: {n['images']:,} in {n['groups']:,}" for part, n in same["within"].items() if n["images"]
    ]
    for part, other in permutations(reversed(PARTS), 2):
        if count := same["across"][part][other]:
            lines.append(f"  {count:,} images of {part} also stand in {other}")
    conflicting = description["conflicting"]
    lines.append(f"conflicting labels: {conflicting['images']:,} images in {conflicting['groups']:,} of these groups")
    return "\n".join(lines)


def write_sheet(samples: Samples, path: Path, columns: int = 16, seed: int = 0) -> None:
    """Writes a PNG of `columns` samples of each class, a row a class with its name at the left, by way of a rename."""
    import cv2

    side = samples.x.shape[1]
    pitch = side + GAP_PX
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.42  # of ASCII only
    margin = max(MARGIN_PX, *(12 + cv2.getTextSize(label, font, scale, 1)[0][0] for label in samples.labels))
    sheet = np.full((len(samples.labels) * pitch + GAP_PX, margin + columns * pitch + GAP_PX), 255, np.uint8)
    rng = np.random.default_rng(seed)
    for i, label in enumerate(samples.labels):
        top = GAP_PX + i * pitch
        cv2.putText(sheet, label, (6, top + side // 2 + 4), font, scale, 0, 1, cv2.LINE_AA)
        rows = np.flatnonzero(samples.y == i)
        for j, row in enumerate(rng.permutation(rows)[:columns]):
            left = margin + GAP_PX + j * pitch
            sheet[top : top + side, left : left + side] = samples.x[row, :, :, 0]
    try:
        write_atomically(path, cv2.imencode(".png", sheet)[1].tobytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _counts(y: np.ndarray, labels: tuple[str, ...]) -> dict[str, int]:
    return dict(zip(labels, np.bincount(y, minlength=len(labels)).tolist(), strict=True))


def _repeated(groups: np.ndarray) -> np.ndarray:
    values, counts = np.unique(groups, return_counts=True)
    return np.asarray(values[counts > 1])


def _sizes(groups: np.ndarray) -> dict[str, int]:
    """How many groups have more than one image, and how many images these have."""
    _, counts = np.unique(groups, return_counts=True)
    return {"groups": int(np.sum(counts > 1)), "images": int(counts[counts > 1].sum())}
