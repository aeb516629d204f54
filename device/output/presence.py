"""The expression of the largest face and the number of faces now, debounced. A pure function, frame by frame.

A frame or two of something else change nothing: a new value must hold before it replaces the old one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from device.vision.readings import Reading

NO_FACE = "none"  # the expression where there is no face
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Debounced(Generic[_T]):
    """A value, and the candidate that was observed in its place since `since_ns`, if any."""

    value: _T | None = None
    candidate: _T | None = None
    since_ns: int = 0

    def update(self, value: _T, mono_ns: int, hold_ns: int) -> Debounced[_T]:
        """The debounced value after `value` was observed."""
        if value == self.value:
            return Debounced(value)
        since_ns = self.since_ns if value == self.candidate else mono_ns
        if self.value is None or mono_ns - since_ns >= hold_ns:
            return Debounced(value)
        return Debounced(self.value, value, since_ns)


@dataclass(frozen=True, slots=True)
class Presence:
    """The expression of the largest face (a label, unsure or none) and the number of faces; None before the first frame."""

    expression: Debounced[str] = Debounced()
    faces: Debounced[int] = Debounced()


def update_presence(presence: Presence, readings: Sequence[Reading], mono_ns: int, hold_s: float) -> Presence:
    """The presence after a frame with these readings."""
    largest = max(readings, key=lambda reading: reading.face.xywh[2] * reading.face.xywh[3], default=None)
    expression = NO_FACE if largest is None else largest.steady
    hold_ns = round(hold_s * 1e9)
    return Presence(
        presence.expression.update(expression, mono_ns, hold_ns),
        presence.faces.update(len(readings), mono_ns, hold_ns),
    )
