"""The clock: the only file of the device that reads the system's time, so that a test can replace it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

CLOCK_STATES = ("synced", "unsynced", "unknown")  # of the wall clock: set from the network, not yet, or not known
_IMPORTED_NS = time.monotonic_ns()
_STATE_MAX_AGE_NS = 1_000_000_000  # between two checks of whether the wall clock is reliable


@dataclass(frozen=True, slots=True)
class Stamp:
    """A moment by the monotonic and by the wall clock, as in events. `clock` says whether `wall` is reliable."""

    mono_ns: int
    wall: str  # UTC, ISO 8601 with milliseconds
    clock: str  # one of CLOCK_STATES


class Clock(Protocol):
    """The clock that a run uses. `mono_ns` counts from boot, unaffected by clock steps; every timer uses it."""

    boot: str

    def mono_ns(self) -> int:
        """Nanoseconds since boot."""
        ...

    def awake_ns(self) -> int:
        """Nanoseconds since boot without time asleep: for how long a driver has worked, and systemd's `MONOTONIC_USEC`."""
        ...

    def stamp(self, mono_ns: int | None = None) -> Stamp:
        """The moment `mono_ns`, or now, with its wall time."""
        ...

    def started_ns(self) -> int:
        """When this process was started, in `mono_ns`."""
        ...

    def sleep(self, seconds: float) -> None:
        """Waits for this time."""
        ...

    def cpu_ns(self) -> int:
        """Processor time of this process in nanoseconds, all threads together."""
        ...


def wall_s() -> float:
    """Seconds since 1970 by the wall clock, as files have their times."""
    return time.time()


class SystemClock:
    """The clocks of this machine. System files are read below `root`, which a test may replace."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._state, self._look_ns = "unknown", 0
        self._second, self._second_text = -1, ""  # the last formatted second
        self.boot = self._read("proc/sys/kernel/random/boot_id") or "unknown"

    def mono_ns(self) -> int:
        """Nanoseconds since boot, time asleep included where the kernel counts it (CLOCK_BOOTTIME)."""
        # libcamera stamps frames with the same clock, so that a frame's age is a difference.
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic_ns()

    def awake_ns(self) -> int:
        """Nanoseconds since boot without time asleep (CLOCK_MONOTONIC)."""
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def stamp(self, mono_ns: int | None = None) -> Stamp:
        """The moment `mono_ns`, or now, with its wall time by the present setting of the wall clock."""
        now_ns = self.mono_ns()
        then_ns = now_ns if mono_ns is None else mono_ns
        second, ms = divmod((time.time_ns() + then_ns - now_ns) // 1_000_000, 1000)
        if second != self._second:  # a second has many events
            self._second, self._second_text = (
                second,
                datetime.fromtimestamp(second, UTC).isoformat().removesuffix("+00:00"),
            )
        wall = f"{self._second_text}.{ms:03d}Z"
        if now_ns >= self._look_ns:  # two system calls for each line would cost more than the line
            self._state, self._look_ns = self.state(), now_ns + _STATE_MAX_AGE_NS
        return Stamp(then_ns, wall, self._state)

    def state(self) -> str:
        """Whether the wall clock was set from the network: synced, unsynced, or unknown without systemd-timesyncd."""
        folder = self._root / "run/systemd/timesync"
        if (folder / "synchronized").exists():
            return "synced"
        return "unsynced" if folder.is_dir() else "unknown"

    def started_ns(self) -> int:
        """When this process was started, in `mono_ns`; when this module was imported if the kernel does not provide it."""
        text = self._read("proc/self/stat")
        try:
            # After the last bracket, because the process name may contain brackets and spaces; field 22 of proc(5).
            ticks = int(text.rpartition(")")[2].split()[19])
        except (ValueError, IndexError):
            return _IMPORTED_NS
        return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")

    def sleep(self, seconds: float) -> None:
        """Waits for this time."""
        time.sleep(max(0.0, seconds))

    def cpu_ns(self) -> int:
        """Processor time of this process in nanoseconds, all threads together."""
        return time.process_time_ns()

    def _read(self, name: str) -> str:
        try:
            return (self._root / name).read_text().strip()
        except OSError:
            return ""
