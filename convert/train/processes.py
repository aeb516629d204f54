"""Training by several processes, one on each host, on JAX.

Each process is started with the same command and with Keras' own variables in its environment:
KERAS_DISTRIBUTION_JOB_ADDRESSES (host and port of the first process), KERAS_DISTRIBUTION_NUM_PROCESSES and
KERAS_DISTRIBUTION_PROCESS_ID (from 0). All have the same number of devices; each computes its part of every batch.
The first one validates, prints, and writes the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from fer_edge.errors import UsageError
from fer_edge.text_cleaning import clean

T = TypeVar("T", bound=np.ndarray)

_ADDRESSES, _COUNT, _INDEX = (f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"))
LARGEST_COUNT = 4096


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that train together: their number, and this one's index, from 0."""

    count: int = 1
    index: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process validates, prints, and writes the files."""
        return self.index == 0

    @staticmethod
    def of(environ: Mapping[str, str] = os.environ) -> Processes:
        """The processes that Keras' variables describe; one without them.

        Raises UsageError when one of the variables is missing or out of bounds.
        """
        if _COUNT not in environ:
            return Processes()
        count = _whole_number(environ, _COUNT, 1, LARGEST_COUNT)
        if count == 1:
            return Processes()
        index = _whole_number(environ, _INDEX, 0, count - 1)
        address = environ.get(_ADDRESSES, "").split(",")[0]
        host, _, port = address.rpartition(":")
        if not host or not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            raise UsageError(
                f"{_ADDRESSES} must be the host and the port of the first process, such as 10.0.0.1:12355, "
                f"not “{clean(address, 60)}”"
            )
        return Processes(count, index)

    def join(self) -> None:
        """Waits until all processes are connected. Call it before anything is computed; it does nothing for one process.

        Raises UsageError on another backend than JAX, and when a process does not answer in five minutes.
        """
        if self.count == 1:
            return
        import keras

        if keras.backend.backend() != "jax":
            raise UsageError(
                f"{_COUNT} is {self.count}: several processes train on JAX only; set KERAS_BACKEND=jax, or remove {_COUNT}"
            )
        try:
            keras.distribution.initialize()
        except RuntimeError as error:
            raise UsageError(
                f"the {self.count} processes are not connected: {clean(str(error), 300)}; start all of them, and check "
                f"{_ADDRESSES}"
            ) from error

    def part(self, array: T) -> T:
        """This process' rows of an array of a whole batch. The number of rows is a multiple of the number of processes."""
        size = len(array) // self.count
        return array[self.index * size : (self.index + 1) * size]  # type: ignore[return-value]

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
