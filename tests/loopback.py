"""Servers on loopback, for tests: a free port, whether an ssh server answers there, and an ssh client that knows it alone."""

from __future__ import annotations

import shlex
import shutil
import socket
from pathlib import Path


def free_port() -> int:
    """A port of loopback that nobody listens to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def answers_ssh(port: int, timeout_s: float = 20.0) -> bool:
    """Whether an ssh server greets at that port of loopback."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def write_ssh_client(folder: Path, name: str, port: int, key: Path, host_key: str, *options: str) -> None:
    """Writes `folder`/bin/ssh, which reaches the server at `port` as host `name` and reads no settings of this user's.

    `key` is the client's private key, `host_key` the server's public one; `options` are further lines of ssh_config.
    """
    program = shutil.which("ssh")
    assert program, "no ssh; on Debian: apt install openssh-client"
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    lines = [
        f"HostName 127.0.0.1\n  Port {port}\n  IdentityFile {key}\n  IdentitiesOnly yes",
        f"UserKnownHostsFile {folder / 'known_hosts'}\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes",
        *options,
    ]
    (folder / "config").write_text("\n  ".join([f"Host {name}", *lines]) + "\n")
    wrapped = folder / "bin" / "ssh"
    wrapped.parent.mkdir(exist_ok=True)
    wrapped.write_text(f'#!/bin/sh\nexec {program} -F {shlex.quote(str(folder / "config"))} "$@"\n')
    wrapped.chmod(0o755)
