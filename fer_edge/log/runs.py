"""A journal as a sequence: its runs, its minutes, and the times without observation, each with its state and reason.

within the minutes     unavailable (no camera), late (frames came too late), paused
between two minutes    stopped (a run had ended), cut off (it has no end: a crash or a power cut),
                       missing (lines about it, for a reason that the journal gives), unexplained
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from fer_edge.event_bodies import missing_fields
from fer_edge.events import KINDS, Event
from fer_edge.journal.clock_correction import ClockCorrection, read_with_segments
from fer_edge.journal.segments import DamagedLine, segment_number
from fer_edge.log.items import LoggedEvent, LoggedMinute, LogItem, Run, UnobservedSpan

WITHIN = ("unavailable", "late", "paused")
BETWEEN = ("stopped", "cut off", "missing", "unexplained")
_ROUNDING_S = 1.0  # less than that between two minutes is rounding; no frame is late by less
_KINDS = KINDS.keys() - {"reading"}
_OBSERVATION_KINDS = {"tally", "gap", "camera", "pause", "resume", "end"}  # about observation, or the lack of it


def read_runs(folder: Path, calendar: ClockCorrection, readings: bool = False) -> Iterator[LogItem]:
    """The journal in `folder` in the order of its lines; a span follows when it is over, `late` ones with their run.

    Readings are left out unless `readings` is true. Raises OSError.
    """
    reader = _Reader(calendar)
    for segment, item in read_with_segments(folder, None if readings else _KINDS):
        if isinstance(item, Event) and (missing := missing_fields(item.kind, item.body)):
            item = DamagedLine(segment.name, 0, f"the {item.kind} with seq {item.seq} lacks {missing}")  # noqa: PLW2901
        if isinstance(item, DamagedLine):
            reader.note_damage(item)
            yield item
            continue
        reader.enter(segment.name)
        if (moment := reader.plain(item)) is not None:
            yield moment
        else:
            yield from reader.take(segment, item)
        reader.unread = ""
    yield from reader.close()


@dataclass(slots=True)
class _State:
    """The state of the current run; times in its boot's seconds."""

    run: Run
    start_s: float  # its first moment
    upto_s: float  # the end of its last minute: every second until then is accounted for
    last_seq: int = -1
    last_s: float = 0.0  # of its last line
    end: dict[str, Any] | None = None  # the body of its last line
    end_s: float | None = None  # of that line: of a recording, which has a time of its own, others may be later
    lost: str = ""  # the reason why lines since the last minute are missing
    purged: bool = False  # lines since the last minute were removed: nothing of their time counts as missing
    away: tuple[str, float, str] | None = None  # state, since, why
    spans: list[tuple[str, float, float, str]] = field(default_factory=list)
    partly: list[tuple[float, float, float]] = field(default_factory=list)  # minutes with some time without frames


class _Reader:
    def __init__(self, calendar: ClockCorrection) -> None:
        self.damage = ""  # since the last minute
        self.unread = ""  # the damage of a segment since the last event of which no event can be read
        self._unread_segment = ""
        self._segment = ""  # the one of the last event
        self._calendar = calendar
        self._now: _State | None = None

    def note_damage(self, item: DamagedLine) -> None:
        """Takes a line into account that cannot be read."""
        self.damage = f"{item.segment}, line {item.number} cannot be read" if item.number else str(item)
        if item.segment != self._segment and not self.unread:
            self._unread_segment = item.segment
            self.unread = str(item) if item.newer else f"{item.segment} cannot be read"

    def enter(self, segment: str) -> None:
        """Takes into account that an event of this segment can be read."""
        if segment != self._segment:
            self._segment = segment
            if segment == self._unread_segment:
                self.unread = ""

    def plain(self, event: Event) -> LoggedEvent | None:
        """The logged event, where it only continues a run, as nine in ten do; else None: `take` handles it."""
        now = self._now
        if now is None or event.kind in _OBSERVATION_KINDS or event.kind == "header":
            return None
        if event.boot != now.run.boot or not 0 <= now.last_seq < event.seq:
            return None
        now.last_seq = event.seq
        now.last_s = max(now.last_s, event.mono_s)
        now.purged = now.purged or "purged" in event.body
        return LoggedEvent(*self._calendar.moment(event.boot, event.mono_s), event, now.run)

    def take(self, segment: Path, event: Event) -> Iterator[LogItem]:
        if event.boot not in self._calendar:
            self._calendar.learn(event)
        now, header = self._now, event.kind == "header"
        if now is None or (
            "continues" not in event.body if header else event.boot != now.run.boot or event.seq <= now.last_seq
        ):
            yield from self._between(event)
            now = self._begin(segment, event)
            yield now.run
        elif header and not now.run.header:
            now.run.header = event.body
        at_s, known = self._calendar.moment(event.boot, event.mono_s)
        yield LoggedEvent(at_s, known, event, now.run)
        now.last_s = max(now.last_s, event.mono_s)
        if header:
            now.purged = now.purged or "purged" in event.body
            return
        if now.last_seq < 0 and event.seq > 1 and event.kind != "gap":
            now.run.whole = False  # the lines after its header were purged
        if now.last_seq < 0 and not now.run.whole:
            now.purged = True
            self._begin_at(now, event.mono_s)
        now.last_seq = event.seq
        if event.kind in _OBSERVATION_KINDS:
            yield from self._note(now, event)
        now.purged = now.purged or "purged" in event.body

    def close(self) -> Iterator[LogItem]:
        """What remains at the end of the journal. A run without an end may still be running: nothing follows it."""
        if self._now is not None:
            yield from self._finish(self._now)

    def _begin(self, segment: Path, event: Event) -> _State:
        header = event.body if event.kind == "header" else {}
        whole = event.kind == "header" and "continues" not in event.body
        at_s, known = self._calendar.moment(event.boot, event.mono_s)
        run = Run(segment_number(segment), header, event.boot, at_s, known, whole)
        now = self._now = _State(run, event.mono_s, event.mono_s, last_s=event.mono_s)
        self.damage = ""
        return now

    def _note(self, now: _State, event: Event) -> Iterator[LogItem]:
        body, at_s = event.body, event.mono_s
        if event.kind == "tally":
            yield from self._minute(now, body, at_s)
        elif event.kind == "gap":
            now.lost = f"{sum(body['lost'].values())} lines were lost: {body['reason']}"
            if body["lost"].get("end"):
                now.end = {"reason": f"it ended, and its last line was lost: {body['reason']}"}
        elif event.kind == "camera":
            self._away(now, None, at_s)
            if body["state"] in ("lost", "waiting"):
                since_s = max(now.start_s, at_s - float(body.get("gap_s") or 0.0))
                self._away(now, ("unavailable", since_s, f"camera: {body.get('reason', body['state'])}"), at_s)
        elif event.kind == "pause":
            self._away(now, ("paused", at_s, str(body.get("by", "paused"))), at_s)
        elif event.kind in ("resume", "end"):
            self._away(now, None, at_s)
        if event.kind == "end":
            now.end, now.end_s = body, at_s

    def _away(self, now: _State, away: tuple[str, float, str] | None, at_s: float) -> None:
        if now.away is not None and at_s > now.away[1]:
            state, since_s, why = now.away
            now.spans.append((state, since_s, at_s, why))
        now.away = away

    def _minute(self, now: _State, body: dict[str, Any], line_s: float) -> Iterator[LogItem]:
        from_s = float(body["from_mono_s"])
        to_s = from_s + float(body["seconds"])
        if now.upto_s == now.start_s and not now.run.whole:
            self._begin_at(now, from_s)
        elif now.upto_s == now.start_s and from_s < now.start_s:
            now.start_s = now.upto_s = from_s  # the camera was opened before the header was written
        yield from self._hole(now, from_s)
        offset_s, known = self._calendar.moment(now.run.boot, 0.0)
        now.upto_s = max(now.upto_s, to_s)
        now.lost = self.damage = ""
        now.purged = False
        if float(body["unavailable_s"]) > 0.0:
            now.partly.append((from_s, to_s, float(body["unavailable_s"])))
        yield LoggedMinute(from_s + offset_s, to_s + offset_s, known, body, now.run, line_s)

    def _begin_at(self, now: _State, mono_s: float) -> None:
        """What remains of a run begins then: its older lines were removed, and nothing of them counts as missing."""
        now.start_s = now.upto_s = mono_s
        now.run.from_s, _ = self._calendar.moment(now.run.boot, mono_s)

    def _hole(self, now: _State, to_s: float) -> Iterator[UnobservedSpan]:
        """The time since the last minute, if there should be a minute about it."""
        if to_s - now.upto_s > _ROUNDING_S and not now.purged:
            why = now.lost or self.damage
            state = "missing" if why else "unexplained"
            yield self._span(now, state, now.upto_s, to_s, why or "no line is about it")

    def _between(self, event: Event) -> Iterator[LogItem]:
        """The rest of the run before this event, the first of another run, and the time between the two."""
        before = self._now
        if before is None:
            return
        yield from self._finish(before, followed=True)
        start_s, start_known = self._calendar.moment(event.boot, event.mono_s)
        from_s, known = self._calendar.moment(before.run.boot, before.upto_s)
        same = before.run.boot == event.boot
        if start_s <= from_s:
            return  # the previous run was a recording, whose time reached further
        if before.end is not None:
            state, why = "stopped", str(before.end.get("reason", "it ended"))
        else:
            state = "cut off"
            why = "the process ended without an end line" if same else "the machine restarted without an end line"
        if self.unread:
            state, why = "missing", self.unread
        known = known and start_known
        seconds, length_known = start_s - from_s, same or known
        yield UnobservedSpan(state, from_s, start_s, seconds, known, why, before.run, before.upto_s, length_known)

    def _finish(self, now: _State, followed: bool = False) -> Iterator[LogItem]:
        """The spans of a run. What follows a run without an end begins with its last minute: it has no span beyond."""
        last_s = now.last_s if now.end_s is None else now.end_s
        if now.end is not None:
            yield from self._hole(now, last_s)
            now.upto_s = max(now.upto_s, last_s)
        self._away(now, None, max(last_s, now.upto_s))
        limit_s = now.upto_s if followed and now.end is None else inf
        for state, from_s, to_s, why in now.spans:
            if from_s < limit_s:
                yield self._span(now, state, from_s, min(to_s, limit_s), why)
        yield from self._late(now)

    def _late(self, now: _State) -> Iterator[UnobservedSpan]:
        """The time without frames, minute by minute, that no camera event explains."""
        away = [(from_s, to_s) for state, from_s, to_s, _ in now.spans if state == "unavailable"]
        first, joined = 0, None
        for from_s, to_s, unavailable_s in now.partly:
            seconds = unavailable_s
            while first < len(away) and away[first][1] <= from_s:
                first += 1
            for other in away[first:]:
                if other[0] >= to_s:
                    break
                seconds -= min(to_s, other[1]) - max(from_s, other[0])
            if seconds <= _ROUNDING_S:
                continue
            if joined is not None and from_s - joined[1] < _ROUNDING_S:
                joined = (joined[0], to_s, joined[2] + seconds)
                continue
            if joined is not None:
                yield self._span(now, "late", joined[0], joined[1], "frames came late, or none", joined[2])
            joined = (from_s, to_s, seconds)
        if joined is not None:
            yield self._span(now, "late", joined[0], joined[1], "frames came late, or none", joined[2])

    def _span(
        self, now: _State, state: str, from_s: float, to_s: float, why: str, seconds: float | None = None
    ) -> UnobservedSpan:
        offset_s, known = self._calendar.moment(now.run.boot, 0.0)
        length_s = to_s - from_s if seconds is None else seconds
        return UnobservedSpan(state, from_s + offset_s, to_s + offset_s, length_s, known, why, now.run, from_s)
