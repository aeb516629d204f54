"""Moments as people write them (ages, local time, UTC), and windows of time, also of each day."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from math import inf

from fer_edge.errors import UsageError
from fer_edge.journal.clock_correction import Uptime

_UNITS = {"d": "days", "h": "hours", "min": "minutes", "s": "seconds"}


def parse_moment(text: str, now: datetime, utc: bool = False) -> datetime | Uptime:
    """The moment that `text` names. Raises UsageError for any other text.

    `2026-01-31` or `2026-01-31T12:00` (local time, or UTC with `utc`, unless it has a zone), `30d`, `12h`, `15min` or
    `90s` before `now`, or `BOOT:SECONDS`: a boot's id, as each line has it, and seconds since that boot.
    """
    try:
        if match := re.fullmatch(r"(\d{1,6})(d|h|min|s)", text):
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        if match := re.fullmatch(r"([0-9a-f-]{36}):(\d{1,12}(?:\.\d+)?)", text):
            return Uptime(match[1], float(match[2]))
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if utc and moment.tzinfo is None else moment.astimezone()
    except (ValueError, OverflowError) as error:
        forms = "2026-01-31, 2026-01-31T12:00, 30d, 12h, 15min or BOOT:SECONDS"
        raise UsageError(f"“{text}” is not a moment; give {forms}") from error


@dataclass(frozen=True, slots=True)
class TimeZone:
    """The zone of times in arguments and output: this machine's, or UTC."""

    utc: bool = False

    @property
    def tz(self) -> tzinfo | None:
        """UTC, or None, which `datetime` takes for the machine's zone."""
        return UTC if self.utc else None

    def now(self) -> datetime:
        """The time of this machine, with its zone."""
        return datetime.now(UTC) if self.utc else datetime.now().astimezone()

    def at(self, posix_s: float) -> datetime:
        """The moment, with its zone."""
        return datetime.fromtimestamp(posix_s, UTC) if self.utc else datetime.fromtimestamp(posix_s).astimezone()

    def iso(self, posix_s: float) -> str:
        """The moment in ISO 8601 with milliseconds and its offset."""
        text = self.at(posix_s).isoformat(timespec="milliseconds")
        return text.replace("+00:00", "Z") if self.utc else text

    def short(self, posix_s: float) -> str:
        """The moment for tables, to the second."""
        return self.at(posix_s).strftime("%Y-%m-%d %H:%M:%S")

    def __str__(self) -> str:
        if self.utc:
            return "UTC"
        offset = datetime.now().astimezone().strftime("%z")
        return f"local time (now UTC{offset[:3]}:{offset[3:]})"


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """The selected time: from one POSIX second to another, and only a part of each day in `zone`, if one is given.

    A part that ends before it begins crosses midnight.
    """

    since_s: float = -inf
    until_s: float = inf
    daily: tuple[time, time] | None = None
    zone: TimeZone = TimeZone()

    @staticmethod
    def of(since: str | None, until: str | None, between: str | None, zone: TimeZone) -> TimeWindow:
        """The window that the three texts name. Raises UsageError when one of them is not a time."""
        since_s = -inf if since is None else _posix_s(since, zone)
        until_s = inf if until is None else _posix_s(until, zone)
        if since_s >= until_s:
            raise UsageError(f"--since {since} is not before --until {until}; exchange them")
        return TimeWindow(since_s, until_s, None if between is None else _daily(between), zone)

    def pieces(self, from_s: float, to_s: float) -> list[tuple[float, float]]:
        """The parts of a span that lie in the window, in order."""
        from_s, to_s = max(from_s, self.since_s), min(to_s, self.until_s)
        if from_s >= to_s:
            return []
        return [(from_s, to_s)] if self.daily is None else list(self._daily_pieces(from_s, to_s, *self.daily))

    def _daily_pieces(self, from_s: float, to_s: float, opens: time, closes: time) -> Iterator[tuple[float, float]]:
        day = self.zone.at(from_s).date() - timedelta(days=1)
        while midnight_s(day, self.zone) < to_s:
            opens_s, closes_s = _on(day, opens, self.zone), _on(day, closes, self.zone)
            if closes_s <= opens_s:
                closes_s = _on(day + timedelta(days=1), closes, self.zone)
            start_s, end_s = max(from_s, opens_s), min(to_s, closes_s)
            if start_s < end_s:
                yield start_s, end_s
            day += timedelta(days=1)

    def holds(self, from_s: float, to_s: float | None = None) -> bool:
        """Whether the moment, or a part of the span, lies in the window."""
        if to_s is None or to_s <= from_s:
            if self.daily is None:
                return self.since_s <= from_s < self.until_s
            to_s = from_s + 1e-3
        return bool(self.pieces(from_s, to_s))


def midnight_s(day: date, zone: TimeZone) -> float:
    """When that day begins, in POSIX seconds."""
    return _on(day, time(), zone)


def _on(day: date, clock: time, zone: TimeZone) -> float:
    return datetime.combine(day, clock, zone.tz).timestamp()


def _posix_s(text: str, zone: TimeZone) -> float:
    moment = parse_moment(text, zone.now(), zone.utc)
    if isinstance(moment, Uptime):
        raise UsageError(f"“{text}” counts from a boot; give 2h, 2026-01-31 or 2026-01-31T12:00")
    return moment.timestamp()


def _daily(text: str) -> tuple[time, time]:
    try:
        opens, closes = (time.fromisoformat(part) for part in text.split("-"))
        return opens, closes
    except ValueError as error:
        raise UsageError(f"“{text}” is not a part of a day; give 08:00-18:30") from error
