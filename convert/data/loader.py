"""`python -m convert.data PATH`: what a data set of facial expressions holds; `load` gives it as arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convert.data.archives import opened
from convert.data.class_selection import EXPRESSIONS, Classes
from convert.data.readers import pictures, progress
from convert.data.samples import Samples, _groups
from convert.data.splits import complete
from fer_edge.errors import DataError
from fer_edge.labels import LABELS

SKIPPED_SHARE = 0.01  # a set with more unreadable images than this is not read


def load(path: Path, side: int = 48, seed: int = 0, classes: str | Sequence[str] = EXPRESSIONS) -> Samples:
    """The data set at `path`, every image as (side, side), in order of file names or rows.

    Read without being told which: FER2013 in each of its forms, and any folder or zip with a folder of images for each
    class. `classes` (see `Classes.of`) is "expressions" for the seven in all their spellings, "own" for every class of
    the set under its own name, in alphabetical order, or the names of some in the order wanted. `seed` draws the parts
    that the set does not name (`convert.data.splits`). Raises DataError, with the file and the row, when it is no data set, is
    damaged, has no two classes to tell apart, or when more than 1 % of its images cannot be read.
    """
    path = Path(path)
    wanted = Classes.of(classes)
    pixels = bytearray()  # grows by itself, and numpy takes it as it is
    found: list[str] = []
    named: list[str] = []
    source: list[str] = []
    left_out: Counter[str] = Counter()
    skipped: list[str] = []
    with opened(path) as files:
        shown, total, form = pictures(files, side, wanted)
        for picture in progress(shown, total, path):
            if picture.fault:
                skipped.append(f"{picture.source}: {picture.fault}")
            elif picture.label is None or picture.pixels is None:
                left_out[picture.class_name] += 1
            else:
                pixels += picture.pixels.tobytes()
                found.append(picture.label)
                named.append(picture.part)
                source.append(picture.source)
    if len(skipped) > SKIPPED_SHARE * (len(found) + len(skipped)):
        some = "; ".join(skipped[:3]) + ("; …" if len(skipped) > 3 else "")
        raise DataError(f"{len(skipped):,} of {len(found) + len(skipped):,} images in {path} cannot be read: {some}")
    labels = wanted.labels(found, left_out, path)
    x = np.frombuffer(pixels, np.uint8).reshape(-1, side, side, 1)
    numbers = {label: i for i, label in enumerate(labels)}
    y = np.array([numbers[label] for label in found], np.int64)
    split, rule = complete(np.array(named, dtype="<U10"), y, _groups(x), seed)
    return Samples(x, y, split, tuple(source), dict(sorted(left_out.items())), tuple(skipped), rule, form, labels)


def remarks(samples: Samples) -> list[str]:
    """What a user should be told of how a set was read: what was skipped, left out, drawn, or is missing."""
    said = []
    if samples.skipped:
        names = "; ".join(samples.skipped[:10]) + ("; …" if len(samples.skipped) > 10 else "")
        said.append(f"{len(samples.skipped):,} skipped that cannot be read: {names}")
    if samples.left_out:
        classes = ", ".join(f"{name} {count:,}" for name, count in samples.left_out.items())
        asked = "the seven classes" if samples.labels == LABELS else ", ".join(samples.labels)
        said.append(f"left out, for they are none of {asked}: {classes}")
    if missing := [label for i, label in enumerate(samples.labels) if not np.any(samples.y == i)]:
        said.append(f"no image of {', '.join(missing)}")
    if samples.split_rule and samples.split_rule != "as the set names them":
        said.append(f"parts: {samples.split_rule}")
    return said
