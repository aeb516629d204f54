"""The wheel of this fer-edge: built from the checkout that it runs from, or repacked from the installed package."""

from __future__ import annotations

import base64
import csv
import fcntl
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from fer_edge import __version__
from fer_edge.errors import UsageError
from fer_edge.shipped_bundles import SHIPPED

CHECKOUT = Path(__file__).parents[2]
_SOURCES = ("fer_edge", "convert", "device", *(f"models/{name}" for name in SHIPPED), "constraints")
_FILES = ("pyproject.toml", "README.md", "LICENSE")
_CACHED = 3  # wheels
_LEFT_OUT = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}  # pip's notes on the installation
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)


def cache_folder() -> Path:
    """The folder of cached wheels: $XDG_CACHE_HOME/fer-edge, else ~/.cache/fer-edge."""
    cache_home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache_home if cache_home.is_absolute() else Path.home() / ".cache") / "fer-edge"


@contextmanager
def cache_lock() -> Iterator[None]:
    """Lets one process at a time fill the cache: several deploys may run at once."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build_wheel() -> Path:
    """The file of the wheel in the cache. A wheel of the same sources is not built again.

    Raises UsageError when it can neither be built nor repacked.
    """
    from_checkout = (CHECKOUT / "pyproject.toml").is_file()
    folder = cache_folder() / "wheels" / (_sources_key() if from_checkout else _installed_key())
    if not (cached := sorted(folder.glob("*.whl"))):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as fresh:
            wheel = _build(Path(fresh)) if from_checkout else repack_wheel(Path(fresh), _installed())
            folder.mkdir(exist_ok=True)
            cached = [wheel.replace(folder / wheel.name)]
    os.utime(folder)
    others = sorted((path for path in folder.parent.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for old in others[:-_CACHED]:
        for file in old.glob("*.whl"):
            file.unlink(missing_ok=True)
        old.rmdir()
    return cached[0]


def contents_hash(path: Path) -> str:
    """A hash of a wheel's contents, independent of how and when it was packed."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for name in sorted(name for name in archive.namelist() if not name.endswith(".dist-info/RECORD")):
            digest.update(f"{name}\0{hashlib.sha256(archive.read(name)).hexdigest()}\n".encode())
    return digest.hexdigest()


def _build(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "wheel", "--quiet"]
    process = subprocess.run(
        [*command, "--no-deps", "--wheel-dir", str(folder), str(CHECKOUT)], capture_output=True, text=True, check=False
    )
    found = list(folder.glob("fer_edge-*.whl"))
    if process.returncode or len(found) != 1:
        reason = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise UsageError(f"the wheel of {CHECKOUT} cannot be built ({reason}); that needs pip, and PyPI for hatchling")
    return found[0]


def _installed() -> Distribution:
    try:
        return distribution("fer-edge")
    except PackageNotFoundError as error:
        raise UsageError(
            "fer-edge is neither installed here nor run from a checkout; `pip install fer-edge` installs it"
        ) from error


def repack_wheel(folder: Path, installed: Distribution) -> Path:
    """The wheel that a distribution was installed from, without the installer's files (scripts, bytecode, notes)."""
    out, rows = folder / f"fer_edge-{installed.version}-py3-none-any.whl", []
    metadata = f"fer_edge-{installed.version}.dist-info"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(installed.files or ()):
            name = file.as_posix()
            if ".." in file.parts or file.suffix == ".pyc" or (file.parts[0] == metadata and file.name in _LEFT_OUT):
                continue
            content = Path(str(file.locate())).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append((name, f"sha256={digest}", len(content)))
            archive.writestr(zipfile.ZipInfo(name, _TIMESTAMP), content, zipfile.ZIP_DEFLATED)
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([*rows, (f"{metadata}/RECORD", "", "")])
        archive.writestr(zipfile.ZipInfo(f"{metadata}/RECORD", _TIMESTAMP), table.getvalue(), zipfile.ZIP_DEFLATED)
    if not any(name == "fer_edge/__init__.py" for name, _, _ in rows):
        raise UsageError(
            "fer-edge is installed here as a link to a checkout that does not exist any more; install it again"
        )
    return out


def sources() -> list[Path]:
    """All files of the checkout that a wheel is made of, sorted."""
    files = [CHECKOUT / name for name in _FILES]
    for folder in _SOURCES:
        found = (CHECKOUT / folder).rglob("*")
        files += [path for path in found if path.is_file() and "__pycache__" not in path.parts]
    return sorted(files)


def _sources_key() -> str:
    """A name that depends on all files of a wheel of the checkout."""
    digest = hashlib.sha256()
    for path in sources():
        file_digest = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(CHECKOUT).as_posix()}\0{file_digest}\n".encode())
    return f"{__version__}-{digest.hexdigest()[:16]}"


def _installed_key() -> str:
    record = _installed().read_text("RECORD") or ""
    return f"{__version__}-{hashlib.sha256(record.encode()).hexdigest()[:16]}"
