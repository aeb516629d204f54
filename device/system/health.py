"""The machine's health: power supply, throttling, temperature, free disk space, and whether the clock is synchronized.

Undervoltage is read from the kernel (hwmon's `rpi_volt`, whose alarm is set while the voltage is low). Only the firmware
reports what else slows a Pi down, and what has done so since boot: `vcgencmd get_throttled`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from device.clock import Clock

# The bits of get_throttled; the same four, shifted by 16, mean "since boot". raspberrypi.com, documentation/computers/os.html
BITS = ("undervoltage", "frequency_capped", "throttled", "soft_temperature_limit")
_CLEAR_AFTER_S = 60.0  # a weak supply's alarm comes and goes within seconds: it has ended when absent for so long
_TEMPERATURE_HYSTERESIS_C = 5.0  # so far below the limit before the machine counts as cool again
_SPACE_HYSTERESIS = 1.25  # times the limit before there is enough space again
_MOST_FAILURES = 3  # of vcgencmd in a row; then it is no longer called


@dataclass(frozen=True, slots=True)
class Health:
    """The machine at `mono_s` (seconds since boot). None: not reported. `power_source`: hwmon, vcgencmd or none."""

    mono_s: float
    undervoltage: bool | None
    throttled_now: tuple[str, ...] | None  # of BITS
    throttled_since_boot: tuple[str, ...] | None
    temperature_c: float | None  # of the processor, the hottest of several sensors
    disk_free_bytes: int | None  # on the journal's disk
    clock: str  # synced, unsynced or unknown
    power_source: str

    def to_json(self) -> dict[str, Any]:
        """The fields without `mono_s` and `clock`, which every event has."""
        return {name: value for name, value in asdict(self).items() if name not in ("mono_s", "clock")}


class Sensors:
    """Reads the health of this machine from a few small files. `folder` is on the disk whose free space is reported.

    System files are read below `root`. `get_throttled` returns what `vcgencmd get_throttled` prints and raises OSError
    when it cannot; after three failures in a row it is no longer called.
    """

    def __init__(self, folder: Path, clock: Clock, get_throttled: Callable[[], str], root: Path = Path("/")) -> None:
        self._folder, self._clock, self._get_throttled = folder.absolute(), clock, get_throttled
        self._failures = 0
        hwmon = (node for node in _nodes(root, "class/hwmon", "hwmon*") if _text(node / "name") == "rpi_volt")
        self._alarm = next((node / "in0_lcrit_alarm" for node in hwmon), None)
        zones = {node / "temp": _text(node / "type") for node in _nodes(root, "class/thermal", "thermal_zone*")}
        processor = [node for node, kind in zones.items() if any(word in kind for word in ("cpu", "soc", "pkg"))]
        self._zones = processor or list(zones)

    def read(self) -> Health:
        """The health now."""
        stamp = self._clock.stamp()
        bits = self._bits()
        now, since_boot = (None, None) if bits is None else (_names(bits), _names(bits >> 16))
        alarm = None if self._alarm is None else _number(self._alarm)
        source = "hwmon" if alarm is not None else "none" if now is None else "vcgencmd"
        undervoltage = bool(alarm) if alarm is not None else None if now is None else BITS[0] in now
        temperatures_c = [value / 1000 for node in self._zones if (value := _number(node)) is not None]
        return Health(
            mono_s=round(stamp.mono_ns / 1e9, 3),
            undervoltage=undervoltage,
            throttled_now=now,
            throttled_since_boot=since_boot,
            temperature_c=round(max(temperatures_c), 1) if temperatures_c else None,
            disk_free_bytes=self._free_bytes(),
            clock=stamp.clock,
            power_source=source,
        )

    def _bits(self) -> int | None:
        if self._failures >= _MOST_FAILURES:
            return None
        try:
            bits = int(self._get_throttled().strip().removeprefix("throttled="), 16)
        except (OSError, ValueError):
            self._failures += 1
            return None
        self._failures = 0
        return bits

    def _free_bytes(self) -> int | None:
        for folder in (self._folder, *self._folder.parents):  # the folder may be removed, or not made yet
            try:
                disk = os.statvfs(folder)
            except OSError:
                continue
            return disk.f_bavail * disk.f_frsize
        return None


def vcgencmd() -> str:
    """What `vcgencmd get_throttled` prints, such as `throttled=0x50000`. Raises OSError when it is missing or fails."""
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
    """The names of the fields of `now` that need an event after `before`, the health in the last event; None: all fields.

    A new problem is reported at once. Its end is reported with hysteresis: an alarm must have been absent for a minute
    (_CLEAR_AFTER_S), the temperature be 5 °C below the limit, the free space a quarter above it. Other changes are ignored.
    """
    if before is None:
        return (*now.to_json(), "clock")
    may_clear = now.mono_s - before.mono_s >= _CLEAR_AFTER_S
    names = []
    if before.undervoltage != now.undervoltage and (now.undervoltage or may_clear):
        names.append("undervoltage")
    was, bits = set(before.throttled_now or ()), set(now.throttled_now or ())
    if bits - was or (was != bits and may_clear):
        names.append("throttled_now")
    if set(now.throttled_since_boot or ()) - set(before.throttled_since_boot or ()):
        names.append("throttled_since_boot")
    if _crossed(before.temperature_c, now.temperature_c, hot_c, hot_c - _TEMPERATURE_HYSTERESIS_C):
        names.append("temperature_c")
    # Low free space is a high negative value, so that the same comparison serves.
    was_missing, missing = (None if h.disk_free_bytes is None else -h.disk_free_bytes for h in (before, now))
    if _crossed(was_missing, missing, 1 - disk_low_bytes, -disk_low_bytes * _SPACE_HYSTERESIS):
        names.append("disk_free_bytes")
    if before.clock != now.clock:
        names.append("clock")
    return tuple(names)


def health_problems(health: Health, hot_c: float, disk_low_bytes: int) -> tuple[str, ...]:
    """The machine's present problems as sentences without full stops; past problems since boot are not among them."""
    found = []
    if health.undervoltage:
        found.append("the power supply is too weak (undervoltage); use the one made for this board")
    if slowed := [bit for bit in health.throttled_now or () if bit != BITS[0]]:
        found.append(f"the processor is slowed down ({', '.join(slowed).replace('_', ' ')})")
    if health.temperature_c is not None and health.temperature_c >= hot_c:
        found.append(
            f"the processor is at {health.temperature_c:g} °C, the limit is {hot_c:g} °C; cool it or lower fps"
        )
    if health.disk_free_bytes is not None and health.disk_free_bytes < disk_low_bytes:
        found.append(f"only {health.disk_free_bytes / 1e6:.0f} MB are free on the journal's disk")
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
    except (OSError, UnicodeDecodeError):  # a sensor that sleeps may refuse to be read
        return ""


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None
