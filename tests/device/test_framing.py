"""A framed picture is the camera's, turned, mirrored and cut: checked pixel by pixel against numpy's own turns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from device.camera.framing import Framing
from device.config import Settings

FLIPS = {"none": (), "horizontal": (1,), "vertical": (0,), "both": (0, 1)}


def picture(height: int = 6, width: int = 8) -> np.ndarray:
    return np.arange(height * width, dtype=np.uint8).reshape(height, width)


def expected(gray: np.ndarray, rotate_deg: int, flip: str, region: tuple[float, ...] | None) -> np.ndarray:
    upright = np.rot90(gray, -rotate_deg // 90)
    upright = np.flip(upright, FLIPS[flip])
    if region is None:
        return upright
    x, y, w, h = region
    height, width = upright.shape
    return upright[round(y * height) : round((y + h) * height), round(x * width) : round((x + w) * width)]


@pytest.mark.parametrize("rotate_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", FLIPS)
@pytest.mark.parametrize("region", [None, (0, 0, 1, 1), (0, 0, 0.5, 0.5), (0.25, 0.5, 0.75, 0.25), (0.5, 0, 0.25, 1)])
def test_every_rotation_mirroring_and_region(rotate_deg: int, flip: str, region: Any) -> None:
    gray = picture(16, 24)  # sides that quarters divide
    before = gray.copy()
    framed = Framing(rotate_deg, flip, region).apply(gray)
    np.testing.assert_array_equal(framed, expected(gray, rotate_deg, flip, region))
    np.testing.assert_array_equal(gray, before)
    assert framed.dtype == np.uint8 and framed.flags.c_contiguous


def test_rotation_is_clockwise() -> None:
    framed = Framing(rotate_deg=90).apply(picture(2, 3))
    assert framed.tolist() == [[3, 0], [4, 1], [5, 2]], "what was on the left is on top"


def test_without_framing_the_picture_itself_is_returned() -> None:
    gray = picture()
    for framing in (Framing(), Framing(region=(0, 0, 1, 1)), Framing.from_settings(Settings())):
        assert not framing
        assert framing.apply(gray) is gray
        assert framing.describe() is None
    for framing in (Framing(90), Framing(flip="both"), Framing(region=(0, 0, 1, 0.5))):
        assert framing
        assert framing.apply(gray) is not gray


def test_the_framed_picture_does_not_reference_the_whole_one() -> None:
    """A cut is copied where it would be a view with gaps: detectors want rows that follow one another."""
    gray = picture(480, 640)
    framed = Framing(region=(0.25, 0.25, 0.5, 0.5)).apply(gray)
    assert framed.shape == (240, 320)
    assert not np.shares_memory(framed, gray)


@pytest.mark.parametrize(
    ("rotate_deg", "flip", "xywh"),
    [
        (0, "none", (0, 0, 320, 120)),
        (0, "horizontal", (320, 0, 320, 120)),
        (0, "both", (320, 360, 320, 120)),
        (90, "none", (0, 240, 160, 240)),
        (180, "none", (320, 360, 320, 120)),
        (270, "none", (480, 0, 160, 240)),
    ],
)
def test_the_source_region_of_a_framing(rotate_deg: int, flip: str, xywh: tuple[int, ...]) -> None:
    """The upper left, half as wide and a quarter as high as the upright picture, of a camera of 640×480."""
    assert Framing(rotate_deg, flip, (0, 0, 0.5, 0.25)).source_xywh(640, 480) == xywh


@pytest.mark.parametrize("region", [(0.999, 0.999, 0.0005, 0.0005), (0.0, 0.0, 0.0001, 0.0001), (0.3, 0.3, 0.4, 0.4)])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (640, 480)])
def test_a_region_is_never_empty(region: Any, size: tuple[int, int]) -> None:
    width, height = size
    for rotate_deg in (0, 90, 180, 270):
        x, y, w, h = Framing(rotate_deg, "none", region).source_xywh(width, height)
        assert 0 <= x < x + w <= width and 0 <= y < y + h <= height


def test_a_camera_that_changes_its_size_keeps_the_region_in_place() -> None:
    framing = Framing(90, "none", (0, 0.5, 1, 0.5))
    assert [framing.apply(picture(h, w)).shape for h, w in ((480, 640), (240, 320))] == [(320, 480), (160, 240)]


def test_the_framing_in_the_journal() -> None:
    settings = Settings(rotate_deg=270, flip="vertical", region=(0, 0, 0.5, 1))
    framing = Framing.from_settings(settings)
    assert framing == Framing(270, "vertical", (0, 0, 0.5, 1))
    assert framing.describe() == {"rotate_deg": 270, "flip": "vertical", "region": [0, 0, 0.5, 1]}
