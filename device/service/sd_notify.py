"""Notifications to systemd (sd_notify, Type=notify-reload): one datagram each, none without a $NOTIFY_SOCKET."""

from __future__ import annotations

import os
from collections.abc import Mapping

from device.clock import Clock


class Notifier:
    """Sends to $NOTIFY_SOCKET, a path or, with a leading @, an abstract name. It never raises or waits.

    With $WATCHDOG_USEC (and, if set, $WATCHDOG_PID equal to this process) systemd ends a process that does not feed its
    watchdog. `feed_watchdog` may be called for each frame: it sends once half the interval has passed, so frames must
    arrive more often than every half interval.
    """

    def __init__(self, clock: Clock, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address if address.startswith("/") else ""
        self._clock = clock
        self._status = ""
        self._fed_ns: int | None = None
        is_watched = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        interval = environ.get("WATCHDOG_USEC", "") if is_watched else ""
        self.watchdog_s = int(interval) / 1e6 if interval.isascii() and interval.isdigit() else 0.0  # 0: no watchdog

    def ready(self, status: str) -> None:
        """The service has started, or has finished a reload."""
        self._send("READY=1", status)

    def status(self, sentence: str) -> None:
        """Sets the line that `systemctl status` shows; sent when it changed."""
        if sentence != self._status:
            self._send("", sentence)

    def reloading(self, monotonic_ns: int) -> None:
        """The settings are being read again; `ready` must follow. `monotonic_ns` is CLOCK_MONOTONIC, as systemd requires."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_ns // 1000}", "reading the settings again")

    def stopping(self, status: str) -> None:
        """The service is stopping."""
        self._send("STOPPING=1", status)

    def feed_watchdog(self) -> None:
        """A frame reached the sinks. Only this and `feed_watchdog_without_frame` feed the watchdog."""
        now_ns = self._clock.mono_ns()
        if self.watchdog_s and (self._fed_ns is None or now_ns - self._fed_ns >= self.watchdog_s * 5e8):
            self._fed_ns = now_ns
            self._send("WATCHDOG=1")

    def feed_watchdog_without_frame(self) -> None:
        """No frame is due: the run is paused, or its camera is lost, being closed, or silent for as long as `stall_s` allows.

        A turn of the loop then counts as a frame. Called while frames are due, this would keep a stuck loop alive.
        """
        self.feed_watchdog()

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
            pass  # a restart of systemd must not stop the run
