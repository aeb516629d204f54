"""Reader of a CSV with a row of pixels for each picture: fer2013.csv, icml_face_data.csv and their like."""

from __future__ import annotations

import csv
import io
import math
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np

from convert.data.archives import READ_ERRORS, Container
from convert.data.class_selection import Classes
from convert.data.picture import OFFICIAL_PARTS, Picture
from fer_edge.errors import DataError
from fer_edge.face_crop import crop_whole_image
from fer_edge.labels import PART_NAMES
from fer_edge.limits import CSV_ROW_BYTES

# The class numbers of fer2013.csv and icml_face_data.csv; not the order of LABELS.
CSV_LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def read_pixel_csv(files: Container, name: str, side: int, classes: Classes) -> Iterator[Picture]:
    """The pictures in the rows of the file `name`, each as (side, side).

    Raises DataError when the file is damaged, or ends within its last row. A row that spans several lines, as an unclosed
    quotation does, is a fault for each of its lines.
    """
    csv.field_size_limit(CSV_ROW_BYTES)
    expected = 0
    location, short = files.location(name), PurePosixPath(name).name
    line, last, fault = 1, "", ""

    def lines(text: io.TextIOWrapper) -> Iterator[str]:
        nonlocal last
        read, most_bytes = 0, files.most_bytes(name)
        while following := text.readline(CSV_ROW_BYTES):
            read += len(following)
            if len(following) == CSV_ROW_BYTES:
                raise DataError(f"{location} has more than the {CSV_ROW_BYTES:,} characters that are read of a line")
            if read > most_bytes:
                raise DataError(f"{location} has more than the {most_bytes:,} characters that are read of this file")
            last = following
            yield following

    try:
        with files.open(name) as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
            reader = csv.reader(lines(text))
            header = _columns(next(reader, []))
            for row in reader:
                before, line = line, reader.line_num
                if not row:
                    continue
                if line - before > 1:
                    fault = f"a quotation that goes on to line {line:,}"
                    yield from (Picture(f"{short}:{n}", "", "", "", None, fault) for n in range(before + 1, line + 1))
                    continue
                cells = dict(zip(header, row, strict=False))
                expected = expected or _expected_pixels(cells.get("pixels", ""))
                picture = _row(cells, f"{short}:{line}", "usage" in header, expected, side, classes)
                fault = picture.fault
                yield picture
    except (*READ_ERRORS, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{location} cannot be read beyond line {line:,}: {error}; fetch it again") from error
    if fault and not last.endswith(("\n", "\r")):
        raise DataError(f"{location} ends within line {line:,} ({fault}); fetch it again")


def _row(cells: dict[str, str], source: str, has_usage: bool, expected: int, side: int, classes: Classes) -> Picture:
    emotion = cells.get("emotion", "").strip()
    usage = cells.get("usage", "").strip().lower()
    part = OFFICIAL_PARTS.get(usage) or PART_NAMES.get(usage, "")
    number = int(emotion) if emotion.isdecimal() and len(emotion) < 4 else -1
    class_name = CSV_LABELS[number] if classes.names and 0 <= number < len(CSV_LABELS) else emotion
    label = classes.label(emotion) or classes.label(class_name)
    if label is None:
        invalid = not emotion or (classes.are_expressions and not class_name.isalpha())
        valid = f"not one of 0 to {len(CSV_LABELS) - 1}" if classes.are_expressions else "not a class"
        return Picture(source, class_name, None, part, None, f"emotion {emotion[:20]!r} is {valid}" if invalid else "")
    if has_usage and not part:
        fault = f"Usage {usage[:20]!r} is not one of Training, PublicTest, PrivateTest"
        return Picture(source, emotion, label, "", None, fault)
    pixels, fault = _parse_pixels(cells.get("pixels", ""), expected)
    if pixels is None:
        return Picture(source, emotion, label, part, None, fault)
    return Picture(source, emotion, label, part, crop_whole_image(pixels.reshape(math.isqrt(expected), -1), side))


def _parse_pixels(text: str, expected: int) -> tuple[np.ndarray | None, str]:
    if text.encode().translate(None, b"0123456789 "):
        invalid = next((word for word in text.split() if not (word.isascii() and word.isdigit())), None)
        if invalid is None:
            return None, "its pixels are separated by something other than spaces"
        return None, f"pixel value {invalid[:20]!r} is not a whole number from 0 to 255"
    values = np.fromstring(text, np.int64, sep=" ")
    if len(values) != expected:
        return None, f"{len(values):,} pixels where {expected:,} belong"
    if values.max() > 255:
        return None, f"pixel value {values.max()} is above 255"
    return values.astype(np.uint8), ""


def _expected_pixels(text: str) -> int:
    """The number of pixels in every row: that of the first row if it makes a square, else FER2013's 48 × 48."""
    count = len(text.split())
    return count if count >= 256 and math.isqrt(count) ** 2 == count else 48 * 48


def find_pixel_csv(files: Container) -> str:
    """The name of the one CSV that holds labelled pixels, or "". A CSV with a split is preferred to those without."""
    has_split: dict[str, bool] = {}
    for name in files.names:
        if name.lower().endswith(".csv") or files.kind in ("file", "gzip"):
            columns = header_of(files, name)
            if {"emotion", "pixels"} <= set(columns):
                has_split[name] = "usage" in columns
    if not has_split:
        return ""
    candidates = [name for name, split in has_split.items() if split] or list(has_split)
    if len(candidates) > 1:
        raise DataError(f"{files.path} holds more than one set: {' and '.join(candidates)}; name the one to read")
    return candidates[0]


def header_of(files: Container, name: str) -> list[str]:
    """The names of the columns of the CSV file `name`; none where its first line is no CSV. Raises DataError."""
    try:
        with files.open(name) as raw:
            line = raw.readline(4096)
    except (EOFError, zlib.error) as error:
        raise DataError(f"{files.location(name)} is truncated or damaged: {error}; fetch it again") from error
    except READ_ERRORS as error:
        raise DataError(f"{files.location(name)} cannot be read: {error}") from error
    try:
        return _columns(next(csv.reader([line.decode("utf-8-sig", "replace").strip("\r\n")]), []))
    except csv.Error:
        return []


def _columns(header: list[str]) -> list[str]:
    return [word.strip().lower() for word in header]
