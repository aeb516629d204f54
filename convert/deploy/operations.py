"""Commands for a target that was deployed to: its status, a copy of its journal, and its removal."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convert.deploy.journal_copy import JournalCopy
from convert.deploy.releases import STATE, Instance, Releases
from convert.deploy.ssh import ScriptOutput, SshConnection, StepFailed, rsync_count
from convert.deploy.ssh_address import SshAddress
from convert.deploy.target_check import reported_number
from convert.json_dataclass import JsonObject
from fer_edge.errors import EXIT_DONE, NotRunning, Unhealthy, UsageError
from fer_edge.journal.segments import lock_folder
from fer_edge.json_fields import JsonFields, parse_json
from fer_edge.text_cleaning import clean

_LAST_S = 253_402_300_799  # the year 9999
_SHOWN_SIGNS = 200  # of a setting


@dataclass(frozen=True, slots=True)
class ReleaseStatus:
    """A release on the target, and the UTC time of its last change. `complete`: its installation was not interrupted."""

    release: str
    complete: bool
    changed: str

    def to_json(self) -> dict[str, Any]:
        """The release as JSON values."""
        return {"release": self.release, "complete": self.complete, "changed": self.changed}


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """The answer of `fer-edge health --json` on the target, and those of its fields that a verdict needs."""

    running: bool
    healthy: bool
    problems: tuple[str, ...]
    answer: JsonObject

    @staticmethod
    def read(text: str) -> TargetHealth:
        """The health in a line of JSON. Raises ValueError for a line that is none, UsageError for another answer."""
        fields = JsonFields.of(parse_json(text), "its health", UsageError, "deploy again")
        problems = tuple(map(clean, fields.any_texts("problems")))
        return TargetHealth(fields.flag("running"), fields.flag("healthy"), problems, fields.values)

    def text(self) -> str:
        """“healthy”, or the problems."""
        return "healthy" if self.healthy else "; ".join(self.problems)


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """The status of a target: its releases, oldest first, its service, and the health of its instance."""

    host: str
    current: str
    previous: str
    releases: tuple[ReleaseStatus, ...]
    bundle: str  # in use; empty: the default one
    own_bundle: str  # the setting `bundle` of the instance, which has precedence; else empty
    unconfirmed: bool  # a deploy was interrupted between its switch and the first log line
    service: dict[str, str]  # properties of systemd's unit
    health: TargetHealth | None  # None where nothing is deployed
    journal_kb: int
    free_mb: int

    @staticmethod
    def read(host: str, output: ScriptOutput) -> TargetStatus:
        """The status in the output of `report_status`. Raises UsageError for an output that cannot be parsed."""
        first = output.first
        try:
            releases = []
            for line in output.values.get("release", ()):
                name, state, changed_s = line.split(" ")
                changed = datetime.fromtimestamp(min(reported_number(changed_s), _LAST_S), UTC)
                releases.append(ReleaseStatus(name, state == "complete", changed.isoformat(timespec="seconds")))
            health = first("health")
            return TargetStatus(
                host=host,
                current=first("current"),
                previous=first("previous"),
                releases=tuple(sorted(releases, key=lambda release: release.changed)),
                bundle=first("bundle"),
                own_bundle=first("own_bundle")[:_SHOWN_SIGNS],
                unconfirmed=first("unconfirmed") == "yes",
                service={
                    name.partition(".")[2]: values[0]
                    for name, values in output.values.items()
                    if name.startswith("service.")
                },
                health=TargetHealth.read(health) if health else None,
                journal_kb=reported_number(first("journal_kb") or "0"),
                free_mb=reported_number(first("free_kb") or "0") // 1024,
            )
        except (ValueError, UsageError) as error:
            raise UsageError(f"{host} reports a status that cannot be read ({error})") from error

    def to_json(self) -> dict[str, Any]:
        """The status as JSON values."""
        return {
            "status": 1, "host": self.host, "current": self.current or None, "previous": self.previous or None,
            "releases": [release.to_json() for release in self.releases], "bundle": self.own_bundle or self.bundle or None,
            "unconfirmed": self.unconfirmed, "service": self.service,
            "health": self.health.answer if self.health else {}, "journal_kb": self.journal_kb, "free_mb": self.free_mb,
        }  # fmt: skip

    def text(self) -> str:
        """The status as lines: the releases, the service and the health of the instance."""
        rows = [f"{self.host}: {self.current or 'nothing is deployed'}"]
        for release in self.releases:
            name = release.release
            mark = "*" if name == self.current else "-" if name == self.previous else " "
            rows.append(f"{mark} {name}  {release.changed}{'' if release.complete else '  not complete'}")
        named = f"{self.own_bundle}, by the settings of the instance" if self.own_bundle else self.bundle
        rows.append(f"bundle   {named or 'the one that comes with the release'}")
        unit = self.service
        rows.append(
            "service  {} ({}), {}".format(
                *(unit.get(name, "?") for name in ("ActiveState", "SubState", "UnitFileState"))
            )
            if unit
            else "service  no systemd"
        )
        if self.health:
            rows.append(f"health   {self.health.text()}")
        rows.append(f"journal  {self.journal_kb:,} kB; {self.free_mb:,} MB free")
        return "\n".join(rows)

    def verdict(self) -> int:
        """The exit code 0 where it runs and is healthy. Raises NotRunning or Unhealthy."""
        if self.health is None or not self.health.running:
            raise NotRunning(f"no instance runs on {self.host}; `fer-edge deploy {self.host}` starts one")
        if self.unconfirmed or not self.health.healthy:
            interrupted = ["a deploy was interrupted before its first log line; deploy again"]
            raise Unhealthy("; ".join([*(interrupted if self.unconfirmed else []), *self.health.problems]))
        return EXIT_DONE


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The folder with the copy of a target's journals, and what was copied this time."""

    folder: Path
    files: int
    bytes: int  # of these files
    received_bytes: int  # over the network: less, where a partial copy was resumed

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "fetch": 1,
            "folder": str(self.folder),
            "files": self.files,
            "bytes": self.bytes,
            "received_bytes": self.received_bytes,
        }


@dataclass(frozen=True, slots=True)
class UndeployResult:
    """The files that stay on a target after an undeploy: the journal, and files that no deploy made."""

    host: str
    journal: str
    remaining: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {"undeploy": 1, "host": self.host, "journal": self.journal or None, "remaining": list(self.remaining)}


def status(address: SshAddress, instance: Instance, may_ask: bool = True) -> TargetStatus:
    """The status of a target; nothing is changed there. `may_ask`: ssh may ask the person at the terminal."""
    with SshConnection(address, may_ask) as connection:
        return TargetStatus.read(address.host, _checked_releases(connection, instance).status())


def fetch(address: SshAddress, out: Path | None = None) -> FetchResult:
    """Copies the target's journals into a folder.

    Partial transfers resume with the next call. Lines that were deleted on the target stay in the copy. Raises UsageError,
    with the copy as before, when the target has another journal than the copy, or while another process writes there.
    """
    folder = out or Path(f"{address.host.replace(':', '_').replace('%', '_')}-journal")
    with SshConnection(address) as connection:
        releases = _checked_releases(connection, Instance())
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy = JournalCopy(folder, f"{address.host}:{STATE}")
        with _locked(folder):
            copy.take_over(releases.newest_segments)  # what an interrupted fetch left
            copy.incoming.mkdir(mode=0o700, exist_ok=True)
            try:
                statistics = connection.fetch(STATE, copy.incoming, ["journal-*.jsonl"], known=folder)
            except StepFailed as error:
                copy.take_over(releases.newest_segments)
                raise UsageError(
                    f"the journal of {address.host} was not fetched completely: {error}; the same command resumes"
                ) from error
            copy.take_over(releases.newest_segments)
            shutil.rmtree(copy.incoming)
    return FetchResult(
        folder=folder,
        files=rsync_count(statistics, "Number of regular files transferred"),
        bytes=rsync_count(statistics, "Total transferred file size"),
        received_bytes=rsync_count(statistics, "Total bytes received"),
    )


def undeploy(address: SshAddress, journal_too: bool, report: Callable[[str], None]) -> UndeployResult:
    """Deletes everything that was deployed to a target, and reports what stays there."""
    with SshConnection(address) as connection:
        output = _checked_releases(connection, Instance()).undeploy(journal_too)
    result = UndeployResult(address.host, output.first("journal"), output.values.get("remaining", ()))
    if result.journal:
        report(f"the journal stays: {result.journal}, of the user fer-edge; --journal-too deletes both")
    for path in result.remaining:
        report(f"{path} is not from a deploy, and stays")
    return result


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        lock = lock_folder(folder)
    except BlockingIOError as error:
        raise UsageError(f"another fer-edge writes to {folder}; wait for its end, or name another --out") from error
    try:
        yield
    finally:
        os.close(lock)


def _checked_releases(connection: SshConnection, instance: Instance) -> Releases:
    releases = Releases(connection, instance)
    releases.inspect().check(need_mb=0)
    return releases
