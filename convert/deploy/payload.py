"""The payload: a folder with everything that is sent to a target, and the name of the release that it makes there."""

from __future__ import annotations

import ensurepip
import hashlib
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.deploy.needs import Needs
from convert.deploy.target_check import TargetPython
from convert.deploy.wheel import CHECKOUT, build_wheel, cache_folder, contents_hash
from convert.json_dataclass import JsonObject
from fer_edge import __version__
from fer_edge.bundle import REQUIRED_FILES, Bundle
from fer_edge.bundle_files import sha256_of
from fer_edge.detection import download
from fer_edge.errors import UsageError
from fer_edge.toml_file import read_toml

BOOKWORM = "bookworm.txt"
_EXTRA = re.compile(r"[a-z0-9][a-z0-9-]*")
# minor versions of glibc; pip matches tags literally, so every older one has to be named too
_GLIBC_TAGS = range(17, 60)


@dataclass(frozen=True, slots=True)
class PayloadOptions:
    """What to send. `extras`: of the package; `offline`: send every wheel, so that the target does not need PyPI."""

    bundle: Path | None = None
    settings: Path | None = None
    extras: tuple[str, ...] = ()
    offline: bool = False

    def __post_init__(self) -> None:
        for extra in self.extras:
            if not _EXTRA.fullmatch(extra):
                raise UsageError(f"“{extra}” is not an extra of fer-edge; its pyproject.toml lists them")

    def read_settings(self) -> JsonObject:
        """The settings by name; empty without a file of settings. Raises UsageError when it cannot be read."""
        if self.settings is None:
            return {}
        return read_toml(self.settings)[0]

    def camera(self) -> str:
        """The camera in the settings, or an empty string."""
        return str(self.read_settings().get("camera", ""))

    def needs(self) -> Needs:
        """The requested extras, and what the settings need."""
        return Needs(self.extras).union(Needs.of_settings(self.read_settings()))

    def load_bundle(self) -> Bundle | None:
        """The checked bundle. Raises BundleRefused or UsageError as `Bundle.load` does."""
        return Bundle.load(self.bundle) if self.bundle is not None else None


@dataclass(frozen=True, slots=True)
class Payload:
    """The files in `folder`: fer_edge-….whl, pip-….whl, detectors/, and where needed bookworm.txt, wheels/, bundle/ and
    settings.toml. `release` is a name that depends only on the sources, the extras and the target's Python. `needs`: the extras
    and the network of `options`, and of the settings that stay on the target."""

    folder: Path
    release: str
    constraints: str  # a file's name, or empty
    system_site: bool  # the environment has access to apt's packages: picamera2
    options: PayloadOptions
    needs: Needs

    def settings_sha256(self) -> str:
        """The SHA-256 of the settings; empty where none are sent."""
        return sha256_of(self.folder / "settings.toml") if self.options.settings is not None else ""

    def detector_digests(self) -> str:
        """A line for each detector file, its SHA-256 and its name, as sha256sum writes it."""
        return "\n".join(f"{sha256_of(file)}  {file.name}" for file in sorted((self.folder / "detectors").iterdir()))


def build_payload(
    options: PayloadOptions,
    needs: Needs,
    python: TargetPython,
    machine: str,
    glibc: Sequence[int],
    folder: Path,
    report: Callable[[str], None],
) -> Payload:
    """The payload for a target with this Python, with the extras in `needs`, made in `folder`, which must be empty.

    Raises UsageError when a part is not available, BundleRefused for a damaged bundle.
    """
    system_site = "picamera2" in python.has
    constraints = BOOKWORM if system_site and python.version[:2] == (3, 11) else ""
    own_wheel = build_wheel()
    _link(folder, own_wheel)
    _link(folder, _pip())
    if constraints:
        _link(folder, _constraints())
    if not download.are_detectors_installed():
        download.install_detectors(say=report)
    (folder / "detectors").mkdir()
    for name in (*download.DETECTOR_FILES, download.LICENCE, "NOTICE"):
        _link(folder / "detectors", download.detectors_folder() / name)
    if options.settings is not None:
        options.read_settings()
        (folder / "settings.toml").symlink_to(
            options.settings.resolve()
        )  # a link, not a copy: the file may hold passwords
    if bundle := options.load_bundle():
        (folder / "bundle").mkdir()
        for file in (*REQUIRED_FILES, "bundle.json"):
            _link(folder / "bundle", bundle.path / file)
    identity = [
        contents_hash(own_wheel),
        f"{python.version[0]}.{python.version[1]}",
        constraints,
        str(system_site),
        *needs.extras,
    ]
    if constraints:
        identity.append(_constraints().read_text(encoding="utf-8"))
    if options.offline:
        wheels = _offline_wheels(own_wheel, python, machine, glibc, constraints, needs.extras, report)
        (folder / "wheels").symlink_to(wheels)
        identity += sorted(file.name for file in wheels.glob("*.whl"))
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()
    return Payload(folder, f"{__version__}-{digest[:12]}", constraints, system_site, options, needs)


def _link(folder: Path, file: Path) -> None:
    if not file.is_file():
        raise UsageError(f"{file} does not exist, and the payload needs it")
    (folder / file.name).symlink_to(file.resolve())


def _constraints() -> Path:
    packaged = Path(__file__).with_name(BOOKWORM)  # in a wheel
    return packaged if packaged.is_file() else CHECKOUT / "constraints" / BOOKWORM


def _pip() -> Path:
    """The wheel of pip that comes with this Python, from Debian's folder of wheels, or from PyPI."""
    folders = [
        Path(ensurepip.__file__).parent / "_bundled",
        Path(sysconfig.get_config_var("WHEEL_PKG_DIR") or "/usr/share/python-wheels"),
    ]
    for folder in (*folders, cache_folder() / "pip"):
        if found := sorted(folder.glob("pip-*.whl")):
            return found[-1]
    _download(cache_folder() / "pip", ["pip", "--no-deps"])
    return sorted((cache_folder() / "pip").glob("pip-*.whl"))[-1]


def _offline_wheels(
    own_wheel: Path,
    python: TargetPython,
    machine: str,
    glibc: Sequence[int],
    constraints: str,
    extras: Sequence[str],
    report: Callable[[str], None],
) -> Path:
    """A folder with the wheels of all packages that fer-edge needs on the target. The same set is downloaded once."""
    version = f"{python.version[0]}.{python.version[1]}"
    tags = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC_TAGS if minor <= glibc[1]]
    tags += [f"manylinux2014_{machine}", f"linux_{machine}"]
    key = [_requirements(own_wheel), version, machine, *map(str, glibc), constraints, *sorted(extras)]
    folder = cache_folder() / "offline" / hashlib.sha256("\n".join(key).encode()).hexdigest()[:16]
    if folder.is_dir():
        return folder
    report(f"downloading the wheels for Python {version} on {machine}, once")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as fresh:
        arguments = ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}"]
        arguments += [f"--platform={tag}" for tag in tags]
        arguments += ["--constraint", str(_constraints())] if constraints else []
        requirement = f"{own_wheel}[{','.join(extras)}]" if extras else str(own_wheel)
        _download(Path(fresh) / "wheels", [*arguments, requirement])
        for file in (Path(fresh) / "wheels").glob("fer_edge-*.whl"):
            file.unlink()  # it is sent by itself
        (Path(fresh) / "wheels").rename(folder)
    return folder


def _requirements(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    return "\n".join(line for line in lines if line.startswith("Requires-"))


def _download(folder: Path, arguments: Sequence[str]) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", "download"]
    process = subprocess.run([*command, "--dest", str(folder), *arguments], capture_output=True, text=True, check=False)
    if process.returncode:
        lines = [
            line for line in process.stderr.splitlines() if line.startswith("ERROR")
        ] or process.stderr.splitlines()
        reason = lines[-1].removeprefix("ERROR: ") if lines else f"exit code {process.returncode}"
        raise UsageError(f"the wheels for the target cannot be downloaded ({reason}); pip downloads them from PyPI")
