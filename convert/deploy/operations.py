"""What was deployed, seen from the host: how it does, its journal fetched, all of it taken away again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convert.deploy.releases import STATE, Instance, Releases
from convert.deploy.ssh import ScriptOutput, SshConnection, StepFailed, rsync_count
from convert.deploy.ssh_address import SshAddress
from fer_edge.errors import EXIT_DONE, NotRunning, Unhealthy, UsageError


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """How a target does. `releases` are those there, oldest first; `health` what `fer-edge health --json` says there."""

    host: str
    current: str
    before: str
    releases: tuple[dict[str, Any], ...]
    bundle: str
    unproved: bool  # a deploy was cut off between its switch and its first log line
    service: dict[str, str]
    health: dict[str, Any]
    journal_kb: int
    free_mb: int

    @staticmethod
    def read(host: str, answer: ScriptOutput) -> TargetStatus:
        """The standing that the target told of. Raises UsageError where it makes no sense."""
        first = answer.first
        try:
            releases = []
            for line in answer.values.get("release", ()):
                name, state, made_s = line.split(" ")
                used = datetime.fromtimestamp(int(made_s), UTC).isoformat(timespec="seconds")
                releases.append({"release": name, "whole": state == "whole", "changed": used})
            return TargetStatus(
                host,
                first("current"),
                first("before"),
                tuple(sorted(releases, key=lambda row: str(row["changed"]))),
                first("bundle"),
                first("unproved") == "yes",
                {
                    name.partition(".")[2]: told[0]
                    for name, told in answer.values.items()
                    if name.startswith("service.")
                },
                json.loads(first("health") or "{}"),
                int(first("journal_kb") or 0),
                int(first("free_kb") or 0) // 1024,
            )
        except ValueError as error:
            raise UsageError(f"{host} tells of its releases what makes no sense ({error})") from error

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "status": 1, "host": self.host, "current": self.current or None, "before": self.before or None,
            "releases": list(self.releases), "bundle": self.bundle or None, "unproved": self.unproved,
            "service": self.service, "health": self.health, "journal_kb": self.journal_kb, "free_mb": self.free_mb,
        }  # fmt: skip

    def text(self) -> str:
        """A line each for the releases, the service and the instance's health."""
        rows = [f"{self.host}: {self.current or 'nothing is deployed'}"]
        for row in self.releases:
            mark = "*" if row["release"] == self.current else "-" if row["release"] == self.before else " "
            rows.append(f"{mark} {row['release']}  {row['changed']}{'' if row['whole'] else '  not whole'}")
        rows.append(f"bundle   {self.bundle or 'the one that comes with the release'}")
        told = self.service
        rows.append(
            f"service  {told['ActiveState']} ({told['SubState']}), {told['UnitFileState']}"
            if told
            else "service  no systemd"
        )
        if self.health:
            problems = "; ".join(self.health["problems"])
            rows.append(f"health   {'well' if self.health['healthy'] else problems}")
        rows.append(f"journal  {self.journal_kb:,} kB; {self.free_mb:,} MB free")
        return "\n".join(rows)

    def verdict(self) -> int:
        """0 where it is well. Raises NotRunning or Unhealthy."""
        if not self.health.get("running"):
            raise NotRunning(f"no instance runs on {self.host}; `fer-edge deploy {self.host}` brings one up")
        if self.unproved or not self.health["healthy"]:
            cut = ["a deploy was cut off before it was proved; deploy again"] if self.unproved else []
            raise Unhealthy("; ".join([*cut, *self.health["problems"]]))
        return EXIT_DONE


def status(to: SshAddress, instance: Instance) -> TargetStatus:
    """How the target does; nothing is changed there."""
    with SshConnection(to) as remote:
        on = _on(remote, instance)
        return TargetStatus.read(to.host, on.state())


def fetch(to: SshAddress, out: Path | None = None) -> tuple[Path, dict[str, int]]:
    """The folder that now holds a copy of the target's journals, and how many files and bytes came along this time.

    What came half is gone on with by the next call; what is gone on the target stays in the copy.
    """
    folder = out or Path(f"{to.host.replace(':', '_').replace('%', '_')}-journal")
    with SshConnection(to) as remote:
        _on(remote, Instance())
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            said = remote.fetch(STATE, folder, ["journal-*.jsonl"])
        except StepFailed as error:
            raise UsageError(
                f"the journal of {to.host} was not fetched whole: {error}; the same command goes on"
            ) from error
    asked = {
        "files": "Number of regular files transferred",
        "bytes": "Total transferred file size",
        "read": "Total bytes received",
    }
    return folder, {name: rsync_count(said, line) for name, line in asked.items()}


def undeploy(to: SshAddress, journal_too: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """What was left on the target after everything that was deployed was taken away."""
    with SshConnection(to) as remote:
        answer = _on(remote, Instance()).undeploy(journal_too)
    journal = answer.first("journal")
    left = answer.values.get("left", ())
    if journal:
        say(f"the journal stays: {journal}, of the user fer-edge; --journal-too takes both away")
    for path in left:
        say(f"{path} was not put there by a deploy, and stays")
    return {"undeploy": 1, "host": to.host, "journal": journal or None, "left": list(left)}


def _on(remote: SshConnection, instance: Instance) -> Releases:
    on = Releases(remote, instance)
    target = on.look()
    target.check(need_mb=0)
    return on
