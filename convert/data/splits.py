"""Which image of a set trains, which validates, which tests: as the set says, else drawn by a seed."""

from __future__ import annotations

import numpy as np

from fer_edge.errors import DataError

SHARES = {"test": 0.1, "validation": 0.1}  # the rest trains


def complete(named: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """The part of every image, as numpy strings (N,), and one sentence on how it was decided.

    `named` (N,) holds the parts that the set names, "" where it names none; `y` int64 (N,) the classes; `groups` int64
    (N,) the same number for identical images. A set without parts, or with nothing but train, is drawn 80/10/10 within
    each class; one with train and test gets its validation from train; any other stays as named. Identical images that
    are drawn stay together. Raises DataError when some images have a part and some have none.
    """
    parts = set(named.tolist())
    if "" in parts and len(parts) > 1:
        count = int(np.sum(named == ""))
        raise DataError(
            f"{count:,} of {len(named):,} images stand in no part and the others in train, validation or test"
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


def _draw(rows: np.ndarray, held: tuple[str, ...], y: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """The part of each of `rows`: every part in `held` gets its share of each class, one image at least of three."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    whole: dict[int, list[int]] = {}
    for at in order:
        whole.setdefault(int(groups[rows[at]]), []).append(int(at))
    drawn = np.full(len(rows), "train", dtype="<U10")
    quota: dict[tuple[str, int], int] = {}
    for label in np.unique(y[rows]):
        count = int(np.sum(y[rows] == label))
        for part in held:
            quota[part, int(label)] = max(1, round(SHARES[part] * count)) if count >= 3 else 0
    for members in whole.values():
        label = int(y[rows[members[0]]])
        for part in held:
            if len(members) <= quota[part, label]:
                drawn[members] = part
                quota[part, label] -= len(members)
                break
    return drawn
