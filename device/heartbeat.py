"""A run's signs of life: the status file, systemd's watchdog, and the machine's health as events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from device.clock import Clock
from device.config import Settings
from device.output.event_aggregator import RecordEvent
from device.service.sd_notify import Notifier
from device.system.health import Health, Sensors, changed_fields, health_problems
from device.system.status import Status, StatusFile


class Heartbeat:
    """Looks at the machine every `health_s` and shows the run's state when it changes, and that often."""

    def __init__(self, clock: Clock, sensors: Sensors, shown: StatusFile, notify: Notifier) -> None:
        self.notify = notify
        self._clock, self._sensors, self._shown = clock, sensors, shown
        self._due_ns = 0
        self._state = ""
        self.seen: Health | None = None  # at the last look
        self._told: Health | None = None  # what the journal knows
        self._health: dict[str, Any] | None = None
        self._problems: tuple[str, ...] = ()

    def turn(self, status: Status, settings: Settings, record: RecordEvent | None = None) -> Status:
        """The state of the loop at this turn, with what the machine says. With `record`, a change of that is an event."""
        now_ns = self._clock.mono_ns()
        due = now_ns >= self._due_ns
        if due:
            self._due_ns = now_ns + round(settings.health_s * 1e9)
            self._look(settings, record)
        status = replace(status, health=self._health, problems=self._problems)
        if due or status.state != self._state:
            self._state = status.state
            self._shown.write(status)
            self.notify.status(f"{status.state}, camera {status.camera}")
        return status

    def _look(self, settings: Settings, record: RecordEvent | None) -> None:
        now = self.seen = self._sensors.read()
        self._health = now.to_json()
        self._problems = health_problems(now, settings.hot_c, settings.disk_low_bytes)
        if record is None:
            return
        if names := changed_fields(self._told, now, settings.hot_c, settings.disk_low_bytes):
            self._told = now
            body = {name: value for name, value in self._health.items() if name != "clock"}
            record("health", {**body, "changed": list(names)})
