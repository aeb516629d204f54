"""The ribbon-cable camera with a fake picamera2, and the fake compared with picamera2's own source."""

from __future__ import annotations

import ast
import inspect
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest
from builders import wheel_member
from fakes import FakeClock

from device.camera.csi import CsiCamera, count_csi_cameras, picamera2_class
from device.camera.factory import create_source
from device.camera.source import SourceLost
from device.camera.usb import UsbCamera
from device.config import Settings
from fer_edge.errors import CameraNotOpened

SOURCES = {
    "picamera2.py": "9f7af5356647a704cfecd09e94bae5573b0c5bf811511e6af3c375c19bd2c10e",
    "request.py": "fde411e110f989a7cf025e03c07047b10280ea2fe4b1d356af2556a3d05ef46a",
}
CAMERA = {"Model": "imx708", "Location": 2, "Rotation": 180, "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a", "Num": 0}
FRAME = np.arange(100 * 48, dtype=np.uint16).reshape(48, 100).astype(np.uint8)


@pytest.fixture
def picamera2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[fakes.Picamera2]]:
    """An importable package `picamera2` that holds the fake, with one camera that has no frame yet."""
    (tmp_path / "picamera2").mkdir()
    (tmp_path / "picamera2" / "__init__.py").write_text("from fakes import Picamera2\n")
    monkeypatch.syspath_prepend(tmp_path)
    fakes.Picamera2.cameras, fakes.Picamera2.made = [dict(CAMERA)], []
    fakes.Picamera2.served.clear()
    yield fakes.Picamera2
    sys.modules.pop("picamera2", None)


def opened(**values: Any) -> tuple[CsiCamera, fakes.Picamera2]:
    camera = CsiCamera(0, Settings(width_px=100, height_px=48, **values), FakeClock())
    camera.open()
    return camera, fakes.Picamera2.made[-1]


def test_the_y_plane_without_its_padding(picamera2: type[fakes.Picamera2]) -> None:
    camera, made = opened()
    picamera2.served.append({"y": FRAME, "metadata": {"SensorTimestamp": 4_900_000_000, "Lux": 123.5}})
    frame = camera.read()
    assert frame is not None
    assert made.stream_configuration("lores")["stride"] == 128, "wider than the picture, as on a Pi"
    assert np.array_equal(frame.gray, FRAME)
    assert frame.gray.flags.c_contiguous and frame.gray.base is None, "a view would keep chroma and padding in memory"
    assert (frame.seq, frame.mono_ns) == (0, 4_900_000_000)
    assert made.held == 0, "a request that is not released stops the camera after three"


@pytest.mark.parametrize("stamp_ns", [None, 0, 9_000_000_000_000])
def test_an_impossible_sensor_time_is_replaced_by_now(picamera2: type[fakes.Picamera2], stamp_ns: int | None) -> None:
    clock = FakeClock(mono_ns=50_000_000_000)
    camera = CsiCamera(0, Settings(width_px=100, height_px=48), clock)
    camera.open()
    picamera2.served.append({"y": FRAME, "metadata": {} if stamp_ns is None else {"SensorTimestamp": stamp_ns}})
    frame = camera.read()
    assert frame is not None and frame.mono_ns == 50_000_000_000


def test_a_silent_csi_camera_returns_none_and_cancels_its_job(picamera2: type[fakes.Picamera2]) -> None:
    camera, made = opened()
    assert camera.read() is None
    assert made.calls[-1] == "cancel_all_and_flush"
    picamera2.served.append({"y": FRAME, "metadata": {}})
    assert camera.read() is not None


def test_the_csi_camera_is_configured_by_the_settings(picamera2: type[fakes.Picamera2]) -> None:
    camera, made = opened(fps=20.0)
    assert made.config["lores"] == {"size": (100, 48), "format": "YUV420", "stride": 128}
    assert made.config["controls"] == {"FrameDurationLimits": (50000, 50000)}
    assert camera.describe().to_json() == {
        "kind": "csi",
        "name": "csi:0",
        "model": "imx708",
        "width_px": 100,
        "height_px": 48,
        "time": "when exposed, by the sensor",
    }
    camera.close()
    camera.close()
    assert made.calls == ["configure", "start", "cancel_all_and_flush", "stop", "close"]
    with pytest.raises(SourceLost):
        camera.read()


def test_a_missing_csi_camera_is_reported(picamera2: type[fakes.Picamera2]) -> None:
    with pytest.raises(
        CameraNotOpened, match=r"no camera csi:3, libcamera lists 1 that are not USB cameras; check the cable"
    ):
        CsiCamera(3, Settings(), FakeClock()).open()


def test_without_picamera2_the_message_names_the_command_to_install_it() -> None:
    with pytest.raises(CameraNotOpened, match="sudo apt install python3-picamera2"):
        CsiCamera(0, Settings(), FakeClock()).open()
    assert count_csi_cameras() == 0


def test_camera_0_is_the_first_of_the_stack_that_can_read_it(picamera2: type[fakes.Picamera2]) -> None:
    assert count_csi_cameras() == 1
    assert isinstance(create_source(Settings(camera="0"), FakeClock()), CsiCamera)
    assert isinstance(create_source(Settings(camera="usb:0"), FakeClock()), UsbCamera)
    picamera2.cameras = []
    assert isinstance(create_source(Settings(camera="0"), FakeClock()), UsbCamera)
    assert isinstance(create_source(Settings(camera="csi:0"), FakeClock()), CsiCamera)


USB_CAMERAS = [
    {"Model": "C270", "Id": "/base/scb/pcie@7d500000/pci@0,0/usb@0,0-1.4:1.0-046d:0825", "Num": 0},
    {"Model": "Usbip Webcam", "Id": "\\_SB_.PCI0.XHC_-7:1.0-1d6b:0102", "Num": 1},
]


def test_a_usb_camera_that_libcamera_lists_is_read_by_v4l2(picamera2: type[fakes.Picamera2]) -> None:
    picamera2.cameras = list(USB_CAMERAS)
    assert count_csi_cameras() == 0
    assert isinstance(create_source(Settings(camera="0"), FakeClock()), UsbCamera)
    with pytest.raises(CameraNotOpened, match="no camera csi:0, libcamera lists 0 that are not USB"):
        CsiCamera(0, Settings(), FakeClock()).open()
    picamera2.cameras = [*USB_CAMERAS, {**CAMERA, "Num": 2}]
    assert isinstance(create_source(Settings(camera="0"), FakeClock()), CsiCamera)
    assert isinstance(create_source(Settings(camera="1"), FakeClock()), UsbCamera)
    assert opened()[1].camera_num == 2


ERRORS = [AttributeError("no raw"), KeyError("size"), TypeError("x"), MemoryError(), RuntimeError("in use")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("call", ["__init__", "create_video_configuration", "configure", "start"])
def test_whatever_picamera2_raises_while_opening_is_a_camera_that_does_not_open(
    picamera2: type[fakes.Picamera2], monkeypatch: pytest.MonkeyPatch, call: str, error: Exception
) -> None:
    def fail(*arguments: Any, **keywords: Any) -> None:
        raise error

    monkeypatch.setattr(picamera2, call, fail)
    monkeypatch.setattr(picamera2, "stop", fail)
    with pytest.raises(CameraNotOpened, match=rf"csi:0 does not start \({type(error).__name__}: .*`rpicam-hello`"):
        opened()


def test_whatever_picamera2_raises_while_reading_is_a_lost_camera(
    picamera2: type[fakes.Picamera2], monkeypatch: pytest.MonkeyPatch
) -> None:
    camera, _ = opened()

    def fail(*arguments: Any, **keywords: Any) -> None:
        raise KeyError("SensorTimestamp")

    monkeypatch.setattr(picamera2, "capture_request", fail)
    with pytest.raises(SourceLost, match=r"csi:0 gave no picture \(KeyError: 'SensorTimestamp'\)"):
        camera.read()


@pytest.mark.parametrize(("chosen", "levels"), [(None, "*:FATAL"), ("*:DEBUG", "*:DEBUG")])
def test_the_stack_s_own_lines_are_off_unless_they_are_asked_for(
    picamera2: type[fakes.Picamera2],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    chosen: str | None,
    levels: str,
) -> None:
    monkeypatch.setenv("LIBCAMERA_LOG_LEVELS", chosen or "")
    if chosen is None:
        monkeypatch.delenv("LIBCAMERA_LOG_LEVELS")
    picamera2_class()
    assert os.environ["LIBCAMERA_LOG_LEVELS"] == levels
    logging.getLogger("picamera2.picamera2").error("Camera __init__ sequence did not complete.")
    assert capfd.readouterr().err == ""


def _signatures(source: Path, name: str) -> dict[str, list[tuple[str, str | None]]]:
    """Each method of a class in a source file: its arguments with their defaults as written. The last definition counts."""
    tree = ast.parse(source.read_text())
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    methods = {}
    for node in found.body:
        if isinstance(node, ast.FunctionDef):
            arguments = node.args.args
            defaults = [None] * (len(arguments) - len(node.args.defaults)) + [
                ast.unparse(d) for d in node.args.defaults
            ]
            methods[node.name] = [(a.arg, d) for a, d in zip(arguments, defaults, strict=True)]
    return methods


@pytest.mark.parametrize(
    ("file", "stand_in"), [("picamera2.py", fakes.Picamera2), ("request.py", fakes.CompletedRequest)]
)
def test_the_stand_in_has_the_signatures_of_picamera2(file: str, stand_in: type) -> None:
    source = wheel_member("picamera2", "0.3.38", f"picamera2/{file}", SOURCES[file])
    if source is None:
        pytest.skip("no picamera2 source")
    picamera2_signatures = _signatures(source, stand_in.__name__)
    fake_functions = {
        name: f for name, f in vars(stand_in).items() if inspect.isfunction(inspect.unwrap(getattr(f, "__func__", f)))
    }
    assert len(fake_functions) >= 4
    for name, function in fake_functions.items():
        assert name in picamera2_signatures, f"picamera2 has no {stand_in.__name__}.{name}"
        parameters = inspect.signature(getattr(function, "__func__", function)).parameters.values()
        signature = picamera2_signatures[name]
        assert [p.name for p in parameters] == [argument for argument, _ in signature], name
        for p, (argument, default) in zip(parameters, signature, strict=True):
            if default is None:
                assert p.default is inspect.Parameter.empty, f"{name}({argument})"
            elif "libcamera." not in default:  # an object of a library that is not here
                assert repr(p.default) == repr(ast.literal_eval(default)), f"{name}({argument})"
