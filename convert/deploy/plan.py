"""What is to be deployed, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from convert.deploy.payload import PayloadOptions
from convert.deploy.progress import StepLog
from convert.deploy.releases import Instance
from convert.deploy.ssh_address import SshAddress
from fer_edge.errors import FerEdgeError, UsageError


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """What is to be deployed, and how. `keep`: so many releases stay on the target."""

    to: SshAddress
    instance: Instance = field(default_factory=Instance)
    cargo: PayloadOptions = field(default_factory=PayloadOptions)
    network: bool = False
    keep: int = 3

    def __post_init__(self) -> None:
        if self.keep < 2:
            raise UsageError(f"--keep must be 2 or more, not {self.keep}: the release in use, and one to go back to")


@dataclass(slots=True)
class DeployResult:
    """What a deploy did, as far as it came.

    `service`: started, kept, waiting (for its camera), stopped (by a rollback to before it was), or none (no systemd).
    """

    host: str
    steps: StepLog
    release: str = ""
    before: str = ""
    service: str = ""
    first_line: dict[str, Any] = field(default_factory=dict)
    first_line_s: float | None = None  # since the command began
    doctor: Mapping[str, Any] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    plan: tuple[str, ...] = ()  # of a dry run

    def to_json(self, error: FerEdgeError | None = None) -> dict[str, Any]:
        """The same for programs, also where an error ended it."""
        failed = [one for one in self.doctor.get("findings", ()) if one["state"] == "fail"]
        return {
            "deploy": 1,
            "host": self.host,
            "done": error is None,
            "error": str(error) if error else None,
            "release": self.release,
            "before": self.before,
            "service": self.service,
            "first_line": self.first_line,
            "first_line_s": self.first_line_s,
            "steps": [step.to_json() for step in self.steps.taken],
            "doctor_failed": [{name: one[name] for name in ("check", "key", "what", "fix", "do")} for one in failed],
            "versions": self.doctor.get("versions"),
            "removed": list(self.removed),
            "plan": list(self.plan),
        }
