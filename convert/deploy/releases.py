"""The releases on a target: each step there as a call of a function in on_target/*.sh, and what it answers."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Any

from convert.deploy.payload import Payload
from convert.deploy.ssh import ScriptOutput, SshConnection, StepFailed
from convert.deploy.target_check import Target, TargetPython
from fer_edge.errors import BundleRefused, UsageError

HOME = "/opt/fer-edge"
STATE = "/var/lib/fer-edge"
_RUNTIME = "/run/fer-edge"
_SETTINGS = "/etc/fer-edge"
_DEFAULT = "camera"
_SCRIPTS = ("base", "look", "release", "service")
_TURN_S = 0.3  # of service.sh, while it waits for the first line
_LONG_S = 1800.0  # an install on a Zero, over a slow line
_REFUSED, _NO_LINE, _BUNDLE = 3, 4, 5  # exit codes of the scripts


class NoFirstLine(StepFailed):
    """The service did not come up; the message is the end of its own words."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One of the services on a target, by the name of its camera. Raises UsageError for a name that no file can have."""

    name: str = _DEFAULT

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", self.name):
            raise UsageError(f"--name must be 1 to 32 letters, digits, - and _, not “{self.name}”")

    @property
    def unit(self) -> str:
        """What systemd calls it."""
        return "fer-edge.service" if self.name == _DEFAULT else f"fer-edge@{self.name}.service"

    @property
    def settings(self) -> str:
        """The file of its settings on the target."""
        return f"{_SETTINGS}/{'fer-edge' if self.name == _DEFAULT else self.name}.toml"


@dataclass(frozen=True, slots=True)
class RestoredRelease:
    """What was brought back: the release, empty where none served before. `stopped`: this service did not serve before."""

    release: str
    stopped: bool


class Releases:
    """The releases on the target of `remote`, and the service of `instance` that runs the one in use.

    Every step may be repeated. Each raises UsageError when the target refuses it, with its words, and ConnectionLost.
    """

    def __init__(self, remote: SshConnection, instance: Instance) -> None:
        self.remote = remote
        self.instance = instance
        self._given = {
            "home": HOME,
            "settings": instance.settings,
            "state": STATE,
            "runtime": _RUNTIME,
            "unit": instance.unit,
            "instance": instance.name,
            "token": token_hex(8),  # the deploy that came last has the word
        }

    def look(self) -> Target:
        """What the target is. Nothing is changed there; from here on scripts have root's rights if the login may have them."""
        target = Target.read(self._call("look"))
        self.remote.sudo = not target.root and target.sudo
        return target

    def take(self, release: str) -> bool:
        """Takes the target for this deploy, and away what an earlier one left; whether the release is there already."""
        return self._call("take", release).first("whole") == "yes"

    def ship(self, shipment: Payload, whole: bool) -> int:
        """Copies the shipment into the folder that `take` made, without packages where the release is `whole`; bytes sent."""
        try:
            return self.remote.send(shipment.folder, f"{HOME}/.deploy/ship", ("/*.whl", "/wheels") if whole else ())
        except StepFailed as error:
            raise UsageError(f"the target did not take what was shipped: {error}") from error

    def environment(self, shipment: Payload, python: TargetPython) -> bool:
        """Makes the release's folder, an environment without packages; False where it was whole already."""
        site = "yes" if shipment.system_site else ""
        return self._call("environment", shipment.release, python.path, site).first("whole") != "yes"

    def install(self, shipment: Payload) -> bool:
        """Fills it with pip, after which it is whole; False where it was so already."""
        cargo = shipment.cargo
        extras = f"[{','.join(names)}]" if (names := cargo.all_extras()) else ""
        given = (shipment.release, extras, shipment.constraints, "yes" if cargo.offline else "")
        return self._call("install", *given, limit_s=_LONG_S).first("whole") != "yes"

    def bundle(self, shipment: Payload) -> str:
        """Puts the bundle beside those in use; the bundle's name there, or empty without one."""
        wanted = "bundle" if shipment.cargo.bundle is not None else ""
        return self._call("bundle", shipment.release, wanted, limit_s=300.0).first("bundle")

    def doctor(self, shipment: Payload) -> dict[str, Any]:
        """What the new release's doctor says of the target, with the new bundle and settings."""
        answer = self._call("doctor", shipment.release, "yes" if shipment.cargo.settings else "", limit_s=600.0)
        for line in answer.lines:
            if line.startswith("{"):
                report: dict[str, Any] = json.loads(line)
                return report
        raise UsageError(f"the new release does not start on the target: {answer.spoken or 'it said nothing'}")

    def switch(self, shipment: Payload, bundle: str, network: bool) -> bool:
        """Makes release, detectors, bundle, unit and settings those in use; False where they were already."""
        given = (bundle, "yes" if shipment.cargo.settings else "", "yes" if network else "")
        return self._call("switch", shipment.release, *given, limit_s=300.0).first("unchanged") != "yes"

    def start(self, changed: bool) -> str:
        """Starts the service anew where something changed or it does not run: “started”, “kept”, or “none” without systemd."""
        answer = self._call("start", "yes" if changed else "", limit_s=300.0)
        return "none" if answer.first("systemd") == "no" else "kept" if answer.first("kept") else "started"

    def first_line(self, limit_s: float) -> dict[str, Any]:
        """The first line in the journal since the start; with `waiting`, the camera that the service waits for, if it does.

        Raises NoFirstLine.
        """
        answer = self._call("first_line", str(round(limit_s / _TURN_S)), limit_s=limit_s * 2 + 60)
        name, _, line = answer.first("line").partition(": ")
        kind = re.search(r'"kind": ?"(\w+)"', line)
        waiting = {"waiting": answer.first("waiting")} if answer.first("waiting") else {}
        return {"segment": name, "kind": kind[1] if kind else "?", **waiting}

    def undo(self) -> RestoredRelease | None:
        """Brings back what served before a switch that did not prove itself. None where nothing had been switched."""
        answer = self._call("undo", limit_s=300.0)
        return (
            None
            if answer.first("nothing")
            else RestoredRelease(answer.first("release"), answer.first("stopped") == "yes")
        )

    def rollback(self) -> tuple[RestoredRelease, Releases]:
        """Brings back what served before the last deploy; and this, for the instance that was deployed then."""
        answer = self._call("rollback", limit_s=300.0)
        of_then = Releases(self.remote, Instance(answer.first("instance")))
        of_then._given["token"] = self._given["token"]
        return RestoredRelease(answer.first("release"), answer.first("stopped") == "yes"), of_then

    def finish(self, keep: int) -> tuple[str, ...]:
        """Takes away what only the deploy needed, and the oldest releases; which those were."""
        return self._call("finish", str(keep), limit_s=300.0).values.get("removed", ())

    def state(self) -> ScriptOutput:
        """What is there and how it does; nothing is changed."""
        return self._call("state")

    def undeploy(self, journal_too: bool) -> ScriptOutput:
        """Takes all of it away, the journal only when asked to."""
        return self._call("undeploy", "yes" if journal_too else "", limit_s=300.0)

    def _call(self, *call: str, limit_s: float = 960.0) -> ScriptOutput:
        given = "\n".join(f"{name}={shlex.quote(value)}" for name, value in self._given.items())
        try:
            return self.remote.run(f"{given}\n{_script()}", call, limit_s)
        except StepFailed as failed:
            said = " / ".join(line.removeprefix("fer-edge: ") for line in str(failed).splitlines() if line.strip())
            if failed.code == _NO_LINE:
                raise NoFirstLine(said, failed.code) from failed
            raise (BundleRefused if failed.code == _BUNDLE else UsageError)(said) from failed


@cache
def _script() -> str:
    folder = Path(__file__).with_name("on_target")
    return "\n".join((folder / f"{name}.sh").read_text(encoding="utf-8") for name in _SCRIPTS)
