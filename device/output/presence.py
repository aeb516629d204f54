"""What a camera shows now, held for a moment: the largest face's expression and how many faces. A pure step, frame by frame.

A frame or two of something else change nothing: what is new must hold before it takes the place of what was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from device.output.episodes import EpisodeRules, counted_label

if TYPE_CHECKING:
    from device.vision.readings import Reading

NO_FACE = "none"  # stands for an expression where no face is
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Debounced(Generic[_T]):
    """A value, and another that came to take its place at `since_ns`, if one did."""

    value: _T | None = None
    rival: _T | None = None
    since_ns: int = 0

    def seen(self, value: _T, mono_ns: int, hold_ns: int) -> Debounced[_T]:
        """The value after `value` was seen."""
        if value == self.value:
            return Debounced(value)
        since_ns = self.since_ns if value == self.rival else mono_ns
        if self.value is None or mono_ns - since_ns >= hold_ns:
            return Debounced(value)
        return Debounced(self.value, value, since_ns)


@dataclass(frozen=True, slots=True)
class Presence:
    """The expression of the largest face (a label, unsure or none) and the number of faces; None: nobody looked yet."""

    expression: Debounced[str] = Debounced()
    faces: Debounced[int] = Debounced()


def update_presence(present: Presence, readings: Sequence[Reading], mono_ns: int, hold_s: float) -> Presence:
    """What is present after a frame with these readings."""
    largest = max(readings, key=lambda reading: reading.face.xywh[2] * reading.face.xywh[3], default=None)
    expression = NO_FACE if largest is None else counted_label(largest, EpisodeRules())
    hold_ns = round(hold_s * 1e9)
    return Presence(
        present.expression.seen(expression, mono_ns, hold_ns), present.faces.seen(len(readings), mono_ns, hold_ns)
    )
