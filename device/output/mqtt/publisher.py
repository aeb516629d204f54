"""Publishes a run to an MQTT broker, and through it to Home Assistant: a sink and a frame observer that never block.

    PREFIX/ID/availability    online, stopped or offline; retained
    PREFIX/ID/about, state, health    retained
    PREFIX/ID/tally, reading    not retained

All with QoS 1. `device.output.mqtt.messages` builds the messages; `device.output.mqtt.connection` sends them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from device.clock import Clock
from device.config import Settings
from device.config_sources import settings_digest
from device.output import presence
from device.output.allowed_hosts import is_loopback
from device.output.arrivals import Arrivals, patience_s
from device.output.mqtt import messages
from device.output.mqtt.broker import broker_from_settings
from device.output.mqtt.connection import BrokerSession, Connection, RetryDelays
from device.output.mqtt.discovery import discovery_message
from device.output.mqtt.outbox import Outbox
from device.output.mqtt.topics import Topics, instance_id
from fer_edge.events import Event

if TYPE_CHECKING:
    from device.camera.frame import Frame
    from device.system.status_record import Status
    from device.vision.readings import FrameResult

QUEUE_LIMITS_BYTES = {"tally": 1 << 20, "reading": 64 << 10}  # some 20 hours of minutes, some 10 s of readings
CLOSE_TIMEOUT_S = 2.0  # for the last acknowledgements
_REPEAT_S = 60.0  # after which unchanged messages are sent again, so that they do not count as outdated


class MqttPublisher:
    """A sink that sends tallies and, with `settings.mqtt_readings`, readings; an observer that sends state and health.

    Raises UsageError, on creation or on entering, for settings, files or packages that cannot work. A broker causes no error:
    unsent messages wait, the oldest are dropped for the newest, and later messages report how many.
    """

    def __init__(
        self, settings: Settings, clock: Clock, log: Callable[[str], None], delays: RetryDelays | None = None
    ) -> None:
        self.topics = Topics(settings.mqtt_topic, instance_id(settings.name), settings.mqtt_discovery)
        self.outbox = Outbox(QUEUE_LIMITS_BYTES)
        self._settings, self._clock, self._log = settings, clock, log
        will = messages.availability(self.topics, messages.OFFLINE)
        self._broker = broker_from_settings(settings)
        session = BrokerSession(self._broker, f"fer-edge-{self.topics.id}", will)
        self._connection = Connection(session, self.outbox, clock, log, delays or RetryDelays())
        self._presence = presence.Presence()
        self._arrivals, self._patience_ns = Arrivals(), round(patience_s(settings.fps) * 1e9)  # of processed frames
        self._last_state: tuple[str, str | None, int | None] | None = None
        self._last_problems: tuple[str, ...] = ()
        self._repeat_ns = 0
        self._header: Event | None = None
        self._open = False

    def check(self) -> None:
        """Raises UsageError for what can be checked before anything is sent: packages and files."""
        self._connection.check()

    @property
    def trouble(self) -> str | None:
        """Why the broker gets nothing at present, and what waits or was dropped; None while it is connected."""
        if (trouble := self._connection.trouble) is None:
            return None
        waiting = self.outbox.unacknowledged_counts()
        counts = [f"{waiting[kind]} {kind} waiting" for kind in QUEUE_LIMITS_BYTES if waiting[kind]]
        counts += [f"{count} {kind} dropped" for kind, count in self.outbox.lost.items()]
        return f"{trouble}: {', '.join(counts)}" if counts else trouble

    def __enter__(self) -> Self:
        self.check()
        broker = self._broker
        if broker.user and not broker.tls and not is_loopback(broker.host):
            self._log(
                f"user and password for {broker} go over the network unencrypted, and so does all that is sent; use mqtts://"
            )
        self._open = True
        return self

    def append(self, event: Event) -> None:
        """Queues the event's message, if it has one; the first event opens the connection."""
        # Not earlier: a run that fails to start must not replace the client of the run that already has this id.
        if self._open and self._connection.ident is None:
            self._connection.start()
        topics = self.topics
        if event.kind == "tally":
            self.outbox.put(messages.tally(topics, event))
        elif event.kind == "reading" and self._settings.mqtt_readings:
            self.outbox.put(messages.reading(topics, event))
        elif event.kind == "header":
            if topics.discovery:
                body = event.body
                self.outbox.put(discovery_message(topics, self._settings.name, body["labels"], body["bundle"]["name"]))
            self.outbox.put(messages.availability(topics, messages.ONLINE))
            self.outbox.put(messages.about(topics, event))
            self._header = event

    def tick(self) -> None:
        """Does nothing: no work is postponed."""

    def on_frame(self, frame: Frame, result: FrameResult, stages_s: Mapping[str, float], age_s: float | None) -> None:  # noqa: ARG002
        """Updates the presence; a change is sent at the next turn."""
        self._arrivals = self._arrivals.add(self._clock.mono_ns(), processed=True)
        self._presence = presence.update_presence(self._presence, result.readings, frame.mono_ns, self._settings.hold_s)

    def on_turn(self, status: Status) -> None:
        """Queues messages for what changed, and all of them once a minute."""
        now_ns = self._clock.mono_ns()
        seen_ns = self._arrivals.processed_ns or now_ns
        if status.state != "running" or now_ns - seen_ns > self._arrivals.unseen_ns(self._patience_ns):
            self._presence = presence.Presence()
        repeat = now_ns >= self._repeat_ns
        state = (status.state, self._presence.expression.value, self._presence.faces.value)
        problems = messages.problems(status)
        if not (repeat or state != self._last_state or problems != self._last_problems):
            return
        at = self._clock.stamp()
        if repeat or state != self._last_state:
            self.outbox.put(messages.state(self.topics, status.state, self._presence, at))
        if repeat or problems != self._last_problems:
            self.outbox.put(messages.health(self.topics, status, at))
        if repeat:
            # Repeated because a broker may send the will of an old connection after the new one has begun.
            self.outbox.put(messages.availability(self.topics, messages.ONLINE))
            self._repeat_ns = now_ns + round(_REPEAT_S * 1e9)
        self._last_state, self._last_problems = state, problems

    def on_settings(self, settings: Settings) -> None:
        """Takes `hold_s`, and queues `about` with the settings' new digest; the other settings of MQTT stay."""
        self._settings = replace(self._settings, hold_s=settings.hold_s)
        if self._header is not None:
            self._header = replace(self._header, body={**self._header.body, "settings": settings_digest(settings)})
            self.outbox.put(messages.about(self.topics, self._header))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        if self._connection.ident is None:
            return
        # the broker retains it: nobody shall read the last expression as the present one
        self.outbox.put(messages.state(self.topics, messages.ENDED, presence.Presence(), self._clock.stamp()))
        word = messages.STOPPED if kind is None else messages.OFFLINE  # a failed run is restarted by a service manager
        self._connection.close(messages.availability(self.topics, word), CLOSE_TIMEOUT_S)
        counts = self.outbox.unacknowledged_counts()
        unsent = ", ".join(f"{count} {kind}" for kind, count in counts.items() if kind in QUEUE_LIMITS_BYTES)
        if unsent:
            self._log(f"the broker did not receive everything: {unsent}; the journal is not affected")
