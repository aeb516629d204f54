"""What reaches a broker, packet by packet: the will, how each message is sent, and a run's last word."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest
from builders import event

from device.clock import SystemClock
from device.config import Settings
from device.output.mqtt.connection import RetryDelays
from device.output.mqtt.publisher import MqttPublisher
from device.system.status_record import Status

CONNECT, PUBLISH, PINGREQ, DISCONNECT = 1, 3, 12, 14
CONNACK, PINGRESP = b"\x20\x02\x00\x00", b"\xd0\x00"
DELAYS = RetryDelays(0.01, 0.02, 0.01, 0.02)
WAIT_S = 30.0
HEADER = {
    "software": "fer-edge 0.1.0", "bundle": {"name": "edge", "sha256": "0" * 64}, "labels": ["happy", "sad"],
    "runtime": "litert 2.3.0", "detector": "haar", "settings": "0123456789ab", "camera": {"name": "0"},
}  # fmt: skip
TALLY = {
    "from_mono_s": 1.0, "seconds": 60.0, "observed_s": 58.0, "unavailable_s": 2.0, "paused_s": 0.0, "face_s": 40.0,
    "labels_s": {"happy": 30.0}, "unsure_s": {}, "faces_max": 1, "faces_skipped": 0,
    "frames": {"read": 600, "processed": 590}, "frames_idle": 10, "drops": {},
}  # fmt: skip


@dataclass(frozen=True)
class Message:
    """A published message, or a will: the last level of its topic, and how it is sent."""

    name: str
    payload: bytes
    qos: int
    retain: bool


@dataclass
class Broker:
    """A broker on loopback that takes one client after the other and stores what it gets.

    It acknowledges nothing on the first `deaf` connections, and ends each of them after the 20 messages that may be in flight.
    """

    deaf: int = 0
    port: int = 0
    wills: list[Message] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    orderly: bool = False  # the last client said that it goes
    got: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))  # once a message

    def serve(self, client: socket.socket) -> None:
        """Takes the packets of one client until it goes."""
        file, unanswered = client.makefile("rb"), 20
        while head := file.read(1):
            size = shift = 0
            while True:
                byte = file.read(1)[0]
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            kind, flags, rest = head[0] >> 4, head[0] & 15, file.read(size)
            if kind == CONNECT:
                flags, rest = rest[7], rest[10:]
                _, rest = text(rest)  # the client's id
                topic, rest = text(rest)
                self.wills.append(Message(last_level(topic), text(rest)[0], flags >> 3 & 3, bool(flags & 32)))
                client.sendall(CONNACK)
            elif kind == PUBLISH:
                topic, rest = text(rest)
                payload = rest[2 if flags & 6 else 0 :]
                if self.deaf:
                    unanswered -= 1
                    if not unanswered:
                        self.deaf -= 1
                        return
                    continue
                self.messages.append(Message(last_level(topic), payload, flags >> 1 & 3, bool(flags & 1)))
                if flags & 6:
                    client.sendall(b"\x40\x02" + rest[:2])
                self.got.release()
            elif kind == PINGREQ:
                client.sendall(PINGRESP)
            elif kind == DISCONNECT:
                self.orderly = True

    def wait_for(self, count: int) -> None:
        """Returns once so many further messages have come."""
        for _ in range(count):
            assert self.got.acquire(timeout=WAIT_S)


def text(rest: bytes) -> tuple[bytes, bytes]:
    """The field that begins with its length, and the rest."""
    end = 2 + int.from_bytes(rest[:2], "big")
    return rest[2:end], rest[end:]


def last_level(topic: bytes) -> str:
    return topic.decode().rpartition("/")[2]


@contextmanager
def broker(deaf: int = 0) -> Iterator[Broker]:
    """A broker for the time of the block."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = Broker(deaf, listener.getsockname()[1])

        def serve() -> None:
            while True:
                client, _ = listener.accept()
                if ended.is_set():
                    client.close()
                    return
                with client, suppress(OSError):
                    client.settimeout(WAIT_S)
                    one.serve(client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield one
        finally:
            ended.set()
            socket.create_connection(listener.getsockname(), timeout=WAIT_S).close()
            thread.join(WAIT_S)


def publisher(port: int, **settings: bool) -> MqttPublisher:
    return MqttPublisher(
        Settings(mqtt=f"mqtt://127.0.0.1:{port}", name="door", **settings), SystemClock(), lambda _: None, DELAYS
    )


def test_every_message_is_acknowledged_and_states_are_retained() -> None:
    with broker() as one, publisher(one.port, mqtt_readings=True) as sink:
        sink.append(event("header", **HEADER))
        sink.append(event("tally", 1, **TALLY))
        sink.append(event("reading", 2))
        sink.on_turn(Status("running", "0", "/log"))
        one.wait_for(7)
        sent = list(one.messages)
    assert {message.name for message in sent if message.retain} == {
        "config",
        "availability",
        "about",
        "state",
        "health",
    }
    assert {message.name for message in sent if not message.retain} == {"tally", "reading"}
    assert {message.qos for message in sent} == {1}


def test_a_broker_says_offline_for_a_device_that_vanishes_and_to_later_subscribers_too() -> None:
    with broker() as one, publisher(one.port) as sink:
        sink.append(event("header", **HEADER))
        one.wait_for(1)
    assert one.wills == [Message("availability", b"offline", 1, True)]


@pytest.mark.parametrize(("error", "word"), [(None, b"stopped"), (RuntimeError("a bug"), b"offline")])
def test_the_last_word_of_a_run_tells_a_stop_from_a_failure(error: Exception | None, word: bytes) -> None:
    """After it the client takes its leave, so that the broker does not say offline of a run that was stopped."""
    with broker() as one:
        with suppress(RuntimeError), publisher(one.port) as sink:
            sink.append(event("header", **HEADER))
            one.wait_for(3)
            if error is not None:
                raise error
        one.wait_for(2)
    *_, state, last = one.messages
    assert state.name == "state" and state.retain and b'"expression":null' in state.payload
    assert last == Message("availability", word, 1, True) and one.orderly


def test_messages_that_a_lost_connection_left_without_an_answer_are_sent_again() -> None:
    with broker(deaf=2) as one, publisher(one.port) as sink:
        for seq in range(1, 41):
            sink.append(event("tally", seq, **TALLY))
        one.wait_for(40)
        assert [b'"seq":%d,' % seq in message.payload for seq, message in enumerate(one.messages, 1)] == [True] * 40
