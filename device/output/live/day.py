"""The day behind the live page: bars of a quarter of an hour over 24 hours. Pure functions.

A bar is the sum of the chart's columns that begin in it. Bars lie on the monotonic clock, so that neither midnight nor a clock
step moves, splits or repeats time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from device.output.event_bodies import TallyBody

BAR_S = 900.0
BARS = 96  # 24 hours of complete ones, besides the one that grows


@dataclass(frozen=True, slots=True)
class DayBar:
    """The sum of the columns that begin in one quarter of an hour, in ms: whole numbers, so that sums are exact."""

    number: int  # of the quarter of an hour since boot
    from_ms: int
    length_ms: int = 0
    observed_ms: int = 0
    unavailable_ms: int = 0
    paused_ms: int = 0
    face_ms: int = 0
    labels_ms: Mapping[str, int] = field(default_factory=dict)


def add_columns(bars: tuple[DayBar, ...], columns: Iterable[TallyBody]) -> tuple[DayBar, ...]:
    """The bars, the oldest first, with the time of these columns; the last `BARS` complete ones and the one that grows."""
    for column in columns:
        number = int(column["from_mono_s"] // BAR_S)
        if not bars or bars[-1].number != number:
            bars = (*bars, DayBar(number, _ms(column["from_mono_s"])))[-BARS - 1 :]
        bars = (*bars[:-1], _add(bars[-1], column))
    return bars


def _add(bar: DayBar, column: TallyBody) -> DayBar:
    labels_ms = dict(bar.labels_ms)
    for label, seconds in column["labels_s"].items():
        labels_ms[label] = labels_ms.get(label, 0) + _ms(seconds)
    return DayBar(
        bar.number,
        bar.from_ms,
        bar.length_ms + _ms(column["seconds"]),
        bar.observed_ms + _ms(column["observed_s"]),
        bar.unavailable_ms + _ms(column["unavailable_s"]),
        bar.paused_ms + _ms(column["paused_s"]),
        bar.face_ms + _ms(column["face_s"]),
        labels_ms,
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
