"""Three targets with real OpenSSH servers, one of which refuses the key, and an inventory that names them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from system.sshd import ROOT, Target, possible, target

ANSIBLE = ROOT / "convert" / "deploy" / "ansible"
SETTINGS = """camera = "synthetic"
fps = 4.0
width_px = 320
height_px = 240
sync_s = 0.0
"""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The targets by their names in the inventory, and the computer that deploys to them."""

    folder: Path
    targets: dict[str, Target]

    @property
    def inventory(self) -> Path:
        """The inventory of all."""
        return self.folder / "hosts.yml"

    def environ(self, root: Path = ROOT) -> dict[str, str]:
        """Of the deploying computer; `root` is the checkout that it uses."""
        first = next(iter(self.targets.values()))
        return {
            **first.environ,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(root),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_NOCOLOR": "true",
        }

    def play(
        self, name: str, *words: str, root: Path = ROOT, inventory: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A run of a playbook."""
        playbook = ["playbook", "-i", inventory or self.inventory, ANSIBLE / f"{name}.yml"]
        command = [sys.executable, "-m", "ansible", *playbook, *words]
        return subprocess.run(
            command, env=self.environ(root), cwd=self.folder, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=600,
        )  # fmt: skip

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """A run of `fer-edge`."""
        return subprocess.run(
            [sys.executable, "-m", "fer_edge", *map(str, words)], env=self.environ(), cwd=self.folder,
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=300,
        )  # fmt: skip


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    if not possible():
        pytest.skip("no file system may be mounted here")
    folder = tmp_path_factory.mktemp("fleet")
    (folder / "settings.toml").write_text(SETTINGS)
    with ExitStack() as stack:
        up = {}
        for name in ("door", "refusing", "hall"):
            (folder / name).mkdir()
            up[name] = stack.enter_context(target(folder / name))
        (up["refusing"].share / "authorized_keys").write_text("")
        write_client(folder, up)
        yield Fleet(folder, up)


def write_client(folder: Path, targets: dict[str, Target]) -> None:
    """An ssh that knows these targets, and the inventory."""
    clients = {name: folder / name / "client" for name in targets}
    keys = "\n".join(f"  IdentityFile {client / 'key'}" for client in clients.values())
    (folder / "known").write_text(
        "".join(f"[127.0.0.1]:{up.port} {(up.share / 'host_key.pub').read_text()}" for up in targets.values())
    )
    (folder / "config").write_text(
        "Host door\n  HostName 127.0.0.1\n"  # an inventory's name is the address where there is no ansible_host
        f"Host *\n  IdentitiesOnly yes\n{keys}\n  UserKnownHostsFile {folder / 'known'}\n  GlobalKnownHostsFile none\n"
    )
    (folder / "bin").mkdir()
    (folder / "bin" / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder / "config"} "$@"\n')
    (folder / "bin" / "ssh").chmod(0o755)
    address = {name: "" if name == "door" else ", ansible_host: 127.0.0.1" for name in targets}
    hosts = "".join(f"        {name}: {{ansible_port: {up.port}{address[name]}}}\n" for name, up in targets.items())
    (folder / "hosts.yml").write_text(
        "all:\n"
        "  vars: {ansible_user: pi, fer_edge_offline: true, fer_edge_config: settings.toml}\n"
        f"  children:\n    cameras:\n      hosts:\n{hosts}"
    )
