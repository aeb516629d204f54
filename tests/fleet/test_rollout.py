"""The playbooks, on three real OpenSSH servers: forward, repeated, checked, rolled back, collected; one host refuses.

The tests run in the order of this file, because each changes the targets.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fleet.conftest import SETTINGS, Fleet
from system.sshd import later_checkout

EVERYTHING = (
    "find /opt/fer-edge /etc/fer-edge /etc/systemd/system -maxdepth 4 -printf '%p %l %T@\\n' 2>/dev/null | sort"
)
TOLERANT = ("-e", "fer_edge_serial=3", "-e", "fer_edge_max_fail_percentage=50")
PERMITTED = ("--limit", "!refusing")


def recap(ran: subprocess.CompletedProcess[str]) -> dict[str, tuple[int, int]]:
    """Of each host of the recap, how many tasks changed something, and how many failed."""
    rows = re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+) +unreachable=0 +failed=(\d+) ", ran.stdout, re.M)
    assert rows, ran.stdout + ran.stderr
    return {name: (int(changed), int(failed)) for name, changed, failed in rows}


def states(fleet: Fleet) -> dict[str, str]:
    """What the two targets hold that can be changed."""
    return {name: fleet.targets[name].sh(EVERYTHING) for name in ("door", "hall")}


def statuses(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """The hosts of `fer-edge status --inventory --json`."""
    ran = fleet.run("status", "--inventory", fleet.inventory, "--json")
    return {host["name"]: host for host in json.loads(ran.stdout)["hosts"]}


def current(fleet: Fleet, name: str) -> str:
    """The release in use on a target."""
    return fleet.targets[name].sh("basename $(readlink /opt/fer-edge/current)")


def test_a_check_changes_nothing_and_says_what_would_change(fleet: Fleet) -> None:
    before = states(fleet)
    ran = fleet.play("deploy", "--check", *TOLERANT)
    assert ran.returncode == 2 and recap(ran) == {"door": (1, 0), "refusing": (0, 1), "hall": (1, 0)}
    assert ran.stdout.count('"switch from nothing to ') == 2
    assert states(fleet) == before


def test_a_refusing_host_stops_the_roll(fleet: Fleet) -> None:
    before = states(fleet)["hall"]
    ran = fleet.play("deploy")
    assert ran.returncode == 2 and recap(ran) == {"door": (1, 0), "refusing": (0, 1)}
    assert "does not let pi@127.0.0.1 in" in ran.stdout + ran.stderr
    assert states(fleet)["hall"] == before, "the host after it is not changed"


def test_a_roll_that_tolerates_failures_goes_on_and_changes_only_what_is_not_done(fleet: Fleet) -> None:
    ran = fleet.play("deploy", *TOLERANT)
    assert ran.returncode == 2 and recap(ran) == {"door": (0, 0), "refusing": (0, 1), "hall": (1, 0)}


def test_a_second_roll_changes_nothing(fleet: Fleet) -> None:
    for words in ((), ("--check",)):
        ran = fleet.play("deploy", *PERMITTED, *words)
        assert ran.returncode == 0 and recap(ran) == {"door": (0, 0), "hall": (0, 0)}, words


def test_one_table_lists_all(fleet: Fleet) -> None:
    ran = fleet.run("status", "--inventory", fleet.inventory)
    head, door, hall, refusing = ran.stdout.splitlines()
    assert head.split() == ["host", "release", "bundle", "service", "journal", "kB", "free", "MB", "state"]
    assert (
        door.startswith("door ")
        and hall.startswith("hall ")
        and door.endswith(" healthy")
        and hall.endswith(" healthy")
    )
    assert refusing.startswith("refusing  –") and "does not let pi@127.0.0.1 in" in refusing
    assert ran.returncode == 2 and "3 hosts: 2 healthy, 1 refused or unfit" in ran.stderr
    ran = fleet.run("status", "--inventory", fleet.inventory, "--limit", "door")
    assert ran.returncode == 0 and len(ran.stdout.splitlines()) == 2


def test_a_host_that_does_not_answer_is_a_row(fleet: Fleet, tmp_path: Path) -> None:
    text = fleet.inventory.read_text().replace("refusing: {ansible_port: ", "away: {ansible_port: 1, former: ")
    (tmp_path / "hosts.yml").write_text(text)
    ran = fleet.run("status", "--inventory", tmp_path / "hosts.yml", "--json", "--jobs", "2")
    answer = json.loads(ran.stdout)
    assert ran.returncode == answer["exit_code"] == 75
    assert [(host["name"], host["exit_code"]) for host in answer["hosts"]] == [("away", 75), ("door", 0), ("hall", 0)]
    assert "127.0.0.1 cannot be reached" in answer["hosts"][0]["problem"] and answer["hosts"][0]["status"] is None
    assert answer["hosts"][1]["status"]["health"]["healthy"]


def test_a_check_finds_a_stopped_service_and_other_settings(fleet: Fleet) -> None:
    fleet.targets["hall"].sh("kill $(cat /run/stand-in/fer-edge.service.pid)")
    (fleet.folder / "settings.toml").write_text(SETTINGS.replace("4.0", "5.0"))
    try:
        ran = fleet.play("deploy", *PERMITTED, "--check")
        assert recap(ran) == {"door": (1, 0), "hall": (1, 0)}
        assert ran.stdout.count('"replace /etc/fer-edge/fer-edge.toml by settings.toml"') == 2
        assert ran.stdout.count('"start fer-edge.service"') == 1
    finally:
        (fleet.folder / "settings.toml").write_text(SETTINGS)
    ran = fleet.play("deploy", *PERMITTED)
    assert recap(ran) == {"door": (0, 0), "hall": (1, 0)}
    assert fleet.targets["hall"].sh("cat /etc/fer-edge/fer-edge.toml") == SETTINGS.strip()


def test_a_rollback_leaves_one_release_and_may_be_repeated(fleet: Fleet, tmp_path: Path) -> None:
    old = current(fleet, "door")
    ran = fleet.play("deploy", "--limit", "door", root=later_checkout(tmp_path))
    assert ran.returncode == 0 and recap(ran) == {"door": (1, 0)}
    new = current(fleet, "door")
    assert new != old == current(fleet, "hall")

    ran = fleet.play("rollback", *PERMITTED)
    assert ran.returncode == 2 and "-e fer_edge_from=RELEASE" in ran.stdout + ran.stderr
    back = ("-e", f"fer_edge_from={new}")
    for words, expected in ((("--check",), 1), ((), 1), ((), 0), (("--check",), 0)):
        ran = fleet.play("rollback", *PERMITTED, *back, *words)
        assert ran.returncode == 0 and recap(ran) == {"door": (expected, 0), "hall": (0, 0)}, words
        expected_release = new if words and expected else old
        assert current(fleet, "door") == expected_release
    assert statuses(fleet)["door"]["status"]["health"]["healthy"]


def test_settings_alone_are_not_rolled_back_by_release(fleet: Fleet) -> None:
    """A repeated rollback would go back further each time, because the release stays the same."""
    release = current(fleet, "hall")
    (fleet.folder / "settings.toml").write_text(SETTINGS.replace("4.0", "5.0"))
    assert recap(fleet.play("deploy", "--limit", "hall")) == {"hall": (1, 0)}
    (fleet.folder / "settings.toml").write_text(SETTINGS)
    ran = fleet.play("rollback", "--limit", "hall", "-e", f"fer_edge_from={release}")
    assert ran.returncode == 2 and recap(ran) == {"hall": (0, 1)}
    assert "deploy the former files again" in ran.stdout + ran.stderr


def test_health_and_journals_are_collected(fleet: Fleet) -> None:
    before = states(fleet)
    ran = fleet.play("collect", "--check", *PERMITTED)
    assert ran.returncode == 0 and not (fleet.folder / "collected").exists()
    ran = fleet.play("collect")
    assert ran.returncode == 2 and recap(ran) == {"door": (2, 0), "refusing": (0, 1), "hall": (2, 0)}
    for name in ("door", "hall"):
        folder = fleet.folder / "collected" / name
        assert json.loads((folder / "status.json").read_text())["health"]["healthy"]
        first = (folder / "journal" / "journal-000001.jsonl").read_text().splitlines()[0]
        assert json.loads(first)["kind"] == "header"
    assert not (fleet.folder / "collected" / "refusing").exists()
    assert states(fleet) == before


@pytest.mark.parametrize("option", ["-oProxyCommand=touch owned", "--rsh=touch owned"])
def test_a_hostile_address_runs_nothing(fleet: Fleet, tmp_path: Path, option: str) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(json.dumps({"all": {"hosts": {"door": {"ansible_host": option}}}}))
    for name in ("deploy", "collect"):
        ran = fleet.play(name, inventory=inventory)
        assert ran.returncode == 2 and recap(ran) == {"door": (0, 1)}
        assert "is not a host" in ran.stdout + ran.stderr
    assert list(fleet.folder.rglob("owned")) == list(tmp_path.rglob("owned")) == []
