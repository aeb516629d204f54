"""What every camera source can do, and how it reports its end or its loss."""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import urlsplit

from device.camera.frame import Frame


class EndOfStream(Exception):
    """A recording was read to its end."""


class SourceLost(Exception):
    """A live source that worked stopped; the message says what was seen."""


class Source(Protocol):
    """A camera or a recording. Opened, read and closed by one thread at a time; may be opened again after `close`."""

    live: bool  # a live source is read all the time and frames are dropped to stay fresh; a recording waits

    def open(self) -> None:
        """Makes the source ready to read. Raises CameraNotOpened within a few seconds."""
        ...

    def read(self) -> Frame | None:
        """The next frame, or None: nothing came for a second or so (live), or it cannot be read (a recording).

        Raises EndOfStream (a recording) or SourceLost (live).
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What the journal says of it: kind, name without passwords or folders, size, where its times come from."""
        ...

    def close(self) -> None:
        """Gives the device back; harmless when it is not open."""
        ...


def redact_url(address: str) -> str:
    """An address as it may be shown and stored: without user, password and what follows a question mark."""
    try:
        parts = urlsplit(address)
        host = f"{parts.hostname or ''}{'' if parts.port is None else f':{parts.port}'}"
    except ValueError:
        return f"{address.partition('://')[0]}://…"
    # An @ in the path may be the end of a password that had a slash in it.
    path = "/…" if "@" in parts.path else parts.path
    return f"{parts.scheme}://{host}{path}{'?…' if parts.query else ''}"
