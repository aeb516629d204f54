"""The wheel of this fer-edge: built from the checkout that it runs from, else put together again from where it is installed."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from fer_edge import __version__
from fer_edge.errors import UsageError

CHECKOUT = Path(__file__).parents[2]
_SOURCES = ("fer_edge", "convert", "device", "models/edge", "models/nano", "constraints")
_FILES = ("pyproject.toml", "README.md", "LICENSE")
_KEPT = 3  # of the wheels that were built
_LEFT_OUT = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}  # pip's own words about where it put a wheel
_MOMENT = (1980, 1, 1, 0, 0, 0)


def cache_folder() -> Path:
    """Where wheels are kept from one deploy to the next: $XDG_CACHE_HOME/fer-edge, else ~/.cache/fer-edge."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "fer-edge"


def build_wheel() -> Path:
    """The wheel's file, in the cache; what was built from the same sources before is not built again.

    Raises UsageError when it cannot be built or put together.
    """
    build = (CHECKOUT / "pyproject.toml").is_file()
    folder = cache_folder() / "wheels" / (_of_sources() if build else _of_installed())
    if not (kept := sorted(folder.glob("*.whl"))):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as fresh:
            made = _build(Path(fresh)) if build else repack_wheel(Path(fresh), _installed())
            folder.mkdir(exist_ok=True)
            kept = [made.replace(folder / made.name)]
    os.utime(folder)
    others = sorted((path for path in folder.parent.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for old in others[:-_KEPT]:
        for file in old.glob("*.whl"):
            file.unlink(missing_ok=True)
        old.rmdir()
    return kept[0]


def contents_hash(path: Path) -> str:
    """A hash of what a wheel holds, whoever packed it and when."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for name in sorted(name for name in archive.namelist() if not name.endswith(".dist-info/RECORD")):
            digest.update(f"{name}\0{hashlib.sha256(archive.read(name)).hexdigest()}\n".encode())
    return digest.hexdigest()


def _build(into: Path) -> Path:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "wheel", "--quiet"]
    done = subprocess.run(
        [*command, "--no-deps", "--wheel-dir", str(into), str(CHECKOUT)], capture_output=True, text=True, check=False
    )
    found = list(into.glob("fer_edge-*.whl"))
    if done.returncode or len(found) != 1:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UsageError(f"the wheel of {CHECKOUT} cannot be built ({said}); it needs pip, and PyPI for hatchling")
    return found[0]


def _installed() -> Distribution:
    try:
        return distribution("fer-edge")
    except PackageNotFoundError as error:
        raise UsageError(
            "fer-edge is neither installed here nor run from a checkout; `pip install fer-edge`"
        ) from error


def repack_wheel(into: Path, of: Distribution) -> Path:
    """The wheel that `of` was installed from, without what the installer made (scripts, bytecode, notes)."""
    out, rows = into / f"fer_edge-{of.version}-py3-none-any.whl", []
    notes = f"fer_edge-{of.version}.dist-info"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(of.files or ()):
            name = file.as_posix()
            if ".." in file.parts or file.suffix == ".pyc" or (file.parts[0] == notes and file.name in _LEFT_OUT):
                continue
            content = Path(str(file.locate())).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append((name, f"sha256={digest}", len(content)))
            archive.writestr(zipfile.ZipInfo(name, _MOMENT), content, zipfile.ZIP_DEFLATED)
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([*rows, (f"{notes}/RECORD", "", "")])
        archive.writestr(zipfile.ZipInfo(f"{notes}/RECORD", _MOMENT), table.getvalue(), zipfile.ZIP_DEFLATED)
    if not any(name == "fer_edge/__init__.py" for name, _, _ in rows):
        raise UsageError("fer-edge is installed here as a link to a checkout that is gone; install it again")
    return out


def _of_sources() -> str:
    """A name for all that a wheel of the checkout is made of."""
    files = [CHECKOUT / name for name in _FILES]
    for folder in _SOURCES:
        found = (CHECKOUT / folder).rglob("*")
        files += [path for path in found if path.is_file() and "__pycache__" not in path.parts]
    digest = hashlib.sha256()
    for path in sorted(files):
        of_file = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(CHECKOUT).as_posix()}\0{of_file}\n".encode())
    return f"{__version__}-{digest.hexdigest()[:16]}"


def _of_installed() -> str:
    record = _installed().read_text("RECORD") or ""
    return f"{__version__}-{hashlib.sha256(record.encode()).hexdigest()[:16]}"
