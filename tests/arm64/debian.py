"""A plain Debian for arm64, made once: the packages of Raspberry Pi OS Lite that the installation needs.

Packages are unpacked by this machine's dpkg-deb and configured by their own scripts, emulated: about a minute, where
debootstrap takes four (Bookworm) to nine (Trixie). Raspberry Pi OS follows Debian's suites; its own archive is not in it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from fer_edge.errors import UsageError
from tests.arm64.sysroot import MIRROR, apt_of, done, made
from tests.arm64.userspace import NETWORK, USER, USER_ID, entered

# Of Raspberry Pi OS Lite's, and all that they depend on
BASE = (
    "apt",
    "ca-certificates",
    "openssh-server",
    "passwd",
    "procps",
    "python3",
    "rsync",
    "sudo",
    "systemd",
    "usr-is-merged",
)
# Set up by hand: its script reckons for a minute, emulated, to come to the file that this machine has too
_BY_HAND = {"ca-certificates"}
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_VERSION = 2  # of what this file makes, besides what is in the name of a root
_SET_UP = f"""set -e
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
/var/lib/dpkg/info/base-passwd.preinst install
dpkg --force-unsafe-io --configure --pending
useradd --create-home --shell /bin/bash --password '*' --uid {USER_ID} {USER}
"""


@dataclass(frozen=True, slots=True)
class Debian:
    """A suite and the processor that it is run on."""

    suite: str
    python: str
    cpu: str  # as QEMU calls it
    packages: tuple[str, ...] = BASE

    @property
    def root(self) -> Path:
        """The folder of its files, made first where it is not there yet. Raises UsageError where it cannot be."""
        key_json = json.dumps([_VERSION, _SET_UP, {k: v for k, v in asdict(self).items() if k != "cpu"}])
        name = f"debian-{self.suite}-{hashlib.sha256(key_json.encode()).hexdigest()[:12]}"
        return made(name, lambda fresh: _make(fresh, self))


DEBIANS = {"bookworm": Debian("bookworm", "3.11", "cortex-a72"), "trixie": Debian("trixie", "3.13", "cortex-a76")}


def _make(root: Path, debian: Debian) -> None:
    work = root.with_name(f"{root.name}.apt")
    apt = apt_of(work, debian.suite, "arm64")
    done([*apt, "update"])
    fetch = ["--download-only", "--no-install-recommends", "-o", "Debug::NoLocking=1", "install", "?essential"]
    done([*apt, "-y", *fetch, *debian.packages])
    _unpack(root, sorted((work / "archives").glob("*.deb")))
    shutil.copytree(work / "lists", root / "var/lib/apt/lists", dirs_exist_ok=True)  # as old as an image's are
    shutil.rmtree(work)
    _settle(root, debian.suite)
    with entered(root, debian.cpu, keep=True) as space:
        ran = space.run("/bin/sh", "-c", _SET_UP, user=False)
    if ran.returncode != 0:
        raise UsageError(f"Debian {debian.suite} for arm64 cannot be set up: {(ran.stdout + ran.stderr)[-2000:]}")
    (root / "usr/sbin/policy-rc.d").unlink()


def _unpack(root: Path, packages: list[Path]) -> None:
    """Puts the packages' files below `root`, and into dpkg's records there that they are unpacked and not yet configured."""
    records = root / "var/lib/dpkg"
    for folder in (
        "usr/bin",
        "usr/sbin",
        "usr/lib",
        "var/lib/dpkg/info",
        "var/lib/dpkg/updates",
        "var/lib/dpkg/triggers",
    ):
        (root / folder).mkdir(parents=True)
    for folder in ("bin", "sbin", "lib"):
        (root / folder).symlink_to(f"usr/{folder}")
    (records / "info/format").write_text("1\n")
    (records / "available").touch()
    status = []
    for package in packages:
        control_text = done(["dpkg-deb", "-f", package]).rstrip("\n")
        fields = dict(line.split(": ", 1) for line in control_text.splitlines() if ": " in line and line[0] != " ")
        name = fields["Package"] + (":arm64" if fields.get("Multi-Arch") == "same" else "")
        done(["dpkg-deb", "-e", package, records / "control"])
        (records / "control/control").unlink()
        conffiles = records / "control/conffiles"
        settings = [f" {line} newconffile" for line in _lines(conffiles) if line.startswith("/")]
        for script in (records / "control").iterdir():
            script.rename(records / "info" / f"{name}.{script.name}")
        (records / "control").rmdir()
        files = unpack(package, root)
        (records / "info" / f"{name}.list").write_text("".join(f"/{file[2:].rstrip('/') or '.'}\n" for file in files))
        state = "installed" if fields["Package"] in _BY_HAND else "unpacked"
        first, rest = control_text.split("\n", 1)
        more = ["Conffiles:", *settings] if settings else []
        status.append("\n".join([first, f"Status: install ok {state}", rest, *more, ""]))
    (records / "status").write_text("\n".join(status))


def unpack(package: Path, root: Path) -> list[str]:
    """Puts a package's files below `root` and returns their names, as ./usr/bin/env.

    Links to folders remain: Bookworm's packages have files in /lib, which is a link to /usr/lib, as on every system since.
    """
    tar = ["tar", "-x", "-v", "-p", "--keep-directory-symlink", "-C", root]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as archive:
        ran = subprocess.run(tar, stdin=archive.stdout, stdout=subprocess.PIPE, check=True, text=True)
    if archive.returncode:
        raise UsageError(f"{package.name} cannot be unpacked: dpkg-deb ended with {archive.returncode}")
    return ran.stdout.splitlines()


def _settle(root: Path, suite: str) -> None:
    """What an image's maker writes: where packages come from, who may `sudo`, and this machine's way to the network."""
    (root / "etc/apt/sources.list").write_text(f"deb {MIRROR} {suite} main\n")
    sudoers = root / f"etc/sudoers.d/010_{USER}-nopasswd"
    keep = " ".join(("QEMU_CPU", *NETWORK))
    sudoers.write_text(f'{USER} ALL=(ALL) NOPASSWD: ALL\nDefaults env_keep += "{keep}"\nDefaults !fqdn\n')
    sudoers.chmod(0o440)
    for name in ("resolv.conf", "hosts"):
        shutil.copy(Path("/etc") / name, root / "etc" / name)
    if _AUTHORITIES.is_file():
        shutil.copy(_AUTHORITIES, root / _AUTHORITIES.relative_to("/"))
    for kind in ("rsa", "ecdsa", "ed25519"):  # made in a moment here, and in ten seconds there
        key = root / f"etc/ssh/ssh_host_{kind}_key"
        with_keygen = shutil.which("ssh-keygen")
        if with_keygen:
            subprocess.run([with_keygen, "-q", "-N", "", "-t", kind, "-f", key], check=True)
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")  # nothing is started while packages are set up
    policy.chmod(0o755)
    awk = root / "usr/bin/awk"  # an alternative that scripts call before it is set up
    if not awk.exists():
        awk.symlink_to("mawk")


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []
