"""The properties of a target, and the check whether it can be deployed to."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from convert.deploy.ssh import ScriptOutput
from fer_edge.errors import UsageError
from fer_edge.requirements import MIN_GLIBC, PYTHON_VERSIONS, python_versions_text
from fer_edge.text_cleaning import clean

_FREE_MB = 700  # an environment, its wheels, and a bundle
_CLOCK_TOLERANCE_S = 120.0
_PACKAGES = {"flock": "util-linux"}


@dataclass(frozen=True, slots=True)
class TargetPython:
    """An interpreter on the target. `has`: venv, picamera2; home: it is in a home directory, which services cannot read."""

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
        """Whether an environment for the service can be made with it."""
        return self.version[:2] in PYTHON_VERSIONS and self.bits == 64 and "venv" in self.has and "home" not in self.has


@dataclass(frozen=True, slots=True)
class Target:
    """The properties of a target. `clock_off_s`: its clock less this computer's; `current`: the release in use, or empty."""

    root: bool
    sudo: bool
    system: str
    machine: str
    bits: str
    packages: str
    glibc: tuple[int, ...]
    os: str
    board: str
    clock_off_s: float
    free_mb: int
    missing: tuple[str, ...]
    pythons: tuple[TargetPython, ...]
    video_devices: int
    systemd: bool
    settings: bool
    current: str

    @staticmethod
    def read(output: ScriptOutput) -> Target:
        """The target in the output of `inspect`. Raises UsageError for an output that cannot be parsed."""
        first = output.first
        glibc = re.fullmatch(r"glibc (\d{1,4})\.(\d{1,4})\b.*", first("glibc"))
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
                clock_off_s=reported_number(first("epoch_s")) - time.time(),
                free_mb=reported_number(first("free_kb")) // 1024,
                missing=output.values.get("missing", ()),
                pythons=tuple(map(_python, filter(None, output.values.get("python", ())))),
                video_devices=reported_number(first("video_devices")),
                systemd=first("systemd") == "yes",
                settings=bool(first("settings")),
                current=first("current"),
            )
        except ValueError as error:
            raise UsageError(
                f"the target reports properties that cannot be read ({error}); it is not a Raspberry Pi OS"
            ) from error

    @property
    def python(self) -> TargetPython | None:
        """The interpreter for environments: the system's own where it fits, because apt's picamera2 belongs to that one."""
        return next((python for python in self.pythons if python.fits), None)

    @property
    def text(self) -> str:
        """The properties in one line."""
        python = f"Python {self.python.text}" if self.python else "no Python that fits"
        glibc = ".".join(map(str, self.glibc))
        parts = [self.board, self.machine, self.os, f"glibc {glibc}", python, f"{self.free_mb:,} MB free"]
        parts.append(f"{self.video_devices} video devices" if self.video_devices else "no video device")
        parts += ["picamera2"] if self.python and "picamera2" in self.python.has else []
        return ", ".join(part for part in parts if part)

    def check(self, csi: bool = False, need_mb: int = _FREE_MB) -> TargetPython:
        """The interpreter to use. Raises UsageError, with a remedy, when the target cannot be deployed to."""
        if fault := self._system_fault() or self._tools_fault(csi):
            raise UsageError(fault)
        if self.free_mb < need_mb:
            raise UsageError(
                f"the target has {self.free_mb:,} MB free, and a release needs {need_mb:,}; make room there"
            )
        assert self.python is not None
        return self.python

    @property
    def clock_warning(self) -> str:
        """A warning about its clock; empty where it is right."""
        if abs(self.clock_off_s) < _CLOCK_TOLERANCE_S:
            return ""
        direction = "behind" if self.clock_off_s < 0 else "ahead of"
        return f"its clock is {abs(self.clock_off_s):,.0f} s {direction} this computer's, so pip may refuse PyPI's certificate"

    def _system_fault(self) -> str:
        if self.system != "Linux":
            return f"the target runs {self.system or 'an unknown system'}; fer-edge needs Linux"
        if self.bits != "64" or self.packages in ("armhf", "armel", "i386") or not self.machine.endswith("64"):
            return (
                f"the target runs a 32-bit system ({self.packages or self.machine}), for which there is no runtime; "
                "write the 64-bit Raspberry Pi OS to its card with Raspberry Pi Imager"
            )
        if self.machine not in ("aarch64", "x86_64"):
            return f"the target's architecture is {self.machine}; fer-edge runs on aarch64 and x86_64"
        if not self.glibc:
            return f"{self.os} has no glibc, which the packages need; Raspberry Pi OS has it"
        if self.glibc < MIN_GLIBC:
            found, needed = (".".join(map(str, version)) for version in (self.glibc, MIN_GLIBC))
            return (
                f"{self.os} has glibc {found}, and the runtime needs {needed} or later: Raspberry Pi OS Bookworm or "
                "Trixie; Bullseye is too old"
            )
        return ""

    def _tools_fault(self, csi: bool) -> str:
        if not self.root and not self.sudo:
            return (
                "the login on the target may not become root; log in as root, or allow it `sudo` without a password, as "
                "Raspberry Pi OS does for its first user"
            )
        if self.python is None:
            found = ", ".join(f"{python.text} ({python.path})" for python in self.pythons) or "none"
            return (
                f"the target needs Python {python_versions_text()} with its module venv, outside of home directories, and has "
                f"{found}; run there: `sudo apt install python3-venv`"
            )
        if self.missing:
            packages = " ".join(_PACKAGES.get(tool, tool) for tool in self.missing)
            return f"the target has no {' and no '.join(self.missing)}; run there: `sudo apt install {packages}`"
        if csi and "picamera2" not in self.python.has:
            return (
                "the settings name a CSI camera, and the target has no picamera2, which pip cannot install; run there: "
                "`sudo apt install python3-picamera2`"
            )
        return ""


def _python(line: str) -> TargetPython:
    version, bits, has, path = line.split(" ", 3)
    major, minor, micro = map(reported_number, version.split("."))
    return TargetPython(path, (major, minor, micro), reported_number(bits), tuple(has.split(",")))


def reported_number(text: str) -> int:
    """The number in a target's answer. Raises ValueError where there is none, or one of more than 18 digits."""
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise ValueError(f"“{clean(text, 40)}” in place of a number")
    return int(text)
