"""What `fer-edge doctor` can find: the texts of doctor.toml, a finding (a text with facts of this machine), the report."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from device.config import Settings
from fer_edge import __version__
from fer_edge.errors import EXIT_DONE, BundleRefused, CameraNotOpened, NotRunning, Unhealthy, UsageError

OK, NOTE, FAIL, SKIP = "ok", "note", "fail", "skip"
_EXITS = {
    "usage": UsageError,
    "camera": CameraNotOpened,
    "bundle": BundleRefused,
    "unhealthy": Unhealthy,
    "not running": NotRunning,
}
_PARTS = ("what", "why", "fix", "do")
Fact = str | int | float


@dataclass(frozen=True, slots=True)
class FindingText:
    """One entry of doctor.toml, with placeholders for facts. `exit_code` is that of `doctor` if this is the first failure."""

    state: str  # ok, note, fail or skip
    what: str
    why: str
    fix: str  # the one command that solves it
    do: str  # what to do when no command can solve it
    exit_code: int


@cache
def finding_texts() -> Mapping[str, FindingText]:
    """Every entry of doctor.toml by its key, `check.case`."""
    tables = tomllib.loads((Path(__file__).with_name("doctor.toml")).read_text(encoding="utf-8"))
    texts = {}
    for check, cases in tables.items():
        for case, row in cases.items():
            exit_code = _EXITS[row["exit"]].exit_code if "exit" in row else 0
            what, why, fix, do = (row.get(part, "") for part in _PARTS)
            texts[f"{check}.{case}"] = FindingText(row["state"], what, why, fix, do, exit_code)
    return texts


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check on this machine. `check` names what was checked, `facts` fill the text's placeholders."""

    check: str
    key: str
    facts: Mapping[str, Fact]

    @property
    def text(self) -> FindingText:
        """The entry of doctor.toml, placeholders not filled."""
        return finding_texts()[self.key]

    def filled(self, part: str) -> str:
        """The text's `what`, `why`, `fix` or `do`, with the facts in it, on one line."""
        return " ".join(str(getattr(self.text, part)).format_map(self.facts).split())

    def to_json(self) -> dict[str, Any]:
        """The finding as `fer-edge doctor --json` prints it."""
        return {
            "check": self.check,
            "key": self.key,
            "state": self.text.state,
            **{part: self.filled(part) for part in _PARTS},
        }

    def lines(self) -> str:
        """The finding as `fer-edge doctor` prints it: one line, and for a problem why it matters and what to do."""
        state = self.text.state.upper() if self.text.state == FAIL else self.text.state
        lines = [f"{state:<5} {self.check:<10} {self.filled('what')}"]
        details = ((part, self.filled(part)) for part in ("why", "fix", "do"))
        lines += [f"{'':16} {part}: {sentence}" for part, sentence in details if sentence]
        return "\n".join(lines)


def make_finding(key: str, check: str | None = None, **facts: object) -> Finding:
    """The finding with that key. `check` defaults to the key's first part; facts other than numbers become text."""
    plain = {name: value if isinstance(value, int | float) else str(value) for name, value in facts.items()}
    return Finding(check or key.partition(".")[0], key, plain)


def root_cause(error: BaseException) -> str:
    """Why a package failed, in one line: the last line of the first error; numpy prints a page before it."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All findings in order."""

    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """The exit code of the first failure; 0 without one."""
        return next((finding.text.exit_code for finding in self.findings if finding.text.state == FAIL), EXIT_DONE)

    @property
    def verdict(self) -> str:
        """The whole report in one sentence."""
        states = Counter(finding.text.state for finding in self.findings)
        notes = f", {states[NOTE]} to note" if states[NOTE] else ""
        if not states[FAIL]:
            return f"{states.total()} checks, none failed{notes}"
        first = next(finding for finding in self.findings if finding.text.state == FAIL)
        return f"{states[FAIL]} of {states.total()} checks failed{notes}; begin with {first.check}"

    def to_json(self) -> dict[str, Any]:
        """The report as `fer-edge doctor --json` prints it."""
        facts = {finding.key: finding.facts for finding in self.findings}
        shown = {"python": "version", "numpy": "version", "opencv": "version", "runtime": "runtime", "bundle": "sha256"}
        versions = {name: facts.get(f"{name}.ok", {}).get(fact) for name, fact in shown.items()}
        return {
            "doctor": 1,
            "healthy": self.exit_code == EXIT_DONE,
            "exit_code": self.exit_code,
            "versions": {"fer_edge": __version__, **versions},
            "findings": [finding.to_json() for finding in self.findings],
        }


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What a check in the subprocess gets: a run's settings, how long to watch the camera, and the root of system files."""

    settings: Settings
    camera_trial_s: float  # 0: one frame is enough
    root: Path
