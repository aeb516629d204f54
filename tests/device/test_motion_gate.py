"""What counts as a change of the picture, and where, and what as another scene."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from device.vision import motion_gate
from fer_edge.synthetic_face import face_frame

WALL = np.full((480, 640), 120, np.uint8)


def noisy(gray: np.ndarray, seed: int, levels: float = 6.0) -> np.ndarray:
    """The picture as a poor sensor gives it."""
    noise = np.random.default_rng(seed).normal(0, levels, gray.shape)
    return np.clip(gray + noise, 0, 255).astype(np.uint8)


def moved(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    return motion_gate.changed_cells(
        motion_gate.thumbnail_difference(motion_gate.thumbnail(before), motion_gate.thumbnail(now))
    )


@pytest.mark.parametrize("shape", [(480, 640), (240, 320), (2160, 3840), (720, 405), (24, 32), (5, 9), (1, 1)])
def test_a_thumbnail_has_the_same_cells_whatever_the_picture(shape: tuple[int, int]) -> None:
    cells = motion_gate.thumbnail(np.full(shape, 77, np.uint8))
    assert cells.shape == (24, 32) and cells.dtype == np.int16 and (cells == 77).all()


def test_sensor_noise_is_not_motion() -> None:
    for seed in range(20):
        assert not motion_gate.is_motion(moved(noisy(WALL, seed), noisy(WALL, 100 + seed)))


@pytest.mark.parametrize("light", [-40, -10, 12, 50])
def test_a_change_of_the_whole_brightness_is_not_motion(light: int) -> None:
    assert not motion_gate.is_motion(moved(noisy(WALL, 1), noisy((WALL.astype(int) + light).astype(np.uint8), 2)))


@pytest.mark.parametrize("side_px", [45, 60, 90])
@pytest.mark.parametrize("corner", [(0, 0), (300, 200), (550, 390), (13, 77)])
def test_a_new_head_is_motion_at_its_position(side_px: int, corner: tuple[int, int]) -> None:
    now, (x, y) = WALL.copy(), corner
    cv2.ellipse(now, (x + side_px // 2, y + side_px // 2), (side_px // 2, side_px // 2), 0, 0, 360, 170, -1)
    cells = moved(noisy(WALL, 1), noisy(now, 2))
    assert motion_gate.is_motion(cells)
    assert motion_gate.any_changed(cells, (x, y, side_px), WALL.shape)
    assert not motion_gate.any_changed(cells, ((x + 320) % 640, (y + 240) % 480, 20), WALL.shape)
    assert not motion_gate.is_motion(motion_gate.excluding(cells, [(x - 10, y - 10, side_px + 20)], WALL.shape)), (
        "and nowhere else"
    )
    assert motion_gate.is_motion(cells), "what was taken out was taken out of a copy"


def test_squares_outside_the_picture_contain_no_cells() -> None:
    everywhere = np.ones((24, 32), bool)
    for square in ((-300, 10, 100), (700, 10, 50), (10, -90, 80), (10, 500, 40)):
        assert not motion_gate.any_changed(everywhere, square, WALL.shape)
        assert motion_gate.excluding(everywhere, [square], WALL.shape).all()
    assert motion_gate.any_changed(everywhere, (-50, -50, 60), WALL.shape)


def test_a_moving_face_is_no_scene_cut_and_another_room_is() -> None:
    frames = [motion_gate.thumbnail(face_frame(n / 10)) for n in range(100)]
    assert not any(
        motion_gate.is_scene_cut(motion_gate.thumbnail_difference(a, b)) for a, b in itertools.pairwise(frames)
    )
    rng = np.random.default_rng(3)
    rooms = [motion_gate.thumbnail(cv2.resize(rng.integers(0, 256, (6, 8), np.uint8), (640, 480))) for _ in range(8)]
    assert all(motion_gate.is_scene_cut(motion_gate.thumbnail_difference(a, b)) for a, b in itertools.pairwise(rooms))
    assert motion_gate.is_scene_cut(
        motion_gate.thumbnail_difference(frames[0], motion_gate.thumbnail(np.zeros((480, 640), np.uint8)))
    )
