"""The folder of a bundle: hashes of its files, their content once it is proved to be the one hashed, and its replacement."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fer_edge.atomic_file import sync_to_disk
from fer_edge.bounded_read import read_bounded
from fer_edge.bundle_spec import FileEntry
from fer_edge.errors import BundleRefused, UsageError
from fer_edge.limits import MODEL_BYTES
from fer_edge.termination import cleaned_up_when_terminated

# names of a bundle's files; other files in its folder are the user's
_OWN = {
    *("bundle.json", "model.tflite", "golden.npz", "parity.json", "calibration.json", "history.json", "synthetic.npz"),
    *("CARD.md", "float.keras", "float.h5", "float.hdf5", "float.tflite"),
}


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_of_bundle(name: str) -> bool:
    """Whether a file of this name in a bundle's folder is the bundle's own, and no file that someone else put there."""
    return name in _OWN


def file_entries(folder: Path) -> dict[str, FileEntry]:
    """Size and hash of each file of a bundle but bundle.json itself, as bundle.json lists them."""
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and is_of_bundle(p.name) and p.name != "bundle.json")
    return {name: FileEntry((folder / name).stat().st_size, sha256_of(folder / name)) for name in names}


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """A fresh folder beside `folder` to write to; it replaces `folder` when the block ends without an error.

    What `folder` holds besides a bundle's files goes into it first; of a link, the folder that it names is replaced. On an
    error, and when the process is terminated, `folder` stays as it was and the fresh folder is removed. Raises UsageError as
    `refuse_unless_bundle`.
    """
    with cleaned_up_when_terminated(), _replaced_folder(folder) as fresh:
        yield fresh


@contextmanager
def _replaced_folder(folder: Path) -> Iterator[Path]:
    """See `replaced_folder`, which also cleans up when the process is terminated."""
    refuse_unless_bundle(folder)
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        fresh.chmod(0o755)
        for other in (found for found in _listed(folder) if not is_of_bundle(found.name)):
            if other.is_dir() and not other.is_symlink():
                shutil.copytree(other, fresh / other.name, symlinks=True)
            else:
                shutil.copy2(other, fresh / other.name, follow_symlinks=False)
        yield fresh
        for file in (found for found in fresh.rglob("*") if found.is_file() and not found.is_symlink()):
            sync_to_disk(file)
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
            folder.rename(old / folder.name)
            try:
                fresh.rename(folder)
            except OSError:
                (old / folder.name).rename(folder)
                raise
            finally:
                if folder.exists():
                    shutil.rmtree(old)
        else:
            fresh.rename(folder)
    finally:
        if fresh.exists():
            shutil.rmtree(fresh)


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def refuse_unless_bundle(folder: Path) -> None:
    """Raises UsageError when `folder` exists and is neither empty nor a bundle, so that no other files are replaced.

    Also as `refuse_from_inside`.
    """
    refuse_from_inside(folder)
    if not folder.exists() or (folder / "bundle.json").is_file():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise UsageError(f"{folder} exists and is not a bundle; name a new folder with --out")


def refuse_from_inside(folder: Path) -> None:
    """Raises UsageError when the current folder is in `folder`: a shell would be left in the deleted folder of before."""
    try:
        current = Path.cwd()
    except FileNotFoundError:  # it was deleted, and is in no folder
        return
    if folder.is_dir() and current.is_relative_to(folder.resolve()):
        raise UsageError(
            f"{folder} is replaced as a whole, and the current folder is in it; run this from outside of it"
        )


def checked_content(folder: Path, name: str, files: Mapping[str, FileEntry]) -> bytes:
    """The content of a file of the bundle. Raises BundleRefused when it is not the one that bundle.json describes."""
    path = folder / name
    if name not in files:
        raise BundleRefused(f"{folder / 'bundle.json'} does not list {name}; make the bundle again")
    if not path.is_file():
        raise BundleRefused(f"{path} is missing; copy the bundle again")
    content = read_content(path, MODEL_BYTES)
    if (len(content), hashlib.sha256(content).hexdigest()) != (files[name].bytes, files[name].sha256):
        raise BundleRefused(
            f"{path} is not the file that bundle.json describes (its hash differs); copy the bundle again"
        )
    return content


def read_content(path: Path, largest_bytes: int) -> bytes:
    """The content of a file. Raises BundleRefused when it is larger than the limit, or cannot be read."""
    try:
        with path.open("rb") as file:
            content = read_bounded(file, largest_bytes)
    except OSError as error:
        raise BundleRefused(f"{path} cannot be read ({error.strerror}); copy the bundle again") from error
    if len(content) > largest_bytes:
        raise BundleRefused(
            f"{path} has more than the {largest_bytes:,} bytes that are read of it; copy the bundle again"
        )
    return content
