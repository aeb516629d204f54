"""The outbox: messages that a broker has not acknowledged yet, as many as memory may hold, and a count of the others.

Of some topics only the newest message counts (a state); of others each one (minutes, readings). Both sides of it run in
threads of their own, and each of its methods holds the lock for microseconds: no network is asked for anything meanwhile.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

_OVERHEAD_BYTES = 256  # that a message takes beside its payload, about


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """A JSON object, or a word, for a topic. `retain`: the broker keeps it for those who come later.

    `dropped` counts by kind what had to be dropped before it and nobody was told of yet.
    """

    kind: str
    topic: str
    payload: bytes
    retain: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """What it takes of the memory allowed."""
        return len(self.payload) + _OVERHEAD_BYTES

    def whole(self) -> bytes:
        """The payload, with what was dropped before it."""
        if not self.dropped:
            return self.payload
        return self.payload[:-1] + f',"dropped":{json.dumps(dict(self.dropped))}}}'.encode()


class Outbox:
    """Messages on their way. `limits`: the bytes that all of one kind may take; kinds that are not in it replace.

    One at a time: a message is taken, and then either acknowledged or, when the connection is lost, taken again.
    `lost` counts by kind what was ever dropped.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        self.lost: Counter[str] = Counter()
        self._limits = dict(limits)
        self._lock = threading.Lock()
        self._newest: dict[str, MqttMessage] = {}  # by topic
        self._due: dict[str, None] = {}  # topics of these that the broker does not have yet, in order
        self._waiting: dict[str, deque[MqttMessage]] = {kind: deque() for kind in limits}
        self._bytes: Counter[str] = Counter()
        self._out: dict[int, MqttMessage] = {}  # taken, in order
        self._number = 0
        self._untold: Counter[str] = Counter()

    def put(self, message: MqttMessage) -> None:
        """Takes a message; the oldest of its kind go where there is no room for it. Never raises, never waits for long."""
        with self._lock:
            if message.kind not in self._limits:
                self._newest[message.topic] = message
                self._due[message.topic] = None
                return
            self._waiting[message.kind].append(message)
            self._bytes[message.kind] += message.size_bytes
            self._shed(message.kind)

    def take(self) -> tuple[int, MqttMessage] | None:
        """The next message to send and the number to acknowledge it by; None when there is nothing to send."""
        with self._lock:
            if self._due:
                topic = next(iter(self._due))
                del self._due[topic]
                return self._taken(self._newest[topic])
            for waiting in self._waiting.values():
                if waiting:
                    message = waiting.popleft()
                    if self._untold:
                        told = Counter(message.dropped) + self._untold
                        message, self._untold = replace(message, dropped=dict(told)), Counter()
                    return self._taken(message)
            return None

    def acknowledged(self, number: int) -> None:
        """The broker has the message of that number."""
        with self._lock:
            message = self._out.pop(number, None)
            if message is not None and message.kind in self._limits:
                self._bytes[message.kind] -= message.size_bytes

    def again(self) -> None:
        """Nothing that was taken and not acknowledged counts as sent, and the broker needs to be told anew what is newest."""
        with self._lock:
            for message in reversed(self._out.values()):
                if message.kind in self._limits:
                    self._waiting[message.kind].appendleft(message)
            self._out.clear()
            self._due = dict.fromkeys(self._newest)
            for kind in self._limits:
                self._shed(kind)

    def left(self) -> Counter[str]:
        """How many of each kind the broker has not acknowledged; of what replaces, those that it was never sent, too."""
        with self._lock:
            counts = Counter(message.kind for message in self._out.values())
            counts.update({kind: len(waiting) for kind, waiting in self._waiting.items() if waiting})
            counts.update(self._newest[topic].kind for topic in self._due)
            return counts

    def _taken(self, message: MqttMessage) -> tuple[int, MqttMessage]:
        self._number += 1
        self._out[self._number] = message
        return self._number, message

    def _shed(self, kind: str) -> None:
        waiting = self._waiting[kind]
        while self._bytes[kind] > self._limits[kind] and waiting:
            message = waiting.popleft()
            self._bytes[kind] -= message.size_bytes
            self.lost[kind] += 1
            self._untold.update({kind: 1, **{k: n + (k == kind) for k, n in message.dropped.items()}})
