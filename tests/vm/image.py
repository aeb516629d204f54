"""A bootable arm64 Debian for QEMU, made once from Debian's packages and PyPI's wheels, and kept in tests/arm64's cache.

Its files are those of tests/arm64/debian.py, with Debian's generic kernel (the one with `vivid` and `vhci_hcd`) and a small
initial RAM disk of our own, so that nothing but the packages' own scripts is emulated: two minutes on two idle cores.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fer_edge.errors import UsageError
from tests.arm64.debian import BASE, DEBIANS, Debian, unpack
from tests.arm64.sysroot import PLATFORMS, SPACES, apt_of, done, made
from tests.arm64.userspace import USER, USER_ID

VERSION = 3  # of what this file makes: a change of it makes another image
SITE = "/opt/vm/site"  # wheels of the device's base install
PICAMERA2_SITE = "/opt/vm/picamera2"
_PACKAGES = (
    *("dbus", "e2fsprogs", "iproute2", "kmod", "libcamera-ipa", "libcamera-tools", "libpam-systemd", "psmisc"),
    *("python3-prctl", "python3-venv", "systemd-sysv", "udev", "v4l-utils"),
)
_MORE = {"bookworm": (), "trixie": ("python3-libcamera",)}  # Bookworm's libcamera has no Python module
_PICAMERA2 = (
    *(
        "picamera2==0.3.38",
        "av",
        "jsonschema",
        "attrs",
        "jsonschema-specifications",
        "libarchive-c",
        "OpenEXR",
        "piexif",
    ),
    *("pillow", "referencing", "rpds-py", "simplejpeg", "tqdm", "videodev2"),
)
_TESTED = ("systemd", "libcamera-tools", "python3-libcamera", "python3", "v4l-utils", "openssh-server")
# picamera2 imports them for a screen and for DNG files; kms++ is only in Raspberry Pi OS, and PiDNG has no wheel
_STUB = """class _Anything:
    def __getattr__(self, name): return self
    def __call__(self, *words, **named): return self
    def __mro_entries__(self, bases): return ()
_anything = _Anything()
def __getattr__(name):
    if name.startswith("__"): raise AttributeError(name)
    return _anything
"""
_BOOT_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
_INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs d /dev; $b mount -t proc p /proc; $b mount -t sysfs s /sys
{modules}
i=0; while [ ! -b /dev/vda ] && [ $i -lt 300 ]; do $b sleep 0.1; i=$((i+1)); done
init=/sbin/init; for w in $($b cat /proc/cmdline); do case $w in init=*) init=${{w#init=}};; esac; done
$b mount -t ext4 -o rw,noatime /dev/vda /root || exec $b sh
case $init in /mnt/*) $b mount -t ext4 -o ro /dev/vdb /root/mnt;; esac
$b mount -o move /dev /root/dev; $b umount /proc /sys; exec $b switch_root /root $init
"""


@dataclass(frozen=True, slots=True)
class Image:
    """The files of a virtual machine: a raw disk with one ext4 file system, what boots it, and the key that lets users in."""

    folder: Path
    suite: str

    @property
    def disk(self) -> Path:
        """The disk as it is before the first boot; a machine boots a copy."""
        return self.folder / "disk.ext4"

    @property
    def kernel(self) -> Path:
        """Debian's kernel."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """The initial RAM disk."""
        return self.folder / "initrd.gz"

    @property
    def key(self) -> Path:
        """The private key of root and of the user."""
        return self.folder / "key"

    @property
    def host_key(self) -> str:
        """The machine's public key."""
        return (self.folder / "host_key.pub").read_text().rsplit(" ", 1)[0].strip()

    @property
    def versions(self) -> dict[str, str]:
        """The versions of Debian's packages in it that the tests are about."""
        versions: dict[str, str] = json.loads((self.folder / "versions.json").read_text())
        return versions

    @property
    def release(self) -> str:
        """The kernel's release, such as 6.12.117+deb13-arm64."""
        return (self.folder / "release").read_text().strip()


def image(suite: str) -> Image:
    """The image of the suite, made first where it is not there yet. Raises UsageError where it cannot be."""
    return Image(made(f"vm-{suite}-{VERSION}", lambda fresh: _make(fresh, suite)), suite)


def tools() -> Path:
    """A folder with the files of QEMU for whole arm64 systems and of kmod, Trixie's; fetched where they are not there yet."""
    return made(f"qemu-system-trixie-{_architecture()}", _make_tools)


def tool(name: str, *words: str | Path) -> list[str]:
    """What runs a program of `tools` with its own libraries, whatever this machine has."""
    root = tools()
    (loader,) = root.glob("usr/lib/*/ld-linux-*.so.*")
    program = next(path for path in (root / "usr/bin" / name, root / "usr/sbin" / name) if path.exists())
    return [str(loader), "--library-path", str(loader.parent), "--argv0", name, str(program), *map(str, words)]


def _architecture() -> str:
    return done(["dpkg", "--print-architecture"]).strip()


def _make_tools(folder: Path) -> None:
    work = folder.with_name(f"{folder.name}.apt")
    apt = apt_of(work, "trixie", _architecture())
    done([*apt, "update"])
    fetch = ["-y", "--download-only", "--no-install-recommends", "-o", "Debug::NoLocking=1", "install"]
    done([*apt, *fetch, "qemu-system-arm", "kmod"])
    folder.mkdir(parents=True)
    for package in sorted((work / "archives").glob("*.deb")):
        done(["dpkg-deb", "-x", package, folder])
    shutil.rmtree(work)


def _make(folder: Path, suite: str) -> None:
    if os.geteuid() != 0:
        raise UsageError("an image's files belong to several users, so only root can make it; run this as root")
    folder.mkdir(parents=True)
    root, debian = folder / "root", DEBIANS[suite]
    done(["cp", "-a", Debian(suite, debian.python, debian.cpu, (*BASE, *_PACKAGES, *_MORE[suite])).root, root])
    release = _add_kernel(root, folder, suite)
    (folder / "release").write_text(f"{release}\n")
    (folder / "versions.json").write_text(json.dumps(_versions(root)))
    _settle(root, folder)
    _add_wheels(root, debian.python, SITE, SPACES[suite].wheels)
    _add_wheels(root, debian.python, PICAMERA2_SITE, ("--no-deps", *_PICAMERA2))
    for name in ("pykms.py", "pidng/__init__.py", "pidng/core.py", "pidng/camdefs.py"):
        stub = root / PICAMERA2_SITE.lstrip("/") / name
        stub.parent.mkdir(exist_ok=True)
        stub.write_text(_STUB)
    lazy = "lazy_itable_init=1,lazy_journal_init=1"
    done(["mke2fs", "-q", "-t", "ext4", "-E", lazy, "-d", root, folder / "disk.ext4", "4G"])
    shutil.rmtree(root)


def _versions(root: Path) -> dict[str, str]:
    status = (root / "var/lib/dpkg/status").read_text()
    found = {name: re.search(rf"^Package: {name}$.*?^Version: (\S+)$", status, re.M | re.S) for name in _TESTED}
    return {name: match[1] for name, match in found.items() if match is not None}


def _add_kernel(root: Path, folder: Path, suite: str) -> str:
    """Unpacks Debian's kernel below `root` and writes the files that boot it; returns its release."""
    work = folder / "apt"
    apt = apt_of(work, suite, "arm64")
    done([*apt, "update"])
    done([*apt, "download", "linux-image-arm64", "busybox-static"], cwd=work)
    (meta,) = work.glob("linux-image-arm64_*.deb")
    needed = re.search(r"linux-image-([\w.+-]+)", done(["dpkg-deb", "-f", meta, "Depends"]))
    assert needed is not None
    release = needed[1]
    done([*apt, "download", f"linux-image-{release}"], cwd=work)
    (package,) = work.glob(f"linux-image-{release}_*.deb")
    unpack(package, root)
    done(tool("depmod", "-b", root, release))
    shutil.copy(root / f"boot/vmlinuz-{release}", folder / "vmlinuz")
    busybox = work / "busybox"
    (static,) = work.glob("busybox-static_*.deb")
    done(["dpkg-deb", "-x", static, busybox])
    (program,) = (path for path in busybox.glob("**/busybox") if path.is_file() and os.access(path, os.X_OK))
    (folder / "initrd.gz").write_bytes(_initrd(root / "usr/lib/modules" / release, program.read_bytes()))
    shutil.rmtree(work)
    return release


def _initrd(modules: Path, busybox: bytes) -> bytes:
    """A gzipped cpio archive with busybox, and the modules that an ext4 file system on a virtio disk needs."""
    needs = dict(line.split(":", 1) for line in (modules / "modules.dep").read_text().splitlines())
    by_name = {re.sub(r"\.ko(\.xz)?$", "", Path(path).name).replace("-", "_"): path for path in needs}
    paths: list[str] = []
    for name in _BOOT_MODULES:
        if name in by_name:  # others are in the kernel
            paths += [p for p in (*reversed(needs[by_name[name]].split()), by_name[name]) if p not in paths]
    entries: list[tuple[str, int, bytes]] = [
        (name, 0o040755, b"") for name in ("bin", "dev", "proc", "sys", "mods", "root", "run")
    ]
    entries.append(("bin/busybox", 0o100755, busybox))
    lines = []
    for path in paths:
        content = (modules / path).read_bytes()
        name = f"mods/{Path(path).name.removesuffix('.xz')}"
        entries.append((name, 0o100644, lzma.decompress(content) if path.endswith(".xz") else content))
        lines.append(f"$b insmod /{name}")
    entries.append(("init", 0o100755, _INIT.format(modules="\n".join(lines)).encode()))
    return gzip.compress(b"".join(_cpio(entries)), 1)


def _cpio(entries: Iterable[tuple[str, int, bytes]]) -> Iterable[bytes]:
    """The entries (name, mode, content) in the format newc of cpio, which the kernel reads."""
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        yield head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)


def _settle(root: Path, folder: Path) -> None:
    """What an image's maker writes: name, disk, network, services, and the key that lets root and the user in."""
    (root / "etc/hostname").write_text("vm\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost vm\n")
    (root / "etc/fstab").write_text("/dev/vda / ext4 defaults,noatime 0 1\n")
    (root / "etc/systemd/network").mkdir(parents=True, exist_ok=True)
    network = "[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n"
    (root / "etc/systemd/network/80-vm.network").write_text(network)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/machine-id").write_text("")
    (root / "var/log/journal").mkdir(exist_ok=True)
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    for unit in ("systemd-networkd.service", "ssh.service"):
        (wanted / unit).unlink(missing_ok=True)
        (wanted / unit).symlink_to(f"/usr/lib/systemd/system/{unit}")
    default = root / "usr/lib/systemd/system/default.target"
    if not default.is_symlink() and not default.exists():
        default.symlink_to("graphical.target")
    key = folder / "key"
    done(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", key])
    shutil.copy(root / "etc/ssh/ssh_host_ed25519_key.pub", folder / "host_key.pub")
    for home, owner in (("root", 0), (f"home/{USER}", USER_ID)):
        allowed = root / home / ".ssh/authorized_keys"
        allowed.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy(key.with_suffix(".pub"), allowed)
        for path in (allowed.parent, allowed):
            os.chown(path, owner, owner)


def _add_wheels(root: Path, python: str, site: str, wheels: Iterable[str]) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile"]
    pip += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", "--ignore-requires-python"]
    done([*pip, "--target", root / site.lstrip("/"), *(f"--platform={name}" for name in PLATFORMS), *wheels])


if __name__ == "__main__":
    for name in sys.argv[1:] or ["trixie"]:
        print(image(name).folder)
