"""`fer-edge doctor`: every check in its order, from the ground up, and the report.

Checks that can crash or hang a process (packages, networks, drivers) run in a child process, `subprocess_probe`; the others
run here. The exit code is that of the first failure, which is mostly the cause of those after it.
"""

from __future__ import annotations

import getpass
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
from urllib.parse import urlsplit

from device.clock import SystemClock
from device.config import Settings, default_journal_folder, default_runtime_folder, runtime_folders
from device.config_sources import load_settings
from device.doctor import service_checks, system_checks
from device.doctor.findings import FAIL, DoctorReport, Finding, make_finding
from device.doctor.subprocess_probe import PREREQUISITES
from device.service.systemd_units import service_environment
from device.system.health import Sensors, vcgencmd
from device.system.status import read_instance
from fer_edge.errors import UsageError

_CAMERA_TRIAL_S = 5.0  # through the camera, before a first run
_PROBE_TIMEOUT_S = 120.0  # a Zero 2 W takes half a minute for all of them
_PACKAGES = {"numpy": "numpy", "opencv": "opencv-python-headless", "runtime": "ai-edge-litert"}


@dataclass(frozen=True, slots=True)
class Doctor:
    """What is asked, and where: flags and settings' file of a run, its environment, and the root of the system's files.

    `first_run`: nothing needs to run yet. A step that takes longer than `patience_s` counts as hung.
    """

    flags: Mapping[str, Any]
    config: Path | None = None
    first_run: bool = False
    environ: Mapping[str, str] | None = None
    root: Path = Path("/")
    patience_s: float = _PROBE_TIMEOUT_S

    def findings(self, say: Callable[[str], None]) -> Iterator[Finding]:
        """Each finding as it comes; `say` is told of what takes a while."""
        environ = dict(self.environ if self.environ is not None else os.environ)
        if os.geteuid() == 0:  # another user is asked about what is its own
            environ = service_environment(environ, self.root)
        clock = SystemClock(self.root)
        try:
            configured = load_settings(self.flags, self.config, environ)
            settings = configured.settings
            yield make_finding("settings.ok", file=configured.file or "no file; all defaults")
        except UsageError as error:
            settings = Settings()
            yield make_finding("settings.wrong", error=error)
        bits = struct.calcsize("P") * 8
        yield system_checks.python(sys.version_info[:3], bits, platform.machine(), platform.libc_ver())

        runtimes = runtime_folders(environ)
        running = read_instance(settings.name, runtimes, clock, self.root)
        say("packages, networks and the camera are being run; that takes a while")
        steps = list(PREREQUISITES)
        if running.running and not self.flags.get("camera"):
            steps.remove("camera")
        yield from _probe_findings(list(steps), settings, self, environ)
        if "camera" not in steps:
            yield make_finding("camera.used", name=settings.name, pid=running.fields["pid"])

        user, mounts = getpass.getuser(), system_checks.read_mounts(self.root)
        journal = settings.log or default_journal_folder(environ, settings.name)
        yield system_checks.devices(user, self.root)
        yield system_checks.folder(journal, "journal", user, mounts)
        yield system_checks.folder(settings.runtime or default_runtime_folder(environ), "status", user, mounts)
        health = Sensors(journal, clock, vcgencmd, self.root).read()
        stamp = clock.stamp()
        yield system_checks.power(health)
        yield system_checks.heat(health, settings.hot_c)
        yield system_checks.clock(stamp.clock, stamp.wall)
        yield system_checks.disk(journal, health, settings, mounts)
        yield system_checks.wear(journal, mounts, self.root)
        yield from service_checks.service(settings.name, self.first_run, self.root, environ)
        yield from service_checks.broker(settings, self.root)
        yield service_checks.instance(running)
        yield service_checks.versions(environ)


def run_doctor(
    flags: Mapping[str, Any],
    config: Path | None = None,
    first_run: bool = False,
    say: Callable[[str], None] = lambda _: None,
    tell: Callable[[Finding], None] = lambda _: None,
    environ: Mapping[str, str] | None = None,
    root: Path = Path("/"),
    patience_s: float = _PROBE_TIMEOUT_S,
) -> DoctorReport:
    """What works here of a run with these flags and settings, and what does not; `tell` gets each finding as it comes."""
    doctor = Doctor(flags, config, first_run, environ, root, patience_s)
    findings = []
    for one in doctor.findings(say):
        findings.append(_with_commands(one, doctor))
        tell(findings[-1])
    return DoctorReport(tuple(findings))


def _probe_findings(
    steps: list[str], settings: Settings, doctor: Doctor, environ: Mapping[str, str]
) -> Iterator[Finding]:
    """What the steps found. One that ends its process, or hangs it, is told; those after it get another process."""
    broken: list[str] = []
    numpy = "that is not there"
    while steps:
        rows, ended, spoken = _run_probe(steps, broken, settings, doctor, environ)
        begun = ""
        for row in rows:
            if "step" in row:
                begun = row["step"]
                continue
            begun = ""
            finding = make_finding(row["key"], row["check"], numpy=numpy, **row["facts"])
            steps.remove(row["check"])
            if finding.line.state == FAIL or row["key"] == "step.untried":
                broken.append(row["check"])
            numpy = row["facts"]["version"] if row["key"] == "numpy.ok" else numpy
            yield finding
        if not steps:
            return
        step = begun or (steps[0] if rows else "the program")
        if not rows:  # it did not get to the first of them, nor would another process
            steps = []
        elif step in steps:
            steps.remove(step)
            broken.append(step)
        if ended is None:
            yield make_finding("step.slow", step, step=step, seconds=doctor.patience_s)
        else:
            package = _PACKAGES.get(step, "fer-edge")
            yield make_finding("step.crashed", step, step=step, signal=ended, stderr=spoken, package=package)


def _run_probe(
    steps: Sequence[str], broken: Sequence[str], settings: Settings, doctor: Doctor, environ: Mapping[str, str]
) -> tuple[list[dict[str, Any]], str | None, str]:
    """The rows that a probe printed, how it ended (None: it had to be killed), and the last line that it said."""
    flags = {
        name: getattr(settings, name) for name in ("camera", "name", "bundle", "detector", "width_px", "height_px")
    }
    flags |= {"fps": settings.fps, "open_s": settings.open_s, "stall_s": settings.stall_s}
    request = {
        "steps": steps,
        "broken": broken,
        "flags": {name: str(value) if isinstance(value, Path) else value for name, value in flags.items()},
        "look_s": _CAMERA_TRIAL_S if doctor.first_run else 0.0,
        "root": str(doctor.root),
    }
    # The very path that this process imports from, so that it judges the packages that a run would take.
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    command = [sys.executable, "-P", "-m", "device.doctor.subprocess_probe", json.dumps(request)]
    # Settings' files were read here already: those of the environment must not be read again over the flags.
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
        out, spoken = process.communicate(timeout=doctor.patience_s)
        code = process.returncode
        ended: str | None = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except subprocess.TimeoutExpired:
        process.kill()  # one that hangs in a driver may stay until that lets it go; it is not waited for then
        ended, (out, spoken) = None, _remaining_output(process)
    rows = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return rows, ended, next(reversed(spoken.strip().splitlines()), "it said nothing")


def _remaining_output(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate(timeout=5)
    except subprocess.TimeoutExpired as error:
        return tuple((part or b"").decode(errors="replace") for part in (error.stdout, error.stderr))  # type: ignore[return-value]


def _with_commands(one: Finding, doctor: Doctor) -> Finding:
    """The finding, with what its command may name besides its own facts: this environment's programs, and the camera."""
    environ = doctor.environ if doctor.environ is not None else os.environ
    program = Path(sysconfig.get_path("scripts")) / "fer-edge"
    known = shutil.which("fer-edge") == str(program) or not program.is_file()
    name = "fer-edge" if known else shlex.quote(str(program))
    given = environ.get("FER_EDGE_DETECTORS")
    detectors = f"sudo FER_EDGE_DETECTORS={shlex.quote(given)} {name}" if given else name
    facts = {
        "program": name,
        "pip": f"{shlex.quote(sys.executable)} -m pip",
        "user": getpass.getuser(),
        "install_detectors": f"{detectors} detectors install",
        "list_cameras": _camera_list_command(str(doctor.flags.get("camera") or "0")),
    }
    return Finding(one.check, one.key, {**facts, **one.facts})


def _camera_list_command(camera: str) -> str:
    """The command that shows whether a camera of that name is there."""
    if host := urlsplit(camera).hostname if "://" in camera else None:
        return f"ping -c 3 {shlex.quote(host)}"
    if camera.startswith("csi"):
        return "rpicam-hello --list-cameras"
    return "ls -l /dev/video*" if camera.removeprefix("usb:").isdigit() else f"ls -ld {shlex.quote(camera)}"
