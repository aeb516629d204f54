"""The folder of collected faces: crops without a label, crops in class folders, and an index. For its owner only.

    DIR/fer-edge-faces.json      marks the folder as one of `fer-edge collect`; no other folder is touched
    DIR/index.jsonl              a line for each crop: file, time, track, box, quality, and what the model answered
    DIR/unlabelled/NAME.png      deleted after `expire_days`
    DIR/labelled/CLASS/NAME.png  kept until the owner deletes it; `python -m convert.data DIR/labelled` reads these folders

Folders have mode 0700 and files 0600. No link in it is followed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from device.clock import wall_s
from device.output.collected.face_limits import FaceLimits
from fer_edge.atomic_file import atomic_file, write_atomically
from fer_edge.errors import UsageError
from fer_edge.folder_files import COLLECTED_LABELLED, COLLECTED_MARKER, is_hidden
from fer_edge.journal.segments import lock_folder
from fer_edge.json_fields import json_text
from fer_edge.labels import NONE, PART_NAMES, require_printable_label

MARKER, LABELLED = COLLECTED_MARKER, COLLECTED_LABELLED
INDEX, UNLABELLED = "index.jsonl", "unlabelled"
_FORMAT = 1
_NAME = re.compile(r"[0-9A-Za-z-]{1,80}\.png")
_LARGEST_FILE_BYTES = 4 << 20  # of a crop: the model's input has at most 1024 px a side
_LARGEST_MARKER_BYTES = 10_000
_CLOCK_STEP_S = 60.0  # the wall clock was set, by the network or by hand
_UNFINISHED_S = 3600.0  # a file that was begun longer ago is a leftover of a killed process


@dataclass(frozen=True, slots=True)
class CollectedFace:
    """A line of the index: what is known of a crop. `time` is ISO 8601; `label` and `p` are the model's answer.

    `mono_s` counts seconds since the boot whose id is `boot`.
    """

    file: str
    time: str
    track: int
    xywh: tuple[int, int, int, int]
    score: float
    quality: float
    label: str
    p: float
    boot: str
    mono_s: float


class FaceFolder:
    """A checked folder of collected faces. Raises UsageError where it belongs to others or is something else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unlabelled, self.labelled = path / UNLABELLED, path / LABELLED

    @staticmethod
    def create(path: Path, expire_days: float) -> FaceFolder:
        """The folder, made where it is missing. An existing one must be empty, or of an earlier `fer-edge collect`."""
        folder = FaceFolder(path)
        _make_private(path)
        if not (path / MARKER).exists() and (others := sorted(entry.name for entry in path.iterdir())):
            raise UsageError(
                f"{path} already holds {others[0]}, which `fer-edge collect` did not write; name a new folder"
            )
        marker = json.dumps({"format": _FORMAT, "expire_days": expire_days}, allow_nan=False) + "\n"
        if not _holds(path / MARKER, marker):  # so that a full disk does not stop a collection that goes on as before
            try:
                write_atomically(path / MARKER, marker, mode=0o600)
            except OSError as error:
                raise UsageError(
                    f"{path / MARKER} cannot be written ({error.strerror}); name another folder"
                ) from error
        for inner in (folder.unlabelled, folder.labelled):
            _make_private(inner)
        return folder

    @staticmethod
    def open(path: Path) -> FaceFolder:
        """The folder of an earlier `fer-edge collect`."""
        if not (path / MARKER).is_file():
            raise UsageError(f"{path} is not a folder of `fer-edge collect --faces`: it has no {MARKER}")
        folder = FaceFolder(path)
        for inner in (path, folder.unlabelled, folder.labelled):
            _make_private(inner)
        return folder

    def hold(self) -> int:
        """A descriptor that keeps other collecting processes out until it is closed: each counts only its own crops.

        Raises UsageError when another one has it.
        """
        try:
            return lock_folder(self.unlabelled)
        except BlockingIOError as error:
            raise UsageError(
                f"another `fer-edge collect` stores faces in {self.path}; end it, or name another folder with --faces"
            ) from error

    def expire_days(self) -> float:
        """After how many days a crop without a label is deleted, as the last `fer-edge collect` was told."""
        try:
            with (self.path / MARKER).open("rb") as file:
                days = json.loads(file.read(_LARGEST_MARKER_BYTES))["expire_days"]
            return float(days) if days > 0 else FaceLimits().expire_days
        except (OSError, ValueError, KeyError, TypeError):
            return FaceLimits().expire_days

    def add(self, face: CollectedFace, png: bytes) -> None:
        """Stores a crop without a label. Raises OSError."""
        with self._lock():
            with atomic_file(self._file(self.unlabelled, face.file), mode=0o600) as fresh:
                fresh.write_bytes(png)
            with os.fdopen(_open_private(self.path / INDEX, os.O_APPEND), "w") as index:
                index.write(f"{json_text(_row(face))}\n")

    def size(self) -> tuple[int, int]:
        """The number of crops, with and without a label, and their bytes."""
        sizes = [file.lstat().st_size for folder in self._folders() for file in _crops(folder)]
        return len(sizes), sum(sizes)

    def waiting(self) -> list[str]:
        """The names of the crops without a label, the oldest first."""
        return sorted(file.name for file in _crops(self.unlabelled))

    def counts(self) -> dict[str, int]:
        """The number of crops of each class that has a folder."""
        return {folder.name: len(list(_crops(folder))) for folder in self._class_folders()}

    def read(self, name: str) -> bytes:
        """The PNG of a crop without a label. Raises FileNotFoundError when there is none."""
        file = self._file(self.unlabelled, name)
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
            return opened.read(_LARGEST_FILE_BYTES)

    def label(self, name: str, label: str) -> None:
        """Moves a crop into the folder of a class. Raises FileNotFoundError when it is not there, UsageError for a bad name."""
        source, folder = self._file(self.unlabelled, name), self.labelled / class_name(label)
        source.lstat()  # before the folder is made: an empty class folder is no data set
        _make_private(folder)
        self._move(source, folder / name)

    def unlabel(self, name: str, label: str) -> None:
        """Moves a crop back; a class folder that is empty then is removed. Raises as `label`."""
        folder = self.labelled / class_name(label)
        self._move(self._file(folder, name), self._file(self.unlabelled, name))
        with suppress(OSError):  # it is not empty
            folder.rmdir()

    def delete(self, name: str) -> None:
        """Deletes a crop without a label, and its line of the index. Raises FileNotFoundError when it is not there."""
        self._file(self.unlabelled, name).unlink()
        self.prune(None)

    def set_ages(self, ages_s: Mapping[str, float]) -> None:
        """Sets the file time of each of these crops, if it has no label, to its age in seconds, where that differs much."""
        now_s = wall_s()
        for name, age_s in ages_s.items():
            with suppress(FileNotFoundError, UsageError):  # it was labelled or deleted; a name that is none
                file = self._file(self.unlabelled, name)
                if abs(now_s - age_s - file.lstat().st_mtime) > _CLOCK_STEP_S:
                    os.utime(file, (now_s - age_s, now_s - age_s), follow_symlinks=False)

    def prune(self, expire_days: float | None) -> int:
        """The number of crops without a label that were older and are deleted, with the index's lines of all that are gone."""
        with self._lock():
            now_s, deleted = wall_s(), 0
            for file in self.unlabelled.iterdir():
                age_s = now_s - file.lstat().st_mtime
                if file.name.startswith(".") and age_s > _UNFINISHED_S:
                    file.unlink(missing_ok=True)
                elif _NAME.fullmatch(file.name) and expire_days is not None and age_s > expire_days * 86_400:
                    file.unlink(missing_ok=True)
                    deleted += 1
            self._prune_index()
        return deleted

    def _prune_index(self) -> None:
        present = {file.name for folder in self._folders() for file in _crops(folder)}
        try:
            lines = (self.path / INDEX).read_text("utf-8", "replace").splitlines(keepends=True)
        except FileNotFoundError:
            return
        kept = [line for line in lines if _file_in(line) in present]
        if len(kept) < len(lines):
            write_atomically(self.path / INDEX, "".join(kept), mode=0o600)

    def _folders(self) -> list[Path]:
        return [self.unlabelled, *self._class_folders()]

    def _class_folders(self) -> list[Path]:
        return sorted(entry for entry in self.labelled.iterdir() if _is_folder(entry) and not is_hidden(entry.name))

    def _file(self, folder: Path, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UsageError(f"{ascii(name)[:80]} is not the name of a crop")
        return folder / name

    def _move(self, source: Path, target: Path) -> None:
        if not stat.S_ISREG(source.lstat().st_mode):
            raise UsageError(f"{source} is not a file")
        os.link(source, target, follow_symlinks=False)  # fails where the target exists; a rename would replace it
        source.unlink()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """No other process changes the index meanwhile: collecting and reviewing may run at the same time."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def class_name(label: str) -> str:
    """`label` itself, a name that a class folder can have. Raises UsageError for another."""
    if label == NONE:
        return label
    require_printable_label(label, UsageError)
    if "/" in label or is_hidden(label) or label.lower() in PART_NAMES:
        raise UsageError(f"“{label}” cannot be the folder of a class; give the class another name")
    return label


def _make_private(path: Path) -> None:
    """Makes a folder for its owner only, or checks that an existing one is that."""
    try:
        path.mkdir(mode=0o700)
        path.chmod(0o700)
        return
    except FileExistsError:
        pass
    except OSError as error:
        raise UsageError(f"{path} cannot be made: {error.strerror}") from error
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise UsageError(f"{path} is not a folder; name a folder of your own for the faces")
    if status.st_uid != os.geteuid():
        raise UsageError(f"{path} belongs to another user; name a folder of your own for the faces")
    if status.st_mode & 0o077:
        raise UsageError(f"others can read {path}; `chmod 700 {path}`, or name a new folder")


def _open_private(path: Path, flags: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flags, 0o600)


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and not path.is_symlink() and path.read_bytes() == text.encode()


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _crops(folder: Path) -> Iterator[Path]:
    return (file for file in folder.iterdir() if _NAME.fullmatch(file.name) and stat.S_ISREG(file.lstat().st_mode))


def _row(face: CollectedFace) -> dict[str, object]:
    return {name: getattr(face, name) for name in CollectedFace.__slots__}


def _file_in(line: str) -> str:
    """The name of the crop that a line of the index is about; empty where it is damaged."""
    try:
        return str(json.loads(line)["file"])
    except (ValueError, KeyError, TypeError):
        return ""
