"""The connection to a broker: a thread that sends the outbox and reconnects after any failure.

Only this thread uses paho-mqtt. Each connection has its own client: messages that the last client had sent and the broker did
not acknowledge are sent again by the next one. Nothing is subscribed to, so a broker cannot send this device anything.
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
from fer_edge.text_cleaning import clean

if TYPE_CHECKING:
    from paho.mqtt.client import Client

_LOOP_S = 0.2  # for which a message may wait until the thread notices it
_MAX_IN_FLIGHT = 20  # messages that are sent and not acknowledged
_CONNECT_TIMEOUT_S = 5.0
_KEEPALIVE_S = 15  # a silent broker is pinged after that; one that never answered is disconnected
_ANSWER_S = 5.0  # after which a broker that accepts connections and says nothing is in trouble
_STABLE_S = 10.0  # a connection that lasted so long resets the retry delays
_EARLY_S = 60.0  # a connection that is lost sooner counts as an early loss
_MANY_EARLY_LOSSES = 3  # one after the other, which another client with the same id causes
_PENDING_SHARE = 0.6  # of the time for closing, for pending messages; the rest is for the final message


@dataclass(frozen=True, slots=True)
class RetryDelays:
    """How long to wait before the next attempt to connect; doubled each time, up to the longest."""

    retry_s: float = 1.0
    longest_retry_s: float = 60.0
    refused_s: float = 30.0  # after a refusal
    longest_refused_s: float = 300.0


@dataclass(frozen=True, slots=True)
class BrokerSession:
    """A broker, the client's id there, and the message that the broker sends if the client vanishes (MQTT's will)."""

    broker: Broker
    client_id: str
    will: MqttMessage


class _ConnectionRefused(Exception):
    """The broker rejects this client, or its certificate is rejected: an immediate retry is useless."""


class Connection(threading.Thread):
    """Sends the outbox to a broker until it is closed.

    `log` receives a sentence when a connection is made or lost, and when it fails for another reason than before.
    """

    def __init__(
        self, session: BrokerSession, outbox: Outbox, clock: Clock, log: Callable[[str], None], delays: RetryDelays
    ) -> None:
        super().__init__(name="mqtt", daemon=True)  # if it hangs in the system's resolver, the process can still end
        self._session, self._broker, self._outbox = session, session.broker, outbox
        self._clock, self._log, self._delays = clock, log, delays
        self._closing = threading.Event()
        self._final_message: MqttMessage | None = None
        self._final_message_ns = self._close_ns = 0
        self._outbox_numbers: dict[int, int] = {}  # by paho's message ids
        self._connected = self._failed = False
        self._trouble = ""  # as last reported, until the next connection
        self._attempt_ns: int | None = None  # when the present attempt to connect began
        self._refusal = self._last_report = ""
        self._early_losses = 0

    def check(self) -> None:
        """Raises UsageError for what can be checked before anything is sent: packages and files."""
        self._new_client()

    @property
    def trouble(self) -> str | None:
        """Why nothing reaches the broker at present, as a sentence without its full stop; None while it is connected."""
        if self._trouble:
            return self._trouble
        started_ns = self._attempt_ns
        if self._connected or started_ns is None or self._clock.mono_ns() - started_ns < _ANSWER_S * 1e9:
            return None
        return f"the broker {self._broker} does not answer"

    def close(self, final_message: MqttMessage, limit_s: float) -> None:
        """Returns when the broker has all messages and the final one, or after `limit_s`; at once while disconnected."""
        now_ns, limit_ns = self._clock.mono_ns(), round(limit_s * 1e9)
        self._final_message_ns, self._close_ns = now_ns + round(_PENDING_SHARE * limit_ns), now_ns + limit_ns
        self._final_message = final_message
        self._closing.set()
        self.join(_LOOP_S if self._failed and not self._connected else limit_s + _LOOP_S)

    def run(self) -> None:
        """The thread: one connection after the other, with growing delays while none succeeds."""
        delays = self._delays
        retry_s, refused_s = delays.retry_s, delays.refused_s
        while True:
            started_ns, wait_s, refused = self._clock.mono_ns(), retry_s, False
            try:
                reason = self._run_session()
            except _ConnectionRefused as error:
                reason, wait_s, refused = str(error), refused_s, True
            except Exception as error:  # any error: the run continues, and so does this thread
                reason = _error_text(error)
            if not reason:
                return
            was_connected, self._connected, self._failed = self._connected, False, True
            self._outbox_numbers.clear()
            self._outbox.requeue_unacknowledged()
            lasted_s = (self._clock.mono_ns() - started_ns) / 1e9
            if was_connected and not refused:
                self._early_losses = self._early_losses + 1 if lasted_s < _EARLY_S else 0
            self._report_failure(was_connected, reason)
            if was_connected and lasted_s >= _STABLE_S:
                wait_s = retry_s = delays.retry_s
                refused_s = delays.refused_s
            elif refused:
                refused_s = min(2 * refused_s, delays.longest_refused_s)
            else:
                retry_s = min(2 * retry_s, delays.longest_retry_s)
            if self._closing.wait(wait_s * random.uniform(0.8, 1.2)):  # so that not all devices of a house come at once
                return

    def _run_session(self) -> str:
        """Why a connection ended; empty when it was closed. Raises what connecting raises."""
        try:
            client = self._new_client()
        except FerEdgeError as error:  # a file that existed at the start is gone, or a password is not written yet
            raise _ConnectionRefused(str(error)) from error
        self._refusal = ""
        self._attempt_ns = started_ns = self._clock.mono_ns()
        try:
            client.connect(self._broker.host, self._broker.port, keepalive=_KEEPALIVE_S)
            while True:
                error_code = client.loop(_LOOP_S)
                if self._refusal:
                    raise _ConnectionRefused(self._refusal)
                if error_code:
                    return self._end_reason(self._clock.mono_ns() - started_ns)
                if self._connected:
                    self._end_early_losses(self._clock.mono_ns() - started_ns)
                    self._send_pending(client)
                if self._closing.is_set() and self._finish(client):
                    return ""
        except ssl.SSLCertVerificationError as error:
            raise _ConnectionRefused(f"its certificate: {error.verify_message}") from error
        finally:
            if (open_socket := client.socket()) is not None:
                with suppress(OSError):
                    open_socket.close()

    def _end_early_losses(self, lasted_ns: int) -> None:
        """Reports that a connection lasts, after several that did not."""
        if self._early_losses >= _MANY_EARLY_LOSSES and lasted_ns >= _EARLY_S * 1e9:
            self._early_losses = 0
            self._trouble = ""
            self._report_connected()

    def _end_reason(self, lasted_ns: int) -> str:
        if self._connected:
            return "the connection ended"
        if lasted_ns >= _KEEPALIVE_S * 1e9:
            return "it does not answer"
        return "it closed the connection at once; it may require encryption, or a certificate of this device"

    def _new_client(self) -> Client:
        """A configured client. Raises UsageError without the package, or for a file that cannot be used."""
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise UsageError("mqtt needs the extra `mqtt`: pip install 'fer-edge[mqtt]'") from error
        broker, will = self._broker, self._session.will
        client = Client(CallbackAPIVersion.VERSION2, self._session.client_id, reconnect_on_failure=False)
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.max_inflight_messages = _MAX_IN_FLIGHT
        client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        if broker.user:
            client.username_pw_set(broker.user, broker.password())
        if broker.tls:
            ca, cert, key = (str(path) if path else None for path in (broker.ca, broker.cert, broker.key))
            try:
                client.tls_set(ca, cert, key)  # certificates and host names are verified by default
            except (OSError, ValueError) as error:
                files = ", ".join(path for path in (ca, cert, key) if path)
                raise UsageError(
                    f"the certificates in {files} cannot be used ({_error_text(error)}); name files in PEM form"
                ) from error
        client.on_connect, client.on_publish, client.on_log = self._on_connect, self._on_publish, self._on_log
        return client

    def _send_pending(self, client: Client) -> None:
        while len(self._outbox_numbers) < _MAX_IN_FLIGHT and (unsent := self._outbox.next_unsent()) is not None:
            number, message = unsent
            sent = client.publish(message.topic, message.encode(), qos=1, retain=message.retain)
            self._outbox_numbers[sent.mid] = number

    def _finish(self, client: Client) -> bool:
        """Whether all messages are sent, or the time for it is over. The final message follows the pending ones."""
        now_ns, pending = self._clock.mono_ns(), bool(self._outbox.unacknowledged_counts())
        if self._connected and self._final_message is not None and (not pending or now_ns >= self._final_message_ns):
            self._outbox.put(self._final_message)
            self._final_message = None
            self._send_pending(client)
            return False
        if self._connected and not pending:
            client.disconnect()  # an orderly end: the broker does not send the will
            client.loop(_LOOP_S)
            return True
        return now_ns >= self._close_ns

    def _on_connect(self, client: Client, data: Any, flags: Any, code: Any, properties: Any) -> None:  # noqa: ARG002
        if code.is_failure:
            self._refusal = str(code).lower()
            return
        self._connected = True
        if self._early_losses < _MANY_EARLY_LOSSES:  # else that was reported, and this connection may end soon too
            self._trouble = ""
            self._report_connected()

    def _report_connected(self) -> None:
        counts = self._outbox.unacknowledged_counts()
        waiting = ", ".join(f"{count} {kind}" for kind, count in counts.items() if kind in ("tally", "reading"))
        lost = ", ".join(f"{count} {kind}" for kind, count in self._outbox.lost.items())
        details = f"; waiting: {waiting}" * bool(waiting) + f"; dropped so far: {lost}" * bool(lost)
        self._log(f"the broker {self._broker} is {'connected again' if self._failed else 'connected'}{details}")
        self._last_report = ""

    def _on_publish(self, client: Client, data: Any, message_id: int, code: Any, properties: Any) -> None:  # noqa: ARG002
        if (number := self._outbox_numbers.pop(message_id, None)) is not None:
            self._outbox.acknowledge(number)

    def _on_log(self, client: Client, data: Any, level: Any, text: str) -> None:  # noqa: ARG002
        """Notices what a broker sends unasked: paho keeps it, with QoS 2 without a limit, and reports it only in its log."""
        if text.startswith("Received PUBLISH"):
            self._refusal = "it sends messages, though nothing is subscribed to"

    def _report_failure(self, was_connected: bool, reason: str) -> None:
        event = "was lost" if was_connected else "is not connected"
        self._trouble = f"the broker {self._broker} {event} ({reason})"
        if was_connected and self._early_losses >= _MANY_EARLY_LOSSES:
            self._trouble = (
                f"the broker {self._broker} ends each connection soon; another client probably has the same id, "
                f"{self._session.client_id}: deploy each with another `--name` (without a deploy: `run --name`)"
            )
        report = f"{self._trouble}; it is tried again"
        if report != self._last_report:
            self._last_report = report
            self._log(report)


def _error_text(error: BaseException) -> str:
    system_text = error.strerror if isinstance(error, OSError) else None
    return clean((system_text or str(error) or type(error).__name__).lower())
