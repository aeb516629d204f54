"""Messages about clients of a server, at most one a minute: a client decides how many requests there are."""

from __future__ import annotations

from collections.abc import Callable

from device.clock import Clock

_EVERY_NS = 60_000_000_000


class MinuteLog:
    """Passes one message a minute to `log`, with the number of those that were dropped since the last one."""

    def __init__(self, clock: Clock, log: Callable[[str], None]) -> None:
        self._clock, self._log = clock, log
        self._next_ns = 0
        self._dropped = 0

    def __call__(self, message: str) -> None:
        """Logs the message, or counts it."""
        now_ns = self._clock.mono_ns()
        if now_ns < self._next_ns:
            self._dropped += 1
            return
        others = f" (and {self._dropped} more messages about clients since the last one)" if self._dropped else ""
        self._log(f"{message}{others}")
        self._next_ns, self._dropped = now_ns + _EVERY_NS, 0
