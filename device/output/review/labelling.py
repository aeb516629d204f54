"""The state of a review: the crops that wait, the classes and their keys, and what can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from device.output.collected.face_folder import FaceFolder, class_name
from fer_edge.errors import UsageError
from fer_edge.labels import LABELS, NONE

MAX_CLASSES = 32
# In this order; not those of the page's own commands: u undoes, x deletes
_KEYS = "123456789abcdefghijklmnopqrstvwyz"
_SHOWN = 60  # names that the page gets at a time
_UNDO = 1000


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    label: str


class Labelling:
    """Labels crops of a folder: one step is one move of a file, so that nothing is lost with the process.

    `classes` are offered beside those that have a folder already; without any they are the seven expressions.
    """

    def __init__(self, folder: FaceFolder, classes: Sequence[str] = ()) -> None:
        self._folder = folder
        known = [label for label in folder.counts() if label != NONE]
        self._classes: list[str] = []
        for label in (*classes, *known) or LABELS:
            self.add_class(label)
        self._steps: list[_Step] = []

    def add_class(self, label: str) -> None:
        """Offers a class. Raises UsageError for a name that no class can have, or for too many."""
        if class_name(label) == NONE or label in self._classes:
            return
        if len(self._classes) >= MAX_CLASSES:
            raise UsageError(f"there are {MAX_CLASSES} classes already; a page of more has no key for each")
        self._classes.append(label)

    def label(self, name: str, label: str) -> None:
        """Labels a crop. Raises FileNotFoundError where it no longer waits, UsageError for a class that is not offered."""
        if label != NONE and label not in self._classes:
            raise UsageError(f"{label} is not one of the classes of this page; add it first")
        self._folder.label(name, label)
        self._steps = [*self._steps[1 - _UNDO :], _Step(name, label)]

    def undo(self) -> str:
        """The name of the crop whose label was taken back; empty where there is nothing to undo. Raises FileNotFoundError."""
        if not self._steps:
            return ""
        step = self._steps.pop()
        self._folder.unlabel(step.name, step.label)
        return step.name

    def delete(self, name: str) -> None:
        """Deletes a crop, for good. Raises FileNotFoundError where it no longer waits."""
        self._folder.delete(name)

    def picture(self, name: str) -> bytes:
        """The PNG of a crop that waits. Raises FileNotFoundError."""
        return self._folder.read(name)

    def to_json(self, first: str = "") -> dict[str, Any]:
        """What the page shows. `first` is the crop to begin with, if it waits."""
        waiting, counts = self._folder.waiting(), self._folder.counts()
        if first in waiting:
            waiting = [first, *(name for name in waiting if name != first)]
        keys = [*zip(self._classes, _KEYS, strict=False), (NONE, "0")]
        return {
            "waiting": len(waiting),
            "faces": waiting[:_SHOWN],
            "classes": [{"label": label, "key": key, "count": counts.get(label, 0)} for label, key in keys],
            "can_undo": bool(self._steps),
        }
