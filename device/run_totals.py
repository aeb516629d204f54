"""What a run did so far, and the body of the line that tells of it at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from device.clock import Clock
from device.output.tally import FrameCounts


@dataclass(slots=True)
class RunTotals:
    """What a run did so far. `start_s`: when each thing was first reached, in seconds since the process started."""

    processed: int = 0
    with_face: int = 0
    faces: int = 0
    readings: int = 0
    idle: int = 0  # frames that needed no search
    skipped: int = 0  # faces beyond the most that are read
    start_s: dict[str, float] = field(default_factory=dict)
    last_frame_ns: int | None = None
    read: int = 0  # by captures that were closed for a pause
    drops: Counter[str] = field(default_factory=Counter)

    def mark(self, name: str, clock: Clock) -> None:
        """Notes that something was reached for the first time, now."""
        self.start_s[name] = round((clock.mono_ns() - clock.started_ns()) / 1e9, 3)

    def end(self, reason: str, seconds: float, counts: FrameCounts) -> dict[str, Any]:
        """The body of the `end` event."""
        return {
            "reason": reason,
            "seconds": round(seconds, 3),
            "frames": {"read": counts.read, "processed": self.processed, "with_face": self.with_face},
            "frames_idle": self.idle,
            "drops": dict(counts.drops),
            "faces": self.faces,
            "faces_skipped": self.skipped,
            "readings": self.readings,
            "start_s": self.start_s,
        }
