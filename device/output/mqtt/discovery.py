"""Home Assistant's discovery of a device: one retained message that describes its sensors and how to read them.

    PREFIX/device/ID/config

The names are Home Assistant's: home-assistant.io/integrations/mqtt, “device discovery”, since its release 2024.11.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from device.output.mqtt.messages import ONLINE
from device.output.mqtt.outbox import MqttMessage
from device.output.mqtt.topics import Topics
from device.output.presence import NO_FACE
from device.system.status_record import STATES
from fer_edge import __version__
from fer_edge.events import UNSURE

Component = dict[str, object]  # a sensor's configuration, by Home Assistant's names

EXPIRE_S = 180  # without a message for so long a value is unavailable: three tallies
_ORIGIN = {"name": "fer-edge", "sw_version": __version__}


def discovery_message(topics: Topics, name: str, labels: Sequence[str], bundle: str) -> MqttMessage:
    """The message by which the instance `name` becomes a device in Home Assistant."""
    body = {
        "device": {
            "identifiers": [topics.id],
            "name": f"fer-edge {name}",
            "manufacturer": "fer-edge",
            "model": f"expressions by {bundle}",
            "sw_version": __version__,
        },
        "origin": _ORIGIN,
        "availability_topic": topics.topic("availability"),
        # Any other value, `offline` or `stopped`, means not available.
        "availability_template": f"{{{{ 'online' if value == '{ONLINE}' else 'offline' }}}}",
        "qos": 1,
        "components": {
            key: {"unique_id": f"{topics.id}_{key}", **component} for key, component in _components(topics, labels)
        },
    }
    return MqttMessage(
        "discovery", topics.discovery_topic, json.dumps(body, ensure_ascii=False, allow_nan=False).encode(), retain=True
    )


def _components(topics: Topics, labels: Sequence[str]) -> list[tuple[str, Component]]:
    expressions = list(dict.fromkeys([*labels, UNSURE, NO_FACE]))
    diagnostic: Component = {"entity_category": "diagnostic"}
    measured: Component = {"state_class": "measurement"}
    now, minute, health, about = (topics.topic(kind) for kind in ("state", "tally", "health", "about"))
    return [
        ("expression", _sensor("Expression", now, "expression", _enum(expressions))),
        ("expression_minute", _sensor("Expression of the minute", minute, "majority", _enum(expressions))),
        ("presence", _binary_sensor("Presence", now, "value_json.presence", {"device_class": "occupancy"})),
        ("faces", _sensor("Faces", now, "faces", measured)),
        ("unsure", _sensor("Unsure", minute, "unsure_percent", measured | {"unit_of_measurement": "%"})),
        ("unavailable", _sensor("Time unavailable", minute, "unavailable_s", _DURATION | measured | diagnostic)),
        ("state", _sensor("State", now, "state", _enum(list(STATES)) | diagnostic)),
        (
            "problem",
            _binary_sensor(
                "Problem", health, "(value_json.problems | length > 0)", {"device_class": "problem"} | diagnostic
            )
            | {"json_attributes_topic": health, "json_attributes_template": _PROBLEMS},
        ),
        ("temperature", _sensor("Temperature", health, "temperature_c", _TEMPERATURE | measured | diagnostic)),
        ("software", _sensor("Software", about, "software", diagnostic, expires=False)),
        ("bundle", _sensor("Bundle", about, "bundle.name", diagnostic, expires=False)),
    ]


_DURATION: Component = {"device_class": "duration", "unit_of_measurement": "s"}
_TEMPERATURE: Component = {"device_class": "temperature", "unit_of_measurement": "°C"}
_PROBLEMS = "{{ {'problems': value_json.problems} | tojson }}"


def _enum(options: list[str]) -> Component:
    """The attributes of an enumeration; with options Home Assistant allows neither a unit nor a state class."""
    return {"device_class": "enum", "options": options}


def _sensor(name: str, topic: str, field: str, more: Component, expires: bool = True) -> Component:
    # The template renders null as None, which Home Assistant treats as unknown.
    return {
        "platform": "sensor",
        "name": name,
        "state_topic": topic,
        "value_template": f"{{{{ value_json.{field} }}}}",
        **({"expire_after": EXPIRE_S} if expires else {}),
        **more,
    }


def _binary_sensor(name: str, topic: str, condition: str, more: Component) -> Component:
    template = f"{{{{ 'None' if {condition} is none else 'ON' if {condition} else 'OFF' }}}}"
    return {
        "platform": "binary_sensor",
        "name": name,
        "state_topic": topic,
        "value_template": template,
        "expire_after": EXPIRE_S,
        **more,
    }
