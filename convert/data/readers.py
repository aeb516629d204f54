"""Readers of labelled pictures, one after another: from the rows of a pixel CSV or from folders of images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from convert.data.archives import ACCEPTED_FORMS, ARCHIVE_SUFFIXES, READ_ERRORS, Container
from convert.data.class_selection import Classes
from convert.data.picture import OFFICIAL_PARTS, Picture
from convert.data.pixel_csv import find_pixel_csv, header_of, read_pixel_csv
from convert.progress_bar import progress_bar
from fer_edge.errors import DataError
from fer_edge.face_crop import crop_whole_image
from fer_edge.folder_files import COLLECTED_LABELLED, COLLECTED_MARKER
from fer_edge.labels import PART_NAMES
from fer_edge.limits import PICTURE_FILE_BYTES, PICTURE_PIXELS
from fer_edge.media_files import HEAD_BYTES, is_picture

NO_CLASS = "(no class folder)"
BATCH = 64  # images per thread and call; passing them one by one takes longer than decoding FER2013's
CHUNK = 1024  # images decoded ahead: bounds the memory
WHOLE_CHUNK = 16  # the same for pictures of full size, 12 MB each from a telephone


class ReadSet(NamedTuple):
    """The pictures of a set, their number (0: not known before the end), the set's form, and the names of other files.

    `are_files`: each is a file, not a row of pixels.
    """

    pictures: Iterator[Picture]
    total: int
    form: str
    other_files: tuple[str, ...]
    are_files: bool = False


def read_pictures(files: Container, side: int | None, classes: Classes) -> ReadSet:
    """The pictures of a data set. Files that are pictures by their name or by their first bytes are read.

    `side` is the side of the model's input, in px; None keeps every picture's own size. Raises DataError when the files are
    no data set, and while reading when a file is truncated.
    """
    table = find_pixel_csv(files)
    others = [name for name in files.names if not is_picture(name)]
    found = {name for name in others if name != table and is_picture(name, _head(files, name))}
    images = [name for name in files.names if name in found or is_picture(name)]
    other_files = tuple(sorted({*others} - found - {table})) + files.left_out
    if table and images:
        raise DataError(f"{files.path} holds pixels both in {table} and in {len(images):,} images; name one of them")
    if table:
        if side is None:
            raise DataError(f"{files.path} is a {files.kind} with pixel rows; whole pictures stand in class folders")
        return ReadSet(read_pixel_csv(files, table, side, classes), 0, f"{files.kind} with pixel rows", other_files)
    if COLLECTED_MARKER in files.names:
        raise DataError(
            f"{files.path} is a folder of `fer-edge collect`, with pictures that have no label; name "
            f"{files.path / COLLECTED_LABELLED}"
        )
    if images and files.kind == "file":
        raise DataError(f"{files.path} is one image and no data set; {ACCEPTED_FORMS}")
    if not images:
        raise DataError(f"{files.path} is not a data set: {_describe(files)}; {ACCEPTED_FORMS}")
    if files.kind == "tar":
        raise DataError(f"{files.path} packs {len(images):,} images in a tar; unpack it and name the folder")
    _refuse_empty_classes(files, images, classes)
    _refuse_parts_without_classes(files, images, classes)
    form = f"{files.kind} with class folders"
    return ReadSet(_read_images(files, images, side, classes), len(images), form, other_files, are_files=True)


def _head(files: Container, name: str) -> bytes:
    try:
        with files.open(name) as file:
            return file.read(HEAD_BYTES)
    except READ_ERRORS:
        return b""


def _read_images(files: Container, names: list[str], side: int | None, classes: Classes) -> Iterator[Picture]:
    import cv2

    parts = _official_parts(names) or [_folder_part(name) for name in names]
    outer = _outer_folder(names) if classes.names is None else ""

    def picture(name: str, part: str) -> Picture:
        class_name, label = class_of(name.removeprefix(outer), classes)
        if label is None:
            return Picture(name, class_name, None, part, None)
        try:
            data = files.read(name, PICTURE_FILE_BYTES)
        except READ_ERRORS as error:
            return Picture(name, class_name, label, part, None, str(error) or type(error).__name__)
        if not data:
            return Picture(name, class_name, label, part, None, "empty file")
        gray, fault = None, f"no readable image in its {len(data):,} bytes"
        try:
            gray = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        except (cv2.error, MemoryError) as error:
            if "CV_IO_MAX_IMAGE" in str(error):  # fer_edge sets it
                fault = f"a picture of more than the {PICTURE_PIXELS:,} pixels that are read"
        if gray is None:
            return Picture(name, class_name, label, part, None, fault)
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
    return (folders[0] if folders else NO_CLASS), None


def _outer_folder(names: list[str]) -> str:
    """The folder around the class folders, with its slash, where all pictures are in one: it is no class of its own."""
    first, _, rest = names[0].partition("/")
    inner = {name.split("/")[1].lower() for name in names if name.count("/") > 1}
    is_around = bool(rest) and first.lower() not in PART_NAMES and bool(inner - PART_NAMES.keys())
    return f"{first}/" if is_around and all(name.startswith(f"{first}/") for name in names) else ""


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


def _refuse_parts_without_classes(files: Container, images: list[str], classes: Classes) -> None:
    """Raises DataError for images straight in a folder `train`, `valid` or `test` of a set with class folders of its own."""
    astray = [name for name in images if "/" in name and class_of(name, classes)[0] == NO_CLASS]
    if classes.names is None and astray and len(astray) < len(images):
        folder = astray[0].rpartition("/")[0]
        raise DataError(
            f"the folder {folder} in {files.path} is a part of the set by its name and holds images without a class folder"
            f" ({len(astray):,} images in all); rename it if it is a class"
        )


def _with_parents(folder: str) -> list[str]:
    return [folder, *map(str, PurePosixPath(folder).parents)]


def _describe(files: Container) -> str:
    """The contents of files that are no data set, for a message."""
    if files.kind in ("file", "gzip"):
        header = [word[:20] for word in header_of(files, files.names[0])[:6]]
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
    """The same pictures, with a progress bar on stderr."""
    return progress_bar(iterator, total=total or None, title=path.name, unit="img")
