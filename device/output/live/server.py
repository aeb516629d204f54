"""The server of a page: a thread with Tornado and its own event loop, from the open port to the last message."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets
from tornado.web import Application

from device.address import Address
from device.output.live.viewers import Viewers
from fer_edge.errors import UsageError

_CONNECTIONS = 96  # open at a time, whatever they ask for; a browser has up to six
_CONNECTIONS_PER_ADDRESS = 64  # so that one client leaves room for others
_IDLE_S, _BODY_S = 30.0, 5.0
_HEADER_BYTES, _BODY_BYTES = 16_384, 1_024
_STOP_S = 2.0
_STREAM_END_S = 0.05  # for the streams to end in the way of HTTP


def bind_address(address: Address, page: str = "the live page", flag: str = "--live HOST:PORT") -> list[socket.socket]:
    """The listening sockets of the address, all on one port; of `::` those of IPv4 too.

    Raises UsageError where it is not available.
    """
    try:
        return bind_sockets(address.port, None if address.host == "::" else address.host)
    except (OSError, UnicodeError) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"{page} cannot be served at {address} ({text}); another run may use it, or "
            f"the address is not of this machine; name another with {flag}"
        ) from error


class Server:
    """Serves on `sockets` between `start` and `stop`, which the caller's thread calls.

    Where it ends by itself, `log` receives the reason, which is `trouble` from then on. `viewers` are those whose streams are
    fed; None for a page without streams.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        application: Application,
        log: Callable[[str], None],
        viewers: Viewers | None = None,
    ) -> None:
        self._sockets, self._application, self._log, self._viewers = list(sockets), application, log, viewers
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self.trouble: str | None = None

    def start(self) -> None:
        """Returns once it serves."""
        # Tornado logs each bad request: any client that reaches the port could fill a log.
        logging.getLogger("tornado").addHandler(logging.NullHandler())
        logging.getLogger("tornado").propagate = False
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Sends all viewers a last message, for `_STOP_S` at most, and returns when the port is free again."""
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # it ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(2 * _STOP_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # any error: the run continues without its page
            # not the error's own text: that of an encoder holds the whole message
            self.trouble = f"the page is no longer served ({type(error).__name__}); start again"
            self._log(self.trouble)
        finally:
            for open_socket in self._sockets:
                open_socket.close()
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = LimitedHttpServer(
            self._application,
            idle_connection_timeout=_IDLE_S,
            body_timeout=_BODY_S,
            max_header_size=_HEADER_BYTES,
            max_body_size=_BODY_BYTES,
        )
        server.add_sockets(self._sockets)
        ending = asyncio.create_task(self._stop.wait())
        publishing = asyncio.create_task(self._viewers.publish() if self._viewers is not None else self._stop.wait())
        self._started.set()
        try:
            await asyncio.wait({publishing, ending}, return_when=asyncio.FIRST_COMPLETED)
            if publishing.done():
                publishing.result()
            if self._viewers is not None:
                await _close_streams(self._viewers)
        finally:
            publishing.cancel()
            ending.cancel()
            server.stop()
            with suppress(TimeoutError):
                await asyncio.wait_for(server.close_all_connections(), _STOP_S)


async def _close_streams(viewers: Viewers) -> None:
    if sent := viewers.close():
        await asyncio.wait(sent, timeout=_STOP_S)
        await asyncio.sleep(_STREAM_END_S)


class LimitedHttpServer(HTTPServer):
    """A server with a limited number of connections, in all and for each address.

    More would use up the file descriptors that the journal needs.
    """

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        self._hosts: Counter[str] = Counter()  # of the open connections
        super().initialize(*args, **kwargs)

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        host = str(address[0])
        if self._hosts.total() >= _CONNECTIONS or self._hosts[host] >= _CONNECTIONS_PER_ADDRESS:
            stream.close()
            return
        self._hosts[host] += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: Any) -> None:
        host = str(server_conn.context.address[0])
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]
        super().on_close(server_conn)
