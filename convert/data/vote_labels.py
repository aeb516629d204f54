"""Samples with FER+ votes: as the labels, or as shares beside the set's own labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from convert.data.class_selection import Classes
from convert.data.ferplus import FERPLUS_LABELS, LABEL_RULE, majority_labels
from convert.data.samples import Samples


def with_votes(samples: Samples, counts: np.ndarray, classes: Classes | None, path: Path) -> Samples:
    """The samples read from `path` with votes int64 (N, 10) on each image.

    `classes` None: every image with the set's own label. Otherwise the labels are the majorities of the votes, and only the
    images with one of the selected classes are kept. Raises DataError when there are none.
    """
    majority = majority_labels(counts)
    samples = replace(samples, votes=majority.shares)
    if classes is None:
        return samples
    label_of = [classes.label(name) for name in FERPLUS_LABELS]
    found = [label_of[index] if index >= 0 else None for index in majority.label]
    others = Counter(
        FERPLUS_LABELS[index]
        for index, label in zip(majority.label, found, strict=True)
        if index >= 0 and label is None
    )
    left_out = {**samples.left_out, **majority.unusable, **dict(sorted(others.items()))}
    labels = classes.labels([label for label in found if label], left_out, path)
    kept = np.flatnonzero([label is not None for label in found])
    y = np.array([-1 if label is None else labels.index(label) for label in found], np.int64)
    renamed = replace(samples, y=np.maximum(y, 0), left_out=left_out, labels=labels, labels_from=LABEL_RULE)
    return renamed.take(kept)
