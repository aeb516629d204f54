"""The events and damaged lines of a journal, without their segments."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from fer_edge.events import Event
from fer_edge.journal.clock_correction import read_with_segments
from fer_edge.journal.segments import DamagedLine


def read_journal(folder: Path, kinds: Container[str] | None = None) -> Iterator[Event | DamagedLine]:
    """The items of `read_with_segments`, without the segments."""
    for _, item in read_with_segments(folder, kinds):
        yield item
