"""The extras and the network of a deploy: those of the settings sent now, and of the settings that stay on the target."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from convert.deploy.needs import REPORTED_SETTINGS, Needs, TargetSettings
from convert.deploy.releases import Instance
from convert.deploy.ssh import ScriptOutput
from fer_edge.errors import UsageError
from fer_edge.instance_name import PATTERN

ON_TARGET = Path(__file__).parents[2] / "convert" / "deploy" / "on_target"
HALL = 'camera = "rtsp://user:s3cret@hall/1"\nmqtt = "mqtts://u:s3cret@broker"\n'


def reported(folder: Path, files: Mapping[str, str | bytes]) -> ScriptOutput:
    """The output of the step `report_needs` on a target with these settings files."""
    settings = folder / "fer-edge"
    settings.mkdir()
    for name, text in files.items():
        (settings / name).write_bytes(text.encode() if isinstance(text, str) else text)
    variables = f"home={folder}/home settings={settings}/door.toml state=x runtime=x unit=x instance=door token=t"
    scripts = [(ON_TARGET / f"{name}.sh").read_text() for name in ("base", "inspect")]
    call = f"report_needs {sys.executable} {' '.join(REPORTED_SETTINGS)}"
    script = "\n".join([variables, *scripts, call])
    ran = subprocess.run(["sh", "-e", "-s"], input=script, capture_output=True, text=True, check=True)
    values: dict[str, list[str]] = {}
    for line in ran.stdout.splitlines():
        name, _, value = line.partition("=")
        values.setdefault(name, []).append(value)
    assert "s3cret" not in ran.stdout + ran.stderr, "no value leaves the target"
    return ScriptOutput({name: tuple(texts) for name, texts in values.items()}, (), ran.stderr)


def test_the_target_reports_what_its_settings_need(tmp_path: Path) -> None:
    files = {
        "hall.toml": HALL,
        "fer-edge.toml": b"\xef\xbb\xbfcamera = 0\nlive = '127.0.0.1:8780'\n",
        "door.toml": 'camera = "usb:0"\nmqtt = ""\n# metrics = ":9100"\n',
        "broken.toml": "camera = ",
        "old.toml.bak": HALL,
        "no instance.toml": HALL,
    }
    assert TargetSettings.read(reported(tmp_path, files)) == TargetSettings(
        {"door": Needs(), "fer-edge": Needs(("live",), True), "hall": Needs(("mqtt",), True)}, ("broken",)
    )


def test_no_step_imports_from_the_folder_of_the_login(tmp_path: Path) -> None:
    """Python looks for modules in the folder it is started in: a home may hold a `logging.py`, or a checkout of picamera2."""
    home = tmp_path / "home"
    (home / "picamera2").mkdir(parents=True)
    (home / "picamera2/__init__.py").touch()
    (home / "struct.py").write_text("print('imported')")
    variables = f"home={home}/app settings={home}/door.toml state=x runtime=x unit=x instance=door token=t"
    scripts = [(ON_TARGET / f"{name}.sh").read_text() for name in ("base", "inspect")]
    script = "\n".join([variables, *scripts, "pwd", "inspect"])
    ran = subprocess.run(["sh", "-s"], input=script, capture_output=True, text=True, check=False, cwd=home)
    assert ran.stdout.splitlines()[0] == "/"
    (python,) = (line for line in ran.stdout.splitlines() if line.startswith("python="))
    assert "imported" not in ran.stdout and "picamera2" not in python


def test_the_target_reports_the_names_in_its_settings(tmp_path: Path) -> None:
    files = {
        "fer-edge.toml": 'name = "kitchen"\nmqtt = "mqtts://u:s3cret@broker"\n',
        "hall.toml": "name = 5\n",
        "attic.toml": 'name = "s3cret\\nneeds=attic mqtt"\n',
        "door.toml": "",
    }
    found = TargetSettings.read(reported(tmp_path, files))
    assert found.names == {"fer-edge": "kitchen"} and sorted(found.needs) == ["attic", "door", "fer-edge", "hall"]


def test_a_target_without_settings_needs_nothing(tmp_path: Path) -> None:
    assert TargetSettings.read(reported(tmp_path, {})) == TargetSettings({})


TARGET = TargetSettings({
    "hall": Needs(("mqtt",), True),
    "attic": Needs(("metrics",)),
    "fer-edge": Needs(("live",), True),
})  # fmt: skip


@pytest.mark.parametrize(
    ("own", "replaced", "needs"),
    [
        ("door", True, Needs(("live", "metrics", "mqtt"), True)),  # shares release and unit with hall
        ("hall", False, Needs(("live", "metrics", "mqtt"), True)),  # keeps its own settings
        ("hall", True, Needs(("live", "metrics"))),  # nobody else in its unit needs the network
        ("attic", True, Needs(("live", "mqtt"), True)),
        ("fer-edge", False, Needs(("live", "metrics", "mqtt"), True)),
        ("fer-edge", True, Needs(("metrics", "mqtt"))),  # hall has another unit
    ],
)
def test_the_settings_that_stay_on_the_target_count(own: str, replaced: bool, needs: Needs) -> None:
    assert TARGET.remaining(own, replaced) == needs
    assert Needs(("plots",)).union(needs, Needs(network=True)) == Needs(tuple(sorted(("plots", *needs.extras))), True)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("needs", "hall extra"),
        ("needs", "hall mqtt,$(reboot)"),
        ("needs", "../hall mqtt"),
        ("needs", ""),
        ("needs", "hall mqtt,"),
        ("unreadable", "x\x1b[2J"),
        ("unreadable", "a" * 33),
        ("named", "hall"),
        ("named", "hall x\x1b[2J"),
        ("named", "../hall kitchen"),
    ],
)
def test_needs_that_cannot_be_read_are_refused(name: str, line: str) -> None:
    with pytest.raises(UsageError, match="the target reports settings that cannot be read"):
        TargetSettings.read(ScriptOutput({name: (line,)}, (), ""))


def test_the_number_of_settings_files_is_bounded() -> None:
    with pytest.raises(UsageError, match="more than 1,000 files"):
        TargetSettings.read(ScriptOutput({"needs": tuple(f"c{number} mqtt" for number in range(1001))}, (), ""))


def test_an_instance_cannot_take_the_settings_of_another() -> None:
    assert Instance().settings == "/etc/fer-edge/fer-edge.toml" and Instance("door").settings_file == "door"
    with pytest.raises(UsageError, match="would use the settings file of the instance camera"):
        Instance("fer-edge")


def test_the_names_that_leave_a_target_have_the_pattern_of_instances() -> None:
    assert f'r"{PATTERN.pattern}"' in (ON_TARGET / "inspect.sh").read_text()
