"""The split of a set into train, validation and test: as the set names it, else drawn with a seed."""

from __future__ import annotations

import numpy as np

from fer_edge.errors import DataError

SHARES = {"test": 0.1, "validation": 0.1}  # the rest is for training


def complete_split(named: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """The part of every image, as numpy strings (N,), and one sentence on how it was decided.

    `named` (N,) holds the parts that the set names, "" where it names none; `y` int64 (N,) the classes; `groups` int64
    (N,) one number for each group of identical images. A set without parts, or with train only, is drawn 80/10/10 within
    each class. A set with train and test gets its validation part from train. Any other set stays as named. Identical
    images that are drawn get the same part. Raises DataError when some images have a part and some have none.
    """
    parts = set(named.tolist())
    if "" in parts and len(parts) > 1:
        count = int(np.sum(named == ""))
        raise DataError(
            f"{count:,} of {len(named):,} images are in no part and the others in train, validation or test"
        )
    if parts <= {"", "train"}:
        return _draw(np.arange(len(y)), ("test", "validation"), y, groups, seed), (
            f"drawn 80/10/10 within each class, seed {seed}: the set names no validation or test images"
        )
    if parts == {"train", "test"}:
        split = named.copy()
        train = np.flatnonzero(named == "train")
        split[train] = _draw(train, ("validation",), y, groups, seed)
        return (
            split,
            f"train and test as the set names them; validation drawn from train, 10 % of each class, seed {seed}",
        )
    return named, "as the set names them"


def _draw(rows: np.ndarray, parts: tuple[str, ...], y: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """The part of each of `rows`: `parts` get their share of every class, at least one image of three; the rest is train."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    positions: dict[int, list[int]] = {}  # of each group of identical images
    for position in order:
        positions.setdefault(int(groups[rows[position]]), []).append(int(position))
    drawn = np.full(len(rows), "train", dtype="<U10")
    quota: dict[tuple[str, int], int] = {}
    for label in np.unique(y[rows]):
        count = int(np.sum(y[rows] == label))
        for part in parts:
            quota[part, int(label)] = max(1, round(SHARES[part] * count)) if count >= 3 else 0
    for members in positions.values():
        label = int(y[rows[members[0]]])
        for part in parts:
            if len(members) <= quota[part, label]:
                drawn[members] = part
                quota[part, label] -= len(members)
                break
    return drawn
