"""What makes a crop worse is told by its name, and an ordinary one is good."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fer_edge.detection.registry import find_detector
from fer_edge.detection.types import Face
from fer_edge.face_crop import face_crop
from fer_edge.quality import QUALITY_REASONS, crop_quality, head_turn
from fer_edge.synthetic_face import face_box, face_frame

FRONTAL = Face((0, 0, 100, 100), 0.9, ((30.0, 40.0), (70.0, 40.0)), (50.0, 60.0))


@pytest.fixture(scope="module")
def crop() -> np.ndarray:
    return face_crop(face_frame(3.0), face_box(3.0))


def test_an_ordinary_crop_has_full_quality(crop: np.ndarray) -> None:
    assert crop_quality(crop, FRONTAL, 160).value == 1.0


@pytest.mark.parametrize(
    ("why", "spoil", "face", "side_px"),
    [
        ("dark", lambda crop, much: np.clip(crop * (1 - 0.95 * much), 0, 255).astype(np.uint8), FRONTAL, 160),
        ("dark", lambda crop, much: (crop * (1 - 0.95 * much) + 230 * 0.95 * much).astype(np.uint8), FRONTAL, 160),
        ("blurred", lambda crop, much: cv2.GaussianBlur(crop, (0, 0), 0.01 + 5 * much), FRONTAL, 160),
    ],
    ids=["dark", "washed out", "blurred"],
)
def test_quality_falls_with_degradation(why: str, spoil: object, face: Face, side_px: int, crop: np.ndarray) -> None:
    rated = [crop_quality(spoil(crop, much), face, side_px) for much in (0.0, 0.4, 0.6, 0.8, 1.0)]  # type: ignore[operator]
    values = [one.value for one in rated]
    assert values == sorted(values, reverse=True) and values[0] > 0.9 and values[-1] < 0.4
    assert rated[-1].why == why


@pytest.mark.parametrize(("side_px", "value"), [(8, 0.214), (16, 0.5), (23, 0.75), (30, 1.0), (400, 1.0)])
def test_a_tiny_face_has_low_quality(side_px: int, value: float, crop: np.ndarray) -> None:
    quality = crop_quality(crop, FRONTAL, side_px)
    assert quality.value == pytest.approx(value, abs=0.001)
    assert value == 1 or quality.why == "tiny"


@pytest.mark.parametrize(("nose_x", "turned"), [(50.0, 0.0), (58.0, 0.2), (70.0, 0.5), (30.0, 0.5), (95.0, 1.125)])
def test_head_turn_is_the_position_of_the_nose_between_the_eyes(nose_x: float, turned: float, crop: np.ndarray) -> None:
    face = Face(FRONTAL.xywh, 0.9, FRONTAL.eyes, (nose_x, 60.0))
    assert head_turn(face) == pytest.approx(turned)
    quality = crop_quality(crop, face, 160)
    assert (quality.value < 0.5) == (turned > 0.6) and (quality.value == 1 or quality.why == "turned")


def test_a_head_that_is_tilted_is_not_turned() -> None:
    for degrees in (-60, -20, 35, 80):
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        eyes = ((-20 * c, -20 * s), (20 * c, 20 * s))
        assert head_turn(Face((0, 0, 9, 9), 0.9, eyes, (-20 * s, 20 * c))) == pytest.approx(0, abs=1e-9)


def test_without_landmarks_the_turn_is_zero() -> None:
    assert head_turn(Face((0, 0, 9, 9), 0.9)) == 0.0
    assert head_turn(Face((0, 0, 9, 9), 0.9, ((5.0, 5.0), (5.0, 5.0)), (1.0, 1.0))) == 1.0
    assert QUALITY_REASONS == ("dark", "blurred", "tiny", "turned")


def test_the_synthetic_face_is_frontal_by_the_detectors_landmarks(blazeface: object) -> None:
    (face,) = find_detector("blazeface-zoomed").detect(face_frame(3.0))
    assert face.nose is not None and head_turn(face) < 0.2
