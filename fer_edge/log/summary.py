"""The summary of a journal: sums of each hour or day and of all of it, and how reliable they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fer_edge.journal.clock_correction import ClockCorrection
from fer_edge.journal.segments import DamagedLine
from fer_edge.log.aggregation import Periods, PeriodSums
from fer_edge.log.devices import Device
from fer_edge.log.items import LoggedEvent, LoggedMinute, Run, UnobservedSpan
from fer_edge.log.runs import BETWEEN, read_runs
from fer_edge.log.time_window import TimeWindow


@dataclass(slots=True)
class ModelUse:
    """A model in some of the runs, and the result of its comparison with its golden vectors."""

    bundle: str
    sha256: str
    runtime: str
    detector: str
    software: str
    proved: bool | None  # None: not recorded
    compared_with: str
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "bundle": self.bundle,
            "sha256": self.sha256,
            "runtime": self.runtime,
            "detector": self.detector,
            "software": self.software,
            "verified": self.proved,
            "compared_with": self.compared_with,
            "seconds": round(self.seconds, 1),
        }


@dataclass(slots=True)
class Trust:
    """How reliable the sums are."""

    models: dict[tuple[Any, ...], ModelUse] = field(default_factory=dict)
    boots: set[str] = field(default_factory=set)
    starts: int = 0  # of runs, in the selected time
    cut_off: int = 0  # runs without an end that another followed
    clock_steps: int = 0
    recorded: int = 0  # runs over a recording
    lines_lost: int = 0  # by the journal's own gap lines
    damaged: int = 0  # lines, of the whole journal
    camera_losses: int = 0
    trouble_s: defaultdict[str, float] = field(
        default_factory=lambda: defaultdict(float)
    )  # by name: undervoltage, throttled, …
    hottest_c: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "models": [model.to_json() for model in self.models.values()],
            "boots": len(self.boots),
            "starts": self.starts,
            "cut_off": self.cut_off,
            "clock_steps": self.clock_steps,
            "recorded": self.recorded,
            "lines_lost": self.lines_lost,
            "damaged_lines": self.damaged,
            "camera_losses": self.camera_losses,
            "trouble_s": {name: round(seconds, 1) for name, seconds in sorted(self.trouble_s.items())},
            "hottest_c": self.hottest_c,
        }


@dataclass(slots=True)
class Summary:
    """A device's sums: of the selected time, and of each period of it, in order; and its blind spans, in order."""

    device: Device
    window: TimeWindow
    whole: PeriodSums
    parts: list[PeriodSums]
    trust: Trust
    blind: list[UnobservedSpan]

    def to_json(self) -> dict[str, Any]:
        zone = self.window.zone
        return {
            "device": self.device.name,
            "zone": str(zone),
            **self.whole.to_json(zone),
            "trust": self.trust.to_json(),
            "parts": [part.to_json(zone) for part in self.parts],
        }


def summarise(
    device: Device,
    window: TimeWindow,
    by: str | float = "whole",
    report_damage: Callable[[DamagedLine], None] | None = None,
) -> Summary | None:
    """The summary of a device's journal in the window; None when it has no lines of that time. Raises OSError.

    `report_damage` is called with each line that cannot be read.
    """
    summation = _Summation(window, Periods("whole", window.zone), Periods(by, window.zone) if by != "whole" else None)
    for item in read_runs(device.folder, ClockCorrection(device.folder)):
        if isinstance(item, DamagedLine):
            summation.trust.damaged += 1
            if report_damage is not None:
                report_damage(item)
        else:
            summation.take(item)
    summation.troubles(set(), summation.last_s)
    if not summation.whole.sums or summation.first_s > summation.last_seen_s:
        return None
    (whole,) = summation.whole.sums.values()
    whole.from_s, whole.to_s = summation.first_s, summation.last_seen_s
    parts = [] if summation.parts is None else [summation.parts.sums[key] for key in sorted(summation.parts.sums)]
    blind = sorted(summation.blind, key=lambda span: (span.from_s, span.to_s))
    return Summary(device, window, whole, parts, summation.trust, blind)


class _Summation:
    def __init__(self, window: TimeWindow, whole: Periods, parts: Periods | None) -> None:
        self.trust, self.blind = Trust(), list[UnobservedSpan]()
        self.whole, self.parts = whole, parts
        self.first_s, self.last_seen_s, self.last_s = float("inf"), float("-inf"), 0.0
        self._window = window
        self._buckets = [whole] if parts is None else [whole, parts]
        self._trouble: dict[str, float] = {}  # name: since when

    def take(self, item: Run | LoggedMinute | UnobservedSpan | LoggedEvent) -> None:
        if isinstance(item, LoggedMinute):
            self._minute(item)
        elif isinstance(item, LoggedEvent):
            self._event(item)
        elif isinstance(item, UnobservedSpan):
            self._span(item)
        else:
            self.troubles(set(), self.last_s)
            if self._window.holds(item.from_s):
                self.trust.starts += item.whole
                self.trust.recorded += not item.live

    def troubles(self, now: set[str], at_s: float) -> None:
        """Sets the machine's troubles from `at_s` on."""
        for name in [name for name in self._trouble if name not in now]:
            since_s = self._trouble.pop(name)
            self.trust.trouble_s[name] += sum(b - a for a, b in self._window.pieces(since_s, at_s))
        for name in now:
            self._trouble.setdefault(name, at_s)

    def _minute(self, item: LoggedMinute) -> None:
        body, run = item.body, item.run
        length_s = item.to_s - item.from_s
        self.last_s = item.to_s
        for from_s, to_s in self._window.pieces(item.from_s, item.to_s):
            self._seen(from_s, to_s)
            for buckets in self._buckets:
                at_s = from_s
                for sums, seconds in buckets.parts(from_s, to_s):
                    sums.minute(body, seconds / length_s, at_s == item.from_s, item.known)
                    at_s += seconds
            self.trust.boots.add(run.boot)
            self._model(run).seconds += to_s - from_s

    def _span(self, item: UnobservedSpan) -> None:
        if self._window.holds(item.from_s, item.to_s):
            self.blind.append(item)
            self.trust.cut_off += item.state == "cut off"
        if item.state not in BETWEEN:
            return  # counted by a minute
        for from_s, to_s in self._window.pieces(item.from_s, item.to_s):
            self._seen(from_s, to_s)
            for buckets in self._buckets:
                for sums, seconds in buckets.parts(from_s, to_s):
                    sums.state_s[item.state] += seconds
                    sums.doubtful_s += 0.0 if item.known else seconds

    def _event(self, item: LoggedEvent) -> None:
        event, at_s = item.event, item.at_s
        body = event.body
        if event.kind == "episode":
            from_s = at_s - event.mono_s + body["start_mono_s"]
            if self._window.holds(from_s):
                for buckets in self._buckets:
                    for sums, _ in buckets.parts(from_s, from_s):
                        sums.episode(body, item.run.labels)
        elif event.kind == "health":
            now = set(body.get("throttled_now") or ())
            self.troubles(now | {"undervoltage"} if body.get("undervoltage") else now, at_s)
        if event.kind in ("health", "clock", "gap", "camera") and self._window.holds(at_s):
            self._trust(event.kind, body)

    def _trust(self, kind: str, body: dict[str, Any]) -> None:
        trust = self.trust
        trust.clock_steps += kind == "clock"
        if kind == "gap":
            trust.lines_lost += sum(body["lost"].values())
        elif kind == "camera":
            trust.camera_losses += body["state"] in ("lost", "waiting")
        elif kind == "health" and (degrees := body.get("temperature_c")) is not None:
            trust.hottest_c = degrees if trust.hottest_c is None else max(trust.hottest_c, degrees)

    def _seen(self, from_s: float, to_s: float) -> None:
        self.first_s, self.last_seen_s = min(self.first_s, from_s), max(self.last_seen_s, to_s)

    def _model(self, run: Run) -> ModelUse:
        header = run.header
        bundle, verified = header.get("bundle", {}), header.get("verified", {})
        key = (
            bundle.get("name", "unknown"),
            bundle.get("sha256", ""),
            header.get("runtime", "unknown"),
            header.get("detector", "unknown"),
            header.get("software", "unknown"),
            verified.get("proved"),
            verified.get("compared_with", ""),
        )
        return self.trust.models.setdefault(key, ModelUse(*key))
