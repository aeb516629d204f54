"""The audit of a journal: what is missing and why, and what a reader should know.

A journal is whole when each line that was written is there and each second between its first minute and its last is
accounted for: observed, unavailable, late, paused or not running. A run that was cut off counts as such, although the
lines of its last seconds are unknown: the next run's header shows how long nothing ran.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from fer_edge.events import TIME_KINDS
from fer_edge.journal.clock_correction import ClockCorrection
from fer_edge.journal.segments import DamagedLine, segment_name, segment_number, segments
from fer_edge.log.devices import Device
from fer_edge.log.event_text import counted, duration_text, event_sentence
from fer_edge.log.items import LoggedEvent, LoggedMinute, Run, UnobservedSpan
from fer_edge.log.runs import WITHIN, read_runs
from fer_edge.log.time_window import TimeZone

_SHOWN = 12  # findings of a kind in the text; JSON has all


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """Something that is missing, or worth knowing. `why` is a sentence without its full stop."""

    kind: str
    missing: bool
    why: str
    at_s: float | None = None
    lines: int = 0  # missing
    seconds: float = 0.0  # unaccounted for

    def to_json(self, zone: TimeZone) -> dict[str, Any]:
        """The finding as in `check --json`; `at` is a time of `zone`, or None."""
        at = None if self.at_s is None else zone.iso(self.at_s)
        values = {"kind": self.kind, "missing": self.missing, "at": at, "lines": self.lines, "seconds": self.seconds}
        return {**values, "why": self.why}


@dataclass(slots=True)
class JournalAudit:
    """The findings in a device's journal."""

    device: Device
    zone: TimeZone
    segments: int
    lines: int = 0
    runs: int = 0
    ended: int = 0
    from_s: float | None = None
    to_s: float | None = None
    state_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    boots: dict[str, bool] = field(default_factory=dict)  # and whether their time is known
    findings: list[AuditFinding] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return not any(finding.missing for finding in self.findings)

    @property
    def missing(self) -> str:
        """What is missing, in half a sentence."""
        gone = [finding for finding in self.findings if finding.missing]
        lines, seconds = sum(finding.lines for finding in gone), sum(finding.seconds for finding in gone)
        parts = [counted(lines, "line")] if lines else []
        parts += [f"{duration_text(seconds)} unaccounted for"] if seconds else []
        return " and ".join(parts) or "see the findings"

    def to_json(self) -> dict[str, Any]:
        """The audit as `check --json` prints it; times are those of `zone`."""
        zone = self.zone
        return {
            "device": self.device.name,
            "folder": str(self.device.folder),
            "whole": self.whole,
            "zone": str(zone),
            "from": None if self.from_s is None else zone.iso(self.from_s),
            "to": None if self.to_s is None else zone.iso(self.to_s),
            "segments": self.segments,
            "lines": self.lines,
            "runs": self.runs,
            "ended": self.ended,
            "boots": len(self.boots),
            "boots_whose_time_is_known": sum(self.boots.values()),
            "seconds": {state.replace(" ", "_"): round(s, 1) for state, s in sorted(self.state_s.items())},
            "unexplained_s": round(self.state_s.get("unexplained", 0.0), 1),
            "findings": [finding.to_json(zone) for finding in self.findings],
        }

    def text(self) -> str:
        """The audit as text."""
        span = "no minute"
        if self.from_s is not None and self.to_s is not None:
            span = f"{self.zone.short(self.from_s)} to {self.zone.short(self.to_s)}, {self.zone}"
        known = sum(self.boots.values())
        head = [
            f"{self.device.name}: {span}",
            f"  {counted(self.segments, 'segment')}, {counted(self.lines, 'line')}, {counted(self.runs, 'run')} "
            f"({self.ended} with an end), {counted(len(self.boots), 'boot')} ({known} whose time is known)",
            "  "
            + ", ".join(
                f"{state} {duration_text(s)}" for state, s in sorted(self.state_s.items(), key=_most) if s >= 0.05
            ),
        ]
        verdict = "  whole: nothing is missing" if self.whole else f"  NOT WHOLE, missing: {self.missing}"
        gone = [finding for finding in self.findings if finding.missing]
        other = [finding for finding in self.findings if not finding.missing]
        return "\n".join([*head, verdict, *self._listed("missing", gone), *self._listed("notes", other)])

    def _listed(self, title: str, findings: list[AuditFinding]) -> list[str]:
        if not findings:
            return []
        listed, kinds = [f"  {title}:"], Counter[str]()
        for finding in findings:
            kinds[finding.kind] += 1
            if kinds[finding.kind] <= _SHOWN:
                when = "" if finding.at_s is None else f"{self.zone.short(finding.at_s)}  "
                listed.append(f"    {when}{finding.kind}: {finding.why}")
        listed += [f"    … and {n - _SHOWN} more of {kind}; --json has all" for kind, n in kinds.items() if n > _SHOWN]
        return listed


def audit_journal(device: Device, zone: TimeZone) -> JournalAudit:
    """The audit of a device's journal, of which every line is read. Raises OSError."""
    calendar = ClockCorrection(device.folder)
    files = segments(device.folder)
    auditor = _Auditor(JournalAudit(device, zone, len(files)))
    numbers = [segment_number(path) for path in files]
    for segment in files:
        with suppress(FileNotFoundError):  # the running instance deleted it meanwhile
            if not segment.stat().st_size:
                why = f"{segment.name} holds no line: its run ended while it could not write any, or is just starting"
                auditor.add("empty", True, why)
    for item in read_runs(device.folder, calendar, readings=True):
        auditor.take(item)
    auditor.finish()
    for before, after in pairwise(numbers):
        gone = after - before - 1 - sum(before < number < after for number in auditor.repaired)
        if gone > 0:
            why = f"{counted(gone, 'segment')} between {segment_name(before)} and {segment_name(after)}: removed by a purge, "
            auditor.add(
                "segments", False, f"{why}by hand, or while it held no line; whether a run was in it is unknown"
            )
    for boot, known in auditor.audit.boots.items():
        if not known:
            auditor.add("clock", False, f"boot {boot}: its clock is not known to have been set; its times are a guess")
    return auditor.audit


class _Auditor:
    def __init__(self, audit: JournalAudit) -> None:
        self.audit = audit
        self._run: Run | None = None
        self._seq = -1
        self._damaged = 0  # since the last line that could be read
        self._purged = 0  # since the last line
        self._torn: int | None = None  # the place of a torn line in the findings
        self._ended = True
        self._models: set[tuple[str, ...]] = set()
        self.repaired: set[int] = set()  # the numbers of segments that were deleted, because no line was in them

    def add(
        self, kind: str, missing: bool, why: str, at_s: float | None = None, lines: int = 0, seconds: float = 0.0
    ) -> None:
        self.audit.findings.append(AuditFinding(kind, missing, why, at_s, lines, round(seconds, 1)))

    def take(self, item: Run | LoggedMinute | UnobservedSpan | LoggedEvent | DamagedLine) -> None:
        if isinstance(item, LoggedEvent):
            self._event(item)
        elif isinstance(item, LoggedMinute):
            for state in TIME_KINDS:
                self.audit.state_s[state] += item.body[f"{state}_s"]
            self._reach(item.from_s, item.to_s)
        elif isinstance(item, UnobservedSpan):
            self._span(item)
        elif isinstance(item, DamagedLine):
            self._damaged += 0 if item.newer else 1
            self._torn = len(self.audit.findings) if item.why.startswith("has no end") else None
            self.add("newer" if item.newer else "damaged", True, str(item), lines=0 if item.newer else 1)
        else:
            self._begin(item)

    def finish(self) -> None:
        """Adds the findings that need the whole journal."""
        if self._torn is not None:  # the last line: it may be being written
            torn = self.audit.findings[self._torn]
            self.audit.findings[self._torn] = AuditFinding("torn", False, torn.why)
        if not self._ended:
            self.add("open", False, "the last run has no end: it still runs, was cut off, or was copied while running")

    def _begin(self, run: Run) -> None:
        audit = self.audit
        first, self._run, self._seq, self._ended = audit.runs == 0, run, -1, False
        self._purged = 0
        audit.runs += 1
        if not run.header:
            self.add("header", True, f"{segment_name(run.number)} has no readable header", run.from_s)
        bundle = run.header.get("bundle", {})
        proved = run.header.get("verified", {}).get("proved")
        model = (str(bundle.get("sha256", "")), str(run.header.get("runtime")), str(proved))
        if run.header and model not in self._models:
            self._models.add(model)
            proof = {True: "verified", False: "not compared with float on this runtime"}.get(
                proved, "not recorded whether verified"
            )
            name = f"{bundle.get('name')} {model[0][:12]}, {model[1]}"
            self.add("model", False, f"{name}: {proof}", run.from_s)
        if not first and not run.whole:
            self.add("header", True, f"{segment_name(run.number)} begins in the middle of a run", run.from_s)

    def _event(self, item: LoggedEvent) -> None:
        event, audit = item.event, self.audit
        audit.lines += 1
        audit.boots[event.boot] = item.known
        self._torn = None
        if event.kind == "header":
            self._purged += event.body.get("purged", 0)
            if "continues" not in event.body:
                self._damaged = 0  # the torn line belongs to the previous run
            return
        self._numbers(item)
        if event.kind == "repair" and event.body.get("cut_bytes") == 0:
            self.repaired.add(segment_number(Path(str(event.body["segment"]))))
            self.add("empty", True, event_sentence(event), item.at_s)
        elif event.kind in ("clock", "repair"):
            self.add(event.kind, False, event_sentence(event), item.at_s)
        elif event.kind == "gap":
            self.add("gap", True, event_sentence(event), item.at_s, lines=sum(event.body["lost"].values()))
        elif event.kind == "end":
            audit.ended += 1
            self._ended = True

    def _numbers(self, item: LoggedEvent) -> None:
        """Checks by their numbers that the lines before this one are there."""
        event, before = item.event, self._seq
        self._seq = event.seq
        damaged, self._damaged = self._damaged, 0
        purged, self._purged = self._purged, event.body.get("purged", 0)
        if purged:
            self.add(
                "purged", False, f"{counted(purged, 'line')} before line {event.seq} removed by a purge", item.at_s
            )
        if before < 0 and self.audit.runs == 1 and event.seq > 1 + damaged and event.kind != "gap":
            why = f"with line {event.seq} of a run: older ones were deleted for their age or for space, or purged"
            self.add("begins", False, why, item.at_s)
            return
        lost = sum(event.body["lost"].values()) - 1 if event.kind == "gap" else 0
        gone = event.seq - max(before, 0) - 1 - lost - damaged - purged
        if gone > 0:
            which = f"line {event.seq - 1}" if gone == 1 else f"{gone:,} lines between {max(before, 0)} and {event.seq}"
            of = segment_name(item.run.number)
            self.add("numbers", True, f"{which} of the run that begins in {of} missing", item.at_s, lines=gone)

    def _span(self, item: UnobservedSpan) -> None:
        if item.state in WITHIN:
            return  # counted by the minutes
        self.audit.state_s[item.state] += item.seconds
        self._reach(item.from_s, item.to_s)
        length = (
            duration_text(item.seconds)
            if item.length_known
            else f"unknown length, estimated {duration_text(item.seconds)}"
        )
        missing = item.state in ("missing", "unexplained")
        self.add(item.state, missing, f"{length}: {item.why}", item.from_s, seconds=item.seconds if missing else 0.0)

    def _reach(self, from_s: float, to_s: float) -> None:
        audit = self.audit
        audit.from_s = from_s if audit.from_s is None else min(audit.from_s, from_s)
        audit.to_s = to_s if audit.to_s is None else max(audit.to_s, to_s)


def _most(pair: tuple[str, float]) -> float:
    return -pair[1]
