"""The labelled pictures of a data set, one after another: from the rows of a pixel CSV or from folders of images."""

from __future__ import annotations

import csv
import io
import math
import os
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from convert.data.archives import ACCEPTED, ARCHIVE_SUFFIXES, DAMAGE, Files
from convert.data.class_selection import Classes
from fer_edge.errors import DataError
from fer_edge.preprocess import whole_crop

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".pgm", ".ppm", ".tif", ".tiff")

# The class numbers of fer2013.csv and icml_face_data.csv; not the order of LABELS.
CSV_LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

PARTS = ("train", "validation", "test")
PART_NAMES = {"train": "train", "training": "train", "val": "validation", "valid": "validation"}
PART_NAMES |= {"validation": "validation", "test": "test", "testing": "test"}
OFFICIAL_PARTS = {"training": "train", "publictest": "validation", "privatetest": "test"}

BATCH = 64  # images to a thread at a time; one by one, handing them over takes longer than decoding FER2013's
CHUNK = 1024  # images given out before the first is asked for: bounds what waits in memory
WHOLE_CHUNK = 16  # the same for pictures as large as they are, 12 MB each from a telephone


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a set: `pixels` is gray uint8, the model's input or all of it, or None where `fault` says why not.

    `label` is that of one of the classes asked for; None without a fault is another class, whose pixels are not read.
    `part` is the one that the set names, or "" where it names none.
    """

    source: str
    class_name: str
    label: str | None
    part: str
    pixels: np.ndarray | None
    fault: str = ""


def pictures(files: Files, side: int | None, classes: Classes) -> tuple[Iterator[Picture], int, str]:
    """The pictures, how many there will be (0: not known before the end), and a few words on the form they are in.

    `side` is that of the model's input, in px; None leaves every picture as large as it is. Raises DataError when the
    files are no data set, and while reading when they end early.
    """
    images = [name for name in files.names if name.lower().endswith(IMAGE_SUFFIXES)]
    table = _pixel_table(files)
    if table and images:
        raise DataError(f"{files.path} holds pixels both in {table} and in {len(images):,} images; name one of them")
    if table:
        if side is None:
            raise DataError(f"{files.path} is a {files.kind} with pixel rows; whole pictures stand in class folders")
        return _rows(files, table, side, classes), 0, f"{files.kind} with pixel rows"
    if images and files.kind == "file":
        raise DataError(f"{files.path} is one image and no data set; {ACCEPTED}")
    if not images:
        raise DataError(f"{files.path} is no data set: {_what(files)}; {ACCEPTED}")
    if files.sequential:
        raise DataError(f"{files.path} packs {len(images):,} images in a tar; unpack it and name the folder")
    _refuse_empty_classes(files, images, classes)
    return _images(files, images, side, classes), len(images), f"{files.kind} with class folders"


def _images(files: Files, names: list[str], side: int | None, classes: Classes) -> Iterator[Picture]:
    import cv2

    parts = _official_parts(names) or [_folder_part(name) for name in names]

    def picture(name: str, part: str) -> Picture:
        class_name, label = class_of(name, classes)
        if label is None:
            return Picture(name, class_name, None, part, None)
        try:
            data = files.read(name)
        except (*DAMAGE, NotImplementedError) as error:
            return Picture(name, class_name, label, part, None, str(error) or type(error).__name__)
        if not data:
            return Picture(name, class_name, label, part, None, "empty file")
        gray = None
        with suppress(cv2.error):
            gray = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        if gray is None:
            return Picture(name, class_name, label, part, None, f"no readable image in its {len(data):,} bytes")
        return Picture(name, class_name, label, part, gray if side is None else whole_crop(gray, side))

    batch, chunk = (1, WHOLE_CHUNK) if side is None else (BATCH, CHUNK)
    log = cv2.utils.logging
    before = log.setLogLevel(log.LOG_LEVEL_SILENT)  # what cannot be decoded is said once, by us
    try:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for start in range(0, len(names), chunk):
                slices = [slice(at, at + batch) for at in range(start, min(start + chunk, len(names)), batch)]
                for done in pool.map(lambda rows: list(map(picture, names[rows], parts[rows])), slices):
                    yield from done
    finally:
        log.setLogLevel(before)


def class_of(name: str, classes: Classes) -> tuple[str, str | None]:
    """The class folder of an image and its label, or None: the nearest folder that has a label, else the nearest."""
    folders = [word for word in reversed(name.split("/")[:-1]) if word.lower() not in PART_NAMES]
    for folder in folders:
        if label := classes.label(folder):
            return folder, label
    return (folders[0] if folders else "(no class folder)"), None


def _official_parts(names: list[str]) -> list[str]:
    """The part that each file's own name tells (`PublicTest_123.jpg`), or nothing unless all of them do."""
    parts = [OFFICIAL_PARTS.get(name.split("/")[-1].split("_")[0].lower(), "") for name in names]
    return parts if all(parts) else []


def _folder_part(name: str) -> str:
    folders = reversed(name.split("/")[:-1])
    return next((PART_NAMES[word.lower()] for word in folders if word.lower() in PART_NAMES), "")


def _refuse_empty_classes(files: Files, images: list[str], classes: Classes) -> None:
    # among a set's own classes, only a folder without any file was meant to be one
    filling = images if classes.names else files.names
    holding = {parent for folder in {name.rpartition("/")[0] for name in filling} for parent in _upwards(folder)}
    for folder in files.folders:
        name = PurePosixPath(folder).name
        if folder not in holding and classes.label(name) and name.lower() not in PART_NAMES:
            raise DataError(f"the class folder {folder} in {files.path} holds no image; fill it or remove it")


def _upwards(folder: str) -> list[str]:
    return [folder, *map(str, PurePosixPath(folder).parents)]


def _rows(files: Files, name: str, side: int, classes: Classes) -> Iterator[Picture]:
    csv.field_size_limit(2**24)  # a row of 2,000 × 2,000 pixels
    expected = 0
    place = files.place(name)
    line = 1
    try:
        with files.open(name) as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
            reader = csv.reader(text)
            header = _columns(next(reader, []))
            for row in reader:
                line = reader.line_num
                if not row:
                    continue
                cells = dict(zip(header, row, strict=False))
                expected = expected or _expected_pixels(cells.get("pixels", ""))
                yield _row(cells, f"{PurePosixPath(name).name}:{line}", "usage" in header, expected, side, classes)
    except (*DAMAGE, NotImplementedError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{place} cannot be read beyond line {line:,}: {error}; fetch it again") from error


def _row(cells: dict[str, str], source: str, has_usage: bool, expected: int, side: int, classes: Classes) -> Picture:
    emotion = cells.get("emotion", "").strip()
    usage = cells.get("usage", "").strip().lower()
    part = OFFICIAL_PARTS.get(usage) or PART_NAMES.get(usage, "")
    number = int(emotion) if emotion.isdecimal() else -1
    spelled = CSV_LABELS[number] if classes.names and 0 <= number < len(CSV_LABELS) else emotion
    label = classes.label(emotion) or classes.label(spelled)
    if label is None:
        odd = not emotion or (classes.are_expressions and not spelled.isalpha())
        known = f"none of 0 to {len(CSV_LABELS) - 1}" if classes.are_expressions else "no class"
        return Picture(source, spelled, None, part, None, f"emotion {emotion!r} is {known}" if odd else "")
    if has_usage and not part:
        fault = f"Usage {usage!r} is none of Training, PublicTest, PrivateTest"
        return Picture(source, emotion, label, "", None, fault)
    pixels, fault = _parse(cells.get("pixels", ""), expected)
    if pixels is None:
        return Picture(source, emotion, label, part, None, fault)
    return Picture(source, emotion, label, part, whole_crop(pixels.reshape(math.isqrt(expected), -1), side))


def _parse(text: str, expected: int) -> tuple[np.ndarray | None, str]:
    if text.encode().translate(None, b"0123456789 "):
        odd = next(word for word in text.split() if not (word.isascii() and word.isdigit()))
        return None, f"pixel value {odd[:20]!r} is no whole number from 0 to 255"
    values = np.fromstring(text, np.int64, sep=" ")
    if len(values) != expected:
        return None, f"{len(values):,} pixels where {expected:,} belong"
    if values.max() > 255:
        return None, f"pixel value {values.max()} is above 255"
    return values.astype(np.uint8), ""


def _expected_pixels(text: str) -> int:
    """How many pixels every row must have: as many as the first if that makes a square, else FER2013's 48 × 48."""
    count = len(text.split())
    return count if count >= 256 and math.isqrt(count) ** 2 == count else 48 * 48


def _pixel_table(files: Files) -> str:
    """The name of the one CSV that holds labelled pixels, or ""; one with a split goes before one without."""
    found: dict[str, bool] = {}
    for name in files.names:
        if name.lower().endswith(".csv") or files.kind in ("file", "gzip"):
            columns = _header(files, name)
            if {"emotion", "pixels"} <= set(columns):
                found[name] = "usage" in columns
    if not found:
        return ""
    best = [name for name, split in found.items() if split] or list(found)
    if len(best) > 1:
        raise DataError(f"{files.path} holds more than one set: {' and '.join(best)}; name the one to read")
    return best[0]


def _header(files: Files, name: str) -> list[str]:
    try:
        with files.open(name) as raw:
            line = raw.readline(4096)
    except (EOFError, zlib.error) as error:
        raise DataError(f"{files.place(name)} is truncated or damaged: {error}; fetch it again") from error
    except (*DAMAGE, NotImplementedError) as error:
        raise DataError(f"{files.place(name)} cannot be read: {error}") from error
    try:
        return _columns(next(csv.reader([line.decode("utf-8-sig", "replace").strip("\r\n")]), []))
    except csv.Error:
        return []


def _columns(header: list[str]) -> list[str]:
    return [word.strip().lower() for word in header]


def _what(files: Files) -> str:
    """What was found in place of a data set, for a message."""
    if files.kind in ("file", "gzip"):
        header = [word[:20] for word in _header(files, files.names[0])[:6]]
        if re.search("csv|tsv|txt", files.path.name.lower()):
            return f"its first line has the columns {', '.join(header) or '(none)'} and not emotion and pixels"
        return "neither an archive nor a CSV with the columns emotion and pixels"
    if not files.names:
        return f"an empty {files.kind}"
    archives = [name for name in files.names if name.lower().endswith(ARCHIVE_SUFFIXES)]
    if archives:
        return f"a {files.kind} without images, but {archives[0]} in it may be one"
    return f"a {files.kind} of {len(files.names):,} files, none an image and none a CSV of pixels ({files.names[0]}, …)"


def progress(found: Iterator[Picture], total: int, path: Path) -> Iterable[Picture]:
    """The same pictures, with a bar on a terminal once they take longer than two seconds."""
    if not sys.stderr.isatty():
        return found
    from tqdm import tqdm

    bar: Iterable[Picture] = tqdm(found, total=total or None, desc=path.name, unit="img", delay=2, leave=False)
    return bar
