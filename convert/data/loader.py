"""Loading a data set into arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convert.data.archives import open_container
from convert.data.class_selection import EXPRESSIONS, NAME_FOLDERS, Classes
from convert.data.ferplus import FERPLUS_LABELS, VoteTable
from convert.data.picture import PARTS
from convert.data.readers import read_pictures, with_progress_bar
from convert.data.samples import Samples, identical_groups
from convert.data.splits import complete_split
from convert.data.vote_labels import with_votes
from convert.data.whole_pictures import whole_pictures
from fer_edge.errors import DataError
from fer_edge.folder_files import in_sentence
from fer_edge.labels import LABELS

SKIPPED_SHARE = 0.01  # a set with more unreadable images than this is not read


def load(
    path: Path,
    side: int = 48,
    seed: int = 0,
    classes: str | Sequence[str] = EXPRESSIONS,
    votes: Path | None = None,
    vote_labels: bool = True,
    remedy: str = NAME_FOLDERS,
) -> Samples:
    """The data set at `path`, every image as (side, side), in order of file names or rows.

    The form is recognised: FER2013 in each of its forms, and any folder or zip with a folder of images for each class.
    `classes` (see `Classes.of`) is "expressions" for the seven in all their spellings, "own" for every class of the set
    under its own name, in alphabetical order, or a sequence of names in the order of the labels. `seed` draws the parts that
    the set does not name (`convert.data.splits`).

    `votes` is a table of FER+ votes on FER2013 (`convert.data.ferplus`). With `vote_labels` the label of an image is their
    majority, of FER+'s eight classes or of those of them that `classes` names; images without one are counted as left out.
    Without it every image keeps the set's own label, and the votes are read beside it.

    `remedy` is what a message says to do where no image is of a selected class.

    Raises DataError, with the file and the row, when it is not a data set, is damaged, has fewer than two classes, or when
    more than 1 % of its images cannot be read; and when the votes are not of this set.
    """
    path = Path(path)
    selected = Classes.of(EXPRESSIONS if votes and vote_labels else classes)
    pixels = bytearray()  # numpy reads it without a copy
    found_labels: list[str] = []
    named_parts: list[str] = []
    source: list[str] = []
    rows: list[int] = []  # position of each image among all of the set
    total_read = 0
    left_out: Counter[str] = Counter()
    skipped: list[str] = []
    with open_container(path) as files:
        found = read_pictures(files, side, selected)
        for row, picture in enumerate(with_progress_bar(found.pictures, found.total, path)):
            total_read = row + 1
            if picture.fault:
                skipped.append(f"{picture.source}: {picture.fault}")
            elif picture.label is None or picture.pixels is None:
                left_out[picture.class_name] += 1
            else:
                pixels += picture.pixels.tobytes()
                found_labels.append(picture.label)
                named_parts.append(picture.part)
                source.append(picture.source)
                rows.append(row)
        whole = whole_pictures(files, source) if found.are_files else None
    if len(skipped) > SKIPPED_SHARE * (len(found_labels) + len(skipped)):
        examples = "; ".join(skipped[:3]) + ("; …" if len(skipped) > 3 else "")
        raise DataError(
            f"{len(skipped):,} of {len(found_labels) + len(skipped):,} images in {path} cannot be read: {examples}"
        )
    labels = selected.labels(found_labels, left_out, path, remedy)
    x = np.frombuffer(pixels, np.uint8).reshape(-1, side, side, 1)
    index_of = {label: i for i, label in enumerate(labels)}
    y = np.array([index_of[label] for label in found_labels], np.int64)
    split, rule = complete_split(np.array(named_parts, dtype="<U10"), y, identical_groups(x), seed)
    samples = Samples(
        x,
        y,
        split,
        tuple(source),
        dict(sorted(left_out.items())),
        tuple(skipped),
        rule,
        found.form,
        labels,
        other_files=found.other_files,
        whole_pictures=whole,
    )
    if votes is None:
        return samples
    counts = VoteTable.read(votes).of(source, np.array(rows), named_parts, total_read, path)
    return with_votes(samples, counts, _vote_classes(classes) if vote_labels else None, path)


def _vote_classes(classes: str | Sequence[str]) -> Classes:
    """The classes to read of FER+'s: those named, else all eight."""
    return Classes.of(FERPLUS_LABELS if isinstance(classes, str) else classes)


def remarks(samples: Samples) -> list[str]:
    """Sentences for the user on how a set was read: what was skipped, left out, drawn, or is missing."""
    sentences = [samples.whole_pictures] if samples.whole_pictures else []
    if samples.labels_from:
        sentences.append(f"labels: {samples.labels_from}")
    if samples.skipped:
        names = "; ".join(samples.skipped[:10]) + ("; …" if len(samples.skipped) > 10 else "")
        sentences.append(f"{len(samples.skipped):,} skipped that cannot be read: {names}")
    if samples.left_out:
        classes = ", ".join(f"{name} {count:,}" for name, count in samples.left_out.items())
        selected = "the seven classes" if samples.labels == LABELS else ", ".join(samples.labels)
        sentences.append(f"left out as none of {selected}: {classes}")
    if samples.other_files:
        count = len(samples.other_files)
        sentences.append(f"{count:,} other file{'s' * (count > 1)} left out: {in_sentence(samples.other_files)}")
    if missing := [label for i, label in enumerate(samples.labels) if not np.any(samples.y == i)]:
        sentences.append(f"no image of {', '.join(missing)}")
    if samples.split_rule and samples.split_rule != "as the set names them":
        sentences.append(f"parts: {samples.split_rule}")
    if absent := [part for part in PARTS if not np.any(samples.split == part)]:
        sentences.append(f"no image in the part{'s' * (len(absent) > 1)} {' and '.join(absent)}")
    return sentences
