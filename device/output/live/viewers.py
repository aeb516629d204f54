"""Viewers: the open streams of the live page. Each message is encoded once for all of them and written without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from device.clock import Clock
from device.output.live import message
from device.output.live.day import DayBar
from device.output.live.pixelated_picture import PictureState, PixelatedPictures
from device.output.live.view_state import EVERY_S, Snapshot, ViewState

if TYPE_CHECKING:
    from device.output.event_bodies import TallyBody

MAX_VIEWERS = 32
_HEARTBEAT_S = 1.0  # something is sent this often, new or not: silence means that the device is gone
_WRITE_TIMEOUT_S = 10.0  # after which a viewer that does not read is disconnected


class Stream(Protocol):
    """The connection to which a viewer's messages are written."""

    def send(self, data: bytes) -> asyncio.Future[None]:
        """Writes the bytes without waiting; the future is done when they are sent."""
        ...

    def abort(self) -> None:
        """Closes it at once."""
        ...


@dataclass(slots=True, eq=False)
class Viewer:
    """One open stream. `behind`: it missed a message, or the run's header came, and the next one must hold the full state."""

    stream: Stream
    has_header: bool = False
    pending_write: asyncio.Future[None] | None = None
    write_started_ns: int = 0
    behind: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)


class Viewers:
    """All viewers, MAX_VIEWERS at most. `publish` sends them the latest snapshots while there are any.

    Everything here runs in the server's thread.
    """

    def __init__(self, view_state: ViewState, pictures: PixelatedPictures | None, clock: Clock) -> None:
        self._view_state, self._pictures, self._clock = view_state, pictures, clock
        self._all: set[Viewer] = set()
        self._any = asyncio.Event()
        self._last_snapshot: Snapshot | None = None  # that was sent
        self._last_sent_ns = 0

    def __len__(self) -> int:
        return len(self._all)

    def add(self, stream: Stream) -> Viewer | None:
        """A new viewer, to which the full state was sent; None where there are too many."""
        if len(self._all) >= MAX_VIEWERS:
            return None
        viewer = Viewer(stream)
        self._all.add(viewer)
        self._view_state.watched = True
        self._any.set()
        viewer.has_header = self._view_state.latest.header is not None
        self._write(viewer, message.server_sent_event("whole", self.full_state()))
        return viewer

    def remove(self, viewer: Viewer) -> None:
        """Removes a viewer whose stream has ended."""
        self._all.discard(viewer)
        viewer.closed.set()
        if not self._all:
            self._view_state.watched = False
            self._any.clear()
            if self._pictures is not None:
                self._pictures.clear()

    def full_state(self) -> bytes:
        """Everything that a page needs at the beginning, as JSON."""
        return message.full_state(
            self._view_state.latest, self._picture_state(), len(self._all), self._clock.mono_ns() / 1e9
        )

    async def publish(self) -> None:
        """Sends updates for ever; waits while there is no viewer."""
        while True:
            await self._any.wait()
            await asyncio.sleep(EVERY_S)
            self.send_update()

    def send_update(self) -> None:
        """Sends what is new, or a heartbeat when one is due."""
        snapshot, now_ns = self._view_state.latest, self._clock.mono_ns()
        if snapshot is self._last_snapshot and now_ns - self._last_sent_ns < _HEARTBEAT_S * 1e9:
            return
        columns = self._new_columns(snapshot)
        day, viewers = self._changed_bars(snapshot), len(self._all)
        update = message.update(snapshot, columns, day, self._picture_state(), viewers, now_ns / 1e9)
        data = message.server_sent_event("now", update)
        full_data = b""
        self._last_snapshot, self._last_sent_ns = snapshot, now_ns
        for viewer in tuple(self._all):
            if snapshot.header is not None and not viewer.has_header:  # it came while the camera opened
                viewer.has_header, viewer.behind = True, True
            if viewer.pending_write is not None and not viewer.pending_write.done():
                viewer.behind = True
                if now_ns - viewer.write_started_ns > _WRITE_TIMEOUT_S * 1e9:
                    viewer.stream.abort()
                    self.remove(viewer)
            elif viewer.behind:
                full_data = full_data or message.server_sent_event("whole", self.full_state())
                self._write(viewer, full_data)
            else:
                self._write(viewer, data)

    def close(self) -> list[asyncio.Future[None]]:
        """Sends a last message to all viewers and removes them; returns the futures of these messages."""
        data = message.server_sent_event("bye", message.goodbye(self._view_state.latest))
        ready = [viewer for viewer in self._all if viewer.pending_write is None or viewer.pending_write.done()]
        sent = [viewer.stream.send(data) for viewer in ready]
        for viewer in tuple(self._all):
            self.remove(viewer)
        return sent

    def _write(self, viewer: Viewer, data: bytes) -> None:
        viewer.behind, viewer.write_started_ns = False, self._clock.mono_ns()
        viewer.pending_write = viewer.stream.send(data)

    def _new_columns(self, snapshot: Snapshot) -> Sequence[TallyBody]:
        """The columns since the last message; a page that already has one replaces it by itself."""
        known = self._last_snapshot.columns if self._last_snapshot is not None else ()
        last_s = known[-1]["from_mono_s"] if known else float("-inf")
        return [body for body in snapshot.columns if body["from_mono_s"] > last_s]

    def _changed_bars(self, snapshot: Snapshot) -> Sequence[DayBar]:
        """The bars of the day that have grown or are new since the last message."""
        known = self._last_snapshot.day if self._last_snapshot is not None else ()
        return [bar for bar in snapshot.day if not known or (bar.number >= known[-1].number and bar is not known[-1])]

    def _picture_state(self) -> PictureState | None:
        return None if self._pictures is None else self._pictures.state()
