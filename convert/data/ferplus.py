"""FER+: ten counts of raters' votes for each image of FER2013, and the labels that follow from them.

Barsoum et al. 2016, "Training deep networks for facial expression recognition with crowd-sourced label distribution",
arXiv 1608.01041; the votes: microsoft/FERPlus, MIT. Two tables of votes are read:

- `fer2013new.csv`, as its authors publish it: row i belongs to row i of `fer2013.csv`
- a CSV, also gzipped, of a file's path and its ten counts, for FER2013 as images
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.data.picture import OFFICIAL_PARTS
from fer_edge.bounded_read import read_bounded
from fer_edge.errors import DataError
from fer_edge.limits import VOTES_BYTES
from fer_edge.media_files import PICTURE_SUFFIXES

# the eight expressions in the order of a table's columns, then the two answers that are none
_VOTED = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")
COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "nf")
FERPLUS_LABELS = tuple(sorted(_VOTED))  # the seven expressions of FER2013, and contempt
FERPLUS_SOURCE = "FER+ votes (microsoft/FERPlus, MIT)"
LABEL_RULE = f"majority of {FERPLUS_SOURCE}"
# Of FER2013's images whose majority is one of its seven labels: all, and those with another label in FER2013 itself.
# Constants, because cards are written without the votes; tests/convert/test_ferplus.py counts them in the table.
IN_SEVEN_CLASSES, OTHER_IN_FER2013 = 34_884, 12_610
FEWEST_VOTES = 5
MOST_VOTES = 1_000_000  # in one cell; FER+ has ten raters
_OFFICIAL_FILE = "fer2013new.csv"
_ACCEPTED = f"accepted are FER+'s {_OFFICIAL_FILE}, and a CSV (also .gz) with a file's path and ten counts in each row"


@dataclass(frozen=True, slots=True)
class MajorityLabels:
    """What follows from N images' votes.

    `label` int64 (N,) is the index into FERPLUS_LABELS of the majority, -1 for an image that is not usable; `shares` float32
    (N, 8) has the eight classes' shares of the votes in that order, zeros where not usable; `unusable` counts the images
    that are not, by the reason.
    """

    label: np.ndarray
    shares: np.ndarray
    unusable: dict[str, int]


def majority_labels(counts: np.ndarray) -> MajorityLabels:
    """The labels and shares of votes int64 (N, 10), in the order of COLUMNS.

    As its authors do, a single vote is treated as an outlier and counts as none. An image is not usable when fewer than 5
    votes remain, when "unknown" has as many votes as the majority, or when "NF" (no face) has 5 or more. A tie for the
    majority is not left out: the class that comes first in COLUMNS is the label. With this rule 3,519 images of FER2013's
    PublicTest and 3,502 of its PrivateTest are usable, of those that `ferplus_by_file.csv.gz` matches by their pixels.
    """
    voted = np.where(counts[:, :8] < 2, 0, counts[:, :8])
    total = voted.sum(1)
    unknown = counts[:, 8] >= voted.max(1, initial=0)
    no_face = counts[:, 9] >= 5
    few = total < FEWEST_VOTES
    usable = ~(unknown | no_face | few)
    order = [_VOTED.index(label) for label in FERPLUS_LABELS]
    position = np.array([FERPLUS_LABELS.index(label) for label in _VOTED], np.int64)
    label = np.where(usable, position[voted.argmax(1)], -1)
    shares = voted[:, order] / np.maximum(total, 1)[:, None] * usable[:, None]
    absent = counts.sum(1) == 0
    reasons = {
        "without FER+ votes": absent,
        "no face to FER+": no_face,
        "unknown to FER+": unknown & ~no_face & ~absent,
        "too few FER+ votes": few & ~unknown & ~no_face,
    }
    unusable = {reason: int(rows.sum()) for reason, rows in reasons.items() if rows.any()}
    return MajorityLabels(label.astype(np.int64), shares.astype(np.float32), unusable)


@dataclass(frozen=True, slots=True)
class VoteTable:
    """The votes in a file. `files` has the path in each row; without one, row i belongs to row i of `fer2013.csv`."""

    path: Path
    counts: np.ndarray  # int64 (M, 10), in the order of COLUMNS
    files: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()  # of each row of `fer2013new.csv`: train, validation or test

    @staticmethod
    def read(path: Path) -> VoteTable:
        """The table at `path`, a file or a folder with `fer2013new.csv`.

        Raises DataError, with the row, when it cannot be read, has other columns, or has a count that is none.
        """
        path = path / _OFFICIAL_FILE if path.is_dir() else path
        rows = _rows(path)
        first = next(rows, [])
        header = [word.strip().lower() for word in first]
        named = set(COLUMNS) <= set(header)
        by_row = named and "usage" in header
        if not named and (len(header) != 1 + len(COLUMNS) or not header[0].endswith(PICTURE_SUFFIXES)):
            columns = ", ".join(word[:20] for word in first[:6]) or "(none)"
            raise DataError(
                f"{path} is not a table of FER+ votes: its first row has the columns {columns}; {_ACCEPTED}"
            )
        at = [header.index(name) for name in COLUMNS] if named else list(range(1, 1 + len(COLUMNS)))
        names: list[str] = []
        counts: list[list[int]] = []
        for number, row in enumerate(
            rows if named else (r for part in ([first], rows) for r in part), 2 if named else 1
        ):
            if len(row) != len(header):
                raise DataError(f"row {number:,} of {path} has {len(row)} columns, not {len(header)}; fetch it again")
            try:
                counts.append([_count(row[i]) for i in at])
            except ValueError as error:
                raise DataError(f"row {number:,} of {path} has a count of votes that is none: {error}") from error
            names.append(row[header.index("usage") if by_row else 0].strip())
        table = np.array(counts, np.int64).reshape(-1, len(COLUMNS))
        if not by_row:
            return VoteTable(path, table, files=tuple(names))
        return VoteTable(path, table, parts=tuple(OFFICIAL_PARTS.get(name.lower(), name) for name in names))

    def of(self, sources: Sequence[str], rows: np.ndarray, parts: Sequence[str], total: int, data: Path) -> np.ndarray:
        """The votes int64 (N, 10) of the N images read from `data`, zeros for those that are not in the table.

        `sources` are the images' names and `parts` their parts as the set names them; `rows` int (N,) are their positions
        among the set's `total` images. Raises DataError when table and set do not belong together.
        """
        if not self.files:
            return self._by_row(sources, rows, parts, total, data)
        row_of = {name: row for row, name in enumerate(self.files)}
        found = [next((row_of[name] for name in _endings(source) if name in row_of), -1) for source in sources]
        if not found or max(found) < 0:
            raise DataError(
                f"no file name of {self.path} is one of {data}: the table has {self.files[0] if self.files else 'no row'}, the"
                f" set {sources[0] if sources else 'no image'}; name the table of this set with --votes"
            )
        counts = self.counts[found]
        counts[np.array(found) < 0] = 0
        return counts

    def _by_row(
        self, sources: Sequence[str], rows: np.ndarray, parts: Sequence[str], total: int, data: Path
    ) -> np.ndarray:
        if len(self.counts) != total:
            raise DataError(
                f"{self.path} has {len(self.counts):,} rows of votes and {data} {total:,} images: they do not belong together"
            )
        for source, row, part in zip(sources, rows.tolist(), parts, strict=True):
            if self.parts[row] != part:
                raise DataError(
                    f"{self.path} has the part {self.parts[row]!r} for {source} of {data}, which is in {part!r}: its rows are"
                    " those of fer2013.csv only; for images, name a table with file names"
                )
        return self.counts[rows]


def _rows(path: Path) -> Iterator[list[str]]:
    """The rows of a CSV that are not empty. Raises DataError when it cannot be read."""
    try:
        with path.open("rb") as file:
            is_compressed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_compressed else path.open("rb") as file:
            content = read_bounded(file, VOTES_BYTES)
        if len(content) > VOTES_BYTES:
            raise DataError(f"{path} has more than the {VOTES_BYTES:,} bytes that are read of a table of votes")
        text = content.decode("utf-8-sig")
        yield from filter(None, csv.reader(io.StringIO(text, newline="")))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read as a table of FER+ votes: {reason}; {_ACCEPTED}") from error


def _count(text: str) -> int:
    value = int(text[:20])
    if value < 0:
        raise ValueError(f"{text[:20]} is below 0")
    if value > MOST_VOTES:
        raise ValueError(f"{text[:20]} is above {MOST_VOTES:,}")
    return value


def _endings(source: str) -> Iterator[str]:
    """A path, then the path without its first folder, and so on."""
    words = source.split("/")
    return ("/".join(words[at:]) for at in range(len(words)))
