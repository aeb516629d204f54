"""Reading an inventory: what Ansible knows of groups and ranges, and refusals of what is no host."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from system.sshd import ROOT

from convert.deploy.inventory import InventoryHost, read_inventory
from convert.deploy.releases import Instance
from convert.deploy.ssh_address import SshAddress
from fer_edge.errors import UsageError

CAMERA = Instance()


def write(folder: Path, text: str, name: str = "hosts.yml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_groups_ranges_and_variables(tmp_path: Path) -> None:
    inventory = write(
        tmp_path,
        """
all:
  children:
    shops:
      vars: {ansible_user: pi}
      hosts:
        pi[08:10].local:
        door: {ansible_host: "fe80::1%eth0", ansible_port: "2201", fer_edge_name: door}
    offices:
      hosts: {door: {}, desk: {ansible_host: 10.0.0.7, ansible_user: top}}
""",
    )
    named = [InventoryHost(f"pi{n}.local", SshAddress(f"pi@pi{n}.local"), CAMERA) for n in ("08", "09", "10")]
    door = InventoryHost("door", SshAddress("pi@fe80::1%eth0", 2201), Instance("door"))
    desk = InventoryHost("desk", SshAddress("top@10.0.0.7"), CAMERA)
    assert read_inventory(inventory, "", CAMERA) == (desk, door, *named)
    assert read_inventory(inventory, "offices:!desk", CAMERA) == (door,)
    with pytest.raises(UsageError, match="has no host of the pattern “shops:&offices:!door”"):
        read_inventory(inventory, "shops:&offices:!door", CAMERA)


@pytest.mark.parametrize("text", ["all: [", "[shops]\npi\n"])
def test_what_is_no_yaml_inventory_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be read as an Ansible inventory in YAML: .*YAML"):
        read_inventory(write(tmp_path, text), "", CAMERA)


def test_an_executable_inventory_is_not_run(tmp_path: Path) -> None:
    inventory = write(tmp_path, f"#!/bin/sh\ntouch {tmp_path}/owned\necho '{{}}'\n")
    inventory.chmod(0o755)
    with pytest.raises(UsageError, match="cannot be read as an Ansible inventory in YAML"):
        read_inventory(inventory, "", CAMERA)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--inventory", "absent.yml"], "absent.yml is not a file"),
        (["pi", "--inventory", "hosts.yml"], "give it alone"),
        (["--inventory", "hosts.yml", "--port", "22"], "give it alone"),
        (["--inventory", "hosts.yml", "--jobs", "0"], "--jobs must be 1 to 64, not 0"),
        (["pi", "--limit", "x"], "--limit needs one"),
        ([], "give USER@HOST, or an inventory"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path: Path, words: list[str], message: str) -> None:
    write(tmp_path, "all: {hosts: {nowhere.invalid: {}}}")
    ran = status(tmp_path, [], words)
    assert ran.returncode == 2 and message in ran.stderr, ran.stderr


def test_without_ansible_the_extra_is_named(tmp_path: Path) -> None:
    write(tmp_path, "all: {hosts: {a: {}}}")
    ran = status(tmp_path, ["-S"], ["--inventory", "hosts.yml"])  # -S: without installed packages
    assert ran.returncode == 2 and "pip install 'fer-edge[fleet]'" in ran.stderr, ran.stderr


def status(folder: Path, python_options: list[str], words: list[str]) -> subprocess.CompletedProcess[str]:
    """A run of `fer-edge status`."""
    return subprocess.run(
        [sys.executable, *python_options, "-m", "fer_edge", "status", *words], cwd=folder, capture_output=True, text=True,
        check=False, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder)},
    )  # fmt: skip
