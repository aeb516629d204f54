"""The releases on a target: each step as a call of a function in on_target/*.sh, and the values that it reports."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from secrets import token_hex

from convert.deploy.doctor_answer import DoctorAnswer
from convert.deploy.needs import DEFAULT_FILE, REPORTED_SETTINGS, TargetSettings
from convert.deploy.payload import Payload
from convert.deploy.ssh import ScriptOutput, SshConnection, StepFailed
from convert.deploy.target_check import Target, TargetPython
from fer_edge import instance_name
from fer_edge.errors import BundleRefused, UsageError

HOME = "/opt/fer-edge"
STATE = "/var/lib/fer-edge"
_RUNTIME = "/run/fer-edge"
_SETTINGS = "/etc/fer-edge"
_SCRIPTS = ("base", "others", "inspect", "release", "service")
_TURN_S = 0.3  # between two looks for the first line, in service.sh
_INSTALL_LIMIT_S = 1800.0  # on a Zero, over a slow network
_NO_LINE, _BUNDLE = 4, 5  # exit codes of the scripts
# as sh and its tools say it
_FULL_DISK = ("No space left on device", "write error", "I/O error", "Disk quota exceeded")


class NoFirstLine(StepFailed):
    """The service did not come up; the message is the end of its log."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A service on the target, by the name of its camera. Raises UsageError for a name that is not safe as a file name."""

    name: str = instance_name.DEFAULT

    def __post_init__(self) -> None:
        if not instance_name.PATTERN.fullmatch(self.name):
            raise UsageError(f"--name must be 1 to 32 letters, digits, - and _, not “{self.name}”")
        if self.name == DEFAULT_FILE:
            raise UsageError(
                f"--name {self.name} would use the settings file of the instance {instance_name.DEFAULT}; choose another name"
            )

    @property
    def unit(self) -> str:
        """The name of its systemd unit."""
        return instance_name.unit_name(self.name)

    @property
    def settings(self) -> str:
        """The path of its settings on the target."""
        return f"{_SETTINGS}/{self.settings_file}.toml"

    @property
    def settings_file(self) -> str:
        """The name of that file without .toml."""
        return DEFAULT_FILE if self.name == instance_name.DEFAULT else self.name


@dataclass(frozen=True, slots=True)
class RestoredRelease:
    """The state that was restored: its release, empty where none was deployed. `stopped`: the service was not enabled then."""

    release: str
    stopped: bool


@dataclass(frozen=True, slots=True)
class Differences:
    """What a deploy would change: the parts (release, bundle, settings, unit, detectors, service, unconfirmed), and the old
    releases that it would delete."""

    parts: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FirstLine:
    """The first journal line of a service since its start. `waiting`: the camera that it waits for, if it does."""

    segment: str  # path of the file
    kind: str  # of the event
    waiting: str | None = None


class Releases:
    """The releases on the target of `connection`, and the service of `instance`, which runs the current one.

    Every step may be repeated. Each raises UsageError with the target's message when it fails there, and ConnectionLost.
    """

    def __init__(self, connection: SshConnection, instance: Instance, token: str | None = None) -> None:
        self.connection = connection
        self.instance = instance
        self.token = token or token_hex(8)  # of this deploy; only the latest deploy may change the target
        self._variables = {
            "home": HOME,
            "settings": instance.settings,
            "state": STATE,
            "runtime": _RUNTIME,
            "unit": instance.unit,
            "instance": instance.name,
            "token": self.token,
        }

    def inspect(self) -> Target:
        """The properties of the target. Nothing is changed there; later steps run as root where the login may use sudo."""
        target = Target.read(self._call("inspect"))
        self.connection.sudo = not target.root and target.sudo
        return target

    def read_needs(self, python: TargetPython) -> TargetSettings:
        """What the settings files on the target need; their values stay there. Nothing is changed."""
        return TargetSettings.read(self._call("report_needs", python.path, *REPORTED_SETTINGS))

    def begin(self, release: str) -> bool:
        """Makes this deploy the latest one and deletes leftovers of earlier ones; whether the release exists already."""
        return self._call("begin", release).first("complete") == "yes"

    def transfer(self, payload: Payload, complete: bool) -> int:
        """Copies the payload, without wheels where the release is `complete`; returns the bytes sent."""
        try:
            excluded = ("/*.whl", "/wheels") if complete else ()
            return self.connection.send(payload.folder, f"{HOME}/.deploy/payload", excluded)
        except StepFailed as error:
            raise UsageError(f"the payload was not copied to the target: {error}") from error

    def make_environment(self, payload: Payload, python: TargetPython) -> bool:
        """Makes the release's folder, an environment without packages; False where the release exists already."""
        site = "yes" if payload.system_site else ""
        return self._call("make_environment", payload.release, python.path, site).first("complete") != "yes"

    def install_packages(self, payload: Payload) -> bool:
        """Installs the packages with pip, which completes the release; False where it exists already."""
        options = payload.options
        extras = f"[{','.join(names)}]" if (names := payload.needs.extras) else ""
        arguments = (payload.release, extras, payload.constraints, "yes" if options.offline else "")
        return self._call("install_packages", *arguments, limit_s=_INSTALL_LIMIT_S).first("complete") != "yes"

    def install_bundle(self, payload: Payload) -> str:
        """Installs the bundle without using it; returns its name there, empty without a bundle."""
        folder = "bundle" if payload.options.bundle is not None else ""
        return self._call("install_bundle", payload.release, folder, limit_s=300.0).first("bundle")

    def run_doctor(self, payload: Payload) -> DoctorAnswer:
        """The answer of the new release's doctor on the target, with the new bundle and settings."""
        answer = self._call("run_doctor", payload.release, "yes" if payload.options.settings else "", limit_s=600.0)
        for line in answer.lines:
            if line.startswith("{"):
                try:
                    return DoctorAnswer.read(line)
                except ValueError as error:
                    raise UsageError(
                        f"the doctor on the target gives an answer that cannot be read ({error})"
                    ) from error
        raise UsageError(f"the new release does not start on the target: {answer.stderr or 'it printed nothing'}")

    def switch(self, payload: Payload, bundle: str) -> bool:
        """Makes release, detectors, bundle, unit and settings the current ones; False where they are already."""
        arguments = _switch_arguments(payload, bundle)
        return self._call("switch_release", *arguments, limit_s=300.0).first("unchanged") != "yes"

    def differences(self, payload: Payload, bundle: str, keep: int) -> Differences:
        """What a deploy of this payload would change; nothing is changed."""
        values = self._call("report_differences", str(keep), *_switch_arguments(payload, bundle)).values
        return Differences(values.get("differs", ()), values.get("removed", ()))

    def start(self, changed: bool) -> str:
        """Restarts the service where something changed or it is not running: “started”, “kept”, or “none” without systemd."""
        answer = self._call("start_service", "yes" if changed else "")
        return "none" if answer.first("systemd") == "no" else "kept" if answer.first("running") else "started"

    def first_line(self, limit_s: float) -> FirstLine:
        """The first line in the journal since the start of the service. Raises NoFirstLine."""
        answer = self._call("wait_first_line", str(round(limit_s / _TURN_S)), limit_s=limit_s * 2 + 60)
        segment, _, line = answer.first("line").partition(": ")
        kind = re.search(r'"kind": ?"(\w+)"', line)
        return FirstLine(segment, kind[1] if kind else "?", answer.first("waiting") or None)

    def wait_for_others(self, limit_s: float) -> tuple[str, ...]:
        """The units of the other instances that were restarted for their new release, once they run. Raises NoFirstLine."""
        answer = self._call("wait_other_instances", str(round(limit_s / _TURN_S)), limit_s=limit_s * 2 + 60)
        return answer.values.get("running", ())

    def undo_switch(self) -> RestoredRelease | None:
        """Restores the state before a switch whose service did not come up. None where nothing had been switched."""
        answer = self._call("undo_switch")
        if answer.first("unchanged"):
            return None
        return RestoredRelease(answer.first("release"), answer.first("stopped") == "yes")

    def rollback_state(self, leave: str) -> tuple[str, str]:
        """The release and the instance that a rollback would restore; empty where `leave` is named and not in use. Nothing is
        changed."""
        answer = self._call("report_rollback", leave)
        return answer.first("release"), answer.first("instance")

    def roll_back(self) -> tuple[RestoredRelease, Releases]:
        """Restores the state before the last deploy; also returns the releases for the instance of that deploy."""
        answer = self._call("roll_back")
        releases = Releases(self.connection, Instance(answer.first("instance")), self.token)
        return RestoredRelease(answer.first("release"), answer.first("stopped") == "yes"), releases

    def finish(self, keep: int) -> tuple[str, ...]:
        """Deletes the deploy's working files and the oldest releases; returns the names of these."""
        return self._call("finish", str(keep), limit_s=300.0).values.get("removed", ())

    def status(self) -> ScriptOutput:
        """The releases there and the state of the service; nothing is changed."""
        return self._call("report_status")

    def newest_segments(self) -> dict[str, int]:
        """The highest number of a segment in each folder of journals below the state folder, which is “.”."""
        found: dict[str, int] = {}
        for line in self._call("report_newest_segments").values.get("newest", ()):
            number, _, folder = line.partition(" ")
            if number.isascii() and number.isdigit():
                found[folder.removeprefix("./")] = int(number[:18])
        return found

    def undeploy(self, journal_too: bool) -> ScriptOutput:
        """Deletes everything that was deployed, and the journal where requested."""
        return self._call("undeploy", "yes" if journal_too else "", limit_s=300.0)

    def _call(self, *call: str, limit_s: float = 960.0) -> ScriptOutput:
        variables = "\n".join(f"{name}={shlex.quote(value)}" for name, value in self._variables.items())
        try:
            return self.connection.run(f"{variables}\n{_script()}", call, limit_s)
        except StepFailed as failed:
            lines = [line.removeprefix("fer-edge: ") for line in str(failed).splitlines() if line.strip()]
            text = " / ".join(lines)
            if failed.code == _NO_LINE:
                raise NoFirstLine(text, failed.code) from failed
            if any(sign in text for sign in _FULL_DISK):
                text += f"; is the disk there full? `df -h {HOME} /etc` shows it, and the same command continues"
            raise (BundleRefused if failed.code == _BUNDLE else UsageError)(text) from failed


def _switch_arguments(payload: Payload, bundle: str) -> tuple[str, ...]:
    return (
        payload.release,
        bundle,
        payload.settings_sha256(),
        "yes" if payload.needs.network else "",
        payload.detector_digests(),
    )


@cache
def _script() -> str:
    folder = Path(__file__).with_name("on_target")
    return "\n".join((folder / f"{name}.sh").read_text(encoding="utf-8") for name in _SCRIPTS)
