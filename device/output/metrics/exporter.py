"""Where metrics can be read: a file that node_exporter collects, a port that Prometheus asks; each with threads of its own.

The file is written beside and renamed, so that its reader sees the one or the other and never half; nothing is forced to a
disk, for the file is one of memory. The loop is never asked: a stuck one goes on being told of, with a growing wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from device.address import Address
from device.output.metrics.prometheus_collector import PrometheusCollector
from device.output.metrics.run_metrics import RunMetrics
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

_PATIENCE_S = 5.0  # with a client that asks for nothing, or takes nothing
MOST_THREADS = 16  # of the process, above which a client is sent away: the service may have 64 tasks


class MetricsExporter:
    """The metrics of a run, in a file every `every_s`, at a port, or both: a context manager, which `open` begins.

    To be entered before the journal and opened after it: so the last file, written on leaving, has the journal's last bytes,
    and a run that another one's journal refuses has touched nothing. `say` is given a sentence to speak. Raises UsageError
    when made without the extra `metrics`, and when opened where the file cannot be written or the port not be had; afterwards
    nothing: what fails then is said once and tried again.
    """

    def __init__(
        self, metrics: RunMetrics, file: Path | None, at: Address | None, every_s: float, say: Callable[[str], None]
    ) -> None:
        self.port: int | None = None  # once open
        self._metrics, self._file, self._at, self._every_s, self._say = metrics, file, at, every_s, say
        self._registry = PrometheusCollector(metrics).registry()
        self._over = threading.Event()
        self._writer = threading.Thread(target=self._write_on, name="metrics", daemon=True)
        self._server: WSGIServer | None = None
        self._open = self._failed = False

    def open(self) -> None:
        """Begins to serve, and writes the first file."""
        if self._at is not None:
            self._serve(self._at)
        if self._file is not None:
            try:
                self._write(self._file)
            except OSError as error:
                raise UsageError(
                    f"the metrics file {self._file} cannot be written ({error.strerror}); give --metrics-file another, in a "
                    "folder that is there and in memory, as /run/fer-edge is for the service"
                ) from error
            self._writer.start()
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._metrics.stopped()
        self._over.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        if self._open and self._file is not None:
            self._writer.join()
            self._try_to_write(self._file)

    def _serve(self, at: Address) -> None:
        from prometheus_client import start_http_server

        try:
            server, _ = start_http_server(at.port, at.host, self._registry)
        except OSError as error:
            raise UsageError(
                f"metrics cannot be served at {at} ({error.strerror}); give --metrics another address, or stop what has "
                "this one; a service may only after `fer-edge service install --network`"
            ) from error
        server.RequestHandlerClass = _limited_handler(server.RequestHandlerClass)
        self._server, self.port = server, server.server_port
        self._say(f"metrics at http://{Address(at.host, server.server_port)}/metrics")

    def _write(self, path: Path) -> None:
        from prometheus_client import write_to_textfile

        write_to_textfile(str(path), self._registry)

    def _write_on(self) -> None:
        while not self._over.wait(self._every_s):
            assert self._file is not None
            self._try_to_write(self._file)

    def _try_to_write(self, path: Path) -> None:
        try:
            self._write(path)
            self._failed = False
        except OSError as error:
            if not self._failed:
                self._say(f"the metrics file {path} cannot be written ({error.strerror}); it is tried again")
            self._failed = True


def _limited_handler(handler: Any) -> Any:
    """The handler, with an end to its patience and to the number of clients: each that is waited for has a thread."""

    class Impatient(handler):
        timeout = _PATIENCE_S

        def handle(self) -> None:
            if threading.active_count() <= MOST_THREADS:
                with suppress(OSError):  # a client that went away, or never came to ask, is not worth a line
                    super().handle()

    return Impatient
