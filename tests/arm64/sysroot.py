"""Small arm64 user spaces to run the device package in under emulation: Debian's packages, PyPI's arm64 wheels, QEMU.

No root, chroot or kernel support is needed: packages are fetched with apt's own lists kept apart and unpacked with dpkg-deb,
and QEMU runs the one process. Each is made once (some 100 MB to fetch, 250 MB on disk, 80 MB more for QEMU) and kept
under $XDG_CACHE_HOME/fer-edge-arm64, else in the checkout's .cache/arm64. What runs there is real; how fast is not.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fer_edge.errors import UsageError

ROOT = Path(__file__).parents[2]
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org/debian"
# pip takes these literally: a wheel for an older one does not match a newer one
PLATFORMS = tuple(f"manylinux{tag}_aarch64" for tag in ("_2_34", "_2_28", "_2_27", "_2_17", "2014"))
# Bookworm's own 7.2 crashes in LiteRT; 10 shows programs the processor that is emulated, without which there is no XNNPACK
QEMU_SUITE, QEMU_PACKAGE = "trixie", "qemu-user"
_LIBRARIES = ("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libbz2-1.0", "liblzma5")


@dataclass(frozen=True, slots=True)
class Space:
    """What an arm64 user space is made of, and the processor that it is run on: a Raspberry Pi 4's or 5's."""

    suite: str  # Debian's, which Raspberry Pi OS follows
    python: str
    packages: tuple[str, ...]
    wheels: tuple[str, ...]
    cpu: str  # as QEMU calls it

    @property
    def key(self) -> str:
        """The name of its folder: another list is another folder. Security updates of a package are no other list."""
        key_json = json.dumps([PLATFORMS, {k: v for k, v in asdict(self).items() if k != "cpu"}])
        return f"{self.suite}-{hashlib.sha256(key_json.encode()).hexdigest()[:12]}"


def _python(version: str, *more: str) -> tuple[str, ...]:
    of_python = (f"libpython{version}-minimal", f"python{version}-minimal", f"libpython{version}-stdlib")
    return (*_LIBRARIES, "libsqlite3-0", "libuuid1", *more, *of_python)


SPACES = {
    # constraints/bookworm.txt, which is what stands beside picamera2; both interpreters run in it
    "bookworm": Space(
        "bookworm",
        "3.11",
        _python("3.11", "libssl3"),
        (
            "ai-edge-litert==2.3.0",
            "tflite-runtime==2.14.0",
            "numpy==1.26.4",
            "opencv-python-headless==4.11.0.86",
            "ml_dtypes==0.5.4",
        ),
        "cortex-a72",
    ),
    "trixie": Space(
        "trixie",
        "3.13",
        _python("3.13", "libssl3t64", "libzstd1"),
        ("ai-edge-litert==2.3.0", "numpy==2.5.5", "opencv-python-headless==4.14.0.94"),
        "cortex-a76",
    ),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """An arm64 user space that is there, and what emulates a processor for it."""

    space: Space
    root: Path
    qemu: Path

    @property
    def emulator(self) -> str:
        """“qemu-aarch64 10.0.13, cortex-a72”."""
        version_text = subprocess.run([self.qemu, "--version"], capture_output=True, text=True, check=True).stdout
        return f"{self.qemu.name} {version_text.split('version ')[1].split()[0]}, {self.space.cpu}"


def machine(name: str) -> Machine:
    """The machine of SPACES[`name`], fetched and unpacked first where it is not there yet.

    Raises UsageError when there is no apt, dpkg-deb or network.
    """
    space = SPACES[name]
    return Machine(space, made(space.key, lambda fresh: _make_root(fresh, space)), emulator())


def emulator() -> Path:
    """QEMU's program for arm64, one that needs no library; fetched first where it is not there yet."""
    return made(f"qemu-{QEMU_SUITE}-{_host_architecture()}", _make_qemu) / "qemu-aarch64"


def emulated(on: Machine, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What arm64 Python did with the arguments `command`, our package and its wheels on its path; stdout and stderr as text.

    Nothing of this process's environment is seen there but `environment` and where the face detectors lie.
    """
    from fer_edge.detection.download import detectors_folder

    python = on.root / "usr" / "bin" / f"python{on.space.python}"
    settings = {
        "PYTHONHOME": str(on.root / "usr"),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{on.root / 'site'}",
        "PYTHONPYCACHEPREFIX": str(on.root / "pycache"),  # compiling takes longer than running, here
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
        "HOME": str(on.root),
        "FER_EDGE_DETECTORS": str(detectors_folder()),
        **environment,
    }
    return subprocess.run(
        [str(on.qemu), "-cpu", on.space.cpu, "-L", str(on.root), str(python), *map(str, command)],
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )


def cache_folder() -> Path:
    """Where user spaces are kept."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given) / "fer-edge-arm64" if Path(given).is_absolute() else ROOT / ".cache" / "arm64"


def made(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache. It is made beside and renamed, so that half of one is never taken for a whole."""
    folder_path = cache_folder() / name
    if not folder_path.is_dir():
        folder_path.parent.mkdir(parents=True, exist_ok=True)
        print(f"making {folder_path} (once)", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder_path.parent) as fresh:
            make(Path(fresh) / name)
            try:
                (Path(fresh) / name).rename(folder_path)
            except OSError:  # another process was quicker
                if not folder_path.is_dir():
                    raise
    return folder_path


def _make_qemu(folder: Path) -> None:
    _unpack(folder / "all", QEMU_SUITE, _host_architecture(), [QEMU_PACKAGE])
    (folder / "all" / "usr" / "bin" / "qemu-aarch64").rename(folder / "qemu-aarch64")
    shutil.rmtree(folder / "all")


def _make_root(root: Path, space: Space) -> None:
    _unpack(root, space.suite, "arm64", space.packages)
    if not (root / "lib").exists():  # trixie's packages leave that link to the installer
        (root / "lib").symlink_to("usr/lib")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile"]
    pip += ["--only-binary=:all:", "--implementation=cp", f"--python-version={space.python}", "--target", root / "site"]
    pip += ["--ignore-requires-python"]  # `install` holds it against this Python, whatever --python-version says
    done([*pip, *(f"--platform={name}" for name in PLATFORMS), *space.wheels])


def _unpack(into: Path, suite: str, architecture: str, packages: Sequence[str]) -> None:
    """Unpacks Debian's `packages` into the folder `into`, which it makes; apt checks their signatures."""
    if not KEYRING.is_file():
        raise UsageError(
            f"{KEYRING} is missing, without which nothing of Debian can be trusted; "
            "`apt install debian-archive-keyring`"
        )
    work = into.with_name(f"{into.name}.apt")
    into.mkdir(parents=True)
    (work / "debs").mkdir(parents=True)
    apt = apt_of(work, suite, architecture)
    done([*apt, "update"])
    done([*apt, "download", *packages], cwd=work / "debs")
    for package in sorted((work / "debs").iterdir()):
        done(["dpkg-deb", "-x", package, into])
    shutil.rmtree(work)


def apt_of(work: Path, suite: str, architecture: str) -> list[str]:
    """The words that an apt-get starts with which knows that suite and architecture alone, and keeps all of it in `work`."""
    for folder in (work / "lists" / "partial", work / "archives" / "partial"):
        folder.mkdir(parents=True)
    (work / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {suite} main\n")
    options = {
        "Dir::Etc::SourceList": work / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State": work,
        "Dir::State::Lists": work / "lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": work,
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::GzipIndexes": "false",
        "Acquire::Retries": "3",
    }
    return ["apt-get", "-qq", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]


def _host_architecture() -> str:
    return done(["dpkg", "--print-architecture"]).strip()


def done(command: Sequence[str | Path], cwd: Path | None = None) -> str:
    """What a command wrote to stdout. Raises UsageError when it is not installed or fails."""
    words = [str(word) for word in command]
    try:
        ran = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UsageError(f"{words[0]} is not installed; the arm64 tests need Debian or one of its kin") from error
    if ran.returncode != 0:
        why = (ran.stderr.strip() or ran.stdout.strip() or f"exit code {ran.returncode}").splitlines()[-1]
        raise UsageError(f"an arm64 user space cannot be made: {words[0]} said “{why}”; it needs a network")
    return ran.stdout
