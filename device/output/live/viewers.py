"""Viewers: the open streams of the live page, to which each message is encoded once and written without waiting."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import Any, Protocol

from device.clock import Clock
from device.output.live import message
from device.output.live.pixelated_picture import PixelatedPictures
from device.output.live.view_state import EVERY_S, Snapshot, ViewState

MAX_VIEWERS = 32
_HEARTBEAT_S = 1.0  # something is sent so often, new or not: silence means that the device is gone
_SLOW_S = 10.0  # who has not taken a message for so long is let go


class Stream(Protocol):
    """Where a viewer's messages go."""

    def send(self, data: bytes) -> asyncio.Future[None]:
        """Takes the bytes at once; the future is done when they are on their way."""
        ...

    def cut(self) -> None:
        """Closes it at once."""
        ...


@dataclass(slots=True, eq=False)
class Viewer:
    """Someone who looks. `behind`: a message was left out, and the next one tells everything anew."""

    stream: Stream
    busy: asyncio.Future[None] | None = None
    busy_since_ns: int = 0
    behind: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class Viewers:
    """All who look, `MOST` of them at most. `publish` sends to them what the onlooker holds, while there are any.

    Everything here runs in the server's thread.
    """

    def __init__(
        self,
        onlooker: ViewState,
        pictures: PixelatedPictures | None,
        clock: Clock,
        slow_s: float = _SLOW_S,
        most: int = MAX_VIEWERS,
    ) -> None:
        self.most = most
        self._onlooker, self._pictures, self._clock, self._slow_s = onlooker, pictures, clock, slow_s
        self._all: set[Viewer] = set()
        self._some = asyncio.Event()
        self._told: Snapshot | None = None  # what was sent last
        self._told_ns = 0

    def __len__(self) -> int:
        return len(self._all)

    def join(self, stream: Stream) -> Viewer | None:
        """A new viewer, to whom everything was sent; None where there are too many."""
        if len(self._all) >= self.most:
            return None
        viewer = Viewer(stream)
        self._all.add(viewer)
        self._onlooker.watched = True
        self._some.set()
        self._write(viewer, message.sent("whole", self.whole()))
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """The viewer is gone."""
        self._all.discard(viewer)
        viewer.gone.set()
        if not self._all:
            self._onlooker.watched = False
            self._some.clear()
            if self._pictures is not None:
                self._pictures.forget()

    def whole(self) -> bytes:
        """Everything that a page needs to begin."""
        return message.encoded(
            message.whole(self._onlooker.latest, self._pixels(), len(self._all), self._clock.mono_ns() / 1e9)
        )

    async def publish(self) -> None:
        """Sends to all, for ever; does nothing while nobody looks."""
        while True:
            await self._some.wait()
            await asyncio.sleep(EVERY_S)
            self.once()

    def once(self) -> None:
        """Sends what is new, or a sign of life where it is time for one."""
        snapshot, now_ns = self._onlooker.latest, self._clock.mono_ns()
        if snapshot is self._told and now_ns - self._told_ns < _HEARTBEAT_S * 1e9:
            return
        seconds = now_ns / 1e9
        told = {"now": message.now(snapshot, self._pixels(), len(self._all), seconds), "columns": self._new(snapshot)}
        data = message.sent("now", message.encoded(told))
        everything = b""
        self._told, self._told_ns = snapshot, now_ns
        for viewer in tuple(self._all):
            if viewer.busy is not None and not viewer.busy.done():
                viewer.behind = True
                if now_ns - viewer.busy_since_ns > self._slow_s * 1e9:
                    viewer.stream.cut()
                    self.leave(viewer)
            elif viewer.behind:
                everything = everything or message.sent("whole", self.whole())
                self._write(viewer, everything)
            else:
                self._write(viewer, data)

    def close(self) -> list[asyncio.Future[None]]:
        """Says goodbye to all and lets them go; said when all of these are done."""
        left = message.sent("bye", message.encoded({"ended": self._onlooker.latest.ended}))
        said = [viewer.stream.send(left) for viewer in self._all if viewer.busy is None or viewer.busy.done()]
        for viewer in tuple(self._all):
            self.leave(viewer)
        return said

    def _write(self, viewer: Viewer, data: bytes) -> None:
        viewer.behind, viewer.busy_since_ns = False, self._clock.mono_ns()
        viewer.busy = viewer.stream.send(data)

    def _new(self, snapshot: Snapshot) -> list[dict[str, Any]]:
        """The columns that came since the last message; a page that was sent one already puts it in the same place."""
        known = self._told.columns if self._told is not None else ()
        last_s = known[-1]["from_mono_s"] if known else float("-inf")
        return [message.column(body) for body in snapshot.columns if body["from_mono_s"] > last_s]

    def _pixels(self) -> dict[str, Any] | None:
        if self._pictures is None:
            return None
        return {"left_s": math.ceil(self._pictures.left_s()), "seq": self._pictures.seq()}
