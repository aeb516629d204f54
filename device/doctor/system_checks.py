"""Checks of `fer-edge doctor` on the machine: its system, devices, folders, power, temperature, clock and disk.

System files are read below a root, which a test sets to another folder; folders are tested by writing to them.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from device.config import Settings
from device.doctor.findings import Finding, make_finding
from device.service.systemd_units import NAME
from device.system.health import BITS, Health
from device.system.mounts import MEMORY_FILE_SYSTEMS, Mount, mount_of
from fer_edge.file_owner import acting_as_owner, owner_of, with_links_of_root
from fer_edge.requirements import MIN_GLIBC, PYTHON_VERSIONS

_DEVICE_PATTERNS = ("video*", "media*", "dma_heap/*")
_PURPOSES = {"journal": "the journal's folder", "status": "the folder of the status file"}
_WORN_TENTHS = 9  # of 11: more than 80 % of its life used, as eMMC reports it (JEDEC 84-B50, DEVICE_LIFE_TIME_EST)
_EARLIEST_DATE = "2025-11-01"  # this version did not exist before; a clock that shows an earlier day is wrong


def python(version: tuple[int, ...], bits: int, machine: str, libc: tuple[str, str]) -> Finding:
    """Whether there are wheels for this Python. `libc` is name and version, as platform.libc_ver returns them."""
    version_text = ".".join(map(str, version[:3]))
    libc_text = " ".join(libc).strip() or "an unknown C library"
    if bits != 64:
        return make_finding("python.bits")
    if machine not in ("aarch64", "arm64", "x86_64"):
        return make_finding("python.machine", machine=machine)
    if version[:2] not in PYTHON_VERSIONS:
        return make_finding("python.version", version=version_text)
    if libc[0] == "glibc" and tuple(int(n) for n in libc[1].split(".")[:2]) < MIN_GLIBC:
        return make_finding("python.libc", libc=libc_text)
    return make_finding("python.ok", version=version_text, machine=machine, libc=libc_text)


def user_name(uid: int) -> str:
    """The user's name; its number for one without an entry in the system's list, as in a container."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def devices(user: str, root: Path) -> Finding:
    """Whether this user may open the camera devices."""
    nodes = [node for pattern in _DEVICE_PATTERNS for node in sorted((root / "dev").glob(pattern))]
    if not nodes:
        return make_finding("devices.none", pattern=", ".join(f"/dev/{pattern}" for pattern in _DEVICE_PATTERNS))
    refused = [node for node in nodes if not os.access(node, os.R_OK | os.W_OK, effective_ids=True)]
    if not refused:
        return make_finding("devices.ok", nodes=_first_names(nodes, root))
    try:
        group = grp.getgrgid(refused[0].stat().st_gid).gr_name
    except KeyError:
        group = "video"
    return make_finding("devices.refused", user=user, nodes=_first_names(refused, root), group=group)


def service_user(path: Path, environ: Mapping[str, str], name: str = NAME) -> pwd.struct_passwd | None:
    """The user who will write into `path` where root checks the system's service.

    None where there is no such user yet, and in the folders that systemd makes and gives to it.
    """
    given = (environ.get(variable, "") for variable in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY"))
    if any(path.is_relative_to(folder) for folders in given for folder in folders.split(":") if folder):
        return None
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def folder(path: Path, check: str, user: str, mounts: list[Mount], writer: pwd.struct_passwd | None = None) -> Finding:
    """Whether a file can be made, written and synced in `path`, or in its nearest parent that exists.

    Root tries it with the rights of `writer`, else with those of the folder's owner, and through no link of another user.
    """
    facts: dict[str, Any] = {"check": check, "purpose": _PURPOSES[check], "path": path}
    existing, owner, groups = path, None, []
    try:
        if os.geteuid() == 0:
            path, link = with_links_of_root(path)
            if link is not None:
                return make_finding("folder.link", link=link, owner=user_name(link.lstat().st_uid), **facts)
            owner = (writer.pw_uid, writer.pw_gid) if writer else owner_of(path)
            groups = os.getgrouplist(writer.pw_name, writer.pw_gid) if writer else []
            user = user_name(owner[0]) if owner[0] else user
        with acting_as_owner(path, owner, groups):
            existing = next((folder for folder in (path, *path.parents) if folder.exists()), path)
            _try_to_write(existing)
    except OSError as error:
        match error.errno:
            case errno.EACCES | errno.EPERM:
                return make_finding("folder.refused", user=user, error=error.strerror, **facts)
            case errno.EROFS:
                mount = mount_of(existing, mounts)
                return make_finding("folder.readonly", mount=mount.point if mount else "/", **facts)
            case errno.ENOSPC | errno.EDQUOT:
                return make_finding("folder.full", **facts)
        return make_finding("folder.broken", error=error.strerror, **facts)
    return make_finding("folder.ok", **facts)


def _try_to_write(folder: Path) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=".fer-edge-doctor-", dir=folder)
    try:
        os.write(descriptor, b"x" * 4096)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        Path(temporary).unlink()


def power(health: Health) -> Finding:
    """Whether the power supply is strong enough, now and since boot."""
    if health.undervoltage is None:
        return make_finding("power.unknown")
    if health.undervoltage:
        return make_finding("power.low")
    if BITS[0] in (health.throttled_since_boot or ()):
        return make_finding("power.was")
    return make_finding("power.ok", by=health.power_source)


def heat(health: Health, limit_c: float) -> Finding:
    """Whether the processor is too hot or throttled."""
    if bits := [bit for bit in health.throttled_now or () if bit != BITS[0]]:
        return make_finding("heat.slowed", bits=", ".join(bits).replace("_", " "))
    if health.temperature_c is None:
        return make_finding("heat.unknown")
    key = "heat.hot" if health.temperature_c >= limit_c else "heat.ok"
    return make_finding(key, degrees=health.temperature_c, limit=limit_c)


def clock(state: str, wall: str) -> Finding:
    """Whether the wall clock is synchronized and plausible. `state` and `wall` are those of a Stamp."""
    if wall[:10] < _EARLIEST_DATE:
        return make_finding("clock.past", date=wall[:10])
    return make_finding({"synced": "clock.ok", "unsynced": "clock.unset"}.get(state, "clock.unknown"))


def disk(path: Path, health: Health, settings: Settings, mounts: list[Mount]) -> Finding:
    """Whether there is space for a journal in `path`, and whether it is on a disk."""
    mount, free = mount_of(path, mounts), health.disk_free_bytes
    if mount is None or free is None:
        return make_finding("disk.unknown", path=path)
    facts = {"free": _size_text(free), "kind": mount.kind, "limit": _size_text(settings.disk_low_bytes)}
    if free < settings.disk_low_bytes:
        return make_finding("disk.low", **facts)
    return make_finding("disk.memory" if mount.kind in MEMORY_FILE_SYSTEMS else "disk.ok", **facts)


def wear(path: Path, mounts: list[Mount], root: Path) -> Finding:
    """Errors and wear that the disk of `path` reports."""
    mount = mount_of(path, mounts)
    node = mount and _value_after(root / f"sys/dev/block/{mount.device}/uevent", "DEVNAME=")
    if not node:
        return make_finding("wear.unknown", path=path)
    system = root / f"sys/fs/ext4/{node}"
    if count := _number(_text(system / "errors_count")):
        return make_finding("wear.errors", device=f"/dev/{node}", count=count)
    disks = (*(part.parent for part in (root / "sys/block").glob(f"*/{node}")), root / "sys/block" / node)
    tenths = max((int(word, 16) for word in _text(disks[0] / "device/life_time").split()), default=0)
    if tenths >= _WORN_TENTHS:
        share = "all" if tenths > 10 else f"{tenths * 10 - 10} to {tenths * 10} %"
        return make_finding("wear.worn", device=f"/dev/{node}", share=share)
    kilobytes = _number(_text(system / "lifetime_write_kbytes"))
    written = f", {_size_text(kilobytes * 1024)} written so far" if kilobytes else ""
    return make_finding("wear.ok", device=f"/dev/{node}", written=written)


def _first_names(nodes: Iterable[Path], root: Path) -> str:
    names = [f"/{node.relative_to(root)}" for node in nodes]
    return ", ".join(names[:4]) + (" …" if len(names) > 4 else "")


def _size_text(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _value_after(path: Path, prefix: str) -> str:
    return next((line.removeprefix(prefix) for line in _text(path).splitlines() if line.startswith(prefix)), "")


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
