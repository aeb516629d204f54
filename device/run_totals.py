"""The totals of a run so far, and the body of its `end` event."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from device.clock import Clock
from device.output.tally import FrameCounts

if TYPE_CHECKING:
    from device.output.event_bodies import EndBody
    from device.vision.readings import FrameResult


@dataclass(slots=True)
class RunTotals:
    """The totals so far. `start_s`: when each step of the start was reached, in seconds since the process started."""

    processed: int = 0
    with_face: int = 0
    faces: int = 0
    readings: int = 0
    idle: int = 0  # frames without a search
    skipped: int = 0  # faces that were not read because of max_faces
    start_s: dict[str, float] = field(default_factory=dict)
    last_frame_ns: int | None = None  # of the processed ones
    arrived_ns: int | None = None  # of the last frame that reached the loop, processed or dropped
    read: int = 0  # by captures that were closed for a pause
    drops: Counter[str] = field(default_factory=Counter)

    def mark_reached(self, step: str, clock: Clock) -> None:
        """Notes that a step of the start was reached now."""
        self.start_s[step] = round((clock.mono_ns() - clock.started_ns()) / 1e9, 3)

    def add_frame(self, mono_ns: int, result: FrameResult) -> None:
        """Adds a processed frame; its readings are counted as they are sent."""
        self.processed += 1
        self.idle += result.idle
        self.skipped += result.skipped
        self.with_face += bool(result.readings)
        self.faces += len(result.readings)
        self.last_frame_ns = mono_ns

    def end_body(self, reason: str, seconds: float, counts: FrameCounts) -> EndBody:
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
