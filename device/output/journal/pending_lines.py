"""The backlog: a journal's lines that are not on the card yet, as many as memory may hold, and an account of the others."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace

from fer_edge.events import Event


@dataclass(frozen=True, slots=True)
class _PendingLine:
    """A line with its newline, and its event without the body."""

    event: Event
    line: bytes


class PendingLines:
    """Lines in order, `ring_bytes` of them at most: the oldest are dropped for newer ones, and counted.

    `bytes` is what waits, `since_ns` when the oldest of it came; `lost` counts by kind what was ever dropped.
    """

    def __init__(self, ring_bytes: int) -> None:
        self.bytes = 0
        self.since_ns = 0
        self.lost: Counter[str] = Counter()
        self._ring_bytes = ring_bytes
        self._waiting: deque[_PendingLine] = deque()
        self._gap: Event | None = None  # the line that will tell of what was dropped since the last `clear`

    def add(self, event: Event, now_ns: int) -> None:
        """Takes the event's line. `shed` is for afterwards, when it is known whether the disk could be written."""
        if not self._waiting:
            self.since_ns = now_ns
        line = encode_line(event)
        self._waiting.append(_PendingLine(replace(event, body={}), line))
        self.bytes += len(line)

    def shed(self, reason: str, all_of_it: bool = False) -> None:
        """Drops the oldest lines until memory holds the rest, or all. `reason`: why they could not be written."""
        while self._waiting and (all_of_it or self.bytes > self._ring_bytes):
            waiting = self._waiting.popleft()
            self.bytes -= len(waiting.line)
            self.lost[waiting.event.kind] += 1
            self._gap = _extend_gap(self._gap, waiting.event, reason)

    def lines(self) -> list[bytes]:
        """What is to be written: a `gap` line if lines were dropped since the last `clear`, and those that wait."""
        gap = [] if self._gap is None else [encode_line(self._gap)]
        return gap + [waiting.line for waiting in self._waiting]

    def first(self) -> Event | None:
        """The first event of `lines`, with or without its body; None when there is nothing to write."""
        return self._gap or (self._waiting[0].event if self._waiting else None)

    def clear(self) -> None:
        """Forgets what `lines` gave, because it is written."""
        self._waiting.clear()
        self.bytes = 0
        self._gap = None


def encode_line(event: Event) -> bytes:
    """The event as the journal's line with its newline, UTF-8."""
    return f"{event.line()}\n".encode()


def _extend_gap(gap: Event | None, dropped: Event, reason: str) -> Event:
    """The `gap` event, which has the seq and the times of the last line dropped, with one line more."""
    from_mono_s = round(dropped.mono_s, 3) if gap is None else gap.body["from_mono_s"]
    lost = Counter({} if gap is None else gap.body["lost"])
    lost[dropped.kind] += 1
    body = {"reason": reason if gap is None else gap.body["reason"], "lost": dict(lost)}
    body |= {"from_mono_s": from_mono_s, "to_mono_s": round(dropped.mono_s, 3)}
    return replace(dropped, kind="gap", body=body)
