"""The MQTT broker of a run: its address, the user name, and the files by which the two authenticate each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from device.broker_url import DEFAULT_PORTS
from device.password_file import read_password
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from device.config import Settings


@dataclass(frozen=True, slots=True)
class Broker:
    """An address and the paths of the files that belong to it; it holds no secret."""

    host: str
    port: int
    tls: bool
    user: str = ""
    password_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' * self.tls}://{host}:{self.port}"

    def password(self) -> str | None:
        """The present content of the password file, without its newline; None where no file is set.

        Raises UsageError where the file cannot be read, is empty, or is readable by others. A file that root owns may be
        readable by its group.
        """
        if self.password_file is None:
            return None
        return read_password(self.password_file, "the broker's", "mqtt_password_file")


def broker_from_settings(settings: Settings) -> Broker:
    """The broker that `settings.mqtt` names. Raises UsageError for settings that contradict each other."""
    parts = urlsplit(settings.mqtt or "")
    scheme = parts.scheme.lower()
    broker = Broker(
        host=parts.hostname or "",
        port=parts.port or DEFAULT_PORTS[scheme],
        tls=scheme == "mqtts",
        user=unquote(parts.username or ""),
        password_file=settings.mqtt_password_file,
        ca=settings.mqtt_ca,
        cert=settings.mqtt_cert,
        key=settings.mqtt_key,
    )
    if broker.password_file and not broker.user:
        raise UsageError(f"mqtt_password_file needs a user: name one, {scheme}://USER@{parts.netloc}")
    if not broker.tls and (broker.ca or broker.cert or broker.key):
        raise UsageError("certificates are for encrypted connections: mqtts:// in place of mqtt://")
    if broker.key and not broker.cert:
        raise UsageError("mqtt_key needs a certificate: name it with mqtt_cert")
    return broker
