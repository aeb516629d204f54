"""The units: systemd's own verdict on each, and which of their directives a test has seen at work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from device.service.systemd_units import (
    Unit,
    next_commands,
    service_environment,
    sysusers_text,
    unit_files,
)
from fer_edge.errors import UsageError

ROOT = Path(__file__).parents[2]
PROGRAM = Path("/bin/true")
UNITS = {
    "system": Unit(PROGRAM),
    "template": Unit(PROGRAM, template=True),
    "network": Unit(PROGRAM, network=True),
    "template, network": Unit(PROGRAM, template=True, network=True),
    "user": Unit(PROGRAM, of_user=True),
    "user, template": Unit(PROGRAM, of_user=True, template=True),
}

# Seen at work under a systemd that was booted for it, by tests/system/test_booted.py.
BOOTED = {
    "Type", "NotifyAccess", "ExecStart", "ExecReload", "Restart", "RestartSec", "RestartPreventExitStatus", "Environment",
    "User", "CapabilityBoundingSet", "StateDirectory", "StateDirectoryMode", "RuntimeDirectory", "RuntimeDirectoryPreserve",
    "ConfigurationDirectory", "UMask", "ProtectSystem", "ProtectHome", "BindReadOnlyPaths", "PrivateTmp", "ProtectProc",
    "ProtectKernelTunables", "ProtectControlGroups", "DevicePolicy", "PrivateNetwork", "RestrictAddressFamilies",
    "NoNewPrivileges", "MemoryDenyWriteExecute", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID",
    "LockPersonality", "SystemCallFilter", "SystemCallErrorNumber", "TasksMax", "MemoryMax",
    "LimitCORE", "ProtectHostname",
}  # fmt: skip
# Seen at work on a virtual machine, by tests/vm/test_service.py.
ON_A_MACHINE = {
    "Wants", "After", "DeviceAllow", "SupplementaryGroups", "WantedBy", "WatchdogSec", "StartLimitIntervalSec",
    "StartLimitBurst",
}  # fmt: skip
# No test can: why. systemd-analyze has parsed them, and that is all.
UNTRIED = {
    "Description": "words",
    "TimeoutStartSec": "two minutes of a camera that neither opens nor fails",
    "TimeoutStopSec": "a loop that does not stop",
    "IPAddressDeny": "a kernel that lets this machine attach filters; PrivateNetwork is seen at work",
    "IPAddressAllow": "the same, and a camera in a network",
    "MemorySwapMax": "a machine that swaps, and cgroup version 2",
    "AmbientCapabilities": "nothing gives any, so that none are taken away",
    "KeyringMode": "a key in a keyring",
    "RemoveIPC": "System V memory that is left behind",
    "SystemCallArchitectures": "a program of 32 bits",
    "ProtectKernelModules": "the right to load one, which its user lacks in any case",
    "ProtectKernelLogs": "the right to read them, which its user lacks in any case",
    "ProtectClock": "the right to set it, which its user lacks in any case",
}


@pytest.fixture(scope="module")
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd-analyze; on Debian: apt install systemd")
    return program


def written(unit: Unit, folder: Path) -> Path:
    path = folder / unit.file_name
    path.write_text(unit.text())
    return path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "SYSTEMD_COLORS": "0"}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_unit_without_a_warning(name: str, analyze: str, tmp_path: Path) -> None:
    unit = UNITS[name]
    path = written(unit, tmp_path)
    if unit.template:
        path = path.with_name("fer-edge@door.service")
    user = ["--user"] if unit.of_user else []
    done = run(tmp_path, analyze, *user, "--man=no", "verify", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_reports_an_unknown_directive(analyze: str, tmp_path: Path) -> None:
    """What the test before this one rests on."""
    path = tmp_path / "fer-edge.service"
    path.write_text(UNITS["system"].text().replace("Restart=on-failure", "Restart=sometimes"))
    assert "sometimes" in run(tmp_path, analyze, "verify", str(path)).stderr


@pytest.mark.parametrize("name", ["system", "template", "network", "template, network"])
def test_systemd_rates_the_exposure_at_2_or_less(name: str, analyze: str, tmp_path: Path) -> None:
    """Of 10, as systemd counts it; the unit for a user without root cannot be: most of its means need root."""
    path = written(UNITS[name], tmp_path)
    done = run(tmp_path, analyze, "--offline=true", "--no-pager", "--threshold=20", "security", str(path))
    assert done.returncode == 0, done.stdout[-400:]
    level = re.search(r"Overall exposure level for [^:]+: ([\d.]+)", done.stdout)
    assert level and 0.0 < float(level[1]) <= 2.0


def test_every_directive_is_exercised_by_a_test_or_listed() -> None:
    texts = [unit.text() for unit in UNITS.values()] + [Unit(Path("/home/me/fer/bin/fer-edge")).text()]
    used = {line.partition("=")[0] for text in texts for line in text.splitlines() if re.match(r"[A-Z]\w+=", line)}
    assert used == BOOTED | ON_A_MACHINE | UNTRIED.keys()
    assert not (BOOTED | ON_A_MACHINE) & UNTRIED.keys()
    booted = (ROOT / "tests/system/test_booted.py").read_text()
    assert {name for name in BOOTED if name not in booted} == set()


def test_a_template_names_its_instance_and_its_settings_file() -> None:
    one, several = Unit(PROGRAM), Unit(PROGRAM, template=True)
    assert (one.file_name, several.file_name) == ("fer-edge.service", "fer-edge@.service")
    assert "ExecStart=/bin/true run --wait-camera\n" in one.text()
    assert "ExecStart=/bin/true run --wait-camera --name %i --config /etc/fer-edge/%i.toml\n" in several.text()


def test_a_user_s_unit_has_no_directive_that_needs_root() -> None:
    text = Unit(PROGRAM, of_user=True).text()
    for word in ("User=", "Protect", "Private", "Device", "StateDirectory", "IPAddress", "Capabilit"):
        assert f"\n{word}" not in text
    assert "WantedBy=default.target" in text and "NoNewPrivileges=yes" in text


@pytest.mark.parametrize("network", [False, True])
def test_the_unit_has_no_network_unless_asked_for(network: bool) -> None:
    text = Unit(PROGRAM, network=network).text()
    assert ("PrivateNetwork=yes" in text) != network
    assert ("AF_INET" in text) == network
    assert "IPAddressDeny=any" in text
    assert ("IPAddressAllow=" in text) == network and " 0.0.0.0" not in text


def test_of_a_home_folder_only_the_environment_is_visible() -> None:
    assert "ProtectHome=yes" in Unit(Path("/opt/fer-edge/current/bin/fer-edge")).text()
    text = Unit(Path("/home/me/fer/bin/fer-edge")).text()
    assert "ProtectHome=tmpfs\nBindReadOnlyPaths=/home/me/fer\n" in text


@pytest.mark.parametrize(
    "program",
    ["fer-edge", "/opt/a b/fer-edge", "/opt/%i/fer-edge", "/opt/$HOME/fer-edge", '/opt/"', "/o'", "/a;b", "/a\nUser=root",
     "/opt/../etc/x", "-/bin/true", "/opt/ü"],
)  # fmt: skip
def test_a_program_path_with_special_characters_is_rejected(program: str) -> None:
    with pytest.raises(UsageError, match="give the absolute path"):
        Unit(Path(program))


def test_a_missing_program_is_an_error_with_advice(tmp_path: Path) -> None:
    """In an environment of its own, which has the packages but no `fer-edge`, and then has one."""
    venv.create(tmp_path / "own", with_pip=False)
    program = tmp_path / "own/bin/fer-edge"
    command = [tmp_path / "own/bin/python", "-m", "fer_edge", "service", "show"]
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])

    def shown() -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    missing = shown()
    assert (missing.returncode, missing.stdout) == (2, "")
    assert f"there is no {program}; run `pip install .` in a checkout, or name one with --program" in missing.stderr
    program.touch()
    assert f"ExecStart={program} run" in shown().stdout


def test_sysusers_creates_the_service_s_user(tmp_path: Path) -> None:
    """By systemd's own program, in a folder that stands for a fresh system."""
    sysusers = shutil.which("systemd-sysusers")
    if sysusers is None or os.geteuid() != 0:
        pytest.skip("no users may be made here")
    (tmp_path / "etc/sysusers.d").mkdir(parents=True)
    (tmp_path / "etc/sysusers.d/fer-edge.conf").write_text(sysusers_text())
    for _ in range(2):
        done = subprocess.run([sysusers, f"--root={tmp_path}"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (line,) = [x for x in (tmp_path / "etc/passwd").read_text().splitlines() if x.startswith("fer-edge:")]
        assert line.split(":")[5:] == ["/var/lib/fer-edge", "/usr/sbin/nologin"] and 0 < int(line.split(":")[2]) < 1000


def fer_edge(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fer_edge", "service", *arguments, "--program", "/bin/true"]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )  # fmt: skip


def test_the_service_command_prints_and_writes_the_unit(tmp_path: Path) -> None:
    shown = fer_edge("show", "--template", "--network")
    assert shown.stdout == Unit(PROGRAM, template=True, network=True).text() and shown.stderr == ""
    done = fer_edge("install", "--root", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(path) for path in unit_files(Unit(PROGRAM), tmp_path)]
    assert (tmp_path / "etc/systemd/system/fer-edge.service").read_text() == Unit(PROGRAM).text()
    there = f"--root={tmp_path}"
    assert f"sudo systemd-sysusers {there} && sudo systemctl {there} enable fer-edge.service\n" in done.stderr
    now = "sudo systemd-sysusers && sudo systemctl daemon-reload && sudo systemctl enable --now fer-edge.service"
    assert " && ".join(next_commands(Unit(PROGRAM))) == now
    again = fer_edge("install", "--root", str(tmp_path))
    assert again.returncode == 0 and not list(tmp_path.rglob(".*")), "nothing is left beside"
    own = fer_edge("install", "--user", XDG_CONFIG_HOME=str(tmp_path / "config"))
    assert own.stdout == f"{tmp_path}/config/systemd/user/fer-edge.service\n" and "enable-linger" in own.stderr
    (tmp_path / "file").write_text("")
    refused = fer_edge("install", "--root", str(tmp_path / "file"))
    assert refused.returncode == 2 and "is not a folder" in refused.stderr
    refused = fer_edge("install", "--root", str(tmp_path), "--user")
    assert refused.returncode == 2 and "leave out one of the two" in refused.stderr
    without = subprocess.run(
        [sys.executable, "-m", "fer_edge", "service", "install", "--root", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert without.returncode == 2 and "--root needs --program FILE" in without.stderr


def test_next_commands_name_an_instance_of_a_template() -> None:
    assert next_commands(Unit(PROGRAM, template=True))[-1] == "sudo systemctl enable --now fer-edge@NAME.service"


def test_doctor_uses_the_environment_of_the_installed_service(tmp_path: Path) -> None:
    assert service_environment({"A": "b"}, tmp_path) == {"A": "b"}
    unit = unit_files(Unit(PROGRAM), tmp_path)
    for path, text in unit.items():
        path.parent.mkdir(parents=True)
        path.write_text(text)
    seen = service_environment({"A": "b", "STATE_DIRECTORY": "/mine"}, tmp_path)
    assert (seen["A"], seen["STATE_DIRECTORY"]) == ("b", "/mine"), "what is set already stays"
    assert seen["FER_EDGE_BUNDLES"] == "/opt/fer-edge/bundles" and seen["CONFIGURATION_DIRECTORY"] == "/etc/fer-edge"
