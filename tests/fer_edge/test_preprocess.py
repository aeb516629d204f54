"""The crop: what is cut, what is repeated, how it is shrunk, and where a mapping moves it."""

from __future__ import annotations

import numpy as np
import pytest

from fer_edge.errors import UsageError
from fer_edge.preprocess import Mapping, face_crop, square, whole_crop

NOISE = np.random.default_rng(0).integers(0, 256, (240, 320), np.uint8)


def test_a_square_of_the_models_size_is_cut_and_not_touched() -> None:
    crop = face_crop(NOISE, (100, 60, 48, 48))
    assert crop.dtype == np.uint8 and np.array_equal(crop, NOISE[60:108, 100:148])
    crop[:] = 0
    assert NOISE[60:108, 100:148].any(), "the crop is no view of the frame"


def test_it_shrinks_by_area() -> None:
    crop = face_crop(NOISE, (10, 20, 192, 192))
    means = NOISE[20:212, 10:202].reshape(48, 4, 48, 4).mean((1, 3))
    assert np.abs(crop - means).max() <= 0.5


def test_it_enlarges_between_the_darkest_and_the_brightest() -> None:
    small = face_crop(NOISE, (100, 100, 12, 12))
    cut = NOISE[100:112, 100:112]
    assert small.shape == (48, 48) and small.min() >= cut.min() and small.max() <= cut.max()
    assert abs(small.mean() - cut.mean()) < 3


@pytest.mark.parametrize("xy", [(-20, -9), (300, 220), (-20, 220), (300, -9), (130, 210)])
def test_the_border_is_repeated_beyond_the_frame(xy: tuple[int, int]) -> None:
    wide = np.pad(NOISE, 60, mode="edge")
    x, y = xy
    assert np.array_equal(face_crop(NOISE, (x, y, 48, 48)), wide[y + 60 : y + 108, x + 60 : x + 108])


@pytest.mark.parametrize("xywh", [(320, 0, 48, 48), (-48, 0, 48, 48), (0, 240, 48, 48), (0, -500, 100, 100)])
def test_a_box_outside_the_frame_is_an_error(xywh: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match="outside the 320×240 frame"):
        face_crop(NOISE, xywh)


@pytest.mark.parametrize(
    ("xywh", "mapping", "expected"),
    [
        ((10, 20, 100, 100), Mapping(), (10, 20, 100)),
        ((10, 20, 100, 80), Mapping(), (10, 10, 100)),  # the longer side, around the same centre
        ((10, 20, 80, 100), Mapping(), (0, 20, 100)),
        ((10, 20, 100, 100), Mapping(scale=1.5), (-15, -5, 150)),
        ((10, 20, 100, 100), Mapping(dx=0.1, dy=-0.2), (20, 0, 100)),
        ((10, 20, 100, 100), Mapping(2.0, 0.1, -0.1), (-20, -50, 200)),  # shifts are in sides of the mapped square
        ((10, 20, 1, 1), Mapping(scale=0.1), (10, 20, 1)),  # never without area
    ],
)
def test_where_a_mapping_puts_the_square(
    xywh: tuple[int, int, int, int], mapping: Mapping, expected: tuple[int, int, int]
) -> None:
    assert square(xywh, mapping) == expected
    x, y, side = expected
    assert np.array_equal(face_crop(NOISE, xywh, 48, mapping), face_crop(NOISE, (x, y, side, side), 48))


def test_a_crop_of_the_models_size_passes_whole() -> None:
    face = NOISE[:48, :48]
    assert np.array_equal(whole_crop(face), face)
    assert whole_crop(NOISE, 64).shape == (64, 64)
