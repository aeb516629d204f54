"""Training by several processes, one on each host, on JAX.

Each process is started with the same command and with Keras' own variables in its environment:
KERAS_DISTRIBUTION_JOB_ADDRESSES (host and port of the first process), KERAS_DISTRIBUTION_NUM_PROCESSES and
KERAS_DISTRIBUTION_PROCESS_ID (from 0). All must have the same number of devices; each computes its part of every batch.
The first one validates, prints, and writes the files.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from fer_edge.errors import UsageError
from fer_edge.text_cleaning import clean

_ADDRESSES, _COUNT, _INDEX = (f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"))
LARGEST_COUNT = 4096
PATIENCE_S = 300.0  # JAX's own, for all processes to connect


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that train together: their number, this one's index from 0, and the first one's host and port."""

    count: int = 1
    index: int = 0
    address: tuple[str, int] = ("", 0)

    @property
    def is_first(self) -> bool:
        """Whether this process validates, prints, and writes the files."""
        return self.index == 0

    @staticmethod
    def of(environ: Mapping[str, str] = os.environ) -> Processes:
        """The processes that Keras' variables describe; one without them.

        Raises UsageError when one of the variables is missing or out of bounds.
        """
        if not any(name in environ for name in (_COUNT, _INDEX, _ADDRESSES)):
            return Processes()
        count = _whole_number(environ, _COUNT, 1, LARGEST_COUNT)
        if count == 1:
            return Processes()
        index = _whole_number(environ, _INDEX, 0, count - 1)
        address = environ.get(_ADDRESSES, "").split(",")[0]
        host, _, port = address.rpartition(":")
        if not host or not (port.isascii() and port.isdecimal() and len(port) < 6 and 0 < int(port) < 65536):
            raise UsageError(
                f"{_ADDRESSES} must be the host and the port of the first process, such as 10.0.0.1:12355, "
                f"not “{clean(address, 60)}”"
            )
        return Processes(count, index, (host, int(port)))

    def join(self, patience_s: float = PATIENCE_S) -> None:
        """Waits until all processes are connected. Call it before anything is computed; it does nothing for one process.

        Raises UsageError on another backend than JAX, and when the first process does not answer within `patience_s`. Where
        another one does not, JAX ends the first with an abort after five minutes.
        """
        if self.count == 1:
            return
        import keras

        if keras.backend.backend() != "jax":
            raise UsageError(
                f"{_COUNT} is {self.count}: several processes train on JAX only; set KERAS_BACKEND=jax, or remove {_COUNT}"
            )
        import jax

        if not self.is_first:
            self._wait_for_first(patience_s)
        if hasattr(jax.config, "jax_enable_preemption_service"):
            jax.config.update("jax_enable_preemption_service", False)  # it would catch SIGTERM, and the run would go on
        host, port = self.address
        try:
            keras.distribution.initialize(f"{host}:{port}", self.count, self.index)
        except (RuntimeError, ValueError) as error:  # a port that is in use
            raise UsageError(
                f"the {self.count} processes are not connected: {clean(str(error), 300)}; check {_ADDRESSES}"
            ) from error

    def _wait_for_first(self, patience_s: float) -> None:
        """Waits until the first process listens: JAX itself would abort without a sentence."""
        end_s = time.monotonic() + patience_s
        while True:
            try:
                with socket.create_connection(self.address, timeout=5):
                    return
            except OSError as error:
                if time.monotonic() >= end_s:
                    host, port = self.address
                    raise UsageError(
                        f"no process listens on {clean(host, 255)}:{port} ({error.strerror or error}); start the first one, "
                        f"and check {_ADDRESSES}"
                    ) from error
            time.sleep(0.2)

    def require_same(self, what: str) -> None:
        """Raises UsageError when `what`, the description of a run, is another one than the first process'."""
        own = np.frombuffer(hashlib.sha256(what.encode()).digest(), np.uint8)
        if not np.array_equal(self.from_first(own), own):
            raise UsageError(
                f"process {self.index} has another data set, recipe, precision, teacher or checkpoint than the first one; "
                "start all processes with the same command and files"
            )

    def part(self, array: np.ndarray) -> np.ndarray:
        """This process' rows of an array of a whole batch. The number of rows is a multiple of the number of processes."""
        size = len(array) // self.count
        return array[self.index * size : (self.index + 1) * size]

    def from_first(self, array: np.ndarray) -> np.ndarray:
        """The first process' array, in each of them; the others give one of the same shape and dtype."""
        if self.count == 1:
            return array
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.broadcast_one_to_all(array, is_source=self.is_first))


ONE_PROCESS = Processes()


@contextmanager
def on_this_process() -> Iterator[None]:
    """Models that are built in this context, and what they compute in it, are on this process' first device alone."""
    import keras

    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def _whole_number(environ: Mapping[str, str], name: str, low: int, high: int) -> int:
    text = environ.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and low <= int(text) <= high):
        raise UsageError(f"{name} must be a whole number from {low} to {high}, not “{clean(text, 60)}”")
    return int(text)
