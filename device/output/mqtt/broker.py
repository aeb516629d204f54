"""The broker of a run: where it is, who we are to it, and by what each proves itself to the other."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from device.broker_url import DEFAULT_PORTS
from fer_edge.errors import UsageError

if TYPE_CHECKING:
    from device.config import Settings

_LONGEST_BYTES = 65_535  # of a password, in MQTT


@dataclass(frozen=True, slots=True)
class Broker:
    """An address and the files that go with it; no secret is in here."""

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
        """What the password's file holds now, without the end of its line; None where there is no file.

        Raises UsageError where it cannot be read, is empty, or is for others to read too: its group may where the file is
        root's, who has decided so.
        """
        if (path := self.password_file) is None:
            return None
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                text = file.read(_LONGEST_BYTES + 2).decode()
        except OSError as error:
            raise UsageError(
                f"the broker's password in {path} cannot be read ({error.strerror}); mend mqtt_password_file"
            ) from error
        except UnicodeDecodeError as error:
            raise UsageError(f"the broker's password in {path} is not UTF-8 text; write it anew") from error
        if found.st_mode & stat.S_IRWXO or (found.st_mode & stat.S_IRWXG and found.st_uid != 0):
            raise UsageError(
                f"the broker's password in {path} can be read by others (mode {stat.S_IMODE(found.st_mode):o}); "
                f"`chmod 600 {path}`"
            )
        text = text.removesuffix("\n").removesuffix("\r")
        if not text or "\n" in text or len(text.encode()) > _LONGEST_BYTES:
            raise UsageError(f"the broker's password in {path} must be one line, the file's only one")
        return text


def broker_from_settings(settings: Settings) -> Broker:
    """The broker that `settings.mqtt` names. Raises UsageError for settings that do not go together."""
    parts = urlsplit(settings.mqtt or "")
    scheme = parts.scheme.lower()
    broker = Broker(
        parts.hostname or "",
        parts.port or DEFAULT_PORTS[scheme],
        scheme == "mqtts",
        unquote(parts.username or ""),
        settings.mqtt_password_file,
        settings.mqtt_ca,
        settings.mqtt_cert,
        settings.mqtt_key,
    )
    if broker.password_file and not broker.user:
        raise UsageError(f"mqtt_password_file is somebody's: name the user, {scheme}://USER@{parts.netloc}")
    if not broker.tls and (broker.ca or broker.cert or broker.key):
        raise UsageError("certificates are for encrypted connections: mqtts:// in place of mqtt://")
    if broker.key and not broker.cert:
        raise UsageError("mqtt_key goes with a certificate: name it as mqtt_cert")
    return broker
