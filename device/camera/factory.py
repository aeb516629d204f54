"""The camera source for a name: a number, a file, a folder or an address."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from device.camera.camera_url import redact_url, require_user
from device.camera.source import Source
from device.clock import Clock
from device.config import Settings
from device.default_folders import expand_user
from fer_edge.console import message
from fer_edge.errors import CameraNotOpened, UsageError
from fer_edge.text_cleaning import may_hold_password

NAME_FORMS = (
    "0, usb:0, csi:0, a link in /dev/v4l/by-id, a video file, a folder of images, an http:// or rtsp:// address, "
    "or synthetic"
)
URL_SCHEMES = ("http", "https", "rtsp", "rtsps")


def create_source(settings: Settings, clock: Clock) -> Source:
    """The source that `settings.camera` names; it is not opened.

    Raises UsageError for a name of an unknown form, CameraNotOpened for a file or folder that is not there.
    """
    name = settings.camera.strip()
    if name == "synthetic":
        from device.camera.synthetic import SyntheticCamera

        return SyntheticCamera(settings, clock)
    if match := re.fullmatch(r"(?:(usb|csi):)?(\d{1,3})", name):
        return _numbered_camera(match[1], int(match[2]), settings, clock)
    if "://" in name:
        return _network_stream(name, settings, clock)
    return _file_or_folder(name, settings, clock)


def _numbered_camera(stack: str | None, number: int, settings: Settings, clock: Clock) -> Source:
    """The camera of that number: of the given stack, else of libcamera if it lists that many CSI cameras, else of V4L2.

    On a Pi the V4L2 node 0 is the raw sensor, which gives a grey rectangle: 0 means the camera that libcamera reads.
    """
    if stack == "csi" or (stack is None and _csi_camera_count() > number):
        from device.camera.csi import CsiCamera

        return CsiCamera(number, settings, clock)
    from device.camera.usb import UsbCamera

    return UsbCamera(Path(f"/dev/video{number}"), settings, clock)


def _csi_camera_count() -> int:
    from importlib.util import find_spec

    if find_spec("picamera2") is None:  # avoids the cost of a failing import
        return 0
    from device.camera.csi import count_csi_cameras

    return count_csi_cameras()


def _network_stream(name: str, settings: Settings, clock: Clock) -> Source:
    try:
        parts = urlsplit(name)
        known = parts.scheme.lower() in URL_SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known:
        raise _no_camera_address(name)
    require_user(
        name, settings.camera_password_file
    )  # now: a camera that is waited for is not opened with wrong settings
    from device.camera.stream import NetworkStream

    return NetworkStream(name, settings, clock)


def _no_camera_address(name: str) -> UsageError:
    return UsageError(
        f"the address {redact_url(name)} cannot be a camera; give one of {', '.join(URL_SCHEMES)}, then :// and a host"
    )


def _file_or_folder(name: str, settings: Settings, clock: Clock) -> Source:
    path = expand_user(Path(name))
    if _is_device_node(PurePosixPath(name)):
        from device.camera.usb import UsbCamera

        return UsbCamera(path, settings, clock)
    if path.is_dir():
        from device.camera.replay import ImageFolder

        return ImageFolder(path, settings, clock)
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is neither a file nor a folder; name a recording, a folder of pictures or a camera")
    if path.exists():
        from device.camera.replay import VideoFile

        return VideoFile(path, clock, settings.raw_fps, message)
    if may_hold_password(name):
        raise _no_camera_address(name)
    if len(path.parts) > 1 or path.suffix or name.startswith(("~", ".")):
        raise CameraNotOpened(f"there is no file or folder {path}; check the path")
    raise UsageError(f"“{name}” is not a camera; give {NAME_FORMS}")


def _is_device_node(path: PurePosixPath) -> bool:
    """Whether this is the place of a device, present or not: a node, or one of udev's links to it. Files may be in /dev/shm."""
    return path.is_relative_to("/dev") and not path.is_relative_to("/dev/shm")
