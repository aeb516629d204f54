"""The interface of every camera source, how a source describes itself, and how it reports its end or its loss."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Protocol

from device.camera.frame import Frame


class EndOfStream(Exception):
    """A recording was read to its end."""


class SourceLost(Exception):
    """A live source that worked has stopped; the message says what was observed."""


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """A source as the journal describes it. None: the source has no such property.

    `name` holds no password and no folder. `time` says where the times of its frames come from.
    """

    kind: str
    name: str
    model: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    fps: float | None = None
    images: int | None = None  # files in the folder
    time: str = ""

    def to_json(self) -> dict[str, str | float]:
        """The properties that the source has, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Source(Protocol):
    """A camera or a recording. Opened, read and closed by one thread at a time; may be opened again after `close`."""

    live: bool  # a live source is read all the time, and frames are dropped to stay fresh; a recording waits

    def open(self) -> None:
        """Prepares the source for reading. Raises CameraNotOpened within a few seconds."""
        ...

    def read(self) -> Frame | None:
        """The next frame. None: nothing came for about a second (live source), or it cannot be decoded (recording).

        Raises EndOfStream (recording) or SourceLost (live source).
        """
        ...

    def describe(self) -> SourceDescription:
        """The description for the journal."""
        ...

    def close(self) -> None:
        """Releases the device; has no effect when the source is not open."""
        ...
