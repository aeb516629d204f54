"""What systemd is told (sd_notify, Type=notify-reload): one datagram each, and nothing where nobody listens."""

from __future__ import annotations

import os
from collections.abc import Mapping

from device.clock import Clock


class Notifier:
    """Speaks to $NOTIFY_SOCKET, a path or, with @, an abstract name; silent without it. It never raises or waits.

    With $WATCHDOG_USEC (and $WATCHDOG_PID, where set, of this process) systemd ends a process that is not `fed`. A feed
    is handed on once half the interval is over, so that it may be called for each frame; frames must therefore come more
    often than every half interval.
    """

    def __init__(self, clock: Clock, environ: Mapping[str, str] = os.environ) -> None:
        given = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{given[1:]}" if given.startswith("@") else given if given.startswith("/") else ""
        self._clock = clock
        self._status = ""
        self._fed_ns: int | None = None
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        interval = environ.get("WATCHDOG_USEC", "") if mine else ""
        self.watchdog_s = int(interval) / 1e6 if interval.isascii() and interval.isdigit() else 0.0  # 0: nobody watches

    def ready(self, status: str) -> None:
        """The service is up; after a reload, it is done with it."""
        self._send("READY=1", status)

    def status(self, sentence: str) -> None:
        """What `systemctl status` shows; sent when it changed."""
        if sentence != self._status:
            self._send("", sentence)

    def reloading(self, awake_ns: int) -> None:
        """The settings are being read again; `ready` must follow. `awake_ns` is CLOCK_MONOTONIC, which systemd asks for."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={awake_ns // 1000}", "reading the settings again")

    def stopping(self, status: str) -> None:
        """The service is on its way down."""
        self._send("STOPPING=1", status)

    def fed(self) -> None:
        """A frame went all the way to the sinks. This, and `excused`, is all that keeps the watchdog away."""
        now_ns = self._clock.mono_ns()
        if self.watchdog_s and (self._fed_ns is None or now_ns - self._fed_ns >= self.watchdog_s * 5e8):
            self._fed_ns = now_ns
            self._send("WATCHDOG=1")

    def excused(self) -> None:
        """No frame is due: the run is paused, or its camera is known to be away and is tried again, for a bounded time.

        The turn of the loop stands in for the frame then. Called while frames are due, it would keep a stuck loop alive.
        """
        self.fed()

    def _send(self, state: str, status: str = "") -> None:
        if not self._address:
            return
        if status:
            self._status = status
            one_line = status.replace("\n", " ")
            state = f"{state}\nSTATUS={one_line}" if state else f"STATUS={one_line}"
        import socket

        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as node:
                node.sendto(state.encode(), self._address)
        except OSError:
            pass  # systemd being restarted is no reason to stop
