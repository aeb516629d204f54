"""A sink of the device's loop that stores its events in memory."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from fer_edge.events import Event


class MemorySink:
    """Stores all events in a list, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def append(self, event: Event) -> None:
        self.events.append(event)

    def tick(self) -> None:
        pass

    def of_kind(self, kind: str) -> list[Event]:
        """The events of one kind, in order."""
        return [event for event in self.events if event.kind == kind]
