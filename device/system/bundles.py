"""The bundles on a device: installed beside each other, one of them in use, the one before it a command away.

A bundle is taken over only after this device's own runtime did with it what it did when it was proved. Every file is
forced to the disk before a name points to it, and one rename switches: a power cut at any step leaves the old choice or
the new one, both whole.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fer_edge.active_bundle import IN_USE, history, place
from fer_edge.atomic_file import write_atomically
from fer_edge.bundle import REQUIRED, Bundle
from fer_edge.errors import BundleRefused, FerEdgeError, UsageError
from fer_edge.shipped_bundles import SHIPPED, default_path
from fer_edge.verify import Verification, verify

_KEPT = 20  # names of the way back
_FRESH = ".new-"


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """A bundle that can be used. `release` is its name here, `problem` why it is refused, as a sentence, or empty."""

    release: str
    name: str
    sha256: str
    path: Path
    in_use: bool
    shipped: bool
    problem: str

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True, slots=True)
class BundleChange:
    """What a change did: the release that is in use or was installed, and what its check found."""

    release: str
    path: Path
    verified: Verification


class BundleStore:
    """The bundles in `folder`, which is made with the first one. One process at a time changes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.releases = self.folder / "releases"

    def entries(self) -> list[BundleEntry]:
        """Every bundle there is: those that came with the package, then the installed ones."""
        names = [*SHIPPED, *self._installed()]
        return [self._entry(name) for name in names]

    def install(self, source: Path) -> BundleChange:
        """The release that the bundle in the folder `source` became; it is not in use yet.

        Only what a device needs is copied. Raises BundleRefused when it is damaged or this device's runtime does not do
        with it what it should, UsageError when it cannot be written; nothing is changed then.
        """
        bundle = Bundle.load(source)
        verified = verify(bundle)
        name = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', bundle.name).strip('.-')[:40] or 'bundle'}-{bundle.sha256[:12]}"
        path = self.releases / name
        with self._changing():
            if not self._is(path, bundle):
                fresh = Path(tempfile.mkdtemp(prefix=_FRESH, dir=self.releases))
                for file in (*REQUIRED, "bundle.json"):
                    _copy(bundle.path / file, fresh / file)
                fresh.chmod(0o755)
                if not self._is(fresh, bundle):
                    raise UsageError(f"{source} changed while it was copied; install it again")
                _force(fresh)
                if path.exists():  # a damaged one of the same name; what it was worth is lost already
                    path.rename(self.releases / f"{_FRESH}damaged-{name}")
                fresh.rename(path)
            _force(self.releases)
            self._sweep()
        return BundleChange(name, path, verified)

    def use(self, name: str) -> BundleChange:
        """The release that `name` stands for, in use from the next start on. `name` may be its beginning, if only one fits.

        Raises UsageError when there is none, BundleRefused when it fails its check; the one in use stays then.
        """
        release = self._named(name)
        with self._changing():
            try:
                before = history(self.folder)
            except BundleRefused:  # the file that says what is in use is damaged, and now written anew
                before = ()
            changed = self._checked(release)
            if before[:1] != (release,):
                self._write((release, *before))
        return changed

    def rollback(self) -> BundleChange:
        """The bundle that was in use before, in use again from the next start on.

        Raises UsageError when nothing was before it, BundleRefused when that one fails its check; nothing is changed then.
        """
        with self._changing():
            names = history(self.folder)
            if not names:
                raise UsageError(f"the bundle in use, {SHIPPED[0]}, came with the package; there is none to go back to")
            changed = self._checked(names[1] if len(names) > 1 else SHIPPED[0])
            self._write(names[1:])
        return changed

    def _checked(self, release: str) -> BundleChange:
        path = place(self.folder, release)
        verified = verify(Bundle.load(path))
        if release not in SHIPPED:  # an install that was cut off may have left it in memory only
            for file in (*path.iterdir(), path, self.releases):
                _force(file)
        return BundleChange(release, path, verified)

    def _write(self, names: tuple[str, ...]) -> None:
        text = "".join(f"{name}\n" for name in names[:_KEPT])
        write_atomically(self.folder / IN_USE, text, mode=0o644, durable=True)  # whoever runs the loop reads it
        _force(self.folder)
        self._sweep()

    def _named(self, asked: str) -> str:
        known = [*SHIPPED, *self._installed()]
        fitting = [asked] if asked in known else [name for name in known if asked and name.startswith(asked)]
        if len(fitting) == 1:
            return fitting[0]
        what = f"“{asked}” may be {', '.join(fitting)}; give more of it" if fitting else f"there is no bundle “{asked}”"
        raise UsageError(f"{what}; `fer-edge bundle list` lists them, `fer-edge bundle install DIR` adds one")

    def _installed(self) -> list[str]:
        folders = self.releases.iterdir() if self.releases.is_dir() else ()
        return sorted(folder.name for folder in folders if folder.is_dir() and not folder.name.startswith("."))

    def _entry(self, release: str) -> BundleEntry:
        path, name, sha256, problem = place(self.folder, release), "", "", ""
        try:
            bundle = Bundle.load(path)
            name, sha256 = bundle.name, bundle.sha256
        except FerEdgeError as error:
            problem = str(error)
        in_use = path == (place(self.folder, names[0]) if (names := history(self.folder)) else default_path())
        return BundleEntry(release, name, sha256, path, in_use, release in SHIPPED, problem)

    @staticmethod
    def _is(path: Path, bundle: Bundle) -> bool:
        """Whether the folder `path` holds `bundle`, whole."""
        try:
            return Bundle.load(path).sha256 == bundle.sha256
        except FerEdgeError:
            return False

    def _sweep(self) -> None:
        """Takes away what a change that was cut off left; the lock is held, so nobody is at it."""
        for left in self.releases.glob(f"{_FRESH}*"):
            shutil.rmtree(left)
        for left in self.folder.glob(f".{IN_USE}.*"):
            left.unlink()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """The folder, made and locked; an error of the disk becomes a sentence."""
        try:
            for folder in (self.folder, self.releases):
                _make(folder)
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            raise UsageError(
                f"the bundles in {self.folder} cannot be changed ({error.strerror or error}); the one in use stays; "
                "try with sudo, or make room"
            ) from error


def _make(folder: Path) -> None:
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # whatever root's umask: whoever runs the loop reads it
    _force(folder.parent)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as old, target.open("xb") as new:
        shutil.copyfileobj(old, new)
        new.flush()
        os.fchmod(new.fileno(), 0o644)
        os.fsync(new.fileno())


def _force(path: Path) -> None:
    """Has a file or folder written to the disk, so that no power cut brings back what was before."""
    node = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(node)
    finally:
        os.close(node)
