"""Augmentation: nothing drawn changes nothing, each part does what its name says, and a seed draws the unmixed again."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from convert.train.augmentation import NO_AUGMENTATION, Augmentation, draw_mixing, draw_views, render_views

RNG = np.random.default_rng


def augment(x: np.ndarray, how: Augmentation, rng: np.random.Generator, side: int | None = None) -> np.ndarray:
    """The images as an epoch of a training sees them."""
    return render_views(x, draw_views(len(x), x.shape[1], how, rng, side))


def spots(n: int = 64) -> np.ndarray:
    """Uint8 (n, 48, 48, 1): a bright spot of 5 px at the middle's right (column 34, row 24) on mid-gray."""
    x = np.full((n, 48, 48, 1), 100, np.uint8)
    x[:, 22:27, 32:37] = 240
    return x


def centres(x: np.ndarray) -> np.ndarray:
    """Float (n, 2): row and column of the bright mass of each image."""
    mass = np.clip(x[..., 0].astype(np.float64) - 110, 0, None)
    rows, columns = np.mgrid[: x.shape[1], : x.shape[2]]
    total = mass.sum((1, 2))
    return np.stack([(mass * rows).sum((1, 2)) / total, (mass * columns).sum((1, 2)) / total], 1)


def test_no_augmentation_returns_the_images_unchanged() -> None:
    x = RNG(0).integers(0, 256, (9, 48, 48, 1)).astype(np.uint8)
    out = augment(x, NO_AUGMENTATION, RNG(1))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, x.astype(np.float32))


@pytest.mark.parametrize("name", [f.name for f in fields(Augmentation)])
def test_each_setting_changes_images_and_repeats_with_its_seed(name: str) -> None:
    how = Augmentation(**{name: 10.0 if name == "rotation" else 0.3})
    x = spots()
    first, again, other = (augment(x, how, RNG(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, x)
    assert first.min() >= 0 and first.max() <= 255


def test_flip_mirrors_about_the_middle_column() -> None:
    x = spots()
    out = augment(x, Augmentation(flip=1.0), RNG(0))
    np.testing.assert_array_equal(out, x[:, :, ::-1].astype(np.float32))


def test_shifts_stay_within_their_share_in_all_directions() -> None:
    moved = centres(augment(spots(400), Augmentation(shift=0.1), RNG(0))) - (24, 34)
    assert np.abs(moved).max() < 4.8 + 0.2
    assert (moved.max(0) > 4).all() and (moved.min(0) < -4).all()


def test_scales_are_symmetric_in_their_logarithm() -> None:
    distance = centres(augment(spots(400), Augmentation(scale=0.28), RNG(0)))[:, 1] - 23.5
    ratio = np.log(distance / 10.5)
    assert abs(np.median(ratio)) < 0.05
    assert 0.2 < ratio.max() < 0.3 and -0.3 < ratio.min() < -0.2


def test_rotation_turns_about_the_middle() -> None:
    moved = centres(augment(spots(400), Augmentation(rotation=12), RNG(0))) - 23.5
    angle = np.rad2deg(np.arctan2(moved[:, 0] - 0.5, moved[:, 1]))
    assert 10 < angle.max() < 13.5 and -13.5 < angle.min() < -10
    np.testing.assert_allclose(np.hypot(*moved.T), np.hypot(0.5, 10.5), atol=0.3)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_turned_view_is_not_sheared_mirrored_or_not(flip: float) -> None:
    turn = draw_views(100, 48, Augmentation(flip=flip, rotation=30, scale=0.2), RNG(0)).matrices[:, :, :2]
    square = turn @ turn.transpose(0, 2, 1)
    np.testing.assert_allclose(square, square[:, :1, :1] * np.eye(2), atol=1e-12)
    assert (np.sign(np.linalg.det(turn)) == 1 - 2 * flip).all()


def test_a_smaller_side_shows_the_same_view() -> None:
    out = augment(spots(2), NO_AUGMENTATION, RNG(0), side=32)
    assert out.shape == (2, 32, 32, 1)
    np.testing.assert_allclose((centres(out)[0] + 0.5) * 48 / 32, (24.5, 34.5), atol=0.2)


def test_erasing_fills_one_rectangle_with_one_gray() -> None:
    x = spots(50)
    for before, after in zip(x, augment(x, Augmentation(erasing=1.0), RNG(0)), strict=True):
        changed = np.argwhere(before[..., 0] != after[..., 0])
        (top, left), (bottom, right) = changed.min(0), changed.max(0) + 1
        assert 0.01 < (bottom - top) * (right - left) / 48**2 < 0.25
        assert len(np.unique(after[top:bottom, left:right])) == 1


def test_mixup_blends_images_and_labels_alike() -> None:
    x = np.repeat(np.arange(8, dtype=np.float32), 16).reshape(8, 4, 4, 1)
    mixed, y = draw_mixing(8, 0.4, RNG(0)).apply(x, np.eye(8, dtype=np.float32))
    np.testing.assert_allclose(y.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed[:, 0, 0, 0], y @ np.arange(8), rtol=1e-5, atol=1e-5)
    assert (y.argmax(1) == np.arange(8)).all(), "its own image weighs most"
    assert (y.max(1) < 0.999).any()
    unmixed, labels = draw_mixing(8, 0.0, RNG(0)).apply(x, y)
    assert unmixed is x and labels is y
