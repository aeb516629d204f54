"""The answer of `fer-edge doctor --json` on the target."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from convert.json_dataclass import JsonObject, from_json


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """A check that failed on the target: what is wrong, and the command (`fix`) or the action (`do`) that repairs it."""

    check: str
    key: str
    what: str
    fix: str
    do: str


@dataclass(frozen=True, slots=True)
class DoctorAnswer:
    """The findings that failed, and the versions of the release's packages."""

    failed: tuple[DoctorFinding, ...]
    versions: JsonObject

    @staticmethod
    def read(line: str) -> DoctorAnswer:
        """The answer in a line of JSON. Raises ValueError for anything else."""
        values: dict[str, Any] = json.loads(line)
        failed = [finding for finding in values["findings"] if finding["state"] == "fail"]
        return DoctorAnswer(tuple(from_json(DoctorFinding, finding) for finding in failed), values["versions"])
