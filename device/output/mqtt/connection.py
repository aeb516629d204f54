"""The connection to a broker: a thread that empties the outbox, and comes back by itself whatever happens to it.

All of paho-mqtt is used in this thread alone. One client a connection: what the last one had sent and the broker did not
acknowledge, the next one sends again. Nothing is subscribed to: a broker can tell this device nothing.
"""

from __future__ import annotations

import random
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from device.clock import Clock
from device.output.mqtt.broker import Broker
from device.output.mqtt.outbox import MqttMessage, Outbox
from fer_edge.errors import FerEdgeError, UsageError

if TYPE_CHECKING:
    from paho.mqtt.client import Client

_TURN_S = 0.2  # how long a message may wait for the thread to look
_WINDOW = 20  # messages that are on their way at once
_CONNECT_S = 5.0
_KEEPALIVE_S = 15  # a broker that says nothing for so long is asked; one that never answered is left then
_STEADY_S = 10.0  # a connection that held so long was one
_FOR_WAITING = 0.6  # of the time for closing, what waits may take; the rest is the last word's


@dataclass(frozen=True, slots=True)
class RetryDelays:
    """How long to wait before a broker is tried again; twice as long each time, up to the longest."""

    retry_s: float = 1.0
    longest_retry_s: float = 60.0
    refused_s: float = 30.0  # who was refused knocks softly
    longest_refused_s: float = 300.0


class _ConnectionRefused(Exception):
    """The broker does not want this client, or is not the one it should be: trying again at once mends nothing."""


class Connection(threading.Thread):
    """Keeps a broker told until it is closed. `will`: what the broker says in the place of a client that vanished.

    `say` gets a sentence when a connection comes, when it goes, and when it fails for another reason than before.
    """

    def __init__(
        self,
        broker: Broker,
        name: str,
        will: MqttMessage,
        outbox: Outbox,
        clock: Clock,
        say: Callable[[str], None],
        patience: RetryDelays,
    ) -> None:
        super().__init__(name="mqtt", daemon=True)  # one that hangs in the system's resolver must not keep the process
        self._broker, self._client_id, self._will, self._outbox = broker, name, will, outbox
        self._clock, self._say, self._patience = clock, say, patience
        self._closing = threading.Event()
        self._last_word: MqttMessage | None = None
        self._last_word_ns = self._close_ns = 0
        self._numbers: dict[int, int] = {}  # of the outbox, by paho's
        self._up = self._failed = False
        self._refusal = self._said = ""

    def check(self) -> None:
        """Raises UsageError for what can be known to be wrong before anything is sent: packages and files."""
        self._client()

    def close(self, last_word: MqttMessage, limit_s: float) -> None:
        """Returns when the broker has everything, the last word too, after at most so long; at once where it is away."""
        now_ns, limit_ns = self._clock.mono_ns(), round(limit_s * 1e9)
        self._last_word_ns, self._close_ns = now_ns + round(_FOR_WAITING * limit_ns), now_ns + limit_ns
        self._last_word = last_word
        self._closing.set()
        self.join(_TURN_S if self._failed and not self._up else limit_s + _TURN_S)

    def run(self) -> None:
        """The thread: connections one after the other, with longer and longer waits while none holds."""
        patience = self._patience
        retry_s, refused_s = patience.retry_s, patience.refused_s
        while True:
            began_ns, wait_s, refused = self._clock.mono_ns(), retry_s, False
            try:
                reason = self._talk()
            except _ConnectionRefused as error:
                reason, wait_s, refused = str(error), refused_s, True
            except Exception as error:  # whatever it was: the run goes on, and so does this
                reason = _error_text(error)
            if not reason:
                return
            was_up, self._up, self._failed = self._up, False, True
            self._numbers.clear()
            self._outbox.again()
            self._tell(was_up, reason)
            if was_up and self._clock.mono_ns() - began_ns >= _STEADY_S * 1e9:
                wait_s = retry_s = patience.retry_s
                refused_s = patience.refused_s
            elif refused:
                refused_s = min(2 * refused_s, patience.longest_refused_s)
            else:
                retry_s = min(2 * retry_s, patience.longest_retry_s)
            if self._closing.wait(wait_s * random.uniform(0.8, 1.2)):  # not all devices of a house at once
                return

    def _talk(self) -> str:
        """Why a connection ended; empty when it was closed. Raises what connecting raises."""
        try:
            client = self._client()
        except FerEdgeError as error:  # a file that was there at the start, or a password that is not written yet
            raise _ConnectionRefused(str(error)) from error
        self._refusal = ""
        began_ns = self._clock.mono_ns()
        try:
            client.connect(self._broker.host, self._broker.port, keepalive=_KEEPALIVE_S)
            while True:
                ended = client.loop(_TURN_S)
                if self._refusal:
                    raise _ConnectionRefused(self._refusal)
                if ended:
                    return self._ended(self._clock.mono_ns() - began_ns)
                if self._up:
                    self._send(client)
                if self._closing.is_set() and self._closed(client):
                    return ""
        except ssl.SSLCertVerificationError as error:
            raise _ConnectionRefused(f"its certificate: {error.verify_message}") from error
        finally:
            if (left := client.socket()) is not None:
                with suppress(OSError):
                    left.close()

    def _ended(self, lasted_ns: int) -> str:
        if self._up:
            return "the connection ended"
        if lasted_ns >= _KEEPALIVE_S * 1e9:
            return "it does not answer"
        return "it hung up at once; it may want encryption, or a certificate of ours"

    def _client(self) -> Client:
        """A client with what it needs to know. Raises UsageError without the package, or for a file that will not do."""
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise UsageError("mqtt needs the extra `mqtt`: pip install 'fer-edge[mqtt]'") from error
        broker = self._broker
        client = Client(CallbackAPIVersion.VERSION2, self._client_id, reconnect_on_failure=False)
        client.connect_timeout = _CONNECT_S
        client.max_inflight_messages = _WINDOW
        client.will_set(self._will.topic, self._will.payload, qos=1, retain=self._will.retain)
        if broker.user:
            client.username_pw_set(broker.user, broker.password())
        if broker.tls:
            ca, cert, key = (str(path) if path else None for path in (broker.ca, broker.cert, broker.key))
            try:
                client.tls_set(ca, cert, key)  # which has certificates and host names verified
            except (OSError, ValueError) as error:
                named = ", ".join(path for path in (ca, cert, key) if path)
                raise UsageError(
                    f"the certificates in {named} cannot be used ({_error_text(error)}); name files in PEM form"
                ) from error
        client.on_connect, client.on_publish = self._connected, self._acknowledged
        return client

    def _send(self, client: Client) -> None:
        while len(self._numbers) < _WINDOW and (taken := self._outbox.take()) is not None:
            number, message = taken
            sent = client.publish(message.topic, message.whole(), qos=1, retain=message.retain)
            self._numbers[sent.mid] = number

    def _closed(self, client: Client) -> bool:
        """Whether all is said, or the time for it is over. The last word comes after what waits."""
        now_ns, waits = self._clock.mono_ns(), bool(self._outbox.left())
        if self._up and self._last_word is not None and (not waits or now_ns >= self._last_word_ns):
            self._outbox.put(self._last_word)
            self._last_word = None
            self._send(client)
            return False
        if self._up and not waits:
            client.disconnect()  # in good order: the broker does not say our will
            client.loop(_TURN_S)
            return True
        return now_ns >= self._close_ns

    def _connected(self, client: Client, data: Any, flags: Any, code: Any, properties: Any) -> None:  # noqa: ARG002
        if code.is_failure:
            self._refusal = str(code).lower()
            return
        left = self._outbox.left()
        waits = ", ".join(f"{count} {kind}" for kind, count in left.items() if kind in ("tally", "reading"))
        lost = ", ".join(f"{count} {kind}" for kind, count in self._outbox.lost.items())
        more = f"; waiting: {waits}" * bool(waits) + f"; dropped so far: {lost}" * bool(lost)
        self._say(f"the broker {self._broker} is {'back' if self._failed else 'told'}{more}")
        self._up, self._said = True, ""

    def _acknowledged(self, client: Client, data: Any, number: int, code: Any, properties: Any) -> None:  # noqa: ARG002
        if (ours := self._numbers.pop(number, None)) is not None:
            self._outbox.acknowledged(ours)

    def _tell(self, was_up: bool, reason: str) -> None:
        sentence = (
            f"the broker {self._broker} {'was lost' if was_up else 'cannot be told'} ({reason}); it is tried again"
        )
        if sentence != self._said:
            self._said = sentence
            self._say(sentence)


def _error_text(error: BaseException) -> str:
    said = error.strerror if isinstance(error, OSError) else None
    return (said or str(error) or type(error).__name__).lower()
