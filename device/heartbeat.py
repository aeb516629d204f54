"""A run's heartbeat: the status file, systemd's watchdog, and the machine's health as events."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from device.clock import Clock
from device.config import Settings
from device.service.sd_notify import Notifier
from device.system.health import Health, Sensors, changed_fields, health_problems
from device.system.status import StatusFile
from device.system.status_record import Status

if TYPE_CHECKING:
    from device.output.event_bodies import RecordEvent


class Heartbeat:
    """Reads the machine's health every `health_s` seconds; writes the run's status that often and when its state changes."""

    def __init__(self, clock: Clock, sensors: Sensors, status_file: StatusFile, notifier: Notifier) -> None:
        self.notifier = notifier
        self._clock, self._sensors, self._status_file = clock, sensors, status_file
        self._due_ns = 0
        self._state, self._since_ns = "", 0
        self.health: Health | None = None  # as last read
        self._recorded: Health | None = None  # as last written to the journal
        self._problems: tuple[str, ...] = ()

    def update(self, status: Status, settings: Settings, record: RecordEvent | None = None) -> Status:
        """`status` with the machine's health. With `record`, a change of the health becomes an event."""
        now_ns = self._clock.mono_ns()
        due = now_ns >= self._due_ns or settings.health_s != self._status_file.every_s
        if due:
            self._status_file.every_s = settings.health_s
            self._due_ns = now_ns + round(settings.health_s * 1e9)
            self._read_health(settings, record)
        changed = status.state != self._state
        if changed:
            self._state, self._since_ns = status.state, now_ns
        problems = (*self._problems, *status.problems)
        status = replace(status, health=self.health, problems=problems, since_mono_s=self._since_ns / 1e9)
        if due or changed:
            self._status_file.write(status)
            self.notifier.status(f"{status.state}, camera {status.camera}")
        return status

    def _read_health(self, settings: Settings, record: RecordEvent | None) -> None:
        now = self.health = self._sensors.read()
        self._problems = health_problems(now, settings.hot_c, settings.disk_low_bytes)
        if record is None:
            return
        if names := changed_fields(self._recorded, now, settings.hot_c, settings.disk_low_bytes):
            self._recorded = now
            record(
                "health",
                {
                    "undervoltage": now.undervoltage,
                    "throttled_now": now.throttled_now,
                    "throttled_since_boot": now.throttled_since_boot,
                    "temperature_c": now.temperature_c,
                    "disk_free_bytes": now.disk_free_bytes,
                    "power_source": now.power_source,
                    "changed": list(names),
                },
            )
