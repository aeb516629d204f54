"""Periods: hours, days or other equal lengths of time, and the sums of each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from math import inf
from typing import Any

from fer_edge.errors import UsageError
from fer_edge.event_bodies import probability_of
from fer_edge.events import TIME_KINDS, UNSURE
from fer_edge.log.runs import BETWEEN
from fer_edge.log.time_window import TimeZone, midnight_s

_MOST_PERIODS = 100_000  # eleven years of hours
STATES = (*TIME_KINDS, *BETWEEN)  # every second is one of these


@dataclass(slots=True)
class PeriodSums:
    """The sums of a period. The seconds of a minute that lies in two periods are split; its counts go to the first.

    `labels_s` are seconds of faces, two faces at once counting twice, `unsure` among them; `unsure_s` the same by reason.
    """

    from_s: float
    to_s: float
    state_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    face_s: float = 0.0
    labels_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    unsure_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    faces_max: int = 0
    counts: Counter[str] = field(default_factory=Counter)  # read, processed, idle, skipped, minutes
    drops: Counter[str] = field(default_factory=Counter)
    episodes: Counter[str] = field(default_factory=Counter)  # by label, where they begin
    frames: Counter[str] = field(default_factory=Counter)  # of those
    p: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))  # probability of the label × frames
    quality: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))  # × frames
    quality_frames: Counter[str] = field(default_factory=Counter)
    doubtful_s: float = 0.0  # whose time is not known

    @property
    def total_s(self) -> float:
        """All seconds, observed or not."""
        return sum(self.state_s.values())

    @property
    def blind_s(self) -> float:
        """Seconds without observation, for any reason."""
        return self.total_s - self.state_s["observed"]

    def share(self, label: str) -> float | None:
        """The label's share of the seconds of faces; None without faces."""
        faces_s = sum(self.labels_s.values())
        return self.labels_s.get(label, 0.0) / faces_s if faces_s else None

    @property
    def presence(self) -> float | None:
        """The share of the observed time with a face; None where nothing was observed."""
        observed_s = self.state_s["observed"]
        return self.face_s / observed_s if observed_s else None

    def mean_p(self, label: str | None = None) -> float | None:
        """The mean probability of the label that an episode showed, over its frames; of all labels without one."""
        frames = self.frames.total() if label is None else self.frames[label]
        return (sum(self.p.values()) if label is None else self.p.get(label, 0.0)) / frames if frames else None

    def mean_quality(self, label: str | None = None) -> float | None:
        """The same of the faces' quality."""
        frames = self.quality_frames.total() if label is None else self.quality_frames[label]
        total = sum(self.quality.values()) if label is None else self.quality.get(label, 0.0)
        return total / frames if frames else None

    def minute(self, body: dict[str, Any], part: float, begins: bool, known: bool) -> None:
        """Adds the part (0 to 1) of a tally, and its counts where it begins in this period."""
        for state in TIME_KINDS:
            self.state_s[state] += part * body[f"{state}_s"]
        self.face_s += part * body["face_s"]
        for label, seconds in body["labels_s"].items():
            self.labels_s[label] += part * seconds
        for why, seconds in body.get("unsure_s", {}).items():
            self.unsure_s[why] += part * seconds
        if not known:
            self.doubtful_s += part * body["seconds"]
        if begins:
            frames = body.get("frames", {})
            self.counts["minutes"] += 1
            self.counts["read"] += frames.get("read", 0)
            self.counts["processed"] += frames.get("processed", 0)
            self.counts["idle"] += body.get("frames_idle", 0)
            self.counts["skipped"] += body.get("faces_skipped", 0)
            self.drops.update(body.get("drops", {}))
        self.faces_max = max(self.faces_max, body["faces_max"])

    def episode(self, body: dict[str, Any], labels: tuple[str, ...]) -> None:
        """Adds an episode."""
        label, frames = body["label"], body["frames"]
        self.episodes[label] += 1
        self.frames[label] += frames
        self.p[label] += frames * probability_of(label, body["p"], labels)
        if (quality := body.get("quality")) is not None:
            self.quality[label] += frames * quality
            self.quality_frames[label] += frames

    def to_json(self, zone: TimeZone) -> dict[str, Any]:
        """The sums as JSON values, with shares and means."""
        labels = sorted(self.labels_s.keys() | self.episodes.keys())
        return {
            "from": zone.iso(self.from_s),
            "to": zone.iso(self.to_s),
            "seconds": _s(self.total_s),
            **{f"{state.replace(' ', '_')}_s": _s(self.state_s.get(state, 0.0)) for state in STATES},
            "blind_s": _s(self.blind_s),
            "face_s": _s(self.face_s),
            "presence": _share(self.presence),
            "labels_s": {label: _s(self.labels_s.get(label, 0.0)) for label in labels},
            "shares": {label: _share(self.share(label)) for label in labels},
            "unsure": _share(self.share(UNSURE)),
            "unsure_s": {why: _s(seconds) for why, seconds in sorted(self.unsure_s.items())},
            "p": {label: _share(self.mean_p(label)) for label in labels if self.frames[label]},
            "mean_p": _share(self.mean_p()),
            "quality": _share(self.mean_quality()),
            "episodes": dict(sorted(self.episodes.items())),
            "faces_max": self.faces_max,
            "faces_skipped": self.counts["skipped"],
            "frames": {name: self.counts[name] for name in ("read", "processed", "idle")},
            "drops": dict(sorted(self.drops.items())),
            "time_doubtful_s": _s(self.doubtful_s),
        }


def _s(seconds: float) -> float:
    return round(seconds, 1)


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


class Periods:
    """Consecutive periods: `hour` or `day` of the time zone, `whole`, or a number of seconds."""

    def __init__(self, by: str | float, zone: TimeZone) -> None:
        self.sums: dict[float, PeriodSums] = {}
        self._by, self._zone = by, zone
        self._last = (inf, -inf)

    def parts(self, from_s: float, to_s: float) -> Iterator[tuple[PeriodSums, float]]:
        """The sums of each period that the span touches, and the seconds of the span in it."""
        while True:
            start_s, end_s = self._last if self._last[0] <= from_s < self._last[1] else self._edges(from_s)
            self._last = (start_s, end_s)
            sums = self.sums.get(start_s)
            if sums is None:
                if len(self.sums) >= _MOST_PERIODS:
                    raise UsageError(
                        f"the journal spans more than {_MOST_PERIODS:,} periods; give --since and --until, or longer periods"
                    )
                sums = self.sums[start_s] = PeriodSums(start_s, end_s)
            yield sums, min(to_s, end_s) - from_s
            if to_s <= end_s:
                return
            from_s = end_s

    def _edges(self, at_s: float) -> tuple[float, float]:
        if self._by == "whole":
            return -inf, inf
        if self._by == "day":
            day = self._zone.at(at_s).date()
            return midnight_s(day, self._zone), midnight_s(day + timedelta(days=1), self._zone)
        width_s = 3600.0 if self._by == "hour" else float(self._by)
        offset = self._zone.at(at_s).utcoffset()
        offset_s = offset.total_seconds() if offset else 0.0
        start_s = at_s - (at_s + offset_s) % width_s
        return start_s, start_s + width_s
