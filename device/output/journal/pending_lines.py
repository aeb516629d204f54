"""A journal's lines that are not on the card yet, as many as memory may hold, and a count of the dropped ones."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fer_edge.events import Event


@dataclass(frozen=True, slots=True)
class _PendingLine:
    """A line with its newline, and its event without the body."""

    event: Event
    line: bytes


class PendingLines:
    """Lines in order, `ring_bytes` of them at most: the oldest are dropped for newer ones, and counted.

    `bytes` is the size of all pending lines, `since_ns` when the oldest was added; `lost` counts all dropped lines by kind.
    """

    def __init__(self, ring_bytes: int) -> None:
        self.bytes = 0
        self.since_ns = 0
        self.lost: Counter[str] = Counter()
        self._ring_bytes = ring_bytes
        self._pending: deque[_PendingLine] = deque()
        self._gap: Event | None = None  # the line that will report what was dropped since the last `clear`

    def add(self, event: Event, now_ns: int) -> None:
        """Adds the event's line. `drop_oldest` must follow, once it is known whether the disk could be written."""
        if not self._pending:
            self.since_ns = now_ns
        line = encode_line(event)
        self._pending.append(_PendingLine(replace(event, body={}), line))
        self.bytes += len(line)

    def drop_oldest(self, reason: str, all_lines: bool = False) -> None:
        """Drops the oldest lines until the rest fits in memory, or all. `reason`: why they could not be written."""
        while self._pending and (all_lines or self.bytes > self._ring_bytes):
            dropped = self._pending.popleft()
            self.bytes -= len(dropped.line)
            self.lost[dropped.event.kind] += 1
            self._gap = _extend_gap(self._gap, dropped.event, reason)

    def lines(self) -> list[bytes]:
        """The lines to write: a `gap` line if lines were dropped since the last `clear`, and the pending ones."""
        gap = [] if self._gap is None else [encode_line(self._gap)]
        return gap + [pending.line for pending in self._pending]

    @property
    def unreported(self) -> dict[str, int]:
        """How many lines of each kind were dropped since the last `clear`."""
        return {} if self._gap is None else self._gap.body["lost"]

    def first_event(self) -> Event | None:
        """The event of the first of `lines`, with or without its body; None when there is nothing to write."""
        return self._gap or (self._pending[0].event if self._pending else None)

    def clear(self) -> None:
        """Removes the lines that `lines` returned, because they are written."""
        self._pending.clear()
        self.bytes = 0
        self._gap = None


def counts_text(counts: Mapping[str, int]) -> str:
    """The counts by kind: 99 tally, 1 end."""
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)


def encode_line(event: Event) -> bytes:
    """The event as the journal's line with its newline, UTF-8; what has no encoding becomes a question mark."""
    return f"{event.line()}\n".encode(errors="replace")


def _extend_gap(gap: Event | None, dropped: Event, reason: str) -> Event:
    """The `gap` event, with the seq and the times of the last dropped line, after one more line was dropped."""
    from_mono_s = round(dropped.mono_s, 3) if gap is None else gap.body["from_mono_s"]
    lost = Counter({} if gap is None else gap.body["lost"])
    lost[dropped.kind] += 1
    body = {"reason": reason if gap is None else gap.body["reason"], "lost": dict(lost)}
    body |= {"from_mono_s": from_mono_s, "to_mono_s": round(dropped.mono_s, 3)}
    return replace(dropped, kind="gap", body=body)
