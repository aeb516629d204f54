"""What a run says: events, and the line of JSON each becomes. Readers accept every schema version ever released."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fer_edge.errors import UsageError

SCHEMA = 1

# kind: what its body holds
KINDS = {
    "header": "first line of a segment: schema, software, bundle, labels, preprocess, detector, runtime, camera, start_s "
    "(seconds from the process's start to each step of starting)",
    "camera": "state (opened, lost, back, closed), camera (what the source says of itself); reason and gap_s of a loss",
    "reading": "one face of one frame: frame, track, xywh px, score, label, p (probabilities in the header's order), "
    "quality, age_ms (from the frame's capture to this reading; null for a recording)",
    "end": "last line of a run: reason, seconds, frames, drops by reason (busy, unread, unreadable), faces, readings, start_s",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `mono_s` is CLOCK_BOOTTIME-like seconds since boot, which no clock step moves.

    `seq` counts the events of one run from 0. `boot` is the kernel's id of this boot. `wall` is UTC, ISO 8601 with
    milliseconds, and `clock` says whether it can be believed: `synced`, `unsynced` or `unknown`.
    """

    kind: str
    seq: int
    boot: str
    mono_s: float
    wall: str
    clock: str
    body: dict[str, Any]

    def __post_init__(self) -> None:
        taken = {"kind", "seq", "boot", "mono_s", "wall", "clock"} & self.body.keys()
        assert not taken, f"the body of a {self.kind} may not hold {taken}, which every event has"

    def line(self) -> str:
        """The event as one line of JSON without its newline, the common fields first."""
        common = {"kind": self.kind, "seq": self.seq, "boot": self.boot, "mono_s": round(self.mono_s, 3)}
        return json.dumps(
            {**common, "wall": self.wall, "clock": self.clock, **self.body}, ensure_ascii=False, separators=(",", ":")
        )

    @staticmethod
    def parse(line: str) -> Event:
        """The event in a line. Raises UsageError when the line is no event of a schema this version knows."""
        try:
            fields = json.loads(line)
            if fields["kind"] == "header" and not 1 <= fields["schema"] <= SCHEMA:
                raise UsageError(
                    f"the journal has schema {fields['schema']}, this version reads 1 to {SCHEMA}; update fer-edge"
                )
            common = {key: fields.pop(key) for key in ("kind", "seq", "boot", "mono_s", "wall", "clock")}
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"not a line of a journal: {line[:80]!r} ({error!r})") from error
        return Event(**common, body=fields)
