"""The messages for a broker: pure functions from the state of a run to JSON.

`about` is sent at the start and after each reload; `state` when it changes and each minute; `health` each minute and when a
problem appears or ends; `tally` each minute, and `reading` for each face of each frame where the settings ask for it, both as
in the journal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict, cast

from device.output.mqtt.outbox import MqttMessage
from device.output.mqtt.topics import Topics
from device.output.presence import NO_FACE, Presence
from fer_edge.events import UNSURE, Event

if TYPE_CHECKING:
    from device.clock import Stamp
    from device.output.event_bodies import TallyBody
    from device.system.status_record import Status

_ABOUT = ("software", "bundle", "runtime", "detector", "labels", "settings")
ONLINE, OFFLINE, STOPPED = "online", "offline", "stopped"
ENDED = "stopping"  # the last state of a run


class DerivedValues(TypedDict):
    """What a tally message holds in addition to the journal's tally."""

    majority: str | None
    unsure_percent: float | None


def availability(topics: Topics, word: str) -> MqttMessage:
    """`online`; `stopped` after a clean end; `offline` after any other end, which the broker sends for a vanished client."""
    return MqttMessage("availability", topics.topic("availability"), word.encode(), retain=True)


def about(topics: Topics, header: Event) -> MqttMessage:
    """What makes the readings, from the journal's header."""
    return _retained("about", topics, {name: header.body[name] for name in _ABOUT})


def state(topics: Topics, word: str, present: Presence, at: Stamp) -> MqttMessage:
    """The state of the instance, one of STATES, and what its camera shows: null while it is not read, or before a frame."""
    running = word == "running"
    expression, faces = (present.expression.value, present.faces.value) if running else (None, None)
    presence = None if expression is None else expression != NO_FACE
    body = {"state": word, "expression": expression, "presence": presence, "faces": faces}
    return _retained("state", topics, {**body, **_timestamps(at)})


def problems(status: Status) -> tuple[str, ...]:
    """The problems of the machine, the journal and the other outputs, in sentences without full stops.

    Not those of the broker itself: whoever gets this message has none.
    """
    journal = (f"the journal: {status.journal_trouble}",) if status.journal_trouble else ()
    others = (trouble for name, trouble in status.outputs.items() if trouble and name != "mqtt")
    return (*status.problems, *journal, *others)


def health(topics: Topics, status: Status, at: Stamp) -> MqttMessage:
    """The machine's health; null for what is not known."""
    fields = status.health.to_json() if status.health else {}
    body = {**fields, "problems": problems(status), "drops": dict(status.drops)}
    return _retained("health", topics, {**body, **_timestamps(at)})


def tally(topics: Topics, event: Event) -> MqttMessage:
    """A minute, as the journal has it, and the derived values that a dashboard would otherwise have to compute."""
    derived = json.dumps(
        derived_values(cast("TallyBody", event.body)), ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return MqttMessage("tally", topics.topic("tally"), f"{event.line()[:-1]},{derived[1:]}".encode())


def reading(topics: Topics, event: Event) -> MqttMessage:
    """One face of one frame, as the journal has it with `per_frame`."""
    return MqttMessage("reading", topics.topic("reading"), event.line().encode())


def derived_values(body: TallyBody) -> DerivedValues:
    """`majority` and `unsure_percent` of a tally.

    The majority is the label that faces showed for longest, `none` without a face and null where nothing was observed; the
    percentage is that of the faces' seconds, null without a face.
    """
    labels_s = body["labels_s"]
    faces_s = sum(labels_s.values())
    if not faces_s:
        return {"majority": NO_FACE if body["observed_s"] else None, "unsure_percent": None}
    longest = max(labels_s, key=lambda label: labels_s[label])
    return {"majority": longest, "unsure_percent": round(100 * labels_s.get(UNSURE, 0.0) / faces_s, 1)}


def _timestamps(at: Stamp) -> dict[str, str | float]:
    return {"mono_s": round(at.mono_ns / 1e9, 3), "wall": at.wall, "clock": at.clock}


def _retained(kind: str, topics: Topics, body: Mapping[str, object]) -> MqttMessage:
    # a text of another party that is no Unicode must not end the run
    payload = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        errors="backslashreplace"
    )
    return MqttMessage(kind, topics.topic(kind), payload, retain=True)
