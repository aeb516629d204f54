"""`fer-edge deploy` to an arm64 target over its own sshd: from nothing to a running service, without a network on the target.

The login user may `sudo`, as the first user of Raspberry Pi OS may. tests/system/systemctl.sh replaces systemd and starts the
command of the unit. ARM64_SUITES names the suites.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.arm64.debian import DEBIANS
from tests.arm64.sshd import SshTarget, ssh_target
from tests.arm64.sysroot import ROOT, cache_folder
from tests.arm64.test_install import SUITES
from tests.arm64.userspace import CANNOT, UserSpace, entered, may_be_entered

SYSTEMCTL = ROOT / "tests" / "system" / "systemctl.sh"
SETTINGS = 'camera = "synthetic"\nfps = 1.0\nwidth_px = 320\nheight_px = 240\nsync_s = 0.0\n'


@dataclass(frozen=True, slots=True)
class Pi:
    """A target, and the JSON result and messages of the first deploy to it."""

    suite: str
    space: UserSpace
    ssh: SshTarget
    result: dict[str, Any]
    messages: str


@pytest.fixture(scope="module", params=SUITES)
def pi(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pi]:
    """Each of the suites, entered fresh and deployed to once."""
    if not may_be_entered():
        pytest.skip(CANNOT)
    debian, folder = DEBIANS[request.param], tmp_path_factory.mktemp("deploy")
    (folder / "settings.toml").write_text(SETTINGS)
    with entered(debian.root, debian.cpu) as space, ssh_target(space, folder) as ssh:
        (space.root / "run/systemd/system").mkdir(parents=True)
        for name in ("systemctl", "journalctl"):
            program = space.root / "usr/local/sbin" / name
            program.write_text(SYSTEMCTL.read_text().replace("env -i ", f"env -i QEMU_CPU={space.cpu} "))
            program.chmod(0o755)
        ran = _fer_edge(ssh, "deploy", ssh.name, "--offline", "--json", "--config", folder / "settings.toml")
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\n{debian.suite}, arm64 emulated, exit {ran.returncode}:\n{ran.stderr}")
        assert ran.returncode == 0, ran.stderr
        yield Pi(debian.suite, space, ssh, json.loads(ran.stdout), ran.stderr)


def test_a_deploy_ends_with_a_logging_service(pi: Pi) -> None:
    assert pi.result["done"] and pi.result["service"] == "started" and pi.result["first_line"]["kind"] == "header"
    assert pi.result["steps"][-1]["step"] == "finish" and pi.result["first_line_s"] > 0
    assert f"aarch64, Debian GNU/Linux {pi.space.root.joinpath('etc/debian_version').read_text()[:2]}" in pi.messages


def test_the_wheels_are_those_of_the_target(pi: Pi) -> None:
    release = pi.space.root / "opt/fer-edge/releases" / pi.result["release"]
    python = f"python{DEBIANS[pi.suite].python}"
    assert pi.ssh.run("readlink -f /opt/fer-edge/current/bin/python").stdout.strip() == f"/usr/bin/{python}"
    tags = (release / "lib" / python / "site-packages").glob("numpy-*.dist-info/WHEEL")
    assert "aarch64" in next(tags).read_text()


def test_fetch_copies_the_readings(pi: Pi, tmp_path: Path) -> None:
    ran = _fer_edge(pi.ssh, "fetch", pi.ssh.name, "--out", tmp_path / "journal", "--json")
    assert ran.returncode == 0, ran.stderr
    header = json.loads(next((tmp_path / "journal").glob("*.jsonl")).read_text().splitlines()[0])
    assert header["kind"] == "header"


def test_a_repeated_deploy_changes_nothing(pi: Pi) -> None:
    ran = _fer_edge(pi.ssh, "deploy", pi.ssh.name, "--offline", "--json")
    assert ran.returncode == 0, ran.stderr
    again = json.loads(ran.stdout)
    assert (again["release"], again["previous"], again["service"]) == (
        pi.result["release"],
        pi.result["release"],
        "kept",
    )


def _fer_edge(ssh: SshTarget, *words: str | Path) -> subprocess.CompletedProcess[str]:
    environ = {**ssh.environment, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache_folder())}
    command = [sys.executable, "-m", "fer_edge", *map(str, words)]
    return subprocess.run(
        command, env=environ, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
