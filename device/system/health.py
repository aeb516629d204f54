"""The machine's health: power, throttling, temperature, free space, and whether the clock can be believed.

Power is read from the kernel (hwmon's `rpi_volt`, whose alarm stands while the voltage is low). What else slows a Pi
down, and what did so since it booted, only the firmware knows: `vcgencmd get_throttled`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from device.clock import Clock

# The bits of get_throttled; the same four, 16 higher, say "since boot". raspberrypi.com, documentation/computers/os.html
BITS = ("undervoltage", "frequency_capped", "throttled", "soft_temperature_limit")
_CALM_S = 60.0  # a weak supply's alarm comes and goes within seconds: it is over when it did not come back for so long
_COOLER_C = 5.0  # below the limit, before it is cool again
_ROOMIER = 1.25  # times the limit, before there is space again
_FAILURES = 3  # of vcgencmd in a row, after which it is left alone


@dataclass(frozen=True, slots=True)
class Health:
    """The machine at `mono_s` (seconds since boot). None: nobody tells. `power_told_by`: hwmon, vcgencmd or nobody."""

    mono_s: float
    undervoltage: bool | None
    throttled_now: tuple[str, ...] | None  # of BITS
    throttled_since_boot: tuple[str, ...] | None
    temperature_c: float | None  # of the processor, the hottest where there are several sensors
    disk_free_bytes: int | None  # where the journal is
    clock: str  # synced, unsynced or unknown
    power_told_by: str

    def to_json(self) -> dict[str, Any]:
        """The fields, without `mono_s` and `clock`, which every event has."""
        return {name: value for name, value in asdict(self).items() if name not in ("mono_s", "clock")}


class Sensors:
    """Reads the health of this machine, a few small files each time. `folder` is on the disk that is asked about.

    System facts are read below `root`; `ask` gives what `vcgencmd get_throttled` prints, and raises OSError where it
    cannot. An `ask` that keeps failing is not called again.
    """

    def __init__(self, folder: Path, clock: Clock, ask: Callable[[], str], root: Path = Path("/")) -> None:
        self._folder, self._clock, self._ask = folder.absolute(), clock, ask
        self._failed = 0
        hwmon = (node for node in _nodes(root, "class/hwmon", "hwmon*") if _text(node / "name") == "rpi_volt")
        self._alarm = next((node / "in0_lcrit_alarm" for node in hwmon), None)
        zones = {node / "temp": _text(node / "type") for node in _nodes(root, "class/thermal", "thermal_zone*")}
        of_processor = [node for node, kind in zones.items() if any(word in kind for word in ("cpu", "soc", "pkg"))]
        self._zones = of_processor or list(zones)

    def read(self) -> Health:
        """The health now."""
        stamp = self._clock.stamp()
        bits = self._bits()
        now, since = (None, None) if bits is None else (_names(bits), _names(bits >> 16))
        alarm = None if self._alarm is None else _number(self._alarm)
        told_by = "hwmon" if alarm is not None else "nobody" if now is None else "vcgencmd"
        undervoltage = bool(alarm) if alarm is not None else None if now is None else BITS[0] in now
        degrees = [value / 1000 for node in self._zones if (value := _number(node)) is not None]
        return Health(
            round(stamp.mono_ns / 1e9, 3),
            undervoltage,
            now,
            since,
            round(max(degrees), 1) if degrees else None,
            self._free(),
            stamp.clock,
            told_by,
        )

    def _bits(self) -> int | None:
        if self._failed >= _FAILURES:
            return None
        try:
            bits = int(self._ask().strip().removeprefix("throttled="), 16)
        except (OSError, ValueError):
            self._failed += 1
            return None
        self._failed = 0
        return bits

    def _free(self) -> int | None:
        for folder in (self._folder, *self._folder.parents):  # the folder may have been removed, or not be made yet
            try:
                disk = os.statvfs(folder)
            except OSError:
                continue
            return disk.f_bavail * disk.f_frsize
        return None


def vcgencmd() -> str:
    """What `vcgencmd get_throttled` prints, as `throttled=0x50000`. Raises OSError where there is none or it fails."""
    import subprocess

    try:
        return subprocess.run(
            ["vcgencmd", "get_throttled"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1,
            check=True,
        ).stdout
    except subprocess.SubprocessError as error:
        raise OSError(f"vcgencmd: {error}") from error


def changed_fields(before: Health | None, now: Health, hot_c: float, disk_low_bytes: int) -> tuple[str, ...]:
    """What of `now` is worth an event after `before`, the health that was last told: the names of fields; all at first.

    A new trouble is told at once, its end after a while: an alarm must have been told for `_CALM_S`, the temperature be
    some degrees below the limit and the space a quarter above it. What merely moves is not told.
    """
    if before is None:
        return (*now.to_json(), "clock")
    calm = now.mono_s - before.mono_s >= _CALM_S
    told = []
    if before.undervoltage != now.undervoltage and (now.undervoltage or calm):
        told.append("undervoltage")
    was, bits = set(before.throttled_now or ()), set(now.throttled_now or ())
    if bits - was or (was != bits and calm):
        told.append("throttled_now")
    if set(now.throttled_since_boot or ()) - set(before.throttled_since_boot or ()):
        told.append("throttled_since_boot")
    if _crossed(before.temperature_c, now.temperature_c, hot_c, hot_c - _COOLER_C):
        told.append("temperature_c")
    # Little space is much of its absence: the same question, the other way round.
    was_missing, missing = (None if h.disk_free_bytes is None else -h.disk_free_bytes for h in (before, now))
    if _crossed(was_missing, missing, 1 - disk_low_bytes, -disk_low_bytes * _ROOMIER):
        told.append("disk_free_bytes")
    if before.clock != now.clock:
        told.append("clock")
    return tuple(told)


def health_problems(health: Health, hot_c: float, disk_low_bytes: int) -> tuple[str, ...]:
    """What is wrong with the machine now, in sentences without full stops; what was wrong since boot is none of it."""
    found = []
    if health.undervoltage:
        found.append("the power supply is too weak (undervoltage); use the one that came for this board")
    if slowed := [bit for bit in health.throttled_now or () if bit != BITS[0]]:
        found.append(f"the processor is slowed down ({', '.join(slowed).replace('_', ' ')})")
    if health.temperature_c is not None and health.temperature_c >= hot_c:
        found.append(
            f"the processor is at {health.temperature_c:g} °C, {hot_c:g} is too hot; give it air or a lower fps"
        )
    if health.disk_free_bytes is not None and health.disk_free_bytes < disk_low_bytes:
        found.append(f"only {health.disk_free_bytes / 1e6:.0f} MB are free where the journal is")
    return tuple(found)


def _crossed(before: float | None, now: float | None, high: float, low: float) -> bool:
    if now is None:
        return False
    return now >= high if before is None or before < high else now <= low


def _names(bits: int) -> tuple[str, ...]:
    return tuple(name for place, name in enumerate(BITS) if bits >> place & 1)


def _nodes(root: Path, folder: str, pattern: str) -> list[Path]:
    return sorted((root / "sys" / folder).glob(pattern))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):  # a sensor may refuse to be read while it sleeps
        return ""


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None
