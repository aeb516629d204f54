"""Requests by signals: SIGINT and SIGTERM end a run, SIGHUP makes it read its settings again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class SignalRequests:
    """The name of the signal that requested the end, or empty; and whether the settings are to be read again.

    No lock: a handler may run between any two instructions.
    """

    stop: str = ""
    reload: bool = False


@contextmanager
def handle_signals() -> Iterator[SignalRequests]:
    """The requests by SIGINT, SIGTERM and SIGHUP during the block; a second Ctrl-C interrupts at once."""
    requests = SignalRequests()
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers only there
        yield requests
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def request_stop(number: int, _: FrameType | None) -> None:
        requests.stop = signal.Signals(number).name
        signal.signal(signal.SIGINT, previous[signal.SIGINT])

    def request_reload(number: int, _: FrameType | None) -> None:  # noqa: ARG001
        requests.reload = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, request_stop)
    signal.signal(signal.SIGHUP, request_reload)
    try:
        yield requests
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
