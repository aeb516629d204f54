"""The request handlers of the live page, on Tornado: its state, a stream of events, and the picture."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Any

from tornado.web import Application, HTTPError

from device.output.live.page_handler import (
    PAGE_FOLDER,
    NotFoundHandler,
    PageContext,
    PageHandler,
    SessionHandler,
    file_handlers,
)
from device.output.live.pixelated_picture import PixelatedPictures
from device.output.live.viewers import MAX_VIEWERS, Viewers

_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("page", "session", "faces", "chart", "day", "words")
    },
}
_SEND_BUFFER_BYTES = 65_536  # of a stream in the kernel: small, so that a client that does not read is noticed soon


@dataclass(frozen=True, slots=True)
class LiveContext(PageContext):
    """What the handlers of the live page share."""

    viewers: Viewers
    pictures: PixelatedPictures | None


class LiveHandler(PageHandler):
    """A handler of the live page's data."""

    context: LiveContext


class StateHandler(LiveHandler):
    """The full state, once, as JSON."""

    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(self.context.viewers.full_state())


class PictureHandler(LiveHandler):
    """The last picture, while pictures are enabled."""

    def get(self) -> None:
        jpeg = self.context.pictures.jpeg() if self.context.pictures is not None else None
        if jpeg is None:
            raise HTTPError(404, reason="no picture is shown; fer-edge run --show-pixels enables pictures for a while")
        self.set_header("Content-Type", "image/jpeg")
        self.finish(jpeg)


class EventStreamHandler(LiveHandler):
    """The stream of server-sent events, until either side closes it."""

    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")
        connection: Any = self.request.connection
        connection.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        viewer = self._viewer = self.context.viewers.add(self)
        if viewer is None:
            raise HTTPError(503, reason=f"this page already has {MAX_VIEWERS} viewers; try again later")
        try:
            await viewer.closed.wait()
        finally:
            self.context.viewers.remove(viewer)

    def on_connection_close(self) -> None:
        if self._viewer is not None:
            self.context.viewers.remove(self._viewer)

    def send(self, data: bytes) -> asyncio.Future[None]:
        self.write(data)
        return self.flush()

    def abort(self) -> None:
        connection: Any = self.request.connection
        connection.stream.close()


def application(context: LiveContext) -> Application:
    """All handlers by their paths; no request is logged."""
    arguments = {"context": context}
    rest: list[Any] = [
        ("/session", SessionHandler, arguments),
        ("/state", StateHandler, arguments),
        ("/events", EventStreamHandler, arguments),
        ("/picture.jpg", PictureHandler, arguments),
        (".*", NotFoundHandler, arguments),
    ]
    return Application([*file_handlers(context, PAGE_FOLDER, _FILES), *rest], log_function=lambda _: None)
