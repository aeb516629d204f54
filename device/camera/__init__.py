"""Where frames come from: what every source can do, and which source a name stands for.

Only the module of the source that was chosen is imported: the libraries behind them differ from machine to machine.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from device.clock import Clock
from device.config import Settings
from device.vision.frames import Frame
from fer_edge.errors import CameraNotOpened, UsageError

FORMS = "0, usb:0, csi:0, a video file, a folder of images, an http:// or rtsp:// address, or synthetic"
ADDRESSES = ("http", "https", "rtsp", "rtsps")


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


def choose(settings: Settings, clock: Clock) -> Source:
    """The source that `settings.camera` names, not opened yet.

    Raises UsageError for a name of no known form, CameraNotOpened for a file or folder that is not there.
    """
    name = settings.camera.strip()
    if name == "synthetic":
        from device.camera.synthetic import Synthetic

        return Synthetic(settings, clock)
    if match := re.fullmatch(r"(?:(usb|csi):)?(\d{1,3})", name):
        return _camera(match[1], int(match[2]), settings, clock)
    if "://" in name:
        return _address(name, settings, clock)
    return _path(name, settings, clock)


def _camera(stack: str | None, number: int, settings: Settings, clock: Clock) -> Source:
    """A numbered camera: of the stack named, else libcamera where it lists that many, else V4L2.

    On a Pi the V4L2 node 0 is the raw sensor, which gives a grey box: whoever says 0 means the one libcamera reads.
    """
    if stack == "csi" or (stack is None and _csi_cameras() > number):
        from device.camera.csi import CsiCamera

        return CsiCamera(number, settings, clock)
    from device.camera.usb import UsbCamera

    return UsbCamera(number, settings, clock)


def _csi_cameras() -> int:
    from importlib.util import find_spec

    if find_spec("picamera2") is None:  # without the cost of an import that fails
        return 0
    from device.camera.csi import count

    return count()


def _address(name: str, settings: Settings, clock: Clock) -> Source:
    try:
        parts = urlsplit(name)
        known = parts.scheme.lower() in ADDRESSES and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known:
        raise UsageError(
            f"the address {redacted(name)} cannot be a camera; give one of {', '.join(ADDRESSES)}, then :// and a host"
        )
    from device.camera.stream import NetworkStream

    return NetworkStream(name, settings, clock)


def _path(name: str, settings: Settings, clock: Clock) -> Source:
    path = Path(name).expanduser()
    if re.fullmatch(r"/dev/video\d+", name):
        from device.camera.usb import UsbCamera

        return UsbCamera(int(name.removeprefix("/dev/video")), settings, clock)
    if path.is_dir():
        from device.camera.replay import ImageFolder

        return ImageFolder(path, settings, clock)
    if path.exists():
        from device.camera.replay import VideoFile

        return VideoFile(path, clock)
    if len(path.parts) > 1 or path.suffix or name.startswith(("~", ".")):
        raise CameraNotOpened(f"there is no file or folder {path}; check the path")
    raise UsageError(f"“{name}” is no camera; give {FORMS}")


def redacted(address: str) -> str:
    """An address as it may be shown and stored: without user, password and what follows a question mark."""
    try:
        parts = urlsplit(address)
        host = f"{parts.hostname or ''}{'' if parts.port is None else f':{parts.port}'}"
    except ValueError:
        return f"{address.partition('://')[0]}://…"
    # An @ in the path may be the end of a password that had a slash in it.
    path = "/…" if "@" in parts.path else parts.path
    return f"{parts.scheme}://{host}{path}{'?…' if parts.query else ''}"
