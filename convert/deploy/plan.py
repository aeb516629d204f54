"""The plan of a deploy, and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from convert.deploy.doctor_answer import DoctorAnswer
from convert.deploy.payload import PayloadOptions
from convert.deploy.progress import StepLog
from convert.deploy.releases import FirstLine, Instance
from convert.deploy.ssh_address import SshAddress
from fer_edge.errors import FerEdgeError, UsageError
from fer_edge.json_fields import to_json


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """What to deploy, and where. `keep`: the number of releases that stay on the target. `is_named`: the instance was named,
    and is not the default one for want of a name."""

    address: SshAddress
    instance: Instance = field(default_factory=Instance)
    options: PayloadOptions = field(default_factory=PayloadOptions)
    network: bool = False
    keep: int = 3
    is_named: bool = False

    def __post_init__(self) -> None:
        if self.keep < 2:
            raise UsageError(f"--keep must be 2 or more, not {self.keep}: the release in use and one for a rollback")


@dataclass(slots=True)
class DeployResult:
    """The result of a deploy, filled in as it goes.

    `service`: started, kept, waiting (for its camera), stopped (by a rollback to a state without it), or none (no systemd).
    """

    host: str
    steps: StepLog
    changed: bool = False  # whether the target was changed; of a dry run, whether it would be
    release: str = ""
    previous: str = ""
    service: str = ""
    first_line: FirstLine | None = None
    first_line_s: float | None = None  # since the command began
    doctor: DoctorAnswer | None = None
    removed: tuple[str, ...] = ()
    planned: tuple[str, ...] = ()  # the changes that a dry run announces

    def to_json(self, error: FerEdgeError | None = None) -> dict[str, Any]:
        """The result as JSON values, with the error that ended the deploy."""
        return {
            "deploy": 1,
            "host": self.host,
            "done": error is None,
            "error": str(error) if error else None,
            "changed": self.changed,
            "release": self.release,
            "previous": self.previous,
            "service": self.service,
            "first_line": to_json(self.first_line) if self.first_line else {},
            "first_line_s": self.first_line_s,
            "steps": [step.to_json() for step in self.steps.steps],
            "doctor_failed": [to_json(finding) for finding in self.doctor.failed] if self.doctor else [],
            "versions": self.doctor.versions if self.doctor else None,
            "removed": list(self.removed),
            "planned": list(self.planned),
        }
