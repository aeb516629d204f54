"""The service under a real systemd, booted in namespaces of its own: its permissions, its limits and its restarts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import journal_events

from fer_edge.bundle import Bundle
from fer_edge.shipped_bundles import shipped_path

ROOT, HERE = Path(__file__).parents[2], Path(__file__).parent
LIMIT_S = 900  # on a machine that has nothing else to do, half a minute
PROGRAM = """#!/bin/sh
export PYTHONHOME=/srv/python PYTHONPATH=/srv/repository:/srv/site LD_LIBRARY_PATH=/srv/python/lib PYTHONDONTWRITEBYTECODE=1
exec /srv/python/bin/{python} -m fer_edge "$@"
"""
CHECK = """[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/sh /mnt/share/check.sh
StandardOutput=append:/mnt/share/log
StandardError=append:/mnt/share/log
"""
# Beside the unit, not in it: what is tried inside, where its words go, and the patience of a machine that has much to do.
WATCHED = """[Service]
ExecStartPre=/usr/bin/env PYTHONHOME=/srv/python LD_LIBRARY_PATH=/srv/python/lib /srv/python/bin/{python} \
/srv/repository/tests/system/sandbox_probe.py %p-%i
StandardError=append:/var/lib/said-%p-%i
TimeoutStartSec=10min
"""


@contextmanager
def own_cgroups() -> Iterator[str]:
    """A shell command that moves a process into control groups of its own, which are removed at the end."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    at = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for mount in mounts:
            kind, options = mount[mount.index("-") + 1], mount[-1].split(",")
            if (kind == "cgroup2" and not controllers) or (kind == "cgroup" and controllers.split(",")[0] in options):
                at[controllers] = Path(mount[4]) / path.lstrip("/") / f"fer-edge-test-{os.getpid()}"
    hierarchies = [at[name] for name in ("", "name=systemd", "pids", "devices", "memory") if name in at]
    try:
        for folder in hierarchies:
            folder.mkdir()
        yield "; ".join(f"echo $$ > {folder}/cgroup.procs" for folder in hierarchies)
    finally:
        for folder in hierarchies:
            end = time.monotonic() + 10
            while folder.exists():
                for inner in (*sorted(folder.rglob("*/"), reverse=True), folder):
                    with suppress(OSError):  # the last processes are still on their way out
                        inner.rmdir()
                assert time.monotonic() < end, f"{folder} is still in use"
                time.sleep(0.05)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what was written down."""
    tmp_path = tmp_path_factory.mktemp("booted")
    isolated = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup", "--fork", "--kill-child"]
    if os.geteuid() != 0 or subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system may be mounted here")
    assert Path("/lib/systemd/systemd").is_file(), "no systemd; on Debian: apt install systemd"
    share, memory = tmp_path / "share", tmp_path / "memory"
    share.mkdir()
    memory.mkdir()
    python = f"python3.{sys.version_info.minor}"
    (share / "program.sh").write_text(PROGRAM.format(python=python))
    (share / "program.sh").chmod(0o755)
    (share / "check.service").write_text(CHECK)
    (share / "watched.conf").write_text(WATCHED.format(python=python))
    shutil.copy(HERE / "check.sh", share)
    camera = 'camera = "synthetic"\nfps = 4.0\nsync_s = 0.0\nwidth_px = 320\nheight_px = 240\n'
    (share / "fer-edge.toml").write_text(camera)
    (share / "door.toml").write_text(f'{camera}bundle = "/etc/fer-edge/broken"\n')
    broken = Path(shutil.copytree(shipped_path("nano"), share / "broken"))
    os.truncate(broken / "model.tflite", 1000)
    site = Path(np.__file__).parents[1]
    with own_cgroups() as enter:
        boot = [*isolated, "sh", str(HERE / "boot.sh"), *map(str, (memory, share, sys.base_prefix, site, ROOT))]
        command = f"{enter}; exec {' '.join(boot)}"
        with (share / "boot").open("w") as words:
            process = subprocess.Popen(["sh", "-c", command], stdout=words, stderr=words)
        try:
            end = time.monotonic() + LIMIT_S
            while not (share / "done").exists():
                assert process.poll() is None and time.monotonic() < end, "\n".join(
                    (share / name).read_text() for name in ("boot", "log") if (share / name).exists()
                )
                time.sleep(0.2)
        finally:
            process.kill()
            process.wait()
    return share


def words(seen: Path, name: str) -> str:
    return (seen / name).read_text().strip()


def shown(seen: Path, name: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in words(seen, name).splitlines())


def inside(seen: Path, name: str = "fer-edge-") -> dict[str, Any]:
    sandbox: dict[str, Any] = json.loads((seen / "state" / f"sandbox-{name}.json").read_text())
    return sandbox


def test_the_service_starts_and_reports_ready(seen: Path) -> None:
    """Type=notify, NotifyAccess, ExecStart, ConfigurationDirectory: the start waited for READY, the words came along."""
    assert words(seen, "start") == "0"
    started = shown(seen, "started")
    assert (started["ActiveState"], started["SubState"]) == ("active", "running")
    assert started["StatusText"].split(",")[0] in ("starting", "waiting", "running"), "--wait-camera is ready before it"


def test_the_service_has_its_own_user_and_no_capabilities(seen: Path) -> None:
    """User, CapabilityBoundingSet, NoNewPrivileges, Environment, UMask, LimitCORE."""
    found = inside(seen)
    assert found["user"] == "fer-edge"
    assert found["capabilities"] == ["", "", "", ""] and found["no_new_privileges"] == "1"
    assert found["environment"] == {
        "STATE_DIRECTORY": "/var/lib/fer-edge",
        "RUNTIME_DIRECTORY": "/run/fer-edge",
        "CONFIGURATION_DIRECTORY": "/etc/fer-edge",
        "FER_EDGE_BUNDLES": "/opt/fer-edge/bundles",
        "FER_EDGE_DETECTORS": "/opt/fer-edge/detectors",
    }
    assert found["umask"] == 0o022 and found["core"] == [0, 0]


def test_the_service_writes_to_its_folders_only(seen: Path) -> None:
    """ProtectSystem, ProtectHome, PrivateTmp, ProtectProc, ProtectKernelTunables, ProtectControlGroups, ProtectHostname."""
    found = inside(seen)
    may = {folder for folder, came in found["written"].items() if came == "done"}
    assert may == {"/var/lib/fer-edge", "/run/fer-edge", "/tmp"}
    assert set(found["written"].values()) <= {"done", "EROFS", "EACCES"}
    assert found["tmp"] == ["x"], "a folder of its own"
    assert found["home"] in ([], "closed")
    assert found["others"] is False, "it does not see other users' processes"
    assert {"/", "/proc/sys"} <= set(found["readonly"])
    assert any(path.startswith("/sys/fs/cgroup") or path == "/sys" for path in found["readonly"])
    assert found["uts"] != words(seen, "uts")


def test_of_a_home_folder_only_the_environment_is_visible(seen: Path) -> None:
    """ProtectHome=tmpfs and BindReadOnlyPaths, in the template's instance."""
    found = inside(seen, "fer-edge-door")
    assert found["home"] == ["/home/me"], "not the private file beside the environment"
    assert found["user"] == "fer-edge"


def test_the_kernel_denies_what_the_unit_forbids(seen: Path) -> None:
    """PrivateNetwork, RestrictAddressFamilies, DevicePolicy, MemoryDenyWriteExecute, RestrictNamespaces, RestrictRealtime,

    RestrictSUIDSGID, LockPersonality, SystemCallFilter with SystemCallErrorNumber: an error, not the end of the process.
    """
    found = inside(seen)
    assert found["interfaces"] == ["lo"]
    refused = "EAFNOSUPPORT"
    sockets = {"AF_UNIX": "done", "AF_NETLINK": found["sockets"]["AF_NETLINK"], "AF_INET": refused, "AF_INET6": refused}
    assert found["sockets"] == {**sockets, "AF_PACKET": refused} and found["sockets"]["AF_NETLINK"] != refused
    assert found["device"] == "EPERM" and found["null"] == "done"
    for what in ("write_and_execute", "namespace", "realtime", "setuid", "personality", "nice"):
        assert found[what] == "EPERM", what


def test_the_units_limits_apply(seen: Path) -> None:
    """TasksMax, MemoryMax."""
    assert words(seen, "pids") == "64"
    assert words(seen, "memory") == str(400 << 20)


def test_other_users_read_the_health_and_not_the_journal(seen: Path) -> None:
    """StateDirectoryMode, RuntimeDirectory and RuntimeDirectoryPreserve: health is everybody's, the journal is not."""
    assert words(seen, "health-code") == "0", words(seen, "said-health")
    assert json.loads(words(seen, "health"))["healthy"] is True
    assert "Permission denied" in words(seen, "stranger")
    modes = {line.split()[2]: line.split()[:2] for line in words(seen, "modes").splitlines()}
    assert modes["/var/lib/fer-edge"] == ["drwxr-x---", "fer-edge:fer-edge"]
    assert modes["/run/fer-edge"] == ["drwxr-xr-x", "fer-edge:fer-edge"], "still there after the stop"
    assert modes["/etc/fer-edge"][1] == "root:root" and modes["/opt/fer-edge/bundles/in-use"] == [
        "-rw-r--r--",
        "root:root",
    ]


def test_a_reload_works_and_a_killed_service_is_restarted(seen: Path) -> None:
    """ExecReload, Restart, RestartSec; the second life runs the bundle that was chosen meanwhile."""
    assert words(seen, "reload") == "0"
    restarted = shown(seen, "restarted")
    assert (restarted["ActiveState"], restarted["NRestarts"]) == ("active", "1")
    assert restarted["MainPID"] != shown(seen, "started")["MainPID"]
    headers = [event.body["bundle"] for event in journal_events(seen / "state") if event.kind == "header"]
    names = [header["name"] if isinstance(header, dict) else header for header in headers]
    assert names == ["edge-mixed", "nano"]
    assert words(seen, "release").splitlines() == [f"nano-{Bundle.load(shipped_path('nano')).sha256[:12]}"] * 2


def test_a_rejected_bundle_is_not_retried(seen: Path) -> None:
    """RestartPreventExitStatus; more than the 15 s of RestartSec went by."""
    assert words(seen, "start-door") == "1"
    assert shown(seen, "door") == {
        "ActiveState": "failed",
        "Result": "exit-code",
        "NRestarts": "0",
        "ExecMainStatus": "5",
    }


def test_doctor_finds_the_service(seen: Path) -> None:
    findings = {one["check"]: one for one in json.loads(words(seen, "doctor"))["findings"]}
    assert findings["service"]["key"] == "service.disabled", "it was started and never enabled"
    assert findings["instance"]["key"] == "instance.ok" and findings["camera"]["key"] == "camera.used"
    assert (
        findings["bundle"]["key"] == "bundle.ok"
        and "/opt/fer-edge/bundles/releases/nano-" in findings["bundle"]["what"]
    )
    assert "/var/lib/fer-edge" in findings["journal"]["what"]


def test_a_stop_ends_the_run_with_everything_written(seen: Path) -> None:
    assert shown(seen, "stopped")["ActiveState"] == "inactive"
    last = journal_events(seen / "state")[-1]
    assert (last.kind, last.body["reason"]) == ("end", "stopped by SIGTERM")
