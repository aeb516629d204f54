"""A run told to an MQTT broker, and to Home Assistant through it: a sink and a watcher that never wait.

    PREFIX/ID/availability    online, stopped or offline; kept by the broker
    PREFIX/ID/about, state, health    kept by the broker
    PREFIX/ID/tally, reading    not kept

All with QoS 1. What each one holds is in `device.output.mqtt.messages`; the network is left to `device.output.mqtt.connection`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from device.clock import Clock
from device.config import Settings
from device.output import presence
from device.output.mqtt import messages
from device.output.mqtt.broker import broker_from_settings
from device.output.mqtt.connection import Connection, RetryDelays
from device.output.mqtt.home_assistant import discovery_message
from device.output.mqtt.outbox import Outbox
from device.output.mqtt.topics import Topics, instance_id
from fer_edge.events import Event

if TYPE_CHECKING:
    from device.camera.frame import Frame
    from device.system.status import Status
    from device.vision.readings import FrameResult

QUEUE_LIMITS_BYTES = {"tally": 1 << 20, "reading": 64 << 10}  # bytes: some 20 hours of minutes, some 10 s of readings
CLOSE_TIMEOUT_S = 2.0  # for the last acknowledgements
_REPEAT_S = 60.0  # after so long, what did not change is said again, so that nobody takes it for outdated


class MqttSink:
    """A sink that tells a broker minutes and, with `settings.mqtt_readings`, readings; a watcher that tells it states.

    Raises UsageError when it is made or entered with what cannot work (settings, files, no package). No broker makes it
    raise anything: what cannot be told waits, the oldest is dropped for the newest, and that is told later.
    """

    def __init__(
        self, settings: Settings, clock: Clock, say: Callable[[str], None], patience: RetryDelays | None = None
    ) -> None:
        self.topics = Topics(settings.mqtt_topic, instance_id(settings.name), settings.mqtt_discovery)
        self.outbox = Outbox(QUEUE_LIMITS_BYTES)
        self._settings, self._clock, self._say = settings, clock, say
        will = messages.availability(self.topics, messages.OFFLINE)
        name = f"fer-edge-{self.topics.id}"
        self._connection = Connection(
            broker_from_settings(settings), name, will, self.outbox, clock, say, patience or RetryDelays()
        )
        self._present = presence.Presence()
        self._told: tuple[object, ...] = ()
        self._problems: tuple[str, ...] = ()
        self._due_ns = 0
        self._open = False

    def check(self) -> None:
        """Raises UsageError for what can be known to be wrong before anything is sent: packages and files."""
        self._connection.check()

    def __enter__(self) -> Self:
        self.check()
        self._open = True
        return self

    def append(self, event: Event) -> None:
        """Takes the event, if it is one that a broker is told; the first one opens the connection."""
        # Not earlier: a run that does not come to be must not take the place of the one that it would have doubled.
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

    def tick(self) -> None:
        """Nothing was put off."""

    def frame(self, frame: Frame, seen: FrameResult, laps_s: Mapping[str, float], age_s: float | None) -> None:  # noqa: ARG002
        """Looks at what the frame shows; it is told at the next turn, if it is another thing than before."""
        self._present = presence.update_presence(self._present, seen.readings, frame.mono_ns, self._settings.hold_s)

    def turn(self, status: Status) -> None:
        """Tells what changed, and all of it once a minute."""
        if status.state != "running":
            self._present = presence.Presence()
        now_ns = self._clock.mono_ns()
        due, told = now_ns >= self._due_ns, (status.state, self._present.expression.value, self._present.faces.value)
        problems = messages.problems(status)
        if not (due or told != self._told or problems != self._problems):
            return
        at = self._clock.stamp()
        if due or told != self._told:
            self.outbox.put(messages.state(self.topics, status, self._present, at))
        if due or problems != self._problems:
            self.outbox.put(messages.health(self.topics, status, at))
        if due:
            # Again, for a broker may say the will of a connection that is over after the next one has begun.
            self.outbox.put(messages.availability(self.topics, messages.ONLINE))
            self._due_ns = now_ns + round(_REPEAT_S * 1e9)
        self._told, self._problems = told, problems

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        if self._connection.ident is None:
            return
        word = messages.STOPPED if kind is None else messages.OFFLINE  # who failed is started again by somebody
        self._connection.close(messages.availability(self.topics, word), CLOSE_TIMEOUT_S)
        left = ", ".join(f"{n} {k}" for k, n in self.outbox.left().items() if k in QUEUE_LIMITS_BYTES)
        if left:
            self._say(f"the broker did not get everything: {left}; the journal has what counts")
