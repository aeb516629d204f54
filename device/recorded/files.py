"""Which recordings a command line names, where their results are, and whether they exist already."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from device.clock import wall_s
from device.default_folders import expand_user
from device.recorded.remote import RemoteFile, find_remote
from device.recorded.remote_address import is_remote, shown_address
from device.recorded.summary import AnnotatedFile, FileState, LabelSummary, Provenance
from fer_edge.console import message
from fer_edge.errors import UsageError
from fer_edge.folder_files import files_below, in_sentence
from fer_edge.journal.segments import lock_folder
from fer_edge.json_fields import json_text, parse_json
from fer_edge.media_files import VIDEO_SUFFIXES, is_video_file
from fer_edge.text_cleaning import may_hold_password

FORMATS = ("csv", "parquet")
ANNOTATED = ".labelled.mp4"  # appended to the whole name of the recording; such a file is never a recording
_SCRATCH_PREFIX = ".label-"  # of the folder in which a run writes unfinished results


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """What to make of each recording: a table in one of FORMATS, and with `annotate` a video that pixelates or shows faces."""

    form: str = "csv"
    annotate: bool = False
    show_faces: bool = False


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to label. `name` is its path below the folder of results; `bytes` and `mtime_ns` identify one state of it.

    `path` of a `remote` one is its file name alone, until it is fetched.
    """

    path: Path
    name: str
    bytes: int
    mtime_ns: int
    remote: RemoteFile | None = None

    @staticmethod
    def at(path: Path, name: str) -> Recording:
        """The recording in its present state. Raises OSError."""
        stat = path.stat()
        return Recording(path, name, stat.st_size, stat.st_mtime_ns)

    @property
    def shown(self) -> str:
        """Its path, or its address without credentials."""
        return str(self.path) if self.remote is None else shown_address(self.remote.url)

    def is_unchanged(self) -> bool:
        """Whether the file was neither changed nor removed since. `fetch` compares a remote one."""
        if self.remote is not None:
            return True
        try:
            return Recording.at(self.path, self.name) == self
        except OSError:
            return False

    def rows(self, out: Path, options: LabelOptions) -> Path:
        """The path of its table: its whole name and the format, so that clip.mp4 and clip.avi differ."""
        return out / f"{self.name}.{options.form}"

    def annotated(self, out: Path) -> Path:
        """The path of its annotated video."""
        return out / f"{self.name}{ANNOTATED}"

    def state(self) -> FileState:
        """The state that its summary records."""
        return FileState(self.path.name, self.bytes, self.mtime_ns, self.remote.version if self.remote else None)


def find_recordings(paths: Sequence[Path | str]) -> list[Recording]:
    """The recordings that `paths` name: files, and all videos below folders in order of name; each file once.

    A file below a folder is a video by its name or its first bytes; links are followed. Other files are reported on stderr.
    A text may be an address of `device.recorded.remote`. Raises UsageError for a missing path, a folder without a video, and
    two files whose results would have the same name.
    """
    found: dict[Path | str, Recording] = {}
    names: dict[str, tuple[Path | str, Path | str]] = {}
    for given in paths:
        if isinstance(given, str) and is_remote(given):
            for recording in _remote_recordings(given):
                assert recording.remote is not None
                if (address := recording.remote.url) not in found:
                    _take_name(names, recording.name, address, recording.shown)
                    found[address] = recording
            continue
        path = expand_user(Path(given))
        below = _videos_below(path) if path.is_dir() else [path]
        if not below:
            raise UsageError(
                f"the folder {path} has no video ({', '.join(VIDEO_SUFFIXES)}); name other files one by one"
            )
        for file in below:
            if (real := file.resolve()) in found:
                continue
            name = file.relative_to(path).as_posix() if path.is_dir() else file.name
            try:
                recording = Recording.at(file, name)
            except OSError as error:
                shown = "what may be an address" if may_hold_password(str(file)) else file
                raise UsageError(f"{shown} cannot be read: {error.strerror}; check the path") from error
            _take_name(names, name, file, file)
            found[real] = recording
            if not file.is_file():
                raise UsageError(
                    f"{file} is not a file; use `fer-edge run --camera` for anything other than a recording"
                )
    return list(found.values())


def _take_name(names: dict[str, tuple[Path | str, Path | str]], name: str, file: Path | str, shown: Path | str) -> None:
    other, other_shown = names.setdefault(name, (file, shown))
    if other != file:
        raise UsageError(
            f"the results of {other_shown} and {shown} would have the same name; name the folder above both instead"
        )


def _remote_recordings(url: str) -> list[Recording]:
    found = find_remote(url)
    _report_others(shown_address(url), found.left_out)
    videos = [file for file in found.videos if not file.name.lower().endswith(ANNOTATED)]
    if not videos:
        raise UsageError(
            f"{shown_address(url)} has no video ({', '.join(VIDEO_SUFFIXES)}); name other files one by one"
        )
    return [Recording(Path(Path(file.name).name), file.name, file.bytes, file.mtime_ns, file) for file in videos]


def _videos_below(folder: Path) -> list[Path]:
    found = files_below(folder)
    in_order = sorted(
        found.names, key=lambda name: (folder / name).is_symlink()
    )  # a file by its own name, not by a link's
    names = [name for name in in_order if not name.lower().endswith(ANNOTATED)]
    videos = [name for name in names if is_video_file(folder / name)]
    _report_others(folder, [*sorted(set(names) - set(videos)), *found.left_out])
    return [folder / name for name in videos]


def _report_others(folder: Path | str, others: Sequence[str]) -> None:
    if others:
        message(f"{folder}: {len(others):,} other file{'s' * (len(others) > 1)} left out: {in_sentence(list(others))}")


def sidecar_path(rows: Path) -> Path:
    """The path of the summary beside a table. It is written last, so that a table with a summary is complete."""
    return rows.with_name(f"{rows.name}.json")


def finished_result(recording: Recording, out: Path, options: LabelOptions, made_by: Provenance) -> LabelSummary | None:
    """The summary of an existing result that labelling would make again without a change; None if there is none."""
    rows = recording.rows(out, options)
    try:
        summary = _read_summary(rows)
        current = summary.made_by == made_by and summary.source == recording.state()
        current = current and rows.stat().st_size == summary.rows.bytes
        if options.annotate:
            video_bytes = recording.annotated(out).stat().st_size
            current = current and summary.annotated == AnnotatedFile(video_bytes, face_rendering(options))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return summary if current else None


def has_result_of_other_file(recording: Recording, out: Path, options: LabelOptions) -> bool:
    """Whether the existing result is of a file of another size or time: another video, or this one before."""
    try:
        return _read_summary(recording.rows(out, options)).source != recording.state()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _read_summary(rows: Path) -> LabelSummary:
    return LabelSummary.from_json(parse_json(sidecar_path(rows).read_bytes()))


def face_rendering(options: LabelOptions) -> str:
    """How an annotated video renders faces: `shown` or `pixelated`."""
    return "shown" if options.show_faces else "pixelated"


def commit_results(
    scratch: Path, recording: Recording, out: Path, options: LabelOptions, summary: LabelSummary
) -> None:
    """Moves the results in the folder `scratch` to their paths in `out`, the summary last.

    Each file is synced to the disk before it is renamed. Without a summary a table counts as unfinished.
    """
    rows = recording.rows(out, options)
    sidecar = sidecar_path(rows)
    text = json_text(summary.to_json(), indent=1) + "\n"
    (scratch / sidecar.name).write_text(text, encoding="utf-8")
    rows.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError, UsageError, ValueError):  # there is no earlier result
        if not options.annotate and _read_summary(rows).source != summary.source:
            recording.annotated(out).unlink(missing_ok=True)  # of another video, or of this one before it was changed
    sidecar.unlink(missing_ok=True)
    for path in ([recording.annotated(out)] if options.annotate else []) + [rows, sidecar]:
        (scratch / path.name).chmod(0o600)  # faces of people, as in the journal
        with (scratch / path.name).open("rb") as written:
            os.fsync(written.fileno())
        (scratch / path.name).replace(path)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Lets one process at a time into the block, on file systems with locks."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


@contextmanager
def scratch_folder(out: Path, leftover_s: float = 0.0) -> Iterator[Path]:
    """A folder in `out` for unfinished results, removed after the block; folders of killed runs are removed first.

    Only folders that did not change for `leftover_s` seconds are: where several processes begin at once, a folder may not
    be locked yet. Raises UsageError when `out` cannot be written to.
    """
    lock = None
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(out):  # else a folder may be removed before it is locked
            for leftover in out.glob(f"{_SCRATCH_PREFIX}*"):
                with suppress(OSError):
                    if not leftover_s or wall_s() - leftover.lstat().st_mtime > leftover_s:
                        _remove_if_unlocked(leftover)
            scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=out))
            with suppress(OSError):  # a file system without locks; leftovers are not removed on it either
                lock = lock_folder(scratch)
    except OSError as error:
        raise UsageError(f"{out} cannot be written to: {error.strerror}; name another folder with --out") from error
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_if_unlocked(leftover: Path) -> None:
    """Removes a folder that no running process has locked."""
    try:
        lock = lock_folder(leftover)
    except OSError:
        return
    shutil.rmtree(leftover, ignore_errors=True)
    os.close(lock)
