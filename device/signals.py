"""What signals ask of a run: SIGINT and SIGTERM to end, SIGHUP to read its settings again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class SignalRequests:
    """The signal that asked for the end, or nothing yet; and whether one asked for the settings to be read again.

    No lock: a handler may come between any two steps.
    """

    stop: str = ""
    reload: bool = False


@contextmanager
def handle_signals() -> Iterator[SignalRequests]:
    """What SIGINT, SIGTERM and SIGHUP set while the block runs; a second Ctrl-C interrupts at once, whatever is going on."""
    asked = SignalRequests()
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers nowhere else
        yield asked
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def end(number: int, _: FrameType | None) -> None:
        asked.stop = signal.Signals(number).name
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    def reload(number: int, _: FrameType | None) -> None:  # noqa: ARG001
        asked.reload = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, reload)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
