"""What `fer-edge doctor` finds by asking others: systemd about the unit, the status file about the instance, pip."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from device.clock import SystemClock
from device.config import SETTING_FIELDS, Settings
from device.doctor.findings import Finding, make_finding
from device.output.mqtt.broker import broker_from_settings
from device.service.systemd_units import SYSTEM_UNITS, Unit
from device.system.status import InstanceStatus
from fer_edge import __version__
from fer_edge.errors import UsageError

_UNIT_PROPERTIES = "LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState,FragmentPath"
_COMMAND_TIMEOUT_S = 60.0


def service(name: str, first_run: bool, root: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """How the unit of the instance `name` is: the system's, else the user's own; and whether it is the one we write."""
    if not (root / "run/systemd/system").is_dir():  # as sd_booted(3) has it
        yield make_finding("service.nosystemd")
        return
    unit = "fer-edge.service" if name == SETTING_FIELDS["name"].default else f"fer-edge@{name}.service"
    for user in ((), ("--user",)):
        told = _unit_properties(unit, user, environ)
        if told.get("LoadState") == "loaded":
            break
    else:
        yield make_finding("service.unneeded" if first_run else "service.missing", unit=unit)
        return
    shown = " ".join((*user, unit))
    match told["ActiveState"]:
        case "active" | "reloading" if told["UnitFileState"] != "enabled":
            yield make_finding("service.disabled", unit=shown)
        case "active" | "reloading":
            again = int(told["NRestarts"] or 0)
            yield make_finding("service.ok", unit=shown, restarts=f" after {again} restart(s)" if again else "")
        case "failed":
            yield make_finding(
                "service.failed", unit=shown, result=told["Result"], log=_last_log_line(unit, user, environ)
            )
        case _:
            yield make_finding("service.stopped", unit=shown, state=f"{told['ActiveState']} ({told['SubState']})")
    if not _is_generated(Path(told["FragmentPath"]), bool(user)):
        flags = " --user" * bool(user) + " --template" * ("@" in unit)
        yield make_finding("service.other", unit=shown, flags=flags)


def broker(settings: Settings, root: Path) -> Iterator[Finding]:
    """Whether a run could tell the broker that its settings name, where they name one; the broker itself is not asked."""
    if settings.mqtt is None:
        return
    from device.output.mqtt.sink import MqttSink

    try:
        MqttSink(settings, SystemClock(), lambda _: None).check()
    except UsageError as error:
        yield make_finding("mqtt.wrong", error=error)
        return
    unit = Unit(Path("/bin/true"), template=settings.name != SETTING_FIELDS["name"].default)
    told: dict[str, Any] = {
        "broker": broker_from_settings(settings),
        "unit": unit.file_name,
        "flags": " --template" * unit.template,
    }
    told["instance"] = unit.file_name.replace("@", f"@{settings.name}")
    try:
        closed = "\nPrivateNetwork=yes\n" in (root / SYSTEM_UNITS.relative_to("/") / unit.file_name).read_text()
    except (OSError, UnicodeDecodeError):
        closed = False
    yield make_finding("mqtt.closed" if closed else "mqtt.ok", **told)


def instance(report: InstanceStatus) -> Finding:
    """How the instance is by its own words."""
    if not report.running:
        return make_finding("instance.none", name=report.name)
    return make_finding("instance.unwell" if report.problems else "instance.ok", text=report.text(), name=report.name)


def versions(environ: Mapping[str, str]) -> Finding:
    """Whether the packages are those that this one asks for, as pip sees it."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"]
    code, out, spoken = _run_command(command, environ)
    about = {"version": __version__}
    if conflict := next((line for line in out.splitlines() if line.startswith("fer-edge ")), None):
        return make_finding("versions.conflict", conflict=conflict.rstrip("."), **about)
    if code not in (0, 1) or "No module named pip" in spoken:
        return make_finding(
            "versions.unknown", error=next(reversed(spoken.split("\n")), "") or f"exit code {code}", **about
        )
    return make_finding("versions.ok", **about)


def _unit_properties(unit: str, user: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    _, out, _ = _run_command(["systemctl", *user, "show", "--property", _UNIT_PROPERTIES, unit], environ)
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def _last_log_line(unit: str, user: Sequence[str], environ: Mapping[str, str]) -> str:
    command = ["journalctl", *user, "--unit", unit, "--output", "cat", "--lines", "3", "--no-pager"]
    said = [line for line in _run_command(command, environ)[1].splitlines() if line.startswith("fer-edge: ")]
    return said[-1].removeprefix("fer-edge: ") if said else "its log says nothing of it"


def _is_generated(path: Path, of_user: bool) -> bool:
    """Whether the unit's file is one that this version writes, for whatever program and network."""
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
    """Exit code, stdout and stderr of a command; 127 where there is none of that name."""
    try:
        done = subprocess.run(
            command, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=_COMMAND_TIMEOUT_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, "", str(error)
    return done.returncode, done.stdout, done.stderr.strip()
