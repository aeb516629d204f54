"""The shipment: a folder with everything that goes onto a target, and the name of the release that it makes there."""

from __future__ import annotations

import ensurepip
import hashlib
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.deploy.target_check import TargetPython
from convert.deploy.wheel import CHECKOUT, build_wheel, cache_folder, contents_hash
from fer_edge import __version__
from fer_edge.bundle import REQUIRED, Bundle
from fer_edge.detection import download
from fer_edge.errors import UsageError

BOOKWORM = "bookworm.txt"
# setting: the extra that it takes, and whether the service must be let into the house's networks for it
_NEEDS = {"mqtt": ("mqtt", True), "metrics": ("metrics", True), "metrics_file": ("metrics", False)}
_EXTRA = re.compile(r"[a-z0-9][a-z0-9-]*")
# pip takes these literally: a wheel for an older glibc does not match the name of a newer one
_GLIBC_TAGS = range(17, 60)


@dataclass(frozen=True, slots=True)
class PayloadOptions:
    """What a person wants shipped. `extras` are those of the package; `offline`: every wheel, so that PyPI is not asked."""

    bundle: Path | None = None
    settings: Path | None = None
    extras: tuple[str, ...] = ()
    offline: bool = False

    def __post_init__(self) -> None:
        for extra in self.extras:
            if not _EXTRA.fullmatch(extra):
                raise UsageError(f"“{extra}” is no extra of fer-edge; its pyproject.toml names them")

    def read(self) -> dict[str, Any]:
        """What the settings say; nothing where there are none. Raises UsageError when they cannot be read."""
        if self.settings is None:
            return {}
        try:
            return tomllib.loads(self.settings.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"the settings in {self.settings} cannot be read: {error.strerror}") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"{self.settings} is no file of settings ({error}); a line is `name = value`") from error

    def camera(self) -> str:
        """The camera that the settings name; empty where they name none."""
        return str(self.read().get("camera", ""))

    def all_extras(self) -> tuple[str, ...]:
        """The extras that were asked for, and those that the settings take."""
        given = self.read()
        return tuple(sorted({*self.extras, *(extra for name, (extra, _) in _NEEDS.items() if given.get(name))}))

    def network(self) -> bool:
        """Whether the settings name something that the service reaches, or is reached at, over the network."""
        given = self.read()
        return "://" in self.camera() or any(given.get(name) for name, (_, network) in _NEEDS.items() if network)

    def loaded(self) -> Bundle | None:
        """The bundle, checked. Raises BundleRefused or UsageError as `Bundle.load` does."""
        return Bundle.load(self.bundle) if self.bundle is not None else None


@dataclass(frozen=True, slots=True)
class Payload:
    """What lies in `folder`: fer_edge-….whl, pip-….whl, detectors/, and where wanted bookworm.txt, wheels/, bundle/ and
    settings.toml. `release` names it: the same sources make the same release."""

    folder: Path
    release: str
    constraints: str  # a file's name, or empty
    system_site: bool  # the environment sees apt's packages: picamera2
    cargo: PayloadOptions


def build_payload(
    cargo: PayloadOptions,
    python: TargetPython,
    machine: str,
    glibc: Sequence[int],
    folder: Path,
    say: Callable[[str], None],
) -> Payload:
    """The shipment for a target with this Python, put together in `folder`, which is empty.

    Raises UsageError when something cannot be had, BundleRefused for a damaged bundle.
    """
    system_site = "picamera2" in python.has
    constraints = BOOKWORM if system_site and python.version[:2] == (3, 11) else ""
    ours = build_wheel()
    _link(folder, ours)
    _link(folder, _pip())
    if constraints:
        _link(folder, _constraints())
    if not download.is_installed():
        download.install(say=say)
    (folder / "detectors").mkdir()
    for name in (*download.FILES, download.LICENCE, "NOTICE"):
        _link(folder / "detectors", download.detectors_folder() / name)
    if cargo.settings is not None:
        cargo.read()
        (folder / "settings.toml").symlink_to(cargo.settings.resolve())  # no copy: they may hold passwords
    if bundle := cargo.loaded():
        (folder / "bundle").mkdir()
        for file in (*REQUIRED, "bundle.json"):
            _link(folder / "bundle", bundle.path / file)
    made_of = [
        contents_hash(ours),
        f"{python.version[0]}.{python.version[1]}",
        constraints,
        str(system_site),
        *cargo.all_extras(),
    ]
    if constraints:
        made_of.append(_constraints().read_text(encoding="utf-8"))
    if cargo.offline:
        wheels = _offline(ours, python, machine, glibc, constraints, cargo.all_extras(), say)
        (folder / "wheels").symlink_to(wheels)
        made_of += sorted(file.name for file in wheels.glob("*.whl"))
    digest = hashlib.sha256("\n".join(made_of).encode()).hexdigest()
    return Payload(folder, f"{__version__}-{digest[:12]}", constraints, system_site, cargo)


def _link(folder: Path, file: Path) -> None:
    if not file.is_file():
        raise UsageError(f"{file} is not there, and it has to be shipped")
    (folder / file.name).symlink_to(file.resolve())


def _constraints() -> Path:
    beside = Path(__file__).with_name(BOOKWORM)  # in a wheel
    return beside if beside.is_file() else CHECKOUT / "constraints" / BOOKWORM


def _pip() -> Path:
    """The wheel of pip that comes with this Python; Debian keeps it elsewhere, or leaves it out of the target."""
    folders = [
        Path(ensurepip.__file__).parent / "_bundled",
        Path(sysconfig.get_config_var("WHEEL_PKG_DIR") or "/usr/share/python-wheels"),
    ]
    for folder in (*folders, cache_folder() / "pip"):
        if found := sorted(folder.glob("pip-*.whl")):
            return found[-1]
    _download(cache_folder() / "pip", ["pip", "--no-deps"])
    return sorted((cache_folder() / "pip").glob("pip-*.whl"))[-1]


def _offline(
    ours: Path,
    python: TargetPython,
    machine: str,
    glibc: Sequence[int],
    constraints: str,
    extras: Sequence[str],
    say: Callable[[str], None],
) -> Path:
    """A folder with the wheels of all that our wheel needs there. Those of the same set are fetched once."""
    version = f"{python.version[0]}.{python.version[1]}"
    tags = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC_TAGS if minor <= glibc[1]]
    tags += [f"manylinux2014_{machine}", f"linux_{machine}"]
    asked = [_requirements(ours), version, machine, *map(str, glibc), constraints, *sorted(extras)]
    folder = cache_folder() / "offline" / hashlib.sha256("\n".join(asked).encode()).hexdigest()[:16]
    if folder.is_dir():
        return folder
    say(f"fetching the wheels for Python {version} on {machine}, once")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as fresh:
        words = ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}"]
        words += [f"--platform={tag}" for tag in tags]
        words += ["--constraint", str(_constraints())] if constraints else []
        named = f"{ours}[{','.join(extras)}]" if extras else str(ours)
        _download(Path(fresh) / "wheels", [*words, named])
        for file in (Path(fresh) / "wheels").glob("fer_edge-*.whl"):
            file.unlink()  # it is shipped by itself
        (Path(fresh) / "wheels").rename(folder)
    return folder


def _requirements(ours: Path) -> str:
    with zipfile.ZipFile(ours) as archive:
        notes = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(notes).decode().splitlines()
    return "\n".join(line for line in lines if line.startswith("Requires-"))


def _download(into: Path, words: Sequence[str]) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", "download"]
    done = subprocess.run([*command, "--dest", str(into), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        said = lines[-1].removeprefix("ERROR: ") if lines else f"exit code {done.returncode}"
        raise UsageError(f"the wheels for the target cannot be had ({said}); they are fetched from PyPI with pip")
