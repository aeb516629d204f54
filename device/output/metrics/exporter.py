"""Exports metrics: to a file that node_exporter collects, and on a port that Prometheus scrapes, each in threads of its own.

The file is replaced by a rename, so that its reader never sees half of it; nothing is forced to a disk, because the file is in
memory. The loop is not involved: a stuck loop is still exported, with a growing time since the last frame.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from device.address import Address
from device.output.metrics.prometheus_collector import PrometheusCollector
from device.output.metrics.run_metrics import RunMetrics
from fer_edge.errors import UsageError
from fer_edge.text_cleaning import clean

if TYPE_CHECKING:
    from device.output.metrics.server import MetricsServer


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
        client_timeout_s: float | None = None,
    ) -> None:
        self.port: int | None = None  # once started
        self._metrics, self._file, self._address, self._every_s, self._log = metrics, file, address, every_s, log
        self._client_timeout_s = client_timeout_s
        self._registry = PrometheusCollector(metrics).registry()
        self._stop = threading.Event()
        self._writer = threading.Thread(target=self._write_periodically, name="metrics", daemon=True)
        self._server: MetricsServer | None = None
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
            self._server.stop()
        if self._started and self._file is not None:
            self._writer.join()
            self._try_to_write(self._file)

    def _serve(self, address: Address) -> None:
        from prometheus_client import make_wsgi_app

        from device.output.metrics.server import CLIENT_TIMEOUT_S, MetricsServer

        try:
            self._server = MetricsServer(
                address, make_wsgi_app(self._registry), self._client_timeout_s or CLIENT_TIMEOUT_S
            )
        except OSError as error:
            raise UsageError(
                f"metrics cannot be served at {address} ({error.strerror}); give the setting `metrics` another address, or "
                "stop the program that uses this one; a service needs `fer-edge service install --network`"
            ) from error
        self._server.start()
        self.port = self._server.server_port
        self._log(f"metrics at http://{Address(address.host, self.port)}/metrics")

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
            before, self.trouble = (
                self.trouble,
                clean(f"the metrics file {path} cannot be written ({error.strerror})", 400),
            )
            if before is None:
                self._log(f"{self.trouble}; it is tried again")
