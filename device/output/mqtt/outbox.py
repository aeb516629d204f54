"""The outbox: messages that a broker has not acknowledged yet, as many as memory may hold, and a count of the dropped ones.

Of a state only the newest message counts; of minutes and readings every one. The two sides run in different threads, and each
method holds the lock for microseconds: no network operation happens meanwhile.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

_OVERHEAD_BYTES = 256  # that a message takes in addition to its payload, about


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """A JSON object, or a word, for a topic. `retain`: the broker stores it for later subscribers.

    `dropped` counts by kind the messages that were dropped before it and not reported yet.
    """

    kind: str
    topic: str
    payload: bytes
    retain: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """The memory that it takes."""
        return len(self.payload) + _OVERHEAD_BYTES

    def encode(self) -> bytes:
        """The payload, with the count of what was dropped before it."""
        if not self.dropped:
            return self.payload
        return self.payload[:-1] + f',"dropped":{json.dumps(dict(self.dropped), allow_nan=False)}}}'.encode()


class Outbox:
    """Messages to send. `limits`: the bytes that all messages of a kind may take; of other kinds only the newest is stored.

    A message is returned by `next_unsent`, and then either acknowledged or, when the connection is lost, queued again. `lost`
    counts all dropped messages by kind.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        self.lost: Counter[str] = Counter()
        self._limits = dict(limits)
        self._lock = threading.Lock()
        self._newest: dict[str, MqttMessage] = {}  # by topic
        self._unsent_topics: dict[str, None] = {}  # of `_newest`, in order
        self._queues: dict[str, deque[MqttMessage]] = {kind: deque() for kind in limits}
        self._bytes: Counter[str] = Counter()
        self._unacknowledged: dict[int, MqttMessage] = {}  # sent, in order
        self._number = 0
        self._unreported: Counter[str] = Counter()

    def put(self, message: MqttMessage) -> None:
        """Adds a message; the oldest of its kind are dropped where there is no room. Never raises, never blocks for long."""
        with self._lock:
            if message.kind not in self._limits:
                self._newest[message.topic] = message
                self._unsent_topics[message.topic] = None
                return
            self._queues[message.kind].append(message)
            self._bytes[message.kind] += message.size_bytes
            self._drop_oldest(message.kind)

    def next_unsent(self) -> tuple[int, MqttMessage] | None:
        """The next message to send and its number for `acknowledge`; None when there is nothing to send."""
        with self._lock:
            if self._unsent_topics:
                topic = next(iter(self._unsent_topics))
                del self._unsent_topics[topic]
                return self._mark_sent(self._newest[topic])
            for queue in self._queues.values():
                if queue:
                    message = queue.popleft()
                    if self._unreported:
                        dropped = Counter(message.dropped) + self._unreported
                        message, self._unreported = replace(message, dropped=dict(dropped)), Counter()
                    return self._mark_sent(message)
            return None

    def acknowledge(self, number: int) -> None:
        """Removes the message of that number, because the broker has it."""
        with self._lock:
            message = self._unacknowledged.pop(number, None)
            if message is not None and message.kind in self._limits:
                self._bytes[message.kind] -= message.size_bytes

    def requeue_unacknowledged(self) -> None:
        """Queues all unacknowledged messages again, and all newest ones, after a connection was lost."""
        with self._lock:
            for message in reversed(self._unacknowledged.values()):
                if message.kind in self._limits:
                    self._queues[message.kind].appendleft(message)
            self._unacknowledged.clear()
            self._unsent_topics = dict.fromkeys(self._newest)
            for kind in self._limits:
                self._drop_oldest(kind)

    def unacknowledged_counts(self) -> Counter[str]:
        """The number of messages of each kind that the broker has not acknowledged, including those not sent yet."""
        with self._lock:
            counts = Counter(message.kind for message in self._unacknowledged.values())
            counts.update({kind: len(queue) for kind, queue in self._queues.items() if queue})
            counts.update(self._newest[topic].kind for topic in self._unsent_topics)
            return counts

    def _mark_sent(self, message: MqttMessage) -> tuple[int, MqttMessage]:
        self._number += 1
        self._unacknowledged[self._number] = message
        return self._number, message

    def _drop_oldest(self, kind: str) -> None:
        queue = self._queues[kind]
        while self._bytes[kind] > self._limits[kind] and queue:
            message = queue.popleft()
            self._bytes[kind] -= message.size_bytes
            self.lost[kind] += 1
            self._unreported.update({kind: 1, **{k: n + (k == kind) for k, n in message.dropped.items()}})
