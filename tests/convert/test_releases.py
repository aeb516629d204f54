"""The steps of a deploy, the status of a target, and the scripts that run there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from convert.deploy import rollout
from convert.deploy.bounded_output import BoundedOutput, OutputTooLong, run_bounded
from convert.deploy.doctor_answer import DoctorAnswer
from convert.deploy.operations import TargetStatus
from convert.deploy.payload import PayloadOptions
from convert.deploy.plan import DeployPlan, DeployResult
from convert.deploy.progress import StepLog
from convert.deploy.releases import HOME, Instance, Releases, RestoredRelease
from convert.deploy.rollout import deploy
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
    assert status.to_json()["health"] == json.loads(OUTPUT["health"][0])
    assert target_status(health=()).to_json()["health"] == {}


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


@pytest.mark.parametrize(
    ("instance", "named", "remedy"),
    [("camera", "kitchen", "leave it out, and give --name kitchen"), ("kitchen", "camera", "leave it out")],
)
def test_settings_with_another_name_are_not_deployed(tmp_path: Path, instance: str, named: str, remedy: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f'name = "{named}"\n')
    plan = DeployPlan(SshAddress("pi", 1), Instance(instance), PayloadOptions(settings=file))
    with pytest.raises(UsageError) as refused:
        deploy(plan, DeployResult("pi", StepLog(print)), print)
    assert str(refused.value) == f'{file} has `name = "{named}"`, but this deploys {instance}: {remedy}'


class FullTarget(Releases):
    """Releases on a target whose disk is full: the state before the switch could not be saved, and so nothing was changed."""

    def __init__(self) -> None:
        self.instance = Instance()

    def undo_switch(self) -> RestoredRelease | None:
        return None


def test_a_switch_that_changed_nothing_is_reported_as_that() -> None:
    """Of a release that was in use already, the same answer means that it does not come up."""
    result = DeployResult("pi", StepLog(print), release="0.2-b", previous="0.1-a")
    error = UsageError("No space left on device")
    undone = rollout._undo(FullTarget(), result, error, switched=False)
    assert undone.exit_code == UsageError.exit_code
    expected = (
        "release 0.2-b could not be switched to: No space left on device; nothing was changed, 0.1-a stays in use"
    )
    assert str(undone) == expected
    assert "which was in use already, does not come up" in str(
        rollout._undo(FullTarget(), result, error, switched=True)
    )


class BrokenTarget(FullTarget):
    """Releases on a target on which the state before the switch cannot be restored either."""

    def undo_switch(self) -> RestoredRelease | None:
        raise UsageError("No space left on device")


@pytest.mark.parametrize(
    ("previous", "remedy"), [("0.1-a", "`fer-edge deploy --rollback` restores it"), ("", "deploy again")]
)
def test_what_to_do_where_the_undo_fails_too(previous: str, remedy: str) -> None:
    """After a first deploy there is nothing to go back to."""
    result = DeployResult("pi", StepLog(print), release="0.2-b", previous=previous)
    undone = rollout._undo(BrokenTarget(), result, UsageError("full"), switched=True)
    assert undone.exit_code == NotRunning.exit_code and str(undone).endswith(f"mend that on pi, and then {remedy}")


WRONG_ANSWERS: list[dict[str, tuple[str, ...]]] = [
    {"health": ("{",)},
    {"health": ("[1]",)},
    {"health": ('{"running": 1}',)},
    {"health": ('{"running": true, "healthy": true, "problems": "none"}',)},
    {"health": ('{"running": NaN}',)},
    {"health": ("[" * 100_000,)},
    {"release": ("x",)},
    {"release": ("a complete \u0661e",)},
    {"release": ("a complete -999999999999",)},
    {"release": ("a complete 99999999999999999999",)},
    {"free_kb": ("all",)},
    {"free_kb": ("9" * 19,)},
    {"journal_kb": ("-1",)},
    {"health": ("{}",)},
    {"health": ('{"running": true, "healthy": true, "problems": [1]}',)},
]


@pytest.mark.parametrize("changed", WRONG_ANSWERS)
def test_a_status_that_cannot_be_read_is_refused(changed: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        target_status(**changed)


def test_a_target_without_the_usual_properties_has_a_status() -> None:
    values = {**OUTPUT, "release": ("a complete 999999999999999999",)}
    del values["service.SubState"]
    status = TargetStatus.read("pi", ScriptOutput(values, (), ""))
    assert "service  active (?), enabled" in status.text() and status.releases[0].changed.startswith("9999-12-31")


DOCTOR = {"findings": [{"state": "fail", "check": "a", "key": "b", "what": "c", "fix": "", "do": ""}], "versions": {}}


def test_the_doctors_answer_is_read() -> None:
    assert [finding.what for finding in DoctorAnswer.read(json.dumps(DOCTOR)).failed] == ["c"]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "{}",
        '{"findings": 1}',
        '{"findings": [1], "versions": {}}',
        '{"findings": [{"state": "fail"}]}',
        "{" * 9999,
    ],
)
def test_another_answer_of_the_doctor_is_refused(line: str) -> None:
    with pytest.raises((ValueError, UsageError)):
        DoctorAnswer.read(line)


def test_the_output_of_a_command_is_bounded() -> None:
    output = run_bounded(["sh", "-c", "cat; echo error >&2; exit 3"], b"text", 10, 1000)
    assert output == BoundedOutput("text", "error\n", 3)
    assert len(run_bounded(["head", "-c", "1000", "/dev/zero"], b"", None, 1000).stdout) == 1000
    for endless in ("exec yes", "exec yes >&2", "exec head -c 1001 /dev/zero"):
        with pytest.raises(OutputTooLong):
            run_bounded(["sh", "-c", endless], b"", 60, 1000)
    with pytest.raises(subprocess.TimeoutExpired):
        run_bounded(["sleep", "60"], b"", 0.2, 1000)


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


@dataclass
class FakeTarget:
    """The folders of a target, with a service of the user 12345 that is said to be active."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("home/.deploy", "run", "state", "bin"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "bin/systemctl").write_text(
            "#!/bin/sh\ncase $1 in is-active) echo active ;; *) echo 0 ;; esac\n"
        )
        (self.folder / "bin/systemctl").chmod(0o755)
        work = self.folder / "home/.deploy"
        work.chmod(0o700)
        (work / "token").write_text("t")
        (work / "started").touch()
        os.utime(work / "started", (1, 1))
        for name in ("run", "state"):
            os.chown(self.folder / name, 12345, 12345)

    def write(self, name: str, text: str) -> Path:
        """A file of the service's user."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        os.chown(path, 12345, 12345)
        return path

    def first_line(self) -> subprocess.CompletedProcess[str]:
        """What `wait_first_line` prints."""
        return self.call("wait_first_line 2")

    def call(self, words: str, unit: str = "fer-edge.service") -> subprocess.CompletedProcess[str]:
        """What these words of a script print, in a deploy of the unit."""
        variables = {
            "home": "home", "settings": "etc/x.toml", "state": "state", "runtime": "run",
        }  # fmt: skip
        lines = [f"{name}={self.folder}/{value}" for name, value in variables.items()]
        lines += [f"unit={unit} instance=camera token=t", "set -e"]
        lines += [script.read_text() for script in SCRIPTS if script.stem != "inspect"]
        script = "\n".join([*lines, f"cd {self.folder}/home", words])
        environ = {**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        return subprocess.run(["sh", "-s"], input=script, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def fake_target(shared_path: Path) -> FakeTarget:
    return FakeTarget(shared_path)


HALL = "fer-edge@hall.service"


def restarted(fake_target: FakeTarget, state: str, journal: str = "") -> None:
    """Makes the unit of another instance one that was restarted for the new release, and is said to be in this state."""
    (fake_target.folder / "home/.deploy" / f"started-{HALL}").touch()
    os.utime(fake_target.folder / "home/.deploy" / f"started-{HALL}", (1, 1))
    (fake_target.folder / "bin/systemctl").write_text(
        f"#!/bin/sh\ncase $1 in is-active) echo {state.split()[0]} ;; *) echo {state.split()[1]} ;; esac\n"
    )
    (fake_target.folder / "bin/journalctl").write_text(f"#!/bin/sh\necho '{journal}'\n")
    (fake_target.folder / "bin/journalctl").chmod(0o755)


def test_another_instance_that_has_started_again_is_reported(fake_target: FakeTarget) -> None:
    restarted(fake_target, "active 0")
    fake_target.write("run/hall.status.json", '{"state": "waiting"}')
    waited = fake_target.call("wait_other_instances 9999")
    assert (waited.returncode, waited.stdout) == (0, f"running={HALL}\n"), waited.stderr


def test_another_instance_that_is_active_and_has_no_status_runs(fake_target: FakeTarget) -> None:
    restarted(fake_target, "active 0")
    assert fake_target.call("wait_other_instances 1").stdout == f"running={HALL}\n"


@pytest.mark.parametrize("state", ["failed 0", "inactive 0", "active 1", "activating 0", "activating 1"])
def test_another_instance_that_does_not_start_again_ends_the_deploy(fake_target: FakeTarget, state: str) -> None:
    restarted(fake_target, state, "no module named paho")
    fake_target.write("run/hall.status.json", '{"state": "starting"}')
    waited = fake_target.call("wait_other_instances 1")
    active, restarts = state.split()
    assert (waited.returncode, waited.stdout) == (4, "")
    advice = f"if it failed before the deploy too: systemctl stop {HALL}, and deploy again\n"
    told = f"{HALL}, which ran before, is {active} after {restarts} restarts\nno module named paho\n"
    assert waited.stderr == told + advice


def status_with(journal: Path | str) -> str:
    return json.dumps({"state": "running", "camera": "0", "journal": str(journal)})


def test_the_first_line_is_found_in_the_journal_of_the_service(fake_target: FakeTarget) -> None:
    segment = fake_target.write("state/journal-000001.jsonl", '{"kind": "header"}\n')
    fake_target.write("run/camera.status.json", status_with(fake_target.folder / "state"))
    found = fake_target.first_line()
    assert (found.returncode, found.stdout) == (0, f'line={segment}: {{"kind": "header"}}\n'), found.stderr


@pytest.mark.parametrize("journal", ["-delete", "--help", "-files0-from=/etc/shadow"])
def test_a_journal_that_is_an_option_is_no_path(fake_target: FakeTarget, journal: str) -> None:
    kept = fake_target.folder / "home/kept"
    kept.touch()
    fake_target.write("run/camera.status.json", status_with(journal))
    found = fake_target.first_line()
    assert (found.returncode, found.stdout) == (4, "") and kept.exists()


def test_no_file_of_root_is_sent_to_the_host(fake_target: FakeTarget) -> None:
    """The service's user links a segment, its journal, and its status to files that only root may read."""
    private = fake_target.folder / "private"
    private.mkdir(mode=0o700)
    for name in ("journal-000001.jsonl", "status.json"):
        (private / name).write_text('{"camera": "secret", "state": "waiting", "journal": "/secret"}')
    fake_target.write("run/camera.status.json", status_with(private))
    assert (fake_target.first_line().returncode, fake_target.first_line().stdout) == (4, "")
    (fake_target.folder / "state/journal-000001.jsonl").symlink_to(private / "journal-000001.jsonl")
    fake_target.write("run/camera.status.json", status_with(fake_target.folder / "state"))
    assert fake_target.first_line().stdout == ""
    (fake_target.folder / "run/camera.status.json").unlink()
    (fake_target.folder / "run/camera.status.json").symlink_to(private / "status.json")
    fake_target.write("state/journal-000002.jsonl", "{}\n")
    assert "secret" not in fake_target.first_line().stdout


@pytest.mark.parametrize("call", ["begin 0.2-b", "report_differences 3 0.2-b '' '' '' ''"])
@pytest.mark.parametrize(("release", "undo"), [("0.1-a", ", or undo it with `.* --rollback`"), ("", "")])
def test_an_interrupted_deploy_of_another_instance_is_completed_first(
    fake_target: FakeTarget, call: str, release: str, undo: str
) -> None:
    saved = fake_target.folder / "home/.deploy/previous"
    saved.mkdir()
    for name, text in {"unit-name": HALL, "instance": "hall", "release": release}.items():
        (saved / name).write_text(f"{text}\n")
    files = [path for path in saved.parent.rglob("*") if path.is_file() and path.name != "step"]
    before = {path: path.read_text() for path in files}
    refused = fake_target.call(call.replace("begin", "token=new; begin"))
    assert (refused.returncode, refused.stdout) == (3, "")
    expected = (
        "a deploy of the instance hall was interrupted before its first log line; complete it with "
        f"`fer-edge deploy USER@HOST --name hall`{undo}, before you deploy camera\n"
    )
    assert re.fullmatch(expected, refused.stderr), refused.stderr
    assert {path: path.read_text() for path in files} == before
    assert fake_target.call("token=new; begin 0.2-b", HALL).returncode == 0, "the instance itself"
    assert fake_target.call("token=new; begin ''").returncode == 0, "a rollback"


def test_the_deploy_and_the_unit_use_the_same_folder() -> None:
    units = (Path(__file__).parents[2] / "device" / "service" / "systemd_units.py").read_text()
    assert f'HOME = Path("{HOME}")' in units, "the unit and the deploy name the same folder"
