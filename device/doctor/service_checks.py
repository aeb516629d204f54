"""Checks of `fer-edge doctor` that query systemd (the unit), the status file (the instance), the settings (broker) and pip."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from device.clock import SystemClock
from device.config import Settings
from device.doctor.findings import Finding, make_finding
from device.output.mqtt.broker import broker_from_settings
from device.service.systemd_units import SYSTEM_UNITS, Unit
from device.system.status import InstanceStatus
from fer_edge import __version__, instance_name
from fer_edge.errors import UsageError

_UNIT_PROPERTIES = "LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState,FragmentPath"
_COMMAND_TIMEOUT_S = 60.0


def service(name: str, first_run: bool, root: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """The state of the unit of the instance `name` (the system's, else the user's), and whether this version wrote it."""
    if not (root / "run/systemd/system").is_dir():  # the test of sd_booted(3)
        yield make_finding("service.nosystemd")
        return
    unit = instance_name.unit_name(name)
    for user in ((), ("--user",)):
        properties = _unit_properties(unit, user, environ)
        if properties.get("LoadState") == "loaded":
            break
    else:
        yield make_finding("service.unneeded" if first_run else "service.missing", unit=unit)
        return
    label = " ".join((*user, unit))
    match properties["ActiveState"]:
        case "active" | "reloading" if properties["UnitFileState"] != "enabled":
            yield make_finding("service.disabled", unit=label)
        case "active" | "reloading":
            count = int(properties["NRestarts"] or 0)
            yield make_finding("service.ok", unit=label, restarts=f" after {count} restart(s)" if count else "")
        case "failed":
            yield make_finding(
                "service.failed", unit=label, result=properties["Result"], log=_last_log_line(unit, user, environ)
            )
        case _:
            yield make_finding(
                "service.stopped", unit=label, state=f"{properties['ActiveState']} ({properties['SubState']})"
            )
    if not _is_generated(Path(properties["FragmentPath"]), bool(user)):
        flags = " --user" * bool(user) + " --template" * ("@" in unit)
        yield make_finding("service.other", unit=label, flags=flags)


def broker(settings: Settings, root: Path) -> Iterator[Finding]:
    """Whether a run could publish to the broker of its settings, if they name one; the broker is not contacted."""
    if settings.mqtt is None:
        return
    from device.output.mqtt.publisher import MqttPublisher

    try:
        MqttPublisher(settings, SystemClock(), lambda _: None).check()
    except UsageError as error:
        yield make_finding("mqtt.wrong", error=error)
        return
    unit = Unit(Path("/bin/true"), template=settings.name != instance_name.DEFAULT)
    facts: dict[str, Any] = {
        "broker": broker_from_settings(settings),
        "unit": unit.file_name,
        "flags": " --template" * unit.template,
    }
    facts["instance"] = unit.file_name.replace("@", f"@{settings.name}")
    try:
        no_network = "\nPrivateNetwork=yes\n" in (root / SYSTEM_UNITS.relative_to("/") / unit.file_name).read_text()
    except (OSError, UnicodeDecodeError):
        no_network = False
    yield make_finding("mqtt.closed" if no_network else "mqtt.ok", **facts)


def instance(status: InstanceStatus) -> Finding:
    """Whether the instance runs and is healthy, by its status file."""
    if not status.running:
        return make_finding("instance.none", name=status.name)
    key = "instance.unhealthy" if status.problems else "instance.ok"
    return make_finding(key, text=status.text(), name=status.name)


def versions(environ: Mapping[str, str]) -> Finding:
    """Whether the installed packages meet the requirements of this one, by `pip check`."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"]
    code, out, stderr = _run_command(command, environ)
    facts = {"version": __version__}
    if conflict := next((line for line in out.splitlines() if line.startswith("fer-edge ")), None):
        return make_finding("versions.conflict", conflict=conflict.rstrip("."), **facts)
    if code not in (0, 1) or "No module named pip" in stderr:
        error = next(reversed(stderr.split("\n")), "") or f"exit code {code}"
        return make_finding("versions.unknown", error=error, **facts)
    return make_finding("versions.ok", **facts)


def _unit_properties(unit: str, user: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    _, out, _ = _run_command(["systemctl", *user, "show", "--property", _UNIT_PROPERTIES, unit], environ)
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def _last_log_line(unit: str, user: Sequence[str], environ: Mapping[str, str]) -> str:
    command = ["journalctl", *user, "--unit", unit, "--output", "cat", "--lines", "3", "--no-pager"]
    lines = [line for line in _run_command(command, environ)[1].splitlines() if line.startswith("fer-edge: ")]
    return lines[-1].removeprefix("fer-edge: ") if lines else "its log has no message"


def _is_generated(path: Path, of_user: bool) -> bool:
    """Whether this version writes such a unit file, for any program, with or without network."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    program = re.search(r"^ExecStart=(\S+) run", text, re.M)
    try:
        units = [Unit(Path(program[1]), "@" in path.name, of_user, on) for on in (False, True)] if program else []
    except UsageError:
        return False
    return text in [unit.text() for unit in units]


def _run_command(command: list[str], environ: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command; the exit code is 127 when it cannot be run in time."""
    try:
        done = subprocess.run(
            command, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=_COMMAND_TIMEOUT_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, "", str(error)
    return done.returncode, done.stdout, done.stderr.strip()
