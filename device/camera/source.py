"""The interface of every camera source, how a source describes itself, and how it reports its end or its loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from device.camera.frame import Frame
from device.config import Settings
from fer_edge.errors import CameraNotOpened, FerEdgeError
from fer_edge.text_cleaning import clean

_FPS_TOLERANCE = 0.02  # 29.97 is 30


class EndOfStream(Exception):
    """A recording was read to its end."""


class SourceLost(Exception):
    """A live source that worked has stopped; the message says what was observed."""


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """A source as the journal describes it. None: the source has no such property.

    `name` holds no password; a recording's has no folder. `time` says where the times of its frames come from. The
    requested values are present where the driver gives another.
    """

    kind: str
    name: str
    model: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    fps: float | None = None
    images: int | None = None  # files in the folder
    time: str = ""
    requested_width_px: int | None = None
    requested_height_px: int | None = None
    requested_fps: float | None = None

    def to_json(self) -> dict[str, str | float]:
        """The properties that the source has, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def compared_with(self, settings: Settings) -> SourceDescription:
        """The description with the requested size and frame rate where the camera gives another; as it is until it is open."""
        if not self.width_px or not self.height_px:
            return self
        if (self.width_px, self.height_px) == (settings.width_px, settings.height_px):
            size: tuple[int | None, int | None] = (None, None)
        else:
            size = (settings.width_px, settings.height_px)
        same_fps = self.fps is None or abs(self.fps - settings.fps) <= _FPS_TOLERANCE * settings.fps
        return replace(
            self,
            requested_width_px=size[0],
            requested_height_px=size[1],
            requested_fps=None if same_fps else settings.fps,
        )

    def difference(self) -> str:
        """A clause that says what the driver gives instead of what was requested; empty where that is the same."""
        given, requested = [], []
        if self.requested_width_px is not None:
            given.append(f"{self.width_px}×{self.height_px}")
            requested.append(f"{self.requested_width_px}×{self.requested_height_px}")
        if self.requested_fps is not None:
            given.append(f"{self.fps:.4g} frames a second")
            requested.append(f"{self.requested_fps:.4g}")
        return f"gives {' at '.join(given)}, not {' at '.join(requested)} as requested" if given else ""


class Source(Protocol):
    """A camera or a recording. Opened, read and closed by one thread at a time; may be opened again after `close`."""

    live: bool  # a live source is read all the time, and frames are dropped to stay fresh; a recording waits

    def open(self) -> None:
        """Prepares the source for reading. Raises CameraNotOpened within a few seconds, UsageError for its password's file."""
        ...

    def read(self) -> Frame | None:
        """The next frame.

        None: nothing came for about a second (live source), or it cannot be decoded in the memory there is (recording).
        Raises EndOfStream (recording) or SourceLost (live source).
        """
        ...

    def describe(self) -> SourceDescription:
        """The description for the journal."""
        ...

    def close(self) -> None:
        """Releases the device; has no effect when the source is not open."""
        ...


@contextmanager
def errors_reported_as(kind: type[CameraNotOpened | SourceLost], clause: str, hint: str = "") -> Iterator[None]:
    """Raises whatever a driver or its library raises in the block as `kind`, with `clause`, the reason and `hint`.

    A camera stack may raise anything, for example for a picture that cannot be decoded, or not in the memory there is; none of
    it is a bug of the loop. Errors that the block explains itself stay as they are.
    """
    try:
        yield
    except (FerEdgeError, SourceLost, EndOfStream):
        raise
    except Exception as error:
        reason = clean(" ".join(str(error).split()))
        raise kind(f"{clause} ({type(error).__name__}: {reason}){hint}") from error


@dataclass(frozen=True, slots=True)
class CameraChange:
    """A live source was lost, came back after `gap_s` without a frame, or was absent when the run started.

    `reason` is that of the loss or absence; empty for a return.
    """

    state: str  # waiting, lost or back
    reason: str
    gap_s: float
