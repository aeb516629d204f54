"""`fer-edge doctor`: runs all checks in order, each after those that it depends on, and makes the report.

Checks that can crash or hang a process (packages, networks, drivers) run in a child process, `subprocess_probe`; the others
run here. The exit code is that of the first failure, which is usually the cause of later ones.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.clock import SystemClock
from device.config import Settings
from device.config_sources import load_settings
from device.default_folders import default_journal_folder, default_runtime_folder, runtime_folders
from device.doctor import service_checks, system_checks
from device.doctor.findings import FAIL, DoctorReport, Fact, Finding, make_finding
from device.doctor.subprocess_probe import PREREQUISITES
from device.service.systemd_units import is_installed, service_environment
from device.system.health import Sensors, vcgencmd
from device.system.mounts import read_mounts
from device.system.status import InstanceStatus, read_instance
from device.system.status_record import StatusOfLaterVersion
from fer_edge.errors import UsageError

_CAMERA_TRIAL_S = 5.0  # how long the camera is watched before a first run
_PROBE_TIMEOUT_S = 120.0  # a Zero 2 W needs half a minute for all checks
_PACKAGES = {"numpy": "numpy", "opencv": "opencv-python-headless", "runtime": "ai-edge-litert"}


@dataclass(frozen=True, slots=True)
class Doctor:
    """The input of the checks: a run's flags, settings file and environment, and the root of the system's files.

    `first_run`: no service needs to run yet. A step that takes longer than `timeout_s` counts as hung.
    """

    flags: Mapping[str, Any]
    config: Path | None = None
    first_run: bool = False
    environ: Mapping[str, str] | None = None
    root: Path = Path("/")
    timeout_s: float = _PROBE_TIMEOUT_S

    def findings(self, log: Callable[[str], None]) -> Iterator[Finding]:
        """Yields each finding as it is made; `log` gets a sentence before a step that takes long."""
        environ = dict(self.environ if self.environ is not None else os.environ)
        if os.geteuid() == 0:  # root checks the service, which has its own folders
            environ = service_environment(environ, self.root)
        clock = SystemClock(self.root)
        try:
            loaded = load_settings(self.flags, self.config, environ)
            settings = loaded.settings
            yield make_finding("settings.ok", file=loaded.file or "no file; all defaults")
        except UsageError as error:
            settings = Settings()
            yield make_finding("settings.wrong", error=error)
        bits = struct.calcsize("P") * 8
        yield system_checks.python(sys.version_info[:3], bits, platform.machine(), platform.libc_ver())

        runtimes = (*([settings.runtime] if settings.runtime else []), *runtime_folders(environ))
        try:
            instance = read_instance(settings.name, runtimes, clock, self.root)
        except StatusOfLaterVersion as error:  # as when an earlier release is deployed over it
            instance = InstanceStatus(settings.name, running=True, problems=(str(error),))
        log("trying packages, networks and the camera; this takes a while")
        steps = list(PREREQUISITES)
        if instance.running and not self.flags.get("camera"):
            steps.remove("camera")
        yield from _probe_findings(list(steps), settings, self, environ)
        if "camera" not in steps and instance.record is not None:
            yield make_finding("camera.used", name=settings.name, pid=instance.record.pid)

        user, mounts = system_checks.user_name(os.geteuid()), read_mounts(self.root)
        journal = settings.log or default_journal_folder(environ, settings.name)
        yield system_checks.devices(user, self.root)
        is_service = os.geteuid() == 0 and (self.first_run or is_installed(self.root))
        runtime = settings.runtime or default_runtime_folder(environ)
        for check, path in (("journal", journal), ("status", runtime)):
            writer = system_checks.service_user(path, environ) if is_service else None
            yield system_checks.folder(path, check, user, mounts, writer)
        health = Sensors(journal, clock, vcgencmd, self.root).read()
        stamp = clock.stamp()
        yield system_checks.power(health)
        yield system_checks.heat(health, settings.hot_c)
        yield system_checks.clock(stamp.clock, stamp.wall)
        yield system_checks.disk(journal, health, settings, mounts)
        yield system_checks.wear(journal, mounts, self.root)
        yield from service_checks.service(settings.name, self.first_run, self.root, environ)
        yield from service_checks.broker(settings, self.root)
        yield service_checks.instance(instance)
        yield service_checks.versions(environ)


def run_doctor(
    flags: Mapping[str, Any],
    config: Path | None = None,
    first_run: bool = False,
    log: Callable[[str], None] = lambda _: None,
    on_finding: Callable[[Finding], None] = lambda _: None,
    environ: Mapping[str, str] | None = None,
) -> DoctorReport:
    """The report on a run with these flags and settings on this machine; `on_finding` gets each finding as it is made."""
    doctor = Doctor(flags, config, first_run, environ)
    findings = []
    for finding in doctor.findings(log):
        findings.append(_with_command_facts(finding, doctor))
        on_finding(findings[-1])
    return DoctorReport(tuple(findings))


@dataclass(frozen=True, slots=True)
class _ProbeOutput:
    """What one child process printed. `unfinished` is the step that it began and did not end, `end` how it ended.

    `end` is None when the process had to be killed, else the name of a signal or an exit code.
    """

    findings: tuple[Finding, ...]
    unfinished: str | None
    end: str | None
    last_stderr_line: str


def _probe_findings(
    steps: list[str], settings: Settings, doctor: Doctor, environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Yields the findings of the steps. After a step that crashes or hangs its process, another process does the rest."""
    broken: list[str] = []
    numpy: Fact = "(missing)"
    while steps:
        output = _run_probe(steps, broken, settings, doctor, environ)
        for finding in output.findings:
            steps.remove(finding.check)
            if finding.text.state == FAIL or finding.key == "step.untried":
                broken.append(finding.check)
            numpy = finding.facts["version"] if finding.key == "numpy.ok" else numpy
            yield make_finding(finding.key, finding.check, **{"numpy": numpy, **finding.facts})
        if not steps:
            return
        began = bool(output.findings) or output.unfinished is not None
        step = output.unfinished or (steps[0] if began else "the program")
        if not began:  # it did not reach the first step; another process would not either
            steps = []
        elif step in steps:
            steps.remove(step)
            broken.append(step)
        if output.end is None:
            yield make_finding("step.slow", step, step=step, seconds=doctor.timeout_s)
        else:
            package = _PACKAGES.get(step, "fer-edge")
            stderr = output.last_stderr_line
            yield make_finding("step.crashed", step, step=step, signal=output.end, stderr=stderr, package=package)


def _run_probe(
    steps: Sequence[str], broken: Sequence[str], settings: Settings, doctor: Doctor, environ: Mapping[str, str]
) -> _ProbeOutput:
    """Runs the steps in a child process and returns what it printed until its end."""
    flags = {
        name: getattr(settings, name) for name in ("camera", "name", "bundle", "detector", "width_px", "height_px")
    }
    flags |= {"fps": settings.fps, "open_s": settings.open_s, "stall_s": settings.stall_s}
    request = {
        "steps": steps,
        "broken": broken,
        "flags": {name: str(value) if isinstance(value, Path) else value for name, value in flags.items()},
        "camera_trial_s": _CAMERA_TRIAL_S if doctor.first_run else 0.0,
        "root": str(doctor.root),
    }
    # The same import path as in this process, so that the probe checks the packages that a run would import.
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    command = [sys.executable, "-P", "-m", "device.doctor.subprocess_probe", json.dumps(request, allow_nan=False)]
    # The settings file was read here; the probe must not read one of the environment and override the flags.
    process = subprocess.Popen(
        command,
        env={**environ, "PYTHONPATH": path, "CONFIGURATION_DIRECTORY": os.devnull, "XDG_CONFIG_HOME": os.devnull},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        out, stderr = process.communicate(timeout=doctor.timeout_s)
        code = process.returncode
        end: str | None = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except subprocess.TimeoutExpired:
        process.kill()  # a process that hangs in a driver may outlive the signal; it is not waited for
        end, (out, stderr) = None, _remaining_output(process)
    findings, unfinished = [], None
    for row in (json.loads(line) for line in out.splitlines() if line.startswith("{")):
        if "step" in row:
            unfinished = row["step"]
        else:
            unfinished = None
            findings.append(Finding(row["check"], row["key"], row["facts"]))
    last_line = next(reversed(stderr.strip().splitlines()), "no message on stderr")
    return _ProbeOutput(tuple(findings), unfinished, end, last_line)


def _remaining_output(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate(timeout=5)
    except subprocess.TimeoutExpired as error:
        return tuple((part or b"").decode(errors="replace") for part in (error.stdout, error.stderr))  # type: ignore[return-value]


def _with_command_facts(finding: Finding, doctor: Doctor) -> Finding:
    """The finding with the facts that commands need besides its own: this environment's programs, and the user."""
    environ = doctor.environ if doctor.environ is not None else os.environ
    path = Path(sysconfig.get_path("scripts")) / "fer-edge"
    is_on_path = shutil.which("fer-edge") == str(path) or not path.is_file()
    program = "fer-edge" if is_on_path else shlex.quote(str(path))
    folder = environ.get("FER_EDGE_DETECTORS")
    detectors = f"sudo FER_EDGE_DETECTORS={shlex.quote(folder)} {program}" if folder else program
    facts = {
        "program": program,
        "pip": f"{shlex.quote(sys.executable)} -m pip",
        "user": system_checks.user_name(os.geteuid()),
        "install_detectors": f"{detectors} detectors install",
    }
    return Finding(finding.check, finding.key, {**facts, **finding.facts})
