"""The bundles on a device: installed side by side, one of them in use; `rollback` returns to the one before it.

A bundle comes into use only after this device's runtime reproduced its golden vectors. Every file is synced to the disk
before a name points to it, and one rename switches: after a power cut at any step the old or the new bundle is in use, and
either is complete.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fer_edge.active_bundle import IN_USE_FILE, bundle_path, selected_names
from fer_edge.atomic_file import sync_to_disk, write_atomically
from fer_edge.bundle import REQUIRED_FILES, Bundle
from fer_edge.errors import BundleRefused, FerEdgeError, UsageError
from fer_edge.golden_check import Verification, verify
from fer_edge.shipped_bundles import SHIPPED, default_path

_HISTORY_LENGTH = 20  # releases that `rollback` can return to
_TEMPORARY_PREFIX = ".new-"


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """A bundle on this device. `release` is its name here; `problem` is a sentence why it is rejected, or empty."""

    release: str
    name: str
    sha256: str
    path: Path
    in_use: bool
    shipped: bool
    problem: str

    def to_json(self) -> dict[str, Any]:
        """The entry as `fer-edge bundle list --json` prints it."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True, slots=True)
class BundleChange:
    """The release that was installed or came into use, and the result of its check."""

    release: str
    path: Path
    verified: Verification


class BundleStore:
    """The bundles in `folder`, which the first installation makes. A lock lets one process at a time change it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.releases = self.folder / "releases"

    def entries(self) -> list[BundleEntry]:
        """All bundles: those of the package, then the installed ones. None is in use where that file is damaged."""
        return [self._entry(name) for name in (*SHIPPED, *self._installed())]

    def install(self, source: Path) -> BundleChange:
        """Installs the bundle in the folder `source` and returns its release; it is not in use yet.

        Only the files that a device needs are copied. Raises BundleRefused when the bundle is damaged or this device's
        runtime does not reproduce its golden vectors, UsageError when it cannot be written; nothing is changed then.
        """
        bundle = Bundle.load(source)
        verified = verify(bundle)
        name = bundle.installed_name
        path = self.releases / name
        with self._locked():
            if not self._holds(path, bundle):
                temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX, dir=self.releases))
                for file in (*REQUIRED_FILES, "bundle.json"):
                    _copy(bundle.path / file, temporary / file)
                temporary.chmod(0o755)
                if not self._holds(temporary, bundle):
                    raise UsageError(f"{source} changed while it was copied; install it again")
                sync_to_disk(temporary)
                if path.exists():  # a damaged release of the same name
                    path.rename(self.releases / f"{_TEMPORARY_PREFIX}damaged-{name}")
                temporary.rename(path)
            sync_to_disk(self.releases)
            self._remove_leftovers()
        return BundleChange(name, path, verified)

    def use(self, name: str) -> BundleChange:
        """Has the release `name` used from the next start on.

        `name` may also be the folder that was installed, or a bundle's own name or the beginning of a release's name where
        only one release has it.
        Raises UsageError when there is no such release, BundleRefused when it fails its check; nothing is changed then.
        """
        release = self._resolve(name)
        with self._locked():
            before = self._selected() or ()  # a damaged file is written again below
            change = self._check(release)
            if before[:1] != (release,):
                self._write_history((release, *before))
        return change

    def rollback(self) -> BundleChange:
        """Has the previous bundle used again from the next start on.

        Raises UsageError when there is none, BundleRefused when it fails its check; nothing is changed then.
        """
        with self._locked():
            names = selected_names(self.folder)
            if not names:
                raise UsageError(
                    f"the bundle in use, {SHIPPED[0]}, came with the package; there is no earlier one to return to"
                )
            change = self._check(names[1] if len(names) > 1 else SHIPPED[0])
            self._write_history(names[1:])
        return change

    def _check(self, release: str) -> BundleChange:
        path = bundle_path(self.folder, release)
        verified = verify(Bundle.load(path))
        if release not in SHIPPED:  # an interrupted installation may have left it in memory only
            for file in (*path.iterdir(), path, self.releases):
                sync_to_disk(file)
        return BundleChange(release, path, verified)

    def _write_history(self, names: tuple[str, ...]) -> None:
        text = "".join(f"{name}\n" for name in names[:_HISTORY_LENGTH])
        write_atomically(self.folder / IN_USE_FILE, text, mode=0o644, durable=True)  # every user may read it
        sync_to_disk(self.folder)
        self._remove_leftovers()

    def _resolve(self, name: str) -> str:
        """The release that `name` stands for. Raises UsageError when it stands for none or several; BundleRefused."""
        releases = [*SHIPPED, *self._installed()]
        if name in releases:
            return name
        entries = self.entries()
        if name and (Path(name) / "bundle.json").is_file():
            sha256 = Bundle.load(Path(name)).sha256
            if same := [entry.release for entry in entries if entry.sha256 == sha256]:
                return same[0]
            raise UsageError(f"the bundle in {name} is not installed; `fer-edge bundle install {name}` installs it")
        matches = [entry.release for entry in entries if name and entry.name == name]
        matches = matches or [release for release in releases if name and release.startswith(name)]
        if len(matches) == 1:
            return matches[0]
        problem = (
            f"“{name}” matches {', '.join(matches)}; type more of it" if matches else f"there is no bundle “{name}”"
        )
        raise UsageError(f"{problem}; `fer-edge bundle list` lists them, `fer-edge bundle install DIR` adds one")

    def _installed(self) -> list[str]:
        folders = self.releases.iterdir() if self.releases.is_dir() else ()
        return sorted(folder.name for folder in folders if folder.is_dir() and not folder.name.startswith("."))

    def _entry(self, release: str) -> BundleEntry:
        path, name, sha256, problem = bundle_path(self.folder, release), "", "", ""
        try:
            bundle = Bundle.load(path)
            name, sha256 = bundle.name, bundle.sha256
        except FerEdgeError as error:
            problem = str(error)
        names = self._selected()
        in_use = names is not None and path == (bundle_path(self.folder, names[0]) if names else default_path())
        return BundleEntry(release, name, sha256, path, in_use, release in SHIPPED, problem)

    def _selected(self) -> tuple[str, ...] | None:
        """The names in the file of the bundle in use; None where it is damaged."""
        try:
            return selected_names(self.folder)
        except BundleRefused:
            return None

    @staticmethod
    def _holds(path: Path, bundle: Bundle) -> bool:
        """Whether the folder `path` holds `bundle`, complete."""
        try:
            return Bundle.load(path).sha256 == bundle.sha256
        except FerEdgeError:
            return False

    def _remove_leftovers(self) -> None:
        """Removes what interrupted changes left; the lock is held, so that no other process uses it."""
        for leftover in self.releases.glob(f"{_TEMPORARY_PREFIX}*"):
            shutil.rmtree(leftover)
        for leftover in self.folder.glob(f".{IN_USE_FILE}.*"):
            leftover.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Makes and locks the folder. Raises UsageError for an error of the disk within the block."""
        try:
            for folder in (self.folder, self.releases):
                _make_folder(folder)
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            raise UsageError(
                f"the bundles in {self.folder} cannot be changed ({error.strerror or error}); the one in use is unchanged; "
                "try with sudo, or free some space"
            ) from error


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # whatever root's umask: the user that runs the loop reads it
    sync_to_disk(folder.parent)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer)
        writer.flush()
        os.fchmod(writer.fileno(), 0o644)
        os.fsync(writer.fileno())
