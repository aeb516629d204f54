"""A target to deploy to: a real OpenSSH server on loopback, in a temporary file system of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fer_edge.shipped_bundles import SHIPPED
from tests.loopback import answers_ssh, free_port

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
ISOLATED = ("unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child")
_CONFIG = """Port {port}
ListenAddress 127.0.0.1
HostKey /mnt/share/host_key
AuthorizedKeysFile /mnt/share/authorized_keys
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 50
PidFile none
SetEnv PATH=/mnt/share/bin:/usr/sbin:/usr/bin:/sbin:/bin
"""
# `pi` is the target as its first user, who may become root; `top` its root; the others have something amiss.
_CLIENT = """Host pi
  User pi
Host *
  HostName 127.0.0.1
  Port {port}
  User root
  IdentitiesOnly yes
  HostKeyAlias pi
Host forced
  IdentityFile {folder}/forced
Host wrong-key
  IdentityFile {folder}/stranger
Host pi top stranger changed
  IdentityFile {folder}/key
Host stranger
  UserKnownHostsFile {folder}/known_by_nobody
Host changed
  UserKnownHostsFile {folder}/known_otherwise
Host *
  UserKnownHostsFile {folder}/known
"""
_SSH = (
    '#!/bin/sh\nexec /usr/bin/ssh -F {folder}/config "$@"\n'  # ssh reads ~/.ssh of the real user, whatever $HOME says
)


@dataclass(frozen=True, slots=True)
class Target:
    """A target and the computer that deploys to it. `folder`: keys, settings and caches of that computer."""

    folder: Path
    share: Path
    port: int

    def deploy(self, *words: str | Path, root: Path = ROOT, check: bool = True) -> subprocess.CompletedProcess[str]:
        """What `fer-edge` said to these words, run from the checkout `root`."""
        ran = subprocess.run(
            [sys.executable, "-m", "fer_edge", *map(str, words)], cwd=root, env=self.environ, capture_output=True,
            text=True, check=False, stdin=subprocess.DEVNULL, timeout=300,
        )  # fmt: skip
        assert not check or ran.returncode == 0, f"{words}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        return ran

    def begin(self, *words: str | Path, root: Path = ROOT) -> subprocess.Popen[str]:
        """The same, to be watched, and killed, as it goes."""
        return subprocess.Popen(
            [sys.executable, "-m", "fer_edge", *map(str, words)], cwd=root, env=self.environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def sh(self, script: str, host: str = "top") -> str:
        """What a script of root printed on the target."""
        ssh = [str(self.share.parent / "client" / "ssh"), "-o", "BatchMode=yes", "--", host, "sh -s"]
        ran = subprocess.run(ssh, input=script, capture_output=True, text=True, check=False, timeout=60)
        assert ran.returncode == 0, f"{script}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout.strip()

    @property
    def environ(self) -> dict[str, str]:
        """Of the deploying computer."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SSH_")}
        return {
            **clean,
            "PATH": f"{self.share.parent / 'client'}:{clean['PATH']}",
            "PIP_CACHE_DIR": clean.get("PIP_CACHE_DIR", f"{clean.get('XDG_CACHE_HOME', Path.home() / '.cache')}/pip"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "PYTHONPATH": "",
        }

    def connections(self) -> list[int]:
        """The processes of sshd that hold a connection, by this machine's numbers."""
        found = []
        for at in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (at / "cmdline").read_bytes().startswith((b"sshd: root", b"sshd: pi")) and (
                    at / "root/mnt/share/sshd_config"
                ).exists():
                    found.append(int(at.name))
        return found

    def cut(self) -> None:
        """Ends every connection, as a network does that goes away: what runs there is not told."""
        for pid in self.connections():
            os.kill(pid, signal.SIGKILL)


def later_checkout(folder: Path) -> Path:
    """A checkout of a later version, written to `folder`: it makes another wheel, and another release."""
    for name in ("fer_edge", "convert", "device", *(f"models/{name}" for name in SHIPPED), "constraints"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder)
    with (folder / "device" / "__init__.py").open("a") as file:
        file.write("# later\n")
    return folder


def possible() -> bool:
    """Whether this machine lets us make file systems."""
    test_command = [*ISOLATED, "true"]
    return os.geteuid() == 0 and subprocess.run(test_command, capture_output=True, check=False).returncode == 0


@contextmanager
def target(folder: Path) -> Iterator[Target]:
    """A target that is up while the block lasts."""
    assert shutil.which("sshd", path="/usr/sbin") and shutil.which("rsync"), "apt install openssh-server rsync"
    share, client, memory = folder / "share", folder / "client", folder / "memory"
    for one in (share / "bin", client, memory):
        one.mkdir(parents=True)
    port = free_port()
    for key in (share / "host_key", client / "key", client / "stranger", client / "forced"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    key, forced = ((client / name).with_suffix(".pub").read_text() for name in ("key", "forced"))
    (share / "authorized_keys").write_text(f'{key}command="yes welcome | head -n 9" {forced}')
    (share / "sshd_config").write_text(_CONFIG.format(port=port))
    for name in ("systemctl", "journalctl"):
        shutil.copy(HERE / "systemctl.sh", share / "bin" / name)
        (share / "bin" / name).chmod(0o755)
    (client / "config").write_text(_CLIENT.format(port=port, folder=client))
    (client / "known").write_text(f"pi {(share / 'host_key.pub').read_text()}")
    (client / "known_otherwise").write_text(f"pi {(client / 'stranger.pub').read_text()}")
    (client / "ssh").write_text(_SSH.format(folder=client))
    (client / "ssh").chmod(0o755)
    with (folder / "words").open("w") as words:
        process = subprocess.Popen([*ISOLATED, "sh", str(HERE / "target.sh"), str(memory), str(share)], stderr=words)
    try:
        end = time.monotonic() + 30
        while not answers_ssh(port):
            assert process.poll() is None and time.monotonic() < end, (folder / "words").read_text()
            time.sleep(0.05)
        yield Target(folder, share, port)
    finally:
        process.kill()
        process.wait()
