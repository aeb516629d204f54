"""The target: what a look at it found, and why it cannot be deployed to, where it cannot."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from convert.deploy.ssh import ScriptOutput
from fer_edge.errors import UsageError

PYTHONS = ((3, 11), (3, 12), (3, 13))
_GLIBC = (2, 34)  # LiteRT's wheel asks for less and needs this
_FREE_MB = 700  # an environment, its wheels, and a bundle
_LATE_S = 120.0
_PACKAGES = {"flock": "util-linux"}


@dataclass(frozen=True, slots=True)
class TargetPython:
    """An interpreter on the target. `has`: venv, picamera2; home where it lies in one, which no service sees."""

    path: str
    version: tuple[int, int, int]
    bits: int
    has: tuple[str, ...]

    @property
    def text(self) -> str:
        """“3.11.2”."""
        return ".".join(map(str, self.version))

    @property
    def fits(self) -> bool:
        """Whether an environment for a service can be made with it."""
        return self.version[:2] in PYTHONS and self.bits == 64 and "venv" in self.has and "home" not in self.has


@dataclass(frozen=True, slots=True)
class Target:
    """What was found. `off_s` is its clock less this computer's; `current` the release that is in use, or empty."""

    root: bool
    sudo: bool
    system: str
    machine: str
    bits: str
    packages: str
    glibc: tuple[int, ...]
    os: str
    board: str
    off_s: float
    free_mb: int
    lacks: tuple[str, ...]
    pythons: tuple[TargetPython, ...]
    videos: int
    systemd: bool
    settings: bool
    current: str

    @staticmethod
    def read(answer: ScriptOutput) -> Target:
        """The target that gave this answer. Raises UsageError for one that makes no sense."""
        first = answer.first
        glibc = re.fullmatch(r"glibc (\d+)\.(\d+).*", first("glibc"))
        try:
            return Target(
                root=first("uid") == "0",
                sudo=first("sudo") == "yes",
                system=first("system"),
                machine=first("machine"),
                bits=first("bits"),
                packages=first("packages"),
                glibc=(int(glibc[1]), int(glibc[2])) if glibc else (),
                os=first("os") or "an unknown system",
                board=first("board"),
                off_s=int(first("epoch_s")) - time.time(),
                free_mb=int(first("free_kb")) // 1024,
                lacks=answer.values.get("lacks", ()),
                pythons=tuple(map(_python, filter(None, answer.values.get("python", ())))),
                videos=int(first("videos")),
                systemd=first("systemd") == "yes",
                settings=bool(first("settings")),
                current=first("current"),
            )
        except ValueError as error:
            raise UsageError(
                f"the target says of itself what makes no sense ({error}); it is no Raspberry Pi OS"
            ) from error

    @property
    def python(self) -> TargetPython | None:
        """The interpreter to make environments with: the system's own where it will do, for apt's picamera2 is its."""
        return next((one for one in self.pythons if one.fits), None)

    @property
    def text(self) -> str:
        """What it is, in a line."""
        python = f"Python {self.python.text}" if self.python else "no Python that fits"
        glibc = ".".join(map(str, self.glibc))
        parts = [self.board, self.machine, self.os, f"glibc {glibc}", python, f"{self.free_mb:,} MB free"]
        parts.append(f"{self.videos} video devices" if self.videos else "no video device")
        parts += ["picamera2"] if self.python and "picamera2" in self.python.has else []
        return ", ".join(part for part in parts if part)

    def check(self, csi: bool = False, need_mb: int = _FREE_MB) -> TargetPython:
        """The interpreter to use. Raises UsageError where this target will not do, and says what would."""
        if complaint := self._system() or self._tools(csi):
            raise UsageError(complaint)
        if self.free_mb < need_mb:
            raise UsageError(f"the target has {self.free_mb:,} MB free, a release wants {need_mb:,}; make room there")
        assert self.python is not None
        return self.python

    @property
    def clock(self) -> str:
        """What is to be said of its clock; empty where it is right."""
        if abs(self.off_s) < _LATE_S:
            return ""
        how = "behind" if self.off_s < 0 else "ahead of"
        return (
            f"its clock is {abs(self.off_s):,.0f} s {how} this computer's; pip may refuse PyPI's certificate for that"
        )

    def _system(self) -> str:
        if self.system != "Linux":
            return f"the target runs {self.system or 'no system that says its name'}; fer-edge needs Linux"
        if self.bits != "64" or self.packages in ("armhf", "armel", "i386") or not self.machine.endswith("64"):
            return (
                f"the target runs a 32-bit system ({self.packages or self.machine}), for which there is no runtime; "
                "write the 64-bit Raspberry Pi OS to its card with Raspberry Pi Imager"
            )
        if self.machine not in ("aarch64", "x86_64"):
            return f"the target is of the kind {self.machine}; fer-edge runs on aarch64 and x86_64"
        if not self.glibc:
            return f"{self.os} has no glibc, which the packages are built for; Raspberry Pi OS has"
        if self.glibc < _GLIBC:
            found, needed = (".".join(map(str, version)) for version in (self.glibc, _GLIBC))
            return (
                f"{self.os} has glibc {found}, and the runtime needs {needed} or later: Raspberry Pi OS Bookworm or "
                "Trixie; Bullseye is too old"
            )
        return ""

    def _tools(self, csi: bool) -> str:
        if not self.root and not self.sudo:
            return (
                "the login on the target may not become root; log in as root, or allow it `sudo` without a password, as "
                "Raspberry Pi OS does for its first user"
            )
        if self.python is None:
            there = ", ".join(f"{one.text} ({one.path})" for one in self.pythons) or "none"
            return (
                f"the target needs Python 3.11, 3.12 or 3.13 with its module venv, outside of people's homes, and has {there}; "
                "type there: "
                "`sudo apt install python3-venv`"
            )
        if self.lacks:
            packages = " ".join(_PACKAGES.get(tool, tool) for tool in self.lacks)
            return f"the target has no {' and no '.join(self.lacks)}; type there: `sudo apt install {packages}`"
        if csi and "picamera2" not in self.python.has:
            return (
                "the settings name a CSI camera, and the target has no picamera2, which pip cannot bring; type there: "
                "`sudo apt install python3-picamera2`"
            )
        return ""


def _python(line: str) -> TargetPython:
    version, bits, has, path = line.split(" ", 3)
    major, minor, micro = map(int, version.split("."))
    return TargetPython(path, (major, minor, micro), int(bits), tuple(has.split(",")))
