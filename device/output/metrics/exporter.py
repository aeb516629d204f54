"""Exports metrics: to a file that node_exporter collects, and on a port that Prometheus scrapes, each in threads of its own.

The file is replaced by a rename, so that its reader never sees half of it; nothing is forced to a disk, because the file is in
memory. The loop is not involved: a stuck loop is still exported, with a growing time since the last frame.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from device.address import Address
from device.output.allowed_hosts import is_allowed_host
from device.output.metrics.prometheus_collector import PrometheusCollector
from device.output.metrics.run_metrics import RunMetrics
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

CLIENT_TIMEOUT_S = 5.0  # of a client that sends no request or does not read
MAX_THREADS = 16  # of the process, above which a client is rejected: the service may have 64 tasks


class MetricsExporter:
    """Exports the metrics of a run to a file every `every_s`, on a port, or both: a context manager, begun by `start`.

    Enter it before the journal and start it after: then the last file, written on leaving, includes the journal's last bytes,
    and a run that may not write the journal has changed nothing. `log` receives a sentence. Raises UsageError when created
    without the extra `metrics`, and when started where the file cannot be written or the port is not available; afterwards
    nothing: a later failure is logged once and tried again.
    """

    def __init__(
        self,
        metrics: RunMetrics,
        file: Path | None,
        address: Address | None,
        every_s: float,
        log: Callable[[str], None],
        client_timeout_s: float = CLIENT_TIMEOUT_S,
    ) -> None:
        self.port: int | None = None  # once started
        self._metrics, self._file, self._address, self._every_s, self._log = metrics, file, address, every_s, log
        self._client_timeout_s = client_timeout_s
        self._registry = PrometheusCollector(metrics).registry()
        self._stop = threading.Event()
        self._writer = threading.Thread(target=self._write_periodically, name="metrics", daemon=True)
        self._server: WSGIServer | None = None
        self._started = False
        self.trouble: str | None = None  # why the file cannot be written at present

    def start(self) -> None:
        """Starts the server, and writes the first file."""
        if self._address is not None:
            self._serve(self._address)
        if self._file is not None:
            try:
                self._write(self._file)
            except OSError as error:
                raise UsageError(
                    f"the metrics file {self._file} cannot be written ({error.strerror}); name a file in an existing folder in "
                    "memory with the setting `metrics_file` (for the service: /run/fer-edge)"
                ) from error
            self._writer.start()
        self._started = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._metrics.mark_stopped()
        self._stop.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        if self._started and self._file is not None:
            self._writer.join()
            self._try_to_write(self._file)

    def _serve(self, address: Address) -> None:
        from prometheus_client import start_http_server

        try:
            server, _ = start_http_server(address.port, address.host, self._registry)
        except OSError as error:
            raise UsageError(
                f"metrics cannot be served at {address} ({error.strerror}); give the setting `metrics` another address, or "
                "stop the program that uses this one; a service needs `fer-edge service install --network`"
            ) from error
        server.set_app(_for_own_names(server.get_app(), address))
        server.RequestHandlerClass = _limited_handler(server.RequestHandlerClass, self._client_timeout_s)
        self._server, self.port = server, server.server_port
        self._log(f"metrics at http://{Address(address.host, server.server_port)}/metrics")

    def _write(self, path: Path) -> None:
        from prometheus_client import write_to_textfile

        write_to_textfile(str(path), self._registry)

    def _write_periodically(self) -> None:
        while not self._stop.wait(self._every_s):
            assert self._file is not None
            self._try_to_write(self._file)

    def _try_to_write(self, path: Path) -> None:
        try:
            self._write(path)
            self.trouble = None
        except OSError as error:
            before, self.trouble = self.trouble, f"the metrics file {path} cannot be written ({error.strerror})"
            if before is None:
                self._log(f"{self.trouble}; it is tried again")


def _for_own_names(application: Any, address: Address) -> Any:
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


def _limited_handler(handler: Any, timeout_s: float) -> Any:
    """The handler with a timeout and a limit on the number of clients, because each client takes a thread."""

    class LimitedHandler(handler):
        timeout = timeout_s

        def handle(self) -> None:
            if threading.active_count() <= MAX_THREADS:
                with suppress(OSError):  # a client that disconnected, or sent no request, is not logged
                    super().handle()

    return LimitedHandler
