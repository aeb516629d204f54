"""What a path holds, as files with names: a folder, a zip, a tar of any compression, a gzip, or one file by itself."""

from __future__ import annotations

import gzip
import os
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, cast

from fer_edge.errors import DataError

ACCEPTED = (
    "accepted are FER2013 as Kaggle's zip, unpacked, or as fer2013.csv or icml_face_data.csv (also in a zip, tar.gz "
    "or gz), and a folder or a zip with one folder of images for each class"
)
TAR_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
ARCHIVE_SUFFIXES = (".zip", ".gz", *TAR_SUFFIXES)

# What reading a damaged archive raises, from opening it to its last byte.
DAMAGE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError)


@dataclass(frozen=True, slots=True)
class Files:
    """The files and folders below a path, by their names relative to it, with `/`, each tuple in order of the names.

    `kind` names the container. `sequential` says that files are cheap to read only in the order they are packed in.
    """

    path: Path
    kind: str
    names: tuple[str, ...]
    folders: tuple[str, ...]
    open: Callable[[str], IO[bytes]]
    sequential: bool = False
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def read(self, name: str) -> bytes:
        """All bytes of one file. Safe in several threads at once. Raises one of DAMAGE.

        One at a time: members of one zip read side by side come out damaged now and then on Python 3.13.0, 60 to 90 of
        FER2013's 35,887.
        """
        with self._turn, self.open(name) as file:
            return file.read()

    def place(self, name: str) -> str:
        """Where a file stands, for a message."""
        return str(self.path) if self.kind in ("file", "gzip") else f"{name} in {self.path}"


@contextmanager
def opened(path: Path) -> Iterator[Files]:
    """The files at `path`, readable until the context ends; what it is, is seen from its first bytes.

    What systems leave behind (`__MACOSX`, `.DS_Store`, other names that begin with a dot) is not among them. Raises
    DataError when the path is missing, empty, truncated, encrypted, or may not be read.
    """
    if path.is_dir():
        yield _folder(path)
        return
    if not path.exists():
        raise DataError(f"{path} does not exist; {ACCEPTED}")
    try:
        with path.open("rb") as file:
            head = file.read(264)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not head:
        raise DataError(f"{path} is empty (0 bytes); {ACCEPTED}")
    if head[:2] == b"PK":
        with _zip(path) as files:
            yield files
    elif path.name.lower().endswith(TAR_SUFFIXES) or head[257:262] == b"ustar":
        with _tar(path) as files:
            yield files
    elif head[:2] == b"\x1f\x8b":
        name = path.name.removesuffix(".gz")
        yield Files(path, "gzip", (name,), (), lambda _: cast("IO[bytes]", gzip.GzipFile(path)))
    else:
        yield Files(path, "file", (path.name,), (), lambda _: path.open("rb"))


def _folder(path: Path) -> Files:
    names: list[str] = []
    folders: list[str] = []

    def unreadable(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error

    for here, below, files in os.walk(path, onerror=unreadable):
        below[:] = [name for name in below if _ours(name)]
        at = Path(here).relative_to(path)
        folders += [(at / name).as_posix() for name in below]
        names += [(at / name).as_posix() for name in files if _ours(name)]
    return Files(path, "folder", tuple(sorted(names)), tuple(sorted(folders)), lambda name: (path / name).open("rb"))


@contextmanager
def _zip(path: Path) -> Iterator[Files]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        size = path.stat().st_size
        raise DataError(
            f"{path} is a truncated or damaged zip: {size:,} bytes and {_lower(error)}; fetch it again"
        ) from error
    with archive:
        members = [member for member in archive.infolist() if _ours(member.filename)]
        if locked := [member.filename for member in members if member.flag_bits & 1]:
            raise DataError(f"{path} is an encrypted zip ({locked[0]} needs a password); unpack it and name the folder")
        names = sorted(member.filename for member in members if not member.is_dir())
        folders = {member.filename.rstrip("/") for member in members if member.is_dir()}
        yield Files(path, "zip", tuple(names), tuple(sorted(folders)), archive.open)


@contextmanager
def _tar(path: Path) -> Iterator[Files]:
    try:
        archive = tarfile.open(path)  # noqa: SIM115 – closed below; what opening raises is another sentence
        members = {member.name.removeprefix("./"): member for member in archive.getmembers() if _ours(member.name)}
    except DAMAGE as error:
        raise DataError(f"{path} is a truncated or damaged tar: {_lower(error)}; fetch it again") from error
    with archive:

        def member(name: str) -> IO[bytes]:
            file = archive.extractfile(members[name])
            assert file is not None, f"{name} is among the names, so it is a file"
            return file

        names = sorted(name for name, entry in members.items() if entry.isfile())
        folders = sorted(name for name, entry in members.items() if entry.isdir())
        yield Files(path, "tar", tuple(names), tuple(folders), member, sequential=True)


def _ours(name: str) -> bool:
    parts = PurePosixPath(name.removeprefix("./")).parts
    return not any(part == "__MACOSX" or part.startswith(".") for part in parts)


def _lower(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text[0].lower() + text[1:]
