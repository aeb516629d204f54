"""The named files in a container: a folder, a zip, a .tar.gz, a gzip, or one file by itself."""

from __future__ import annotations

import gzip
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from fer_edge.bounded_read import read_bounded
from fer_edge.errors import DataError
from fer_edge.folder_files import files_below, is_hidden, is_system_file
from fer_edge.limits import ARCHIVE_MEMBERS, EXPANSION, EXPANSION_FROM_BYTES
from fer_edge.zip_errors import ZIP_ERRORS

ACCEPTED_FORMS = (
    "accepted are FER2013 as Kaggle's zip, unpacked, or as fer2013.csv or icml_face_data.csv (also in a zip, tar.gz "
    "or gz), and a folder or a zip with one folder of images for each class"
)
TAR_SUFFIXES = (".tar.gz", ".tgz")  # Kaggle's competition of 2013 gives fer2013.tar.gz
ARCHIVE_SUFFIXES = (".zip", ".gz", *TAR_SUFFIXES)

# The errors that a damaged archive may raise, from opening it to its last byte.
READ_ERRORS = (OSError, tarfile.TarError, *ZIP_ERRORS)


@dataclass(frozen=True, slots=True)
class Container:
    """The files and folders below a path: sorted names relative to it, with `/`.

    `kind` is folder, zip, tar, gzip or file.
    """

    path: Path
    kind: str
    names: tuple[str, ...]
    folders: tuple[str, ...]
    open: Callable[[str], IO[bytes]]
    left_out: tuple[str, ...] = ()  # what is neither a file nor a folder that is read, each with the reason
    compressed_bytes: dict[str, int] = field(default_factory=dict)  # of a zip's files
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def most_bytes(self, name: str) -> int:
        """The most bytes that are read of one file: those of a file, and EXPANSION times those of a compressed one."""
        if self.kind in ("folder", "file"):
            return (self.path if self.kind == "file" else self.path / name).stat().st_size
        compressed = self.compressed_bytes.get(name)
        if compressed is None:
            compressed = self.path.stat().st_size
        return max(EXPANSION_FROM_BYTES, EXPANSION * compressed)

    def read(self, name: str, most: int) -> bytes:
        """All bytes of one file. Safe to call from several threads. Raises one of READ_ERRORS, or for more than `most` bytes.

        A lock lets one thread read at a time: on Python 3.13.0, concurrent reads of one zip returned damaged bytes for 60 to
        90 of FER2013's 35,887 files.
        """
        most = min(most, self.most_bytes(name))
        with self._lock, self.open(name) as file:
            content = read_bounded(file, most)
        if len(content) > most:
            raise OSError(f"more than the {most:,} bytes that are read of one picture")
        return content

    def location(self, name: str) -> str:
        """The location of a file, for a message."""
        return str(self.path) if self.kind in ("file", "gzip") else f"{name} in {self.path}"


@contextmanager
def open_container(path: Path) -> Iterator[Container]:
    """The files at `path`, readable until the context ends. The kind of container is recognised by its first bytes.

    Files that operating systems leave behind are ignored: `__MACOSX`, `.DS_Store`, other names that begin with a dot.
    Raises DataError when the path is missing, empty, truncated, encrypted, or not readable.
    """
    if path.is_dir():
        yield _folder(path)
        return
    if not path.exists():
        raise DataError(f"{path} does not exist; {ACCEPTED_FORMS}")
    try:
        with path.open("rb") as file:
            head = file.read(2)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not head:
        raise DataError(f"{path} is empty (0 bytes); {ACCEPTED_FORMS}")
    if head == b"PK":
        with _zip(path) as files:
            yield files
    elif path.name.lower().endswith(TAR_SUFFIXES):
        with _tar(path) as files:
            yield files
    elif head == b"\x1f\x8b":
        name = path.name.removesuffix(".gz")
        yield Container(path, "gzip", (name,), (), lambda _: cast("IO[bytes]", gzip.GzipFile(path)))
    else:
        yield Container(path, "file", (path.name,), (), lambda _: path.open("rb"))


def _folder(path: Path) -> Container:
    found = files_below(path, DataError)
    return Container(
        path, "folder", found.names, found.folders, lambda name: (path / name).open("rb"), left_out=found.left_out
    )


@contextmanager
def _zip(path: Path) -> Iterator[Container]:
    try:
        archive = zipfile.ZipFile(path)
    except (*READ_ERRORS, UnicodeDecodeError) as error:
        size = path.stat().st_size
        raise DataError(
            f"{path} is a truncated or damaged zip: {size:,} bytes and {_in_sentence(error)}; fetch it again"
        ) from error
    with archive:
        listed = archive.infolist()
        _refuse_too_many(path, len(listed))
        members = [member for member in listed if not is_hidden(member.filename)]
        if encrypted := [member.filename for member in members if member.flag_bits & 1]:
            raise DataError(
                f"{path} is an encrypted zip ({encrypted[0]} needs a password); unpack it and name the folder"
            )
        files = Counter(member.filename for member in members if not member.is_dir())
        repeated = _repeated(files)
        folders = {member.filename.rstrip("/") for member in members if member.is_dir()}
        hidden = _hidden(member.filename for member in listed)
        compressed = {member.filename: member.compress_size for member in members}
        yield Container(
            path,
            "zip",
            tuple(sorted(files)),
            tuple(sorted(folders)),
            archive.open,
            left_out=(*hidden, *repeated),
            compressed_bytes=compressed,
        )


@contextmanager
def _tar(path: Path) -> Iterator[Container]:
    try:
        archive = tarfile.open(path)  # noqa: SIM115 – closed below; an error of opening has a message of its own
        members, listed, files = {}, [], Counter[str]()
        for number, member in enumerate(archive):
            _refuse_too_many(path, number)
            listed.append(member.name.removeprefix("./"))
            if not is_hidden(member.name):
                members[listed[-1]] = member
                files[listed[-1]] += member.isfile()
    except READ_ERRORS as error:
        raise DataError(f"{path} is a truncated or damaged tar: {_in_sentence(error)}; fetch it again") from error
    with archive:

        def opened(name: str) -> IO[bytes]:
            file = archive.extractfile(members[name])
            assert file is not None, f"{name} is a listed file"
            return file

        names = sorted(name for name, entry in members.items() if entry.isfile())
        folders = sorted(name for name, entry in members.items() if entry.isdir())
        yield Container(
            path, "tar", tuple(names), tuple(folders), opened, left_out=(*_hidden(listed), *_repeated(files))
        )


def _hidden(names: Iterable[str]) -> tuple[str, ...]:
    """The hidden files of an archive, each with the reason why it is left out; those of operating systems are not listed."""
    return tuple(
        f"{name}: a hidden file" for name in names if is_hidden(name) and not any(map(is_system_file, name.split("/")))
    )


def _repeated(files: Mapping[str, int]) -> tuple[str, ...]:
    """The files of which a later one of the same name is read, as unpacking would leave only that one."""
    return tuple(f"{name}: a later file has this name" for name, count in files.items() for _ in range(count - 1))


def _refuse_too_many(path: Path, count: int) -> None:
    if count > ARCHIVE_MEMBERS:
        raise DataError(f"{path} holds more than {ARCHIVE_MEMBERS:,} files; unpack it and name a part of it")


def _in_sentence(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text[0].lower() + text[1:]
