"""What `fer-edge doctor` can find: the lines of doctor.toml, a finding (a line with facts of this machine), all of them."""

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
    "unwell": Unhealthy,
    "not running": NotRunning,
}
_TEXTS = ("what", "why", "mend", "hand")


@dataclass(frozen=True, slots=True)
class FindingText:
    """One thing that can be found, with gaps for facts. `exit_code` is what it ends `doctor` with as the first failure."""

    state: str  # ok, note, fail or skip
    what: str
    why: str
    mend: str  # the one command that mends it
    hand: str  # what to do where no command can help
    exit_code: int


@cache
def finding_texts() -> Mapping[str, FindingText]:
    """Every line by its key, `check.case`."""
    tables = tomllib.loads((Path(__file__).with_name("doctor.toml")).read_text(encoding="utf-8"))
    made = {}
    for check, cases in tables.items():
        for case, row in cases.items():
            ends = _EXITS[row["exit"]].exit_code if "exit" in row else 0
            what, why, mend, hand = (row.get(text, "") for text in _TEXTS)
            made[f"{check}.{case}"] = FindingText(row["state"], what, why, mend, hand, ends)
    return made


@dataclass(frozen=True, slots=True)
class Finding:
    """A line that applies here. `check` is the thing that was looked at, `facts` fill the line's gaps."""

    check: str
    key: str
    facts: Mapping[str, Any]

    @property
    def line(self) -> FindingText:
        """The line, its gaps not filled."""
        return finding_texts()[self.key]

    def told(self, text: str) -> str:
        """The line's `what`, `why`, `mend` or `hand`, with the facts in it, on one line."""
        return " ".join(str(getattr(self.line, text)).format_map(self.facts).split())

    def to_json(self) -> dict[str, Any]:
        """The finding for programs."""
        return {"check": self.check, "key": self.key, "state": self.line.state, **{t: self.told(t) for t in _TEXTS}}

    def text(self) -> str:
        """The finding for people: what, and for what is not well why and how it is mended, a line each."""
        state = self.line.state.upper() if self.line.state == FAIL else self.line.state
        told = [f"{state:<5} {self.check:<10} {self.told('what')}"]
        for word, text in (("why", "why"), ("mend", "mend"), ("do", "hand")):
            if said := self.told(text):
                told.append(f"{'':16} {word}: {said}")
        return "\n".join(told)


def make_finding(key: str, check: str | None = None, **facts: Any) -> Finding:
    """The finding of that key; its check is the key's first part where none is given."""
    return Finding(check or key.partition(".")[0], key, facts)


def root_cause(error: BaseException) -> str:
    """Why a package failed, in one line: the last one of the error that began it; numpy writes a page before that."""
    while error.__cause__ is not None:
        error = error.__cause__
    said = str(error).strip().splitlines()
    return said[-1] if said else type(error).__name__


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What was found, in order, and the versions of what was there."""

    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """That of the first failure; 0 without one."""
        return next((one.line.exit_code for one in self.findings if one.line.state == FAIL), EXIT_DONE)

    @property
    def verdict(self) -> str:
        """The whole in one sentence."""
        states = Counter(one.line.state for one in self.findings)
        notes = f", {states[NOTE]} to know of" if states[NOTE] else ""
        if not states[FAIL]:
            return f"{states.total()} checks, none failed{notes}"
        first = next(one for one in self.findings if one.line.state == FAIL)
        return (
            f"{states[FAIL]} of {states.total()} checks failed{notes}; begin with {first.check}: {first.told('what')}"
        )

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        told = {one.key: one.facts for one in self.findings}
        asked = {"python": "version", "numpy": "version", "opencv": "version", "runtime": "runtime", "bundle": "sha256"}
        versions = {name: told.get(f"{name}.ok", {}).get(fact) for name, fact in asked.items()}
        return {
            "doctor": 1,
            "healthy": self.exit_code == EXIT_DONE,
            "exit_code": self.exit_code,
            "versions": {"fer_edge": __version__, **versions},
            "findings": [one.to_json() for one in self.findings],
        }


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What a check that runs something looks at: a run's settings, for how long its camera, and the root of the system."""

    settings: Settings
    look_s: float
    root: Path
