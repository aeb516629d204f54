"""Cleaning up when a command is ended by SIGTERM or SIGHUP, as it does after Ctrl-C: Python would leave everything behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class _Terminated(BaseException):
    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def cleaned_up_when_terminated() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the block, with its `finally`, before they end the process.

    Signals that have a handler already, or are ignored (`nohup`), stay as they are; so does everything in another thread.
    """

    def unwind(number: int, _frame: FrameType | None) -> None:
        raise _Terminated(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    own = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in own:
        signal.signal(number, unwind)
    try:
        yield
    except _Terminated as terminated:
        signal.signal(terminated.number, signal.SIG_DFL)
        os.kill(os.getpid(), terminated.number)
        raise
    finally:
        for number in own:
            signal.signal(number, signal.SIG_DFL)
