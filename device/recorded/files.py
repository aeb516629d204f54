"""Which recordings a command line names, what is made of each one and where, and whether that was made already."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_edge.errors import UsageError
from fer_edge.journal.segments import lock_folder

# What a folder is searched for; a file that is named may be called anything.
VIDEOS: tuple[str, ...] = (".3gp", ".avi", ".flv", ".h264", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg")
VIDEOS += (".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv")
FORMATS = ("csv", "parquet")
ANNOTATED = ".labelled.mp4"  # follows the whole name of the recording; never taken for one itself
_SCRATCH_PREFIX = ".label-"  # begins the name of the folder in which a run writes what is not whole yet


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """What is to be made of each recording: a table in one of FORMATS, and `annotated` video with or without faces."""

    form: str = "csv"
    annotate: bool = False
    show_faces: bool = False


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to label. `name` is its path below the folder of results, `bytes` and `mtime_ns` tell one state of it."""

    path: Path
    name: str
    bytes: int
    mtime_ns: int

    @staticmethod
    def at(path: Path, name: str) -> Recording:
        """The recording as it is now. Raises OSError."""
        known = path.stat()
        return Recording(path, name, known.st_size, known.st_mtime_ns)

    def is_as_it_was(self) -> bool:
        """Whether nobody has written to it or removed it since."""
        try:
            return Recording.at(self.path, self.name) == self
        except OSError:
            return False

    def rows(self, out: Path, wanted: LabelOptions) -> Path:
        """Where its table is: its whole name and the format's, so that clip.mp4 and clip.avi are two."""
        return out / f"{self.name}.{wanted.form}"

    def annotated(self, out: Path) -> Path:
        """Where its annotated video is."""
        return out / f"{self.name}{ANNOTATED}"

    def describe(self) -> dict[str, Any]:
        """What its results say of it."""
        return {"name": self.path.name, "bytes": self.bytes, "mtime_ns": self.mtime_ns}


def find_recordings(paths: Sequence[Path]) -> list[Recording]:
    """The recordings that `paths` name: files as they are, folders with all videos below them, by name; each file once.

    Raises UsageError for a path that is not there, a folder without a video, and two files whose results would have one
    name.
    """
    found: dict[Path, Recording] = {}
    names: dict[str, Path] = {}
    for given in paths:
        path = given.expanduser()
        below = sorted(_videos_below(path)) if path.is_dir() else [path]
        if not below:
            raise UsageError(f"the folder {path} holds no video ({', '.join(VIDEOS)}); name files to try others")
        for file in below:
            if (real := file.resolve()) in found:
                continue
            name = file.relative_to(path).as_posix() if path.is_dir() else file.name
            if (other := names.setdefault(name, file)) != file:
                raise UsageError(
                    f"the results of {other} and {file} would have the same name; give the folder above both instead"
                )
            try:
                found[real] = Recording.at(file, name)
            except OSError as error:
                raise UsageError(f"{file} cannot be read: {error.strerror}; check the path") from error
            if not file.is_file():
                raise UsageError(f"{file} is no file; `fer-edge run --camera` takes what is no recording")
    return list(found.values())


def _videos_below(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        named = file.name.lower()
        # hidden ones are what other systems keep beside videos, under the same suffix
        if named.endswith(VIDEOS) and not named.endswith(ANNOTATED) and not named.startswith(".") and file.is_file():
            yield file


def sidecar_path(rows: Path) -> Path:
    """Where it is told what a table was made of and by; it is written last, so that a table with one is whole."""
    return rows.with_name(f"{rows.name}.json")


def finished_result(
    recording: Recording, out: Path, wanted: LabelOptions, made_by: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What was told of a result that is there already and would become the same again; None where one has to be made."""
    rows = recording.rows(out, wanted)
    try:
        told: dict[str, Any] = json.loads(sidecar_path(rows).read_text(encoding="utf-8"))
        same = told["made_by"] == made_by and told["source"] == recording.describe()
        same = same and rows.stat().st_size == told["rows"]["bytes"]
        if wanted.annotate:
            video = recording.annotated(out).stat().st_size
            same = same and told["annotated"] == {"bytes": video, "faces": face_rendering(wanted)}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if same else None


def face_rendering(wanted: LabelOptions) -> str:
    """What an annotated video does with faces."""
    return "shown" if wanted.show_faces else "pixelated"


def commit_results(fresh: Path, recording: Recording, out: Path, wanted: LabelOptions, told: Mapping[str, Any]) -> None:
    """Puts the results that were written into the folder `fresh` in their places, and what is told of them last.

    Each has reached the disk before it is renamed, and whoever looks in between finds no sidecar, which means: not done.
    """
    rows = recording.rows(out, wanted)
    beside = sidecar_path(rows)
    (fresh / beside.name).write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    rows.parent.mkdir(parents=True, exist_ok=True)
    beside.unlink(missing_ok=True)
    for path in ([recording.annotated(out)] if wanted.annotate else []) + [rows, beside]:
        with (fresh / path.name).open("rb") as written:
            os.fsync(written.fileno())
        (fresh / path.name).replace(path)


@contextmanager
def scratch_folder(out: Path) -> Iterator[Path]:
    """A folder in `out` for what is not whole yet, gone after the block; those of runs that were killed go now.

    Raises UsageError when `out` cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for left in out.glob(f"{_SCRATCH_PREFIX}*"):
            _remove_if_unlocked(left)
        fresh = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=out))
    except OSError as error:
        raise UsageError(f"{out} cannot be written to: {error.strerror}; name another folder with --out") from error
    held = None
    with suppress(OSError):  # a file system without locks, on which then nothing that was left is removed either
        held = lock_folder(fresh)
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if held is not None:
            os.close(held)


def _remove_if_unlocked(left: Path) -> None:
    """Removes a folder that nobody holds any more."""
    try:
        held = lock_folder(left)
    except OSError:
        return
    shutil.rmtree(left, ignore_errors=True)
    os.close(held)
