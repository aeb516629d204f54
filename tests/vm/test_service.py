"""`fer-edge deploy` to a booted machine, and its service under systemd: reboot, watchdog, deaths, memory, clock, disk."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.arm64.sysroot import ROOT, cache_folder
from tests.arm64.userspace import USER
from tests.vm.image import Image
from tests.vm.machine import Machine, new_disk, ship_checkout, started
from tests.vm.scenario import BY_ID

Record = Callable[[str, object], None]
LIMIT_S = 1800  # of a wait for systemd or the loop, both emulated
WEBCAM_UNIT = """[Unit]
Description=A USB webcam without hardware
[Service]
ExecStart=/usr/bin/python3 /opt/vm/usb_camera.py /opt/vm/faces mjpg 0 0001
[Install]
WantedBy=multi-user.target
"""
SETTINGS = f'camera = "{BY_ID.format("0001")}"\nfps = 10.0\nwidth_px = 320\nheight_px = 240\nsync_s = 0.0\n'
SETTINGS += 'per_frame = true\ndetector = "haar"\nstall_s = 20.0\nopen_s = 60.0\ndisk_low_bytes = 1000000\n'  # of 12 MB
# The two minutes of the unit are for a Pi, not for an emulated processor on a busy host
SLOW_START = "[Service]\nTimeoutStartSec=20min\n"
LOG = "/var/lib/fer-edge"
PROGRAM = "/opt/fer-edge/current/bin/fer-edge"
HEALTH = "env FER_EDGE_DETECTORS=/opt/fer-edge/detectors FER_EDGE_RUNTIME=/run/fer-edge "
HEALTH += f"{PROGRAM} health"


@pytest.fixture(scope="module")
def pi(vm_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with a webcam and, on a small disk of its own, the place of the journal."""
    folder = tmp_path_factory.mktemp("service")
    new_disk(vm_image, folder)
    small = folder / "journal.ext4"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", small, "12M"], check=True)
    with started(vm_image, folder, disks=[small]) as machine:
        ship_checkout(machine)
        machine.ssh("systemctl disable --now apt-daily.timer apt-daily-upgrade.timer")  # a stepped clock starts them
        machine.ssh(
            f"mkdir -p {LOG}; echo '/dev/vdb {LOG} ext4 defaults,noatime,errors=remount-ro 0 2' >>/etc/fstab; "
            f"systemctl daemon-reload; mount {LOG}; rmdir {LOG}/lost+found; "
            "cat >/etc/systemd/system/webcam.service; systemctl daemon-reload; systemctl enable --now webcam",
            stdin=WEBCAM_UNIT.encode(),
        )
        drop_in = "/etc/systemd/system/fer-edge.service.d"
        machine.ssh(f"mkdir -p {drop_in}; cat >{drop_in}/slow.conf", stdin=SLOW_START.encode())
        yield machine


@pytest.fixture(scope="module")
def deployed(pi: Machine) -> dict[str, Any]:
    """The result of the first deploy."""
    return deploy(pi, SETTINGS)


def deploy(machine: Machine, settings: str) -> dict[str, Any]:
    """The result of a deploy of the checkout with these settings."""
    (machine.folder / "settings.toml").write_text(settings)
    ran = fer_edge(machine, "deploy", f"{USER}@vm", "--offline", "--json", "--bundle", ROOT / "models/nano", "--config",
                   machine.folder / "settings.toml")  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


def fer_edge(machine: Machine, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """What came of a command on this machine."""
    machine.run("true", USER)  # a first login starts systemd's user manager, which takes long on a busy host
    environ = {**machine.environment, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache_folder())}
    command = [sys.executable, "-m", "fer_edge", *map(str, words)]
    return subprocess.run(
        command, env=environ, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def show(machine: Machine, name: str) -> str:
    """A property of the service."""
    return machine.ssh(f"systemctl show -p {name} --value fer-edge").strip()


def systemd_message(machine: Machine, text: str) -> str:
    """The newest line of the service in systemd's journal that contains the text. Raises IndexError where none does."""
    lines = machine.ssh("journalctl -u fer-edge --no-pager -o cat").splitlines()
    return [line.strip() for line in lines if text in line][-1]


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


def newest_header(machine: Machine) -> dict[str, Any]:
    """The header of the newest segment."""
    header: dict[str, Any] = json.loads(machine.ssh(f"head -n 1 $(ls {LOG}/*.jsonl | tail -n 1)"))
    return header


def problem(health: str) -> str:
    """The sentence of `fer-edge health` about the journal."""
    return next(line.strip() for line in health.splitlines() if "cannot be written" in line)


def check_journal(machine: Machine) -> dict[str, Any]:
    """What `log check` says of the whole journal, which must be complete."""
    audit: dict[str, Any] = json.loads(machine.ssh(f"{PROGRAM} log check --json {LOG}"))
    assert audit["whole"], audit
    return audit


def test_a_deploy_ends_with_a_service_that_logs_faces(
    pi: Machine, deployed: dict[str, Any], record_property: Record
) -> None:
    assert deployed["done"] and deployed["service"] == "started" and deployed["first_line"]["kind"] == "header"
    await_new_readings(pi)
    assert newest_header(pi)["camera"]["name"] == BY_ID.format("0001")
    assert show(pi, "User") == "fer-edge" and show(pi, "ActiveState") == "active"
    health = pi.run(HEALTH)
    record_property("says", f"service {deployed['service']}; health: {health.stdout.splitlines()[0]}")
    assert health.returncode == 0, health.stdout


def test_a_frozen_process_is_killed_by_the_watchdog_and_started_again(
    pi: Machine, deployed: dict[str, Any], record_property: Record
) -> None:
    before = show(pi, "MainPID")
    pi.ssh(f"kill -STOP {before}")
    await_true(pi, f'p=$(systemctl show -p MainPID --value fer-edge); [ "$p" != 0 ] && [ "$p" != {before} ]')
    await_new_readings(pi)
    messages = systemd_message(pi, "Watchdog timeout"), systemd_message(pi, "result 'watchdog'")
    audit = check_journal(pi)
    record_property("says", f"{' '.join(messages)} check: whole, {audit['runs']} runs")
    assert audit["runs"] >= 2


def test_it_logs_after_a_reboot(pi: Machine, deployed: dict[str, Any], record_property: Record) -> None:
    boots = check_journal(pi)["boots"]
    pi.reboot()
    await_true(pi, "systemctl is-active -q fer-edge")
    await_new_readings(pi)
    audit = check_journal(pi)
    record_property("says", f"check: whole, {audit['runs']} runs, {audit['boots']} boots")
    assert audit["boots"] == boots + 1


def test_a_stepped_clock_is_logged_and_loses_nothing(
    pi: Machine, deployed: dict[str, Any], record_property: Record
) -> None:
    pi.ssh("timedatectl set-ntp false 2>/dev/null || true")
    step_s = 1000 * 86_400
    count = f'cat {LOG}/*.jsonl | grep -c \'"kind":"clock"\''
    before = int(pi.run(count).stdout.strip())
    pi.ssh("timedatectl set-time \"$(date -d '+1000 days' '+%F %T')\"")
    await_true(pi, f"[ $({count}) -gt {before} ]")
    await_new_readings(pi)
    events = [json.loads(line) for line in pi.ssh(f'grep -h \'"kind":"clock"\' {LOG}/*.jsonl').splitlines()]
    assert events[-1]["offset_s"] == pytest.approx(step_s, abs=600), "the step less what the command took"
    audit = check_journal(pi)
    record_property("says", f"clock event, offset_s {events[-1]['offset_s']}; check: whole")
    assert audit["unexplained_s"] == 0.0


def test_a_camera_whose_driver_was_not_loaded_at_the_start_is_read_once_it_is_plugged_in(
    pi: Machine, deployed: dict[str, Any], record_property: Record
) -> None:
    pi.ssh("systemctl stop fer-edge webcam; modprobe -r uvcvideo; modprobe -r videodev; "
           "! grep -q video4linux /proc/devices; systemctl start fer-edge")  # fmt: skip
    state = 'sed -n \'s/.*"state": *"\\([a-z]*\\).*/\\1/p\' /run/fer-edge/camera.status.json'
    await_true(pi, f'[ "$({state})" = waiting ]')
    pi.ssh("systemctl start webcam")
    await_new_readings(pi)
    record_property("says", f"waiting, then {pi.ssh(state).strip()}")


def test_a_full_disk_is_reported_and_survived(pi: Machine, deployed: dict[str, Any], record_property: Record) -> None:
    pi.ssh(f"dd if=/dev/zero of={LOG}/filler bs=64k 2>/dev/null; sync; df {LOG}")
    await_true(pi, f"{HEALTH} 2>&1 | grep -q 'cannot be written (No space left on device)'")
    full = pi.run(HEALTH)
    record_property("says", f"health: {problem(full.stdout)}; exit {full.returncode}")
    assert full.returncode == 7
    pi.ssh(f"rm {LOG}/filler")
    await_new_readings(pi)
    await_true(pi, HEALTH)
    assert show(pi, "NRestarts") == "0", "the process survived it"


def test_a_disk_that_turns_read_only_is_reported(
    pi: Machine, deployed: dict[str, Any], record_property: Record
) -> None:
    pi.ssh("echo test >/sys/fs/ext4/vdb/trigger_fs_error")  # errors=remount-ro, as on a failing card
    await_true(pi, f"{HEALTH} 2>&1 | grep -q 'cannot be written'")
    read_only = pi.run(HEALTH)
    record_property("says", f"health: {problem(read_only.stdout)}; exit {read_only.returncode}")
    # the kernel's own reason: "Read-only file system", or "Input/output error" since ext4 of Linux 6.12
    reason = pi.run(f"LC_ALL=C touch {LOG}/new").stdout.strip().rsplit(": ", 1)[-1]
    assert reason in ("Read-only file system", "Input/output error")
    assert f"{LOG} cannot be written ({reason})" in problem(read_only.stdout)
    assert read_only.returncode == 7 and show(pi, "ActiveState") == "active"
    pi.ssh(f"systemctl stop fer-edge; umount {LOG}; e2fsck -fy /dev/vdb >/dev/null; mount {LOG}")
    start_again(pi)


def test_memory_beyond_the_unit_s_limit_ends_the_service_and_not_the_machine(
    pi: Machine, deployed: dict[str, Any], record_property: Record
) -> None:
    pi.ssh("systemctl set-property --runtime fer-edge MemoryMax=24M")
    await_true(pi, "journalctl -u fer-edge --no-pager -o cat | grep -q \"result 'oom-kill'\"")
    record_property("says", systemd_message(pi, "result 'oom-kill'"))
    pi.ssh("systemctl set-property --runtime fer-edge MemoryMax=400M")
    start_again(pi)
    assert show(pi, "MemoryMax") == str(400 << 20)


def test_after_ten_ends_in_quick_succession_systemd_gives_up(
    pi: Machine, deployed: dict[str, Any], record_property: Record
) -> None:
    # without the pause between two starts, which would take the emulated machine beyond the unit's five minutes
    pi.ssh("mkdir -p /run/systemd/system/fer-edge.service.d; systemctl reset-failed fer-edge; "
           "printf '[Service]\\nRestartSec=0\\n' >/run/systemd/system/fer-edge.service.d/quick.conf; "
           "systemctl daemon-reload; systemctl restart --no-block fer-edge")  # fmt: skip
    kill = "p=$(systemctl show -p MainPID --value fer-edge); [ $p = 0 ] || kill -KILL $p; "
    await_true(pi, kill + "sleep 0.5; systemctl is-failed -q fer-edge")
    assert show(pi, "ActiveState") == "failed" and int(show(pi, "NRestarts")) >= 9
    record_property("says", systemd_message(pi, "Start request repeated too quickly"))
    pi.ssh("rm /run/systemd/system/fer-edge.service.d/quick.conf; systemctl daemon-reload")
    start_again(pi)


def test_a_rollback_restores_the_settings_of_the_deploy_before(pi: Machine, deployed: dict[str, Any]) -> None:
    before = newest_header(pi)
    again = deploy(pi, SETTINGS.replace("width_px = 320\nheight_px = 240", "width_px = 640\nheight_px = 480"))
    assert again["service"] == "started" and again["release"] == deployed["release"]
    await_new_readings(pi)
    assert newest_header(pi)["camera"]["width_px"] == 640
    ran = fer_edge(pi, "deploy", f"{USER}@vm", "--rollback", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["service"] == "started"
    await_new_readings(pi)
    after = newest_header(pi)
    assert after["settings"] == before["settings"] and after["camera"]["width_px"] == 320


def test_undeploy_keeps_the_journal(pi: Machine, deployed: dict[str, Any]) -> None:
    ran = fer_edge(pi, "undeploy", f"{USER}@vm", "--json")
    assert ran.returncode == 0, ran.stderr
    assert pi.run("systemctl cat fer-edge").returncode != 0
    assert pi.run("ls /opt/fer-edge/current").returncode != 0
    assert pi.ssh("ls /etc/systemd/system/*.wants | grep fer-edge || true").strip() == ""
    left = "systemctl list-units --all --plain --no-legend 'fer-edge*' | grep -v ' failed ' || true"
    assert pi.ssh(left).strip() == "", "an instance is still started again"
    assert int(pi.ssh(f"ls {LOG}/*.jsonl | wc -l")) >= 3
