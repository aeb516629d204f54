"""Steps on a target and what it tells of itself: kept with their seconds, read, and refused where they make no sense."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from convert.deploy.operations import TargetStatus
from convert.deploy.plan import DeployPlan, DeployResult
from convert.deploy.progress import StepLog
from convert.deploy.releases import HOME
from convert.deploy.ssh import ScriptOutput, rsync_count
from convert.deploy.ssh_address import SshAddress
from fer_edge.errors import NotRunning, Unhealthy, UsageError

SCRIPTS = sorted((Path(__file__).parents[2] / "convert" / "deploy" / "on_target").glob("*.sh"))
STANDING = {
    "current": ("0.2-b",),
    "before": ("0.1-a",),
    "release": ("0.2-b whole 1700000100", "0.1-a whole 1700000000", "0.3-c part 1700000200"),
    "service.ActiveState": ("active",),
    "service.SubState": ("running",),
    "service.UnitFileState": ("enabled",),
    "health": ('{"running": true, "healthy": true, "problems": []}',),
    "journal_kb": ("1200",),
    "free_kb": ("4096000",),
}


def standing(**changed: tuple[str, ...]) -> TargetStatus:
    return TargetStatus.read("pi", ScriptOutput({**STANDING, **changed}, (), ""))


def test_a_standing_tells_releases_in_their_order() -> None:
    found = standing()
    assert [row["release"] for row in found.releases] == ["0.1-a", "0.2-b", "0.3-c"]
    assert found.text().splitlines()[1:4] == [
        "- 0.1-a  2023-11-14T22:13:20+00:00",
        "* 0.2-b  2023-11-14T22:15:00+00:00",
        "  0.3-c  2023-11-14T22:16:40+00:00  not whole",
    ]
    assert found.verdict() == 0 and found.to_json()["journal_kb"] == 1200


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"health": ('{"running": true, "healthy": false, "problems": ["hot"]}',)}, Unhealthy, "hot"),
        ({"unproved": ("yes",)}, Unhealthy, "cut off before it was proved"),
        ({"health": ("",)}, NotRunning, "`fer-edge deploy pi`"),
    ],
)
def test_a_verdict_is_an_exit_code(changed: dict[str, tuple[str, ...]], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        standing(**changed).verdict()


@pytest.mark.parametrize("changed", [{"health": ("{",)}, {"release": ("x",)}, {"free_kb": ("all",)}])
def test_a_standing_without_sense_is_a_sentence(changed: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(UsageError, match="makes no sense"):
        standing(**changed)


def test_steps_are_shown_as_they_end_and_kept_when_they_fail() -> None:
    said: list[str] = []
    steps = StepLog(said.append)
    with steps.step("look") as step:
        step.said = "a Pi"
    with pytest.raises(UsageError), steps.step("pack"):
        raise UsageError("no wheel")
    assert [line.split()[0] for line in said] == ["look"] and said[0].endswith("a Pi")
    assert [(one.name, one.failed) for one in steps.taken] == [("look", False), ("pack", True)]
    told = DeployResult("pi", steps).to_json(UsageError("no wheel"))
    assert (told["done"], told["error"], told["steps"][1]["failed"]) == (False, "no wheel", True)


def test_one_release_to_go_back_to_is_kept() -> None:
    with pytest.raises(UsageError, match="--keep must be 2 or more"):
        DeployPlan(SshAddress("pi"), keep=1)


@pytest.mark.parametrize(
    ("line", "number"), [("Total bytes sent: 1,234,567", 1234567), ("Total bytes sent: 12", 12), ("", 0)]
)
def test_what_rsync_counted(line: str, number: int) -> None:
    assert rsync_count(f"x\n{line}\n", "Total bytes sent") == number


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_scripts_are_posix_and_remove_only_what_is_named(script: Path) -> None:
    checked = subprocess.run([shutil.which("dash") or "sh", "-n", script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    for line in script.read_text().splitlines():
        for word in line.partition("rm -rf ")[2].split(" || ")[0].split():
            assert word.startswith(('"$', '"${home:?}', "2>")), line


def test_home_is_that_of_the_service() -> None:
    units = (Path(__file__).parents[2] / "device" / "service" / "systemd_units.py").read_text()
    assert f'HOME = Path("{HOME}")' in units, "the unit and the deploy name the same folder"
