"""The one place that asks for time: what it reads, and what it says when the system does not tell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from device.clock import SystemClock

DEVICE = Path(__file__).parents[2] / "device"


def test_wall_and_mono_of_a_stamp_belong_together() -> None:
    clock = SystemClock()
    now = clock.stamp()
    later = clock.stamp(now.mono_ns + 3_600_000_000_000)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now.wall)
    assert later.mono_ns - now.mono_ns == 3_600_000_000_000
    assert (int(later.wall[11:13]) - int(now.wall[11:13])) % 24 in (0, 1)
    assert later.wall[:19] != now.wall[:19]


def test_mono_is_the_clock_that_counts_from_boot() -> None:
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert before <= SystemClock().mono_ns() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@pytest.mark.parametrize(
    ("made", "state"),
    [
        ([], "unknown"),
        (["run/systemd/timesync/"], "unsynced"),
        (["run/systemd/timesync/", "run/systemd/timesync/synchronized"], "synced"),
    ],
)
def test_clock_state(tmp_path: Path, made: list[str], state: str) -> None:
    for name in made:
        if name.endswith("/"):
            (tmp_path / name).mkdir(parents=True)
        else:
            (tmp_path / name).touch()
    assert SystemClock(tmp_path).stamp().clock == state


def test_boot_id_and_start_are_read_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("0b1c-9\n")
    (tmp_path / "proc/self").mkdir()
    fields = ["7", "(a (strange) name)", "S", *["0"] * 18, "12345", "99"]
    (tmp_path / "proc/self/stat").write_text(" ".join(fields))
    clock = SystemClock(tmp_path)
    assert clock.boot == "0b1c-9"
    assert clock.started_ns() == 12345 * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def test_a_system_without_these_files(tmp_path: Path) -> None:
    clock = SystemClock(tmp_path)
    assert clock.boot == "unknown"
    assert 0 < clock.started_ns() <= time.monotonic_ns()


def test_start_of_a_real_process_is_near() -> None:
    code = (
        "from device.clock import SystemClock; c = SystemClock(); "
        "print(0 <= c.mono_ns() - c.started_ns() < 30e9, c.boot != 'unknown')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=DEVICE.parent, check=True)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_only_clock_py_reads_the_time() -> None:
    asking = re.compile(r"^\s*(import (time|datetime)|from (time|datetime) import)", re.MULTILINE)
    askers = {path.name for path in DEVICE.rglob("*.py") if asking.search(path.read_text())}
    waits, parses = (
        "workers.py",
        "remote.py",
    )  # for its own processes, not for what a camera shows; times of object stores
    assert askers == {"clock.py", waits, parses}
