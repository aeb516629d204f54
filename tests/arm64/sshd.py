"""OpenSSH's server in an arm64 user space, on loopback, and a client's key and settings for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.arm64.userspace import HOME, USER, USER_ID, UserSpace
from tests.loopback import answers_ssh, free_port, write_ssh_client

_LIMIT_S = 120
_KEYGEN = ["ssh-keygen", "-q", "-N", "", "-t", "ed25519"]


@dataclass(frozen=True, slots=True)
class SshTarget:
    """A server that answers as `name`, to a client with `environment`, whose `ssh` knows the way to it and no other host."""

    name: str  # as a client calls it, with the user
    port: int
    folder: Path  # settings, known_hosts, key, and bin/ssh

    @property
    def environment(self) -> dict[str, str]:
        """This process's, with that `ssh` before the system's."""
        return {**os.environ, "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What came of a command there, both streams as text."""
        command = [str(self.folder / "bin" / "ssh"), self.name, *words]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


@contextmanager
def ssh_target(space: UserSpace, folder: Path) -> Iterator[SshTarget]:
    """The server in `space`, which lets the user in with a key made in `folder`; it ends with the context."""
    key, port = folder / "key", free_port()
    subprocess.run([*_KEYGEN, "-f", key], check=True)
    allowed = space.root / HOME.relative_to("/") / ".ssh" / "authorized_keys"
    allowed.parent.mkdir(mode=0o700)
    shutil.copy(key.with_suffix(".pub"), allowed)
    for path in (allowed.parent, allowed):
        os.chown(path, USER_ID, USER_ID)
    host = (space.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().rsplit(" ", 1)[0]
    write_ssh_client(folder, "arm64", port, key, host)
    # What emulates is told to each session, as the system's own settings would tell it
    options = [f"Port={port}", "ListenAddress=127.0.0.1", "UsePAM=no", f"SetEnv=QEMU_CPU={space.cpu}"]
    words = ["/usr/sbin/sshd", "-D", "-e", *(word for option in options for word in ("-o", option))]
    with (folder / "said").open("w") as log_file:
        server = subprocess.Popen(
            space.command(*words, user=False), stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file
        )
    try:
        end_s = time.monotonic() + _LIMIT_S
        while not answers_ssh(port):
            assert server.poll() is None and time.monotonic() < end_s, (folder / "said").read_text()
            time.sleep(0.1)
        yield SshTarget(f"{USER}@arm64", port, folder)
    finally:
        server.terminate()
        server.wait()
