"""The power is cut at random moments while the loop writes: the journal is readable, and what is lost is within the bound.

device/README.md, “Completeness”, promises: lines wait for `sync_s`, and ten times as long while they have less than 8 kB; with
the minute whose tally was not finished, six minutes at most. Here each frame has lines, and `sync_s` is 1 s: ten seconds.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vm.image import Image
from tests.vm.machine import BOOT_LIMIT_S, Machine, checkout_tree, new_disk, started

CUTS = int(os.environ.get("VM_CUTS", "12"))
SEED = int(os.environ.get("VM_SEED", "19"))
SYNC_S = 1.0
BOUND_S = 10 * SYNC_S
TURN_S = 5.0  # of the loop, emulated: lines are written between two frames
INIT = "/mnt/power_cut.sh"


@pytest.fixture(scope="module")
def disks(vm_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Image, Path, Path]]:
    """The image, the folder of a disk that lives through all cuts, and a disk with the checkout's packages."""
    folder = tmp_path_factory.mktemp("power-cut")
    new_disk(vm_image, folder)
    tree = folder / "tree"
    checkout_tree(tree)
    shutil.copy(Path(__file__).with_name("power_cut.sh"), tree / "power_cut.sh")
    (tree / "power_cut.sh").chmod(0o755)
    (tree / "sync_s").write_text(str(SYNC_S))
    code = folder / "code.ext4"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, code, "64M"], check=True)
    yield vm_image, folder, code
    (folder / "disk.ext4").unlink()


@pytest.mark.parametrize("cut", [pytest.param(n, marks=pytest.mark.quick if n == 0 else ()) for n in range(CUTS)])
def test_a_power_cut_loses_the_last_batch_at_most(
    disks: tuple[Image, Path, Path], cut: int, record_property: Callable[[str, object], None]
) -> None:
    image, folder, code = disks
    moment = random.Random(f"{SEED} {cut}")
    with started(image, folder, INIT, [code], memory_mb=512, wait=False) as machine:
        await_console(machine, r'^\{"kind":"reading"', 1)
        time.sleep(moment.uniform(1.0, 40.0))
        machine.cut_power()
        printed = events(machine.console)
    with started(image, folder, INIT, [code], memory_mb=512, wait=False) as machine:
        await_console(machine, "VM check exit", 1)
        console = machine.console
    on_disk = [event for line in re.findall(r"^VM on disk (\{.*\})\r?$", console, re.M) if (event := parsed(line))]
    audit = json.loads(re.findall(r"^VM check (\{.*\})\r?$", console, re.M)[0])
    last = printed[-1]
    lost = [event for event in printed if event["seq"] > on_disk[-1]["seq"]]
    lost_s = last["mono_s"] - lost[0]["mono_s"] if lost else 0.0
    assert "EXT4-fs error" not in console and "VM check exit 0" in console
    assert on_disk[-1]["boot"] == last["boot"], "the run's lines are in the newest segment"
    assert lost_s <= BOUND_S + TURN_S
    assert audit["whole"] and audit["runs"] - audit["ended"] >= 1, "the run is known to have been cut off"
    record_property(
        "says", f"of {len(printed)} lines {len(lost)}, of the last {lost_s:.1f} s, were not on the disk; check: exit 0"
    )


def await_console(machine: Machine, pattern: str, count: int) -> None:
    """Returns once the console has that many matches."""
    end_s = time.monotonic() + BOOT_LIMIT_S
    while len(re.findall(pattern, machine.console, re.M)) < count:
        assert machine.process.poll() is None and time.monotonic() < end_s, machine.console[-3000:]
        time.sleep(0.2)


def events(console: str) -> list[dict[str, Any]]:
    """The journal's lines that the run printed; the last may be incomplete."""
    return [event for line in console.splitlines() if line.startswith('{"kind"') and (event := parsed(line))]


def parsed(line: str) -> dict[str, Any] | None:
    """The line's event, or None for half a line."""
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return event
