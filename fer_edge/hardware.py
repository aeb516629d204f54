"""The machine: board or processor, cores, memory, system. Nothing identifies its owner."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Board:
    """A machine, without its network name, users and serial number. None: not reported."""

    name: str  # its board's name, else its processor's
    is_pi: bool
    machine: str  # x86_64, aarch64
    cores: int  # available to this process
    memory_bytes: int | None
    system: str  # of /etc/os-release
    governor: str | None  # of the processor's clock: ondemand, performance
    most_mhz: int | None  # the highest clock

    @staticmethod
    def find(root: Path = Path("/")) -> Board:
        """This machine; system files are read below `root`."""
        name, is_pi = board_name(root)
        clock = root / "sys/devices/system/cpu/cpu0/cpufreq"
        governor, most_khz = (_text(clock / file) for file in ("scaling_governor", "cpuinfo_max_freq"))
        return Board(
            name=name,
            is_pi=is_pi,
            machine=platform.machine(),
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            memory_bytes=_memory_bytes(root),
            system=_value(root / "etc/os-release", "PRETTY_NAME=").strip('"') or platform.system(),
            governor=governor or None,
            most_mhz=int(most_khz) // 1000 if most_khz.isdecimal() else None,
        )


def board_name(root: Path = Path("/")) -> tuple[str, bool]:
    """The name of this machine's board, else of its processor, and whether it is a Raspberry Pi."""
    if board := _text(root / "proc/device-tree/model"):
        return board, "Raspberry Pi" in board
    return _value(root / "proc/cpuinfo", "model name").strip("\t :") or platform.machine(), False


def _memory_bytes(root: Path) -> int | None:
    words = _value(root / "proc/meminfo", "MemTotal:").split()
    return int(words[0]) * 1024 if words and words[0].isdecimal() else None


def _value(path: Path, prefix: str) -> str:
    """The rest of the first line of a file that starts with `prefix`."""
    lines = (line for line in _text(path).splitlines() if line.startswith(prefix))
    return next(lines, prefix).removeprefix(prefix)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""
