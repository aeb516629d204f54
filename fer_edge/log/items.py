"""What a journal tells, in the order of its lines: runs, their minutes and events, and the times without observation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fer_edge.events import Event
from fer_edge.journal.segments import DamagedLine


@dataclass(slots=True)
class Run:
    """A run: its header's body (empty where unreadable) and its start. `number` is that of its first segment.

    `known` (here and below): the clock of its boot was synced, so that POSIX seconds are right.
    """

    number: int
    header: dict[str, Any]
    boot: str
    from_s: float
    known: bool
    whole: bool  # its first lines are there

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.header.get("labels", ()))

    @property
    def live(self) -> bool:
        """False for a recording, whose times are positions after the run's start."""
        return bool(self.header.get("camera", {}).get("live", True))


@dataclass(slots=True)
class LoggedMinute:
    """A tally, from one POSIX second to another; `body` is the event's, `mono_s` its line's (seconds since boot)."""

    from_s: float
    to_s: float
    known: bool
    body: dict[str, Any]
    run: Run
    mono_s: float


@dataclass(slots=True)
class UnobservedSpan:
    """A time without observation. `seconds` is less than its length where only a part of it was unobserved.

    `mono_s` is its start, in seconds since the boot of its run.
    """

    state: str
    from_s: float
    to_s: float
    seconds: float
    known: bool
    why: str
    run: Run
    mono_s: float
    length_known: bool = True  # also within a boot whose clock was never set


@dataclass(slots=True)
class LoggedEvent:
    """An event, its time, and its run."""

    at_s: float
    known: bool
    event: Event
    run: Run


LogItem = Run | LoggedMinute | UnobservedSpan | LoggedEvent | DamagedLine
