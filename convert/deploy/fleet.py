"""The status of all hosts of an inventory, asked in parallel: one table, one exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from io import StringIO
from typing import Any

from convert.deploy.inventory import InventoryHost
from convert.deploy.operations import TargetStatus, status
from fer_edge.errors import EXIT_DONE, FerEdgeError, NotRunning, RestartNeeded, Unhealthy, UsageError
from fer_edge.log.tables import write_text
from fer_edge.log.time_window import TimeZone

_COLUMNS = ("host", "release", "bundle", "service", "journal kB", "free MB", "state")
_PROGRESS = 25  # hosts between two messages
_WORDS = {
    EXIT_DONE: "healthy",
    UsageError.exit_code: "refused or unfit",
    Unhealthy.exit_code: "unhealthy",
    NotRunning.exit_code: "not running",
    RestartNeeded.exit_code: "no answer",
}


@dataclass(frozen=True, slots=True)
class HostReport:
    """A host's status, None where it could not be read; the exit code of `fer-edge status` for it, and its sentence."""

    host: InventoryHost
    status: TargetStatus | None
    code: int
    problem: str

    @staticmethod
    def read(host: InventoryHost) -> HostReport:
        """The report of a host, over a connection of its own."""
        found = None
        try:
            found = status(host.address, host.instance, may_ask=False)
            return HostReport(host, found, found.verdict(), "")
        except FerEdgeError as error:
            return HostReport(host, found, error.exit_code, str(error))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "name": self.host.name, "address": self.host.address.text, "port": self.host.address.port,
            "instance": self.host.instance.name, "exit_code": self.code, "problem": self.problem or None,
            "status": self.status.to_json() if self.status else None,
        }  # fmt: skip

    def row(self) -> dict[str, Any]:
        """The cells of the table; a host without an answer has only its sentence."""
        cells: dict[str, Any] = {"host": self.host.name, "state": self.problem or "healthy"}
        if self.status is not None:
            cells |= {
                "release": self.status.current or "none",
                "bundle": self.status.bundle or "of the release",
                "service": self.status.service.get("ActiveState", "no systemd"),
                "journal kB": self.status.journal_kb,
                "free MB": self.status.free_mb,
            }
        return cells


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """The reports of all hosts, by name."""

    reports: tuple[HostReport, ...]

    def exit_code(self) -> int:
        """The largest exit code of a host: 75 where one did not answer, then 8, 7, 2; 0 where all are healthy."""
        return max(report.code for report in self.reports)

    def summary(self) -> str:
        """How many hosts are healthy, and how many are not; and which releases they have."""
        states = Counter(report.code for report in self.reports)
        releases = Counter(report.status.current or "none" for report in self.reports if report.status)
        text = ", ".join(f"{count} {_WORDS.get(code, f'exit code {code}')}" for code, count in sorted(states.items()))
        of_releases = ", ".join(f"{name} on {count}" for name, count in releases.most_common())
        return f"{len(self.reports)} hosts: {text}{f'; releases: {of_releases}' if releases else ''}"

    def text(self) -> str:
        """The table, a row for each host."""
        stream = StringIO()
        write_text((report.row() for report in self.reports), _COLUMNS, TimeZone(utc=True), stream)
        return stream.getvalue().rstrip("\n")

    def to_json(self) -> dict[str, Any]:
        """The reports as JSON values."""
        return {"fleet": 1, "exit_code": self.exit_code(), "hosts": [report.to_json() for report in self.reports]}


def fleet_status(hosts: Sequence[InventoryHost], jobs: int, report: Callable[[str], None]) -> FleetStatus:
    """The status of all hosts, at most `jobs` asked at once; a host that does not answer is a report like others."""
    if not 1 <= jobs <= 64:
        raise UsageError(f"--jobs must be 1 to 64, not {jobs}")
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(HostReport.read, host) for host in hosts]
        try:
            for count, _ in enumerate(as_completed(futures), 1):
                if count % _PROGRESS == 0 and count < len(hosts):
                    report(f"{count} of {len(hosts)} hosts")
            return FleetStatus(tuple(future.result() for future in futures))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
