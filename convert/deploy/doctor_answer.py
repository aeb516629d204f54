"""The answer of `fer-edge doctor --json` on the target."""

from __future__ import annotations

from dataclasses import dataclass

from convert.json_dataclass import JsonObject
from fer_edge.errors import UsageError
from fer_edge.json_fields import JsonFields, parse_json


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
        """The answer in a line of JSON. Raises ValueError for a line that is none, UsageError for another answer."""
        fields = JsonFields.of(parse_json(line), "the doctor's answer", UsageError, "update the target")
        found = fields.objects("findings")
        failed = tuple(
            DoctorFinding(*(finding.any_text(name) for name in DoctorFinding.__dataclass_fields__))
            for finding in found
            if finding.text("state") == "fail"
        )
        return DoctorAnswer(failed, fields.object("versions").values)
