"""The server of the live page: a thread with Tornado and an event loop of its own, from the open port to the last goodbye."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets

from device.address import Address
from device.output.live.handlers import PageContext, application
from device.output.live.viewers import Viewers
from fer_edge.errors import UsageError

_CONNECTIONS = 96  # open at a time, whatever they ask for; a browser has up to six
_IDLE_S, _BODY_S = 30.0, 5.0
_HEADER_BYTES, _BODY_BYTES = 16_384, 1_024
_STOP_S = 2.0
_LAST_S = 0.05  # for the streams to end as HTTP has it


def bind_address(address: Address) -> list[socket.socket]:
    """The listening sockets of the address, all on one port. Raises UsageError where it cannot be had."""
    try:
        return bind_sockets(address.port, address.host)
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"the live page cannot be served at {address} ({said}); another run may have it, or "
            "the address is not of this machine; name another with --live HOST:PORT"
        ) from error


class Server:
    """Serves on `sockets` between `start` and `stop`, which are the caller's thread's. `say` is told when it fails."""

    def __init__(self, sockets: Sequence[socket.socket], shared: PageContext, say: Callable[[str], None]) -> None:
        self._sockets, self._shared, self._say = list(sockets), shared, say
        self._thread = threading.Thread(target=self._run, name="live page", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._up = threading.Event()

    def start(self) -> None:
        """Returns once it serves."""
        # Tornado tells of each bad request; who can reach the port could fill a log.
        logging.getLogger("tornado").addHandler(logging.NullHandler())
        logging.getLogger("tornado").propagate = False
        self._thread.start()
        self._up.wait()

    def stop(self) -> None:
        """Says goodbye to all who look, for `_STOP_S` at most, and returns when the port is free again."""
        if self._loop is not None and self._over is not None:
            with suppress(RuntimeError):  # it ended by itself
                self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(2 * _STOP_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # whatever it is: the run goes on without its page
            self._say(f"the live page is gone: {error!r}")
        finally:
            for open_socket in self._sockets:
                open_socket.close()
            self._up.set()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        shared = self._shared
        server = LimitedHttpServer(
            application(shared),
            idle_connection_timeout=_IDLE_S,
            body_timeout=_BODY_S,
            max_header_size=_HEADER_BYTES,
            max_body_size=_BODY_BYTES,
        )
        server.add_sockets(self._sockets)
        publishing = asyncio.create_task(shared.viewers.publish())
        ending = asyncio.create_task(self._over.wait())
        self._up.set()
        try:
            await asyncio.wait({publishing, ending}, return_when=asyncio.FIRST_COMPLETED)
            if publishing.done():
                publishing.result()
            await _close_streams(shared.viewers)
        finally:
            publishing.cancel()
            ending.cancel()
            server.stop()
            with suppress(TimeoutError):
                await asyncio.wait_for(server.close_all_connections(), _STOP_S)


async def _close_streams(viewers: Viewers) -> None:
    if left := viewers.close():
        await asyncio.wait(left, timeout=_STOP_S)
        await asyncio.sleep(_LAST_S)


class LimitedHttpServer(HTTPServer):
    """A server that has so many connections at most: more would take the files that the journal may have to open."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        self.open_now = 0
        super().initialize(*args, **kwargs)

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        if self.open_now >= _CONNECTIONS:
            stream.close()
            return
        self.open_now += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        self.open_now -= 1
        super().on_close(server_conn)
