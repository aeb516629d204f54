"""The server of the metrics port: WSGI in a thread for each client, with limits on clients and on the time of each."""

from __future__ import annotations

import io
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from device.address import Address
from device.clock import Clock, SystemClock
from device.output.allowed_hosts import is_allowed_host

CLIENT_TIMEOUT_S = 5.0  # for the whole request of a client, and for sending the answer
CONNECTIONS = 12  # open at a time, each with a thread: the service may have 64 tasks
CONNECTIONS_PER_ADDRESS = 8  # so that one client leaves room for others

Application = Callable[[dict[str, Any], Any], Any]


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Serves a WSGI application at `address` from the call of `start`, to clients within the limits above.

    A connection above a limit is closed at once, without an answer. Raises OSError where the address is not available.
    """

    daemon_threads = True
    block_on_close = False  # a client that is served does not delay the end of a run

    def __init__(self, address: Address, application: Application, client_timeout_s: float = CLIENT_TIMEOUT_S) -> None:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, endpoint = found[0][0], found[0][4]
        self._lock = threading.Lock()
        self._hosts: Counter[str] = Counter()  # of the open connections
        self.client_timeout_s, self.clock = client_timeout_s, SystemClock()
        super().__init__((str(endpoint[0]), int(endpoint[1])), _Handler)
        self.set_app(_for_own_names(application, address))
        self._thread = threading.Thread(target=self.serve_forever, name="metrics port", daemon=True)

    def start(self) -> None:
        """Begins to serve, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Closes the port."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begins a client's thread, or closes the connection."""
        host = str(client_address[0])
        with self._lock:
            is_above = self._hosts.total() >= CONNECTIONS or self._hosts[host] >= CONNECTIONS_PER_ADDRESS
            if not is_above:
                self._hosts[host] += 1
        if is_above:
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be begun
            self._forget(host)
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serves a client, in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget(str(client_address[0]))

    def _forget(self, host: str) -> None:
        with self._lock:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]


class _Handler(WSGIRequestHandler):
    """One request, whose bytes must all have come within the server's timeout. Neither a request nor a failure is logged."""

    def setup(self) -> None:
        """Replaces the reader, whose timeout would be that of each read."""
        assert isinstance(self.server, MetricsServer)
        self._timeout_s = self.server.client_timeout_s
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_LimitedReader(self.connection, self.server.clock, self._timeout_s))

    def handle(self) -> None:
        """Answers; a client that disconnected, or sent no whole request, is not logged."""
        with suppress(OSError):
            super().handle()

    def parse_request(self) -> bool:
        """Reads the request; the answer then has a time of its own."""
        is_whole = super().parse_request()
        self.connection.settimeout(self._timeout_s)
        return is_whole

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: any client that reaches the port could fill a log."""


class _LimitedReader(io.RawIOBase):
    """What a socket receives within `limit_s` in all, then TimeoutError."""

    def __init__(self, connection: socket.socket, clock: Clock, limit_s: float) -> None:
        self._connection, self._clock, self._end_ns = connection, clock, clock.awake_ns() + round(limit_s * 1e9)

    def readable(self) -> bool:
        """It is readable."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads once."""
        remaining_s = (self._end_ns - self._clock.awake_ns()) / 1e9
        if remaining_s <= 0:
            raise TimeoutError("the request is not whole in time")
        self._connection.settimeout(remaining_s)
        return self._connection.recv_into(buffer)


def _for_own_names(application: Application, address: Address) -> Application:
    """The WSGI application for requests to this machine's addresses and own names: a web page of another name is refused."""
    machine = socket.gethostname()

    def checked(environ: dict[str, Any], start_response: Any) -> Any:
        status, text = (
            "421 Misdirected Request",
            b"metrics are not served under that name; use the machine's address or its own name.\n",
        )
        if is_allowed_host(environ.get("HTTP_HOST", ""), address, machine):
            try:
                return application(environ, start_response)
            except (
                TypeError,
                ValueError,
            ):  # of prometheus_client, for an Accept header with a version that is no number
                status, text = "400 Bad Request", b"the header Accept cannot be read.\n"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [text]

    return checked
