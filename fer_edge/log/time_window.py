"""Moments as people write them (ages, local time, UTC), and windows of time, also of each day."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from math import ceil, floor, inf

from fer_edge.errors import UsageError
from fer_edge.events import LATEST_S
from fer_edge.journal.clock_correction import Uptime

_DAY_S = 86_400.0
_STEP_S = 21_600.0  # no clock is changed twice within it
_UNITS = {"d": "days", "h": "hours", "min": "minutes", "s": "seconds"}


def parse_moment(text: str, now: datetime, utc: bool = False, uptime: bool = True) -> datetime | Uptime:
    """The moment that `text` names. Raises UsageError for any other text.

    `2026-01-31` or `2026-01-31T12:00` (local time, or UTC with `utc`, unless it has a zone), `30d`, `12h`, `15min` or
    `90s` before `now`, or, with `uptime`, `BOOT:SECONDS`: a boot's id, as each line has it, and seconds since that boot.
    """
    try:
        if match := re.fullmatch(r"(\d{1,6})(d|h|min|s)", text):
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        if match := re.fullmatch(r"([0-9a-f-]{36}):(\d{1,12}(?:\.\d+)?)", text):
            return Uptime(match[1], float(match[2]))
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if utc and moment.tzinfo is None else moment.astimezone()
    except (ValueError, OverflowError) as error:
        forms = f"2026-01-31, 2026-01-31T12:00, 30d, 12h{', 15min or BOOT:SECONDS' if uptime else ' or 15min'}"
        raise UsageError(f"“{text}” is not a moment; give {forms}") from error


@dataclass(frozen=True, slots=True)
class TimeZone:
    """The zone of times in arguments and output: this machine's, or UTC."""

    utc: bool = False

    @property
    def tz(self) -> tzinfo | None:
        """UTC, or None, which `datetime` takes for the machine's zone."""
        return UTC if self.utc else None

    def offset_s(self, posix_s: float) -> float:
        """What its clock is ahead of UTC at the moment."""
        offset = self.at(posix_s).utcoffset()
        return 0.0 if offset is None else offset.total_seconds()

    def now(self) -> datetime:
        """The time of this machine, with its zone."""
        return datetime.now(UTC) if self.utc else datetime.now().astimezone()

    def at(self, posix_s: float) -> datetime:
        """The moment, with its zone."""
        posix_s = min(max(posix_s, 0.0), 2 * LATEST_S)  # boots whose time is not known may be estimated to any
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

    `daily` is that part in seconds of the clock: it holds whatever the clock shows as such, twice on the day on which clocks go
    back, never if they leap over it. A part that ends before it begins crosses midnight.
    """

    since_s: float = -inf
    until_s: float = inf
    daily: tuple[float, float] | None = None
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

    def _daily_pieces(
        self, from_s: float, to_s: float, opens_s: float, closes_s: float
    ) -> Iterator[tuple[float, float]]:
        if closes_s <= opens_s:
            closes_s += _DAY_S
        piece: tuple[float, float] | None = None
        for since_s, until_s, offset_s in _offsets(from_s, to_s, self.zone):
            midnight_s = (since_s + offset_s) // _DAY_S * _DAY_S - offset_s - _DAY_S
            while midnight_s < until_s:
                start_s, end_s = max(since_s, midnight_s + opens_s), min(until_s, midnight_s + closes_s)
                midnight_s += _DAY_S
                if start_s >= end_s:
                    continue
                if piece is not None and piece[1] == start_s:
                    start_s = piece[0]
                elif piece is not None:
                    yield piece
                piece = (start_s, end_s)
        if piece is not None:
            yield piece

    def holds(self, from_s: float, to_s: float | None = None) -> bool:
        """Whether the moment, or a part of the span, lies in the window."""
        if to_s is None or to_s <= from_s:
            if self.daily is None:
                return self.since_s <= from_s < self.until_s
            to_s = from_s + 1e-3
        return bool(self.pieces(from_s, to_s))


def midnight_s(day: date, zone: TimeZone) -> float:
    """When that day begins, in POSIX seconds."""
    return datetime.combine(day, time(), zone.tz).timestamp()


def _offsets(from_s: float, to_s: float, zone: TimeZone) -> Iterator[tuple[float, float, float]]:
    """The parts of a span in which the clock of `zone` has one offset from UTC: from, to, and the offset, in seconds."""
    start_s, upto_s, offset_s = from_s, from_s, zone.offset_s(from_s)
    while upto_s < to_s:
        next_s = min(upto_s + _STEP_S, to_s)
        if zone.offset_s(next_s) != offset_s:
            low_s, high_s = floor(upto_s), ceil(next_s)  # clocks change at a whole second
            while high_s - low_s > 1:
                middle_s = (low_s + high_s) // 2
                low_s, high_s = (middle_s, high_s) if zone.offset_s(middle_s) == offset_s else (low_s, middle_s)
            yield start_s, high_s, offset_s
            start_s, next_s, offset_s = high_s, high_s, zone.offset_s(high_s)
        upto_s = next_s
    yield start_s, to_s, offset_s


def _posix_s(text: str, zone: TimeZone) -> float:
    moment = parse_moment(text, zone.now(), zone.utc, uptime=False)
    if isinstance(moment, Uptime):
        raise UsageError(f"“{text}” counts from a boot; give 2h, 2026-01-31 or 2026-01-31T12:00")
    return moment.timestamp()


def _daily(text: str) -> tuple[float, float]:
    """The two times of the clock in seconds; the second one may be 24:00."""
    try:
        opens, closes = text.split("-")
        return _clock_s(opens), _DAY_S if closes == "24:00" else _clock_s(closes)
    except ValueError as error:
        raise UsageError(f"“{text}” is not a part of a day; give 08:00-18:30, or 18:00-24:00") from error


def _clock_s(text: str) -> float:
    clock = time.fromisoformat(text)
    if clock.tzinfo is not None:
        raise ValueError("a zone")
    return (datetime.combine(date.min, clock) - datetime.min).total_seconds()
