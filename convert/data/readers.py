"""Readers of labelled pictures, one after another: from the rows of a pixel CSV or from folders of images."""

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

from convert.data.archives import ACCEPTED_FORMS, ARCHIVE_SUFFIXES, READ_ERRORS, Container
from convert.data.class_selection import Classes
from fer_edge.errors import DataError
from fer_edge.face_crop import crop_whole_image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".pgm", ".ppm", ".tif", ".tiff")

# The class numbers of fer2013.csv and icml_face_data.csv; not the order of LABELS.
CSV_LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

PARTS = ("train", "validation", "test")
PART_NAMES = {"train": "train", "training": "train", "val": "validation", "valid": "validation"}
PART_NAMES |= {"validation": "validation", "test": "test", "testing": "test"}
OFFICIAL_PARTS = {"training": "train", "publictest": "validation", "privatetest": "test"}

BATCH = 64  # images per thread and call; passing them one by one takes longer than decoding FER2013's
CHUNK = 1024  # images decoded ahead: bounds the memory
WHOLE_CHUNK = 16  # the same for pictures of full size, 12 MB each from a telephone


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a set. `pixels`: gray uint8, the model's input or the whole picture; None where `fault` tells why.

    `label` is the label of a selected class; None without a fault is another class, whose pixels are not read. `part` is the
    part that the set names, or "" where it names none.
    """

    source: str
    class_name: str
    label: str | None
    part: str
    pixels: np.ndarray | None
    fault: str = ""


def read_pictures(files: Container, side: int | None, classes: Classes) -> tuple[Iterator[Picture], int, str]:
    """The pictures, their number (0: not known before the end), and a description of the data set's form.

    `side` is the side of the model's input, in px; None keeps every picture's own size. Raises DataError when the files are
    no data set, and while reading when a file is truncated.
    """
    images = [name for name in files.names if name.lower().endswith(IMAGE_SUFFIXES)]
    table = _find_pixel_csv(files)
    if table and images:
        raise DataError(f"{files.path} holds pixels both in {table} and in {len(images):,} images; name one of them")
    if table:
        if side is None:
            raise DataError(f"{files.path} is a {files.kind} with pixel rows; whole pictures stand in class folders")
        return _read_csv(files, table, side, classes), 0, f"{files.kind} with pixel rows"
    if images and files.kind == "file":
        raise DataError(f"{files.path} is one image and no data set; {ACCEPTED_FORMS}")
    if not images:
        raise DataError(f"{files.path} is not a data set: {_describe(files)}; {ACCEPTED_FORMS}")
    if files.kind == "tar":
        raise DataError(f"{files.path} packs {len(images):,} images in a tar; unpack it and name the folder")
    _refuse_empty_classes(files, images, classes)
    return _read_images(files, images, side, classes), len(images), f"{files.kind} with class folders"


def _read_images(files: Container, names: list[str], side: int | None, classes: Classes) -> Iterator[Picture]:
    import cv2

    parts = _official_parts(names) or [_folder_part(name) for name in names]

    def picture(name: str, part: str) -> Picture:
        class_name, label = class_of(name, classes)
        if label is None:
            return Picture(name, class_name, None, part, None)
        try:
            data = files.read(name)
        except (*READ_ERRORS, NotImplementedError) as error:
            return Picture(name, class_name, label, part, None, str(error) or type(error).__name__)
        if not data:
            return Picture(name, class_name, label, part, None, "empty file")
        gray = None
        with suppress(cv2.error):
            gray = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        if gray is None:
            return Picture(name, class_name, label, part, None, f"no readable image in its {len(data):,} bytes")
        return Picture(name, class_name, label, part, gray if side is None else crop_whole_image(gray, side))

    batch, chunk = (1, WHOLE_CHUNK) if side is None else (BATCH, CHUNK)
    log = cv2.utils.logging
    previous_level = log.setLogLevel(log.LOG_LEVEL_SILENT)  # undecodable images are reported once, as faults
    try:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for start in range(0, len(names), chunk):
                slices = [slice(at, at + batch) for at in range(start, min(start + chunk, len(names)), batch)]
                for read in pool.map(lambda rows: list(map(picture, names[rows], parts[rows])), slices):
                    yield from read
    finally:
        log.setLogLevel(previous_level)


def class_of(name: str, classes: Classes) -> tuple[str, str | None]:
    """An image's class folder and its label or None: the nearest folder that has a label, else the nearest folder."""
    folders = [word for word in reversed(name.split("/")[:-1]) if word.lower() not in PART_NAMES]
    for folder in folders:
        if label := classes.label(folder):
            return folder, label
    return (folders[0] if folders else "(no class folder)"), None


def _official_parts(names: list[str]) -> list[str]:
    """The part in each file's name (`PublicTest_123.jpg`); empty unless every name has one."""
    parts = [OFFICIAL_PARTS.get(name.split("/")[-1].split("_")[0].lower(), "") for name in names]
    return parts if all(parts) else []


def _folder_part(name: str) -> str:
    folders = reversed(name.split("/")[:-1])
    return next((PART_NAMES[word.lower()] for word in folders if word.lower() in PART_NAMES), "")


def _refuse_empty_classes(files: Container, images: list[str], classes: Classes) -> None:
    # with a set's own classes, a folder with other files is not a class; only one without any file is an empty class
    contents = images if classes.names else files.names
    nonempty = {parent for folder in {name.rpartition("/")[0] for name in contents} for parent in _with_parents(folder)}
    for folder in files.folders:
        name = PurePosixPath(folder).name
        if folder not in nonempty and classes.label(name) and name.lower() not in PART_NAMES:
            raise DataError(f"the class folder {folder} in {files.path} holds no image; fill it or remove it")


def _with_parents(folder: str) -> list[str]:
    return [folder, *map(str, PurePosixPath(folder).parents)]


def _read_csv(files: Container, name: str, side: int, classes: Classes) -> Iterator[Picture]:
    csv.field_size_limit(2**24)  # a row of 2,000 × 2,000 pixels
    expected = 0
    location = files.location(name)
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
    except (*READ_ERRORS, NotImplementedError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{location} cannot be read beyond line {line:,}: {error}; fetch it again") from error


def _row(cells: dict[str, str], source: str, has_usage: bool, expected: int, side: int, classes: Classes) -> Picture:
    emotion = cells.get("emotion", "").strip()
    usage = cells.get("usage", "").strip().lower()
    part = OFFICIAL_PARTS.get(usage) or PART_NAMES.get(usage, "")
    number = int(emotion) if emotion.isdecimal() else -1
    class_name = CSV_LABELS[number] if classes.names and 0 <= number < len(CSV_LABELS) else emotion
    label = classes.label(emotion) or classes.label(class_name)
    if label is None:
        invalid = not emotion or (classes.are_expressions and not class_name.isalpha())
        valid = f"not one of 0 to {len(CSV_LABELS) - 1}" if classes.are_expressions else "not a class"
        return Picture(source, class_name, None, part, None, f"emotion {emotion!r} is {valid}" if invalid else "")
    if has_usage and not part:
        fault = f"Usage {usage!r} is not one of Training, PublicTest, PrivateTest"
        return Picture(source, emotion, label, "", None, fault)
    pixels, fault = _parse_pixels(cells.get("pixels", ""), expected)
    if pixels is None:
        return Picture(source, emotion, label, part, None, fault)
    return Picture(source, emotion, label, part, crop_whole_image(pixels.reshape(math.isqrt(expected), -1), side))


def _parse_pixels(text: str, expected: int) -> tuple[np.ndarray | None, str]:
    if text.encode().translate(None, b"0123456789 "):
        invalid = next(word for word in text.split() if not (word.isascii() and word.isdigit()))
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


def _find_pixel_csv(files: Container) -> str:
    """The name of the one CSV that holds labelled pixels, or "". A CSV with a split is preferred to those without."""
    has_split: dict[str, bool] = {}
    for name in files.names:
        if name.lower().endswith(".csv") or files.kind in ("file", "gzip"):
            columns = _header(files, name)
            if {"emotion", "pixels"} <= set(columns):
                has_split[name] = "usage" in columns
    if not has_split:
        return ""
    candidates = [name for name, split in has_split.items() if split] or list(has_split)
    if len(candidates) > 1:
        raise DataError(f"{files.path} holds more than one set: {' and '.join(candidates)}; name the one to read")
    return candidates[0]


def _header(files: Container, name: str) -> list[str]:
    try:
        with files.open(name) as raw:
            line = raw.readline(4096)
    except (EOFError, zlib.error) as error:
        raise DataError(f"{files.location(name)} is truncated or damaged: {error}; fetch it again") from error
    except (*READ_ERRORS, NotImplementedError) as error:
        raise DataError(f"{files.location(name)} cannot be read: {error}") from error
    try:
        return _columns(next(csv.reader([line.decode("utf-8-sig", "replace").strip("\r\n")]), []))
    except csv.Error:
        return []


def _columns(header: list[str]) -> list[str]:
    return [word.strip().lower() for word in header]


def _describe(files: Container) -> str:
    """The contents of files that are no data set, for a message."""
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


def with_progress_bar(iterator: Iterator[Picture], total: int, path: Path) -> Iterable[Picture]:
    """The same pictures, with a bar on a terminal once they take longer than two seconds."""
    if not sys.stderr.isatty():
        return iterator
    from tqdm import tqdm

    bar: Iterable[Picture] = tqdm(iterator, total=total or None, desc=path.name, unit="img", delay=2, leave=False)
    return bar
