"""A broker that does what no broker should: the run goes on, and a sentence names the cause."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count

import pytest
from builders import event
from fakes import FakeClock

from device.clock import SystemClock
from device.config import Settings
from device.output.mqtt.connection import RetryDelays
from device.output.mqtt.publisher import MqttPublisher

CONNACK = b"\x20\x02\x00\x00"
DELAYS = RetryDelays(0.01, 0.02, 0.01, 0.02)


def publish(number: int, qos: int) -> bytes:
    """A PUBLISH packet with a payload of 20 bytes."""
    topic, payload = b"a/b", b"x" * 20
    identifier = number.to_bytes(2, "big") if qos else b""
    rest = len(topic).to_bytes(2, "big") + topic + identifier + payload
    return bytes([0x30 | qos << 1, len(rest)]) + rest


@contextmanager
def broker(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a broker that accepts each client and then does what `answer` says."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                client, _ = listener.accept()
                with client, suppress(OSError):
                    client.settimeout(10)
                    if client.recv(4096):
                        client.sendall(CONNACK)
                        answer(client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            with suppress(OSError), socket.create_connection(listener.getsockname(), timeout=1):
                pass
            thread.join(20)


@contextmanager
def first_log(port: int, words: str) -> Iterator[str]:
    """The first sentence that holds the words, of a publisher at that port, which runs until the context ends."""
    found, sentences = threading.Event(), list[str]()

    def log(sentence: str) -> None:
        if words in sentence and not found.is_set():
            sentences.append(sentence)
            found.set()

    settings = Settings(mqtt=f"mqtt://127.0.0.1:{port}", name="door")
    with MqttPublisher(settings, SystemClock(), log, DELAYS) as publisher:
        publisher.append(event("header", **HEADER))
        assert found.wait(30)
        yield sentences[0]


HEADER = {
    "software": "fer-edge 0.1.0", "bundle": {"name": "edge", "sha256": "0" * 64}, "labels": ["happy", "sad"],
    "runtime": "litert 2.3.0", "detector": "haar", "settings": "0123456789ab", "camera": {"name": "0"},
}  # fmt: skip


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_broker_that_sends_messages_is_disconnected(qos: int) -> None:
    closed = threading.Event()

    def flood(client: socket.socket) -> None:
        try:
            for number in range(1, 60_000):
                client.sendall(publish(number, qos))
        except ConnectionError:  # not a TimeoutError: that is a client that only stopped reading
            closed.set()

    with broker(flood) as port, first_log(port, "it sends messages") as sentence:
        assert "though nothing is subscribed to" in sentence
        assert closed.wait(20), "the publisher itself ended the connection"


def test_a_client_that_is_pushed_out_again_and_again_names_the_likely_cause() -> None:
    def push_out(client: socket.socket) -> None:
        client.recv(4096)  # the first message: the client knows that it is connected

    with broker(push_out) as port, first_log(port, "another client probably has the same id") as sentence:
        pass
    assert "fer-edge-door-" in sentence and "deploy each with another `--name`" in sentence


def test_a_connection_that_lasts_after_early_losses_is_reported() -> None:
    clients, clock = count(1), FakeClock()
    kept, ended, reported = threading.Event(), threading.Event(), threading.Event()
    sentences: list[str] = []

    def keep_the_fourth(client: socket.socket) -> None:
        client.recv(4096)
        if next(clients) == 4:
            kept.set()
            ended.wait(30)

    def log(sentence: str) -> None:
        sentences.append(sentence.partition(" (")[0])
        if kept.is_set():
            reported.set()

    with broker(keep_the_fourth) as port:
        name = f"the broker mqtt://127.0.0.1:{port}"
        with MqttPublisher(Settings(mqtt=f"mqtt://127.0.0.1:{port}"), clock, log, DELAYS) as publisher:
            publisher.append(event("header", **HEADER))
            assert kept.wait(30)
            before = list(sentences)
            clock.now_ns += 60_000_000_000
            assert reported.wait(30)
            ended.set()
    assert "ends each connection soon" in before[-1] and name in before[-1]
    assert sentences[len(before)].startswith(f"{name} is connected again")


@pytest.mark.parametrize(
    ("url", "said"),
    [("mqtt://pi@192.0.2.1", 1), ("mqtts://pi@192.0.2.1", 0), ("mqtt://192.0.2.1", 0), ("mqtt://pi@localhost", 0)],
)
def test_a_user_without_encryption_is_reported_at_the_start(url: str, said: int) -> None:
    sentences: list[str] = []
    with MqttPublisher(Settings(mqtt=url), SystemClock(), sentences.append):
        pass
    assert len([sentence for sentence in sentences if "go over the network unencrypted" in sentence]) == said
