"""Checks of the URL of an MQTT broker and of the prefix of its topics."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from device.address import is_host

_TOPIC_LEVELS = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}


_URL_FORM = "mqtt://HOST or mqtts://HOST, with user@ before the host and :PORT after it where they are needed"


def url_error(url: str) -> str:
    """What is wrong with a broker's URL, a sentence without its full stop and without the URL; empty when nothing is."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return f"mqtt is not a valid URL ({error}); it must be {_URL_FORM}"
    if parts.password is not None:
        return (
            "mqtt has a password, which anybody can see who lists processes or settings; remove it, put it into a file that "
            "only you can read, and name that file with mqtt_password_file"
        )
    if parts.scheme.lower() not in DEFAULT_PORTS or not parts.hostname:
        return f"mqtt must be {_URL_FORM}"
    if not is_host(parts.hostname):
        return f"mqtt has a host that cannot exist: of its name each part has 1 to 63 letters; it must be {_URL_FORM}"
    if parts.path.strip("/") or parts.query or parts.fragment:
        return f"mqtt has more than a host: it must be {_URL_FORM}; topics begin with mqtt_topic"
    return ""


def topic_prefix_error(name: str, prefix: str) -> str:
    """What is wrong with a topic's prefix, a sentence without its full stop; empty when nothing is."""
    if _TOPIC_LEVELS.fullmatch(prefix) and len(prefix) <= 200:
        return ""
    return f"{name} must be letters, digits, - and _, with / between levels, not “{prefix}”"
