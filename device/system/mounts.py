"""The mounted file systems of the machine, below a root that a test sets to another folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs", "overlay")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: its mount point, its device as `major:minor`, and its type."""

    point: str
    device: str
    kind: str


def read_mounts(root: Path) -> list[Mount]:
    """The mounted file systems in mount order (proc(5), mountinfo); none where the kernel's table cannot be read."""
    try:
        table = (root / "proc/self/mountinfo").read_text()
    except (OSError, UnicodeDecodeError):
        return []
    mounts = []
    for line in table.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        mounts.append(Mount(fields[4].replace("\\040", " "), fields[2], right.split()[0]))
    return mounts


def mount_of(path: Path, mounts: list[Mount]) -> Mount | None:
    """The file system of `path`: the deepest mount point above it, and of several there the last."""
    absolute = path.absolute()
    above = [mount for mount in mounts if absolute.is_relative_to(mount.point)]
    return max(reversed(above), key=lambda mount: len(mount.point), default=None)
