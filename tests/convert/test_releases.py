"""The steps of a deploy, the status of a target, and the scripts that run there."""

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
OUTPUT = {
    "current": ("0.2-b",),
    "previous": ("0.1-a",),
    "release": ("0.2-b complete 1700000100", "0.1-a complete 1700000000", "0.3-c partial 1700000200"),
    "service.ActiveState": ("active",),
    "service.SubState": ("running",),
    "service.UnitFileState": ("enabled",),
    "health": ('{"running": true, "healthy": true, "problems": []}',),
    "journal_kb": ("1200",),
    "free_kb": ("4096000",),
}


def target_status(**changed: tuple[str, ...]) -> TargetStatus:
    return TargetStatus.read("pi", ScriptOutput({**OUTPUT, **changed}, (), ""))


def test_a_status_lists_releases_by_age() -> None:
    status = target_status()
    assert [release.release for release in status.releases] == ["0.1-a", "0.2-b", "0.3-c"]
    assert status.text().splitlines()[1:4] == [
        "- 0.1-a  2023-11-14T22:13:20+00:00",
        "* 0.2-b  2023-11-14T22:15:00+00:00",
        "  0.3-c  2023-11-14T22:16:40+00:00  not complete",
    ]
    assert status.verdict() == 0 and status.to_json()["journal_kb"] == 1200


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"health": ('{"running": true, "healthy": false, "problems": ["hot"]}',)}, Unhealthy, "hot"),
        ({"unconfirmed": ("yes",)}, Unhealthy, "interrupted before its first log line"),
        ({"health": ("",)}, NotRunning, "`fer-edge deploy pi`"),
    ],
)
def test_an_unwell_target_has_an_exit_code(
    changed: dict[str, tuple[str, ...]], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        target_status(**changed).verdict()


@pytest.mark.parametrize("changed", [{"health": ("{",)}, {"release": ("x",)}, {"free_kb": ("all",)}])
def test_a_status_that_cannot_be_read_is_refused(changed: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        target_status(**changed)


def test_steps_are_reported_as_they_end_and_recorded_when_they_fail() -> None:
    lines: list[str] = []
    steps = StepLog(lines.append)
    with steps.step("inspect") as step:
        step.result = "a Pi"
    with pytest.raises(UsageError), steps.step("pack"):
        raise UsageError("no wheel")
    assert [line.split()[0] for line in lines] == ["inspect"] and lines[0].endswith("a Pi")
    assert [(one.name, one.failed) for one in steps.steps] == [("inspect", False), ("pack", True)]
    values = DeployResult("pi", steps).to_json(UsageError("no wheel"))
    assert (values["done"], values["error"], values["steps"][1]["failed"]) == (False, "no wheel", True)


def test_at_least_two_releases_are_kept() -> None:
    with pytest.raises(UsageError, match="--keep must be 2 or more"):
        DeployPlan(SshAddress("pi"), keep=1)


@pytest.mark.parametrize(
    ("line", "number"), [("Total bytes sent: 1,234,567", 1234567), ("Total bytes sent: 12", 12), ("", 0)]
)
def test_the_numbers_in_rsyncs_statistics(line: str, number: int) -> None:
    assert rsync_count(f"x\n{line}\n", "Total bytes sent") == number


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_scripts_are_posix_and_remove_only_what_is_named(script: Path) -> None:
    checked = subprocess.run([shutil.which("dash") or "sh", "-n", script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    for line in script.read_text().splitlines():
        for word in line.partition("rm -rf ")[2].split(" || ")[0].split():
            assert word.startswith(('"$', '"${home:?}', "2>")), line


def test_the_deploy_and_the_unit_use_the_same_folder() -> None:
    units = (Path(__file__).parents[2] / "device" / "service" / "systemd_units.py").read_text()
    assert f'HOME = Path("{HOME}")' in units, "the unit and the deploy name the same folder"
