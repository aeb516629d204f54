"""What a broker is told: pure functions from what a run knows to messages of JSON.

`about` once a run; `state` when it changes and each minute; `health` each minute and when a problem comes or goes; `tally`
each minute, and `reading` for each face of each frame where that was asked for, as the journal has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from device.output.mqtt.outbox import MqttMessage
from device.output.mqtt.topics import Topics
from device.output.presence import NO_FACE, Presence
from fer_edge.events import UNSURE, Event

if TYPE_CHECKING:
    from device.clock import Stamp
    from device.system.status import Status

_ABOUT = ("software", "bundle", "runtime", "detector", "labels", "settings")
ONLINE, OFFLINE, STOPPED = "online", "offline", "stopped"


def availability(topics: Topics, word: str) -> MqttMessage:
    """`online`; `stopped` after a clean end; `offline` after any other, which the broker says for who cannot."""
    return MqttMessage("availability", topics.of("availability"), word.encode(), retain=True)


def about(topics: Topics, header: Event) -> MqttMessage:
    """What runs there, by the journal's header."""
    body = {name: header.body[name] for name in _ABOUT}
    return _retained("about", topics, body)


def state(topics: Topics, status: Status, present: Presence, at: Stamp) -> MqttMessage:
    """What the instance does, and what its camera shows: null where it does not look, or did not see anything yet."""
    looks = status.state == "running"
    expression, faces = (present.expression.value, present.faces.value) if looks else (None, None)
    presence = None if expression is None else expression != NO_FACE
    body = {"state": status.state, "expression": expression, "presence": presence, "faces": faces}
    return _retained("state", topics, {**body, **_timestamps(at)})


def problems(status: Status) -> tuple[str, ...]:
    """What is wrong, in sentences without full stops: with the machine, and with the journal."""
    journal = (f"the journal: {status.journal_trouble}",) if status.journal_trouble else ()
    return (*status.problems, *journal)


def health(topics: Topics, status: Status, at: Stamp) -> MqttMessage:
    """The machine's state; null where nobody tells."""
    health_fields = status.health.to_json() if status.health else {}
    body = {**health_fields, "problems": problems(status), "drops": dict(status.drops)}
    return _retained("health", topics, {**body, **_timestamps(at)})


def tally(topics: Topics, event: Event) -> MqttMessage:
    """A minute, as the journal has it, and what a dashboard would have to reckon."""
    more = json.dumps(derived_values(event.body), ensure_ascii=False, separators=(",", ":"))
    return MqttMessage("tally", topics.of("tally"), f"{event.line()[:-1]},{more[1:]}".encode())


def reading(topics: Topics, event: Event) -> MqttMessage:
    """One face of one frame, as the journal has it with `per_frame`."""
    return MqttMessage("reading", topics.of("reading"), event.line().encode())


def derived_values(body: Mapping[str, Any]) -> dict[str, Any]:
    """What follows from a tally's sums: `majority` and `unsure_percent`.

    The majority is what faces showed for longest, `none` without a face and null where nothing was observed; the percent
    are those of faces' seconds, null without a face.
    """
    labels_s: Mapping[str, float] = body["labels_s"]
    faces_s = sum(labels_s.values())
    if not faces_s:
        return {"majority": NO_FACE if body["observed_s"] else None, "unsure_percent": None}
    longest = max(labels_s, key=lambda label: labels_s[label])
    return {"majority": longest, "unsure_percent": round(100 * labels_s.get(UNSURE, 0.0) / faces_s, 1)}


def _timestamps(at: Stamp) -> dict[str, Any]:
    return {"mono_s": round(at.mono_ns / 1e9, 3), "wall": at.wall, "clock": at.clock}


def _retained(kind: str, topics: Topics, body: Mapping[str, Any]) -> MqttMessage:
    payload = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return MqttMessage(kind, topics.of(kind), payload, retain=True)
