"""Checks of `fer-edge doctor`: the camera, and picamera2, which cameras on the ribbon cable need."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from device.camera.camera_url import redact_url
from device.camera.csi import list_csi_cameras
from device.camera.source import Source
from device.clock import SystemClock
from device.doctor.findings import CheckContext, Finding, make_finding, root_cause
from fer_edge.errors import CameraNotOpened, UsageError

_DARK_MEAN = 4.0  # of 255: sensor noise without light
# Error messages of a module that was built for another numpy: https://numpy.org/doc/stable/numpy_2_0_migration_guide.html
_NUMPY_ABI_ERRORS = (
    "numpy.dtype size changed",
    "_ARRAY_API not found",
    "compiled using NumPy 1.x",
    "numpy.core.multiarray",
)


def picamera2(context: CheckContext) -> Finding:
    """Whether picamera2 works together with the packages imported before it, if the camera may need it."""
    camera = context.settings.camera
    if find_spec("picamera2") is None:
        packages = context.root / "usr/lib/python3/dist-packages/picamera2"
        if packages.is_dir() and (camera.startswith("csi") or camera.isdigit()):
            return make_finding("picamera2.hidden", environment=Path(sys.prefix) / "pyvenv.cfg")
        return (
            make_finding("picamera2.missing", camera=camera)
            if camera.startswith("csi")
            else make_finding("picamera2.unneeded")
        )
    try:
        count = len(list_csi_cameras())
    except Exception as error:
        case = "numpy" if any(message in str(error) for message in _NUMPY_ABI_ERRORS) else "broken"
        return make_finding(f"picamera2.{case}", error=root_cause(error))
    return make_finding("picamera2.ok", count=count)


def camera(context: CheckContext) -> Finding:
    """Whether the camera delivers a frame; with `camera_trial_s`, how many in that time and how many have a face."""
    from device.camera.factory import create_source

    clock = SystemClock()
    try:
        source = create_source(context.settings, clock)
        name = source.describe().name
        start_ns = clock.mono_ns()
        source.open()
    except UsageError as error:
        return make_finding("camera.wrong", error=error)
    except CameraNotOpened as error:
        return make_finding("camera.none", error=error, advice=_camera_advice(context.settings.camera))
    try:
        return _read_frames(source, str(name), context, clock, start_ns)
    finally:
        source.close()


def _camera_advice(camera: str) -> str:
    """What to do about a camera that cannot be opened."""
    if "://" in camera:
        host = urlsplit(redact_url(camera).removesuffix("/…")).hostname or ""
        ping = f"ping -c 3 {shlex.quote(host)}" if host.isascii() else "ping -c 3 HOST"  # “…”: it cannot be told apart
        return f"see whether the camera answers: `{ping}`"
    if camera.startswith("csi"):
        return "check the ribbon cable, and see whether `rpicam-hello --list-cameras` lists the camera"
    number = camera.removeprefix("usb:")
    if not number.isdigit():
        return f"see whether it is there: `ls -ld {shlex.quote(camera)}`"
    if Path(f"/dev/video{number}").exists():
        return f"end the program that uses /dev/video{number}, or name another camera"
    return 'plug in a camera, or set `camera = "csi:0"` for one on the ribbon cable'


def _read_frames(source: Source, name: str, context: CheckContext, clock: SystemClock, start_ns: int) -> Finding:
    from device.camera.source import EndOfStream, SourceLost
    from fer_edge.detection.registry import counted_faces, find_detector

    timeout_s = context.settings.open_s
    detector = find_detector(context.settings.detector) if context.camera_trial_s else None
    frames = frames_with_face = 0
    first_s, gray = 0.0, None
    while (clock.mono_ns() - start_ns) / 1e9 < (first_s + context.camera_trial_s if frames else timeout_s):
        try:
            frame = source.read()
        except (EndOfStream, SourceLost):
            break
        if frame is None:
            continue
        frames, gray = frames + 1, frame.gray
        first_s = first_s or (clock.mono_ns() - start_ns) / 1e9
        if detector is None:
            break
        frames_with_face += bool(counted_faces(detector, gray))
    if gray is None:
        return make_finding("camera.silent", camera=name, seconds=timeout_s)
    if (mean := float(gray.mean())) < _DARK_MEAN:
        return make_finding("camera.dark", camera=name, mean=mean)
    if detector is None:
        height, width = gray.shape
        return make_finding("camera.ok", camera=name, width=width, height=height, seconds=first_s)
    key = "camera.face" if frames_with_face else "camera.nobody"
    return make_finding(key, camera=name, frames=frames, faces=frames_with_face, seconds=context.camera_trial_s)
