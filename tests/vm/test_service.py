"""`fer-edge deploy` to a booted machine, and its service under systemd: reboot, watchdog, deaths, memory, clock, disk."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.arm64.sysroot import ROOT, cache_folder
from tests.arm64.userspace import USER
from tests.vm.image import Image
from tests.vm.machine import Machine, new_disk, ship_checkout, started
from tests.vm.scenario import BY_ID

LIMIT_S = 1800  # of a wait for systemd or the loop, both emulated
WEBCAM_UNIT = """[Unit]
Description=A USB webcam without hardware
[Service]
ExecStart=/usr/bin/python3 /opt/vm/usb_camera.py /opt/vm/faces mjpg 0 0001
[Install]
WantedBy=multi-user.target
"""
SETTINGS = f'camera = "{BY_ID.format("0001")}"\nfps = 10.0\nwidth_px = 320\nheight_px = 240\nsync_s = 0.0\n'
SETTINGS += 'per_frame = true\ndetector = "haar"\nstall_s = 20.0\nopen_s = 60.0\n'
LOG = "/var/lib/fer-edge"
PROGRAM = "/opt/fer-edge/current/bin/fer-edge"
VARIABLES = "env FER_EDGE_DETECTORS=/opt/fer-edge/detectors FER_EDGE_RUNTIME=/run/fer-edge"


@pytest.fixture(scope="module")
def pi(vm_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with a webcam and, on a small disk of its own, the place of the journal."""
    folder = tmp_path_factory.mktemp("service")
    new_disk(vm_image, folder)
    small = folder / "journal.ext4"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", small, "12M"], check=True)
    with started(vm_image, folder, disks=[small]) as machine:
        ship_checkout(machine)
        machine.ssh(
            f"mkdir -p {LOG}; echo '/dev/vdb {LOG} ext4 defaults,noatime,errors=remount-ro 0 2' >>/etc/fstab; "
            f"systemctl daemon-reload; mount {LOG}; rmdir {LOG}/lost+found; "
            "cat >/etc/systemd/system/webcam.service; systemctl daemon-reload; systemctl enable --now webcam",
            stdin=WEBCAM_UNIT.encode(),
        )
        yield machine


@pytest.fixture(scope="module")
def deployed(pi: Machine) -> dict[str, Any]:
    """The result of the first deploy."""
    (pi.folder / "settings.toml").write_text(SETTINGS)
    pi.run("true", USER)  # the first login of a user starts systemd's user manager, which takes long on a busy host
    ran = fer_edge(pi, "deploy", f"{USER}@vm", "--offline", "--json", "--bundle", ROOT / "models/nano", "--config",
                   pi.folder / "settings.toml")  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


def fer_edge(machine: Machine, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """What came of a command on this machine."""
    environ = {**machine.environment, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache_folder())}
    command = [sys.executable, "-m", "fer_edge", *map(str, words)]
    return subprocess.run(
        command, env=environ, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def show(machine: Machine, name: str) -> str:
    """A property of the service."""
    return machine.ssh(f"systemctl show -p {name} --value fer-edge").strip()


def await_true(machine: Machine, test: str) -> None:
    """Returns once the shell's test holds. Raises AssertionError, with the service's last messages, when it does not."""
    end_s = time.monotonic() + LIMIT_S
    while machine.run(test).returncode != 0:
        assert time.monotonic() < end_s, f"{test}\n{machine.run('journalctl -u fer-edge -n 40 --no-pager').stdout}"
        time.sleep(2)


def await_new_readings(machine: Machine) -> None:
    """Returns once the newest segment, of the process that runs now, has a reading more."""
    count = f'cat {LOG}/*.jsonl | grep -c \'"kind":"reading"\''
    before = int(machine.run(count).stdout.strip() or 0)
    await_true(machine, f"[ $({count}) -gt {before} ]")


def start_again(machine: Machine) -> None:
    """Starts the service after whatever happened to it."""
    machine.ssh("systemctl reset-failed fer-edge; systemctl restart fer-edge")
    await_new_readings(machine)


def check_journal(machine: Machine) -> dict[str, Any]:
    """What `log check` says of the whole journal, which must be complete."""
    audit: dict[str, Any] = json.loads(machine.ssh(f"{PROGRAM} log check --json {LOG}"))
    assert audit["whole"], audit
    return audit


def test_a_deploy_ends_with_a_service_that_logs_faces(pi: Machine, deployed: dict[str, Any]) -> None:
    assert deployed["done"] and deployed["service"] == "started" and deployed["first_line"]["kind"] == "header"
    assert deployed["first_line"]["camera"]["name"] == BY_ID.format("0001")
    await_new_readings(pi)
    assert show(pi, "User") == "fer-edge" and show(pi, "ActiveState") == "active"
    assert pi.run(f"{VARIABLES} {PROGRAM} health").returncode == 0


def test_a_frozen_process_is_killed_by_the_watchdog_and_started_again(pi: Machine, deployed: dict[str, Any]) -> None:
    before = show(pi, "MainPID")
    pi.ssh(f"kill -STOP {before}")
    await_true(pi, f'p=$(systemctl show -p MainPID --value fer-edge); [ "$p" != 0 ] && [ "$p" != {before} ]')
    await_new_readings(pi)
    messages = pi.ssh("journalctl -u fer-edge --no-pager -o cat")
    assert "Watchdog timeout" in messages and "result 'watchdog'" in messages
    assert check_journal(pi)["runs"] >= 2


def test_it_logs_after_a_reboot(pi: Machine, deployed: dict[str, Any]) -> None:
    pi.reboot()
    await_true(pi, "systemctl is-active -q fer-edge")
    await_new_readings(pi)
    assert check_journal(pi)["boots"] == 2


def test_a_stepped_clock_is_logged_and_loses_nothing(pi: Machine, deployed: dict[str, Any]) -> None:
    pi.ssh("timedatectl set-ntp false 2>/dev/null; timedatectl set-time '2030-01-02 03:04:05'")
    await_true(pi, f'grep -q \'"kind":"clock"\' {LOG}/*.jsonl')
    await_new_readings(pi)
    audit = check_journal(pi)
    assert audit["unexplained_s"] == 0.0


def test_a_full_disk_is_reported_and_its_lost_lines_are_counted(pi: Machine, deployed: dict[str, Any]) -> None:
    pi.ssh(f"dd if=/dev/zero of={LOG}/filler bs=64k 2>/dev/null; sync; df {LOG}")
    await_true(pi, f"{VARIABLES} {PROGRAM} health 2>&1 | grep -q 'cannot be written (No space left on device)'")
    assert pi.run(f"{VARIABLES} {PROGRAM} health").returncode == 7
    pi.ssh(f"rm {LOG}/filler")
    await_new_readings(pi)
    await_true(pi, f"{VARIABLES} {PROGRAM} health")
    assert show(pi, "NRestarts") == "0", "the process survived it"


def test_a_disk_that_turns_read_only_is_reported(pi: Machine, deployed: dict[str, Any]) -> None:
    pi.ssh("echo test >/sys/fs/ext4/vdb/trigger_fs_error")  # errors=remount-ro, as on a failing card
    await_true(pi, f"{VARIABLES} {PROGRAM} health 2>&1 | grep -q 'cannot be written (Read-only file system)'")
    assert show(pi, "ActiveState") == "active"
    pi.ssh(f"systemctl stop fer-edge; umount {LOG}; e2fsck -fy /dev/vdb >/dev/null; mount {LOG}")
    start_again(pi)


def test_memory_beyond_the_unit_s_limit_ends_the_service_and_not_the_machine(
    pi: Machine, deployed: dict[str, Any]
) -> None:
    pi.ssh("systemctl set-property --runtime fer-edge MemoryMax=24M")
    await_true(pi, "journalctl -u fer-edge --no-pager -o cat | grep -q \"result 'oom-kill'\"")
    pi.ssh("systemctl set-property --runtime fer-edge MemoryMax=400M")
    start_again(pi)
    assert show(pi, "MemoryMax") == str(400 << 20)


def test_after_ten_quick_deaths_systemd_gives_up(pi: Machine, deployed: dict[str, Any]) -> None:
    # without the pause between two starts, which would take the emulated machine beyond the unit's five minutes
    pi.ssh("mkdir -p /run/systemd/system/fer-edge.service.d; systemctl reset-failed fer-edge; "
           "printf '[Service]\\nRestartSec=0\\n' >/run/systemd/system/fer-edge.service.d/quick.conf; "
           "systemctl daemon-reload; systemctl restart --no-block fer-edge")  # fmt: skip
    kill = "p=$(systemctl show -p MainPID --value fer-edge); [ $p = 0 ] || kill -KILL $p; "
    await_true(pi, kill + "sleep 0.5; systemctl is-failed -q fer-edge")
    assert show(pi, "ActiveState") == "failed" and int(show(pi, "NRestarts")) >= 9
    assert "Start request repeated too quickly" in pi.ssh("journalctl -u fer-edge --no-pager -o cat")
    pi.ssh("rm /run/systemd/system/fer-edge.service.d/quick.conf; systemctl daemon-reload")
    start_again(pi)


def test_undeploy_keeps_the_journal(pi: Machine, deployed: dict[str, Any]) -> None:
    ran = fer_edge(pi, "undeploy", f"{USER}@vm", "--json")
    assert ran.returncode == 0, ran.stderr
    assert pi.run("systemctl cat fer-edge").returncode != 0
    assert pi.run("ls /opt/fer-edge/current").returncode != 0
    assert int(pi.ssh(f"ls {LOG}/*.jsonl | wc -l")) >= 3
