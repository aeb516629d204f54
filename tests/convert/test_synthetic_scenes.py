"""Faces pasted into scenes: where they are, what is around them, which are drawn, and what counts as found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from builders import bar

from convert.crops.synthetic_scenes import SCENE, Scene, find_pasted_face, paste_face, scenes, stratified_rows
from convert.data.samples import Samples
from fer_edge.detection.types import Face
from fer_edge.errors import UsageError


def samples(n: int = 60) -> Samples:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 7
    x = np.stack([bar(int(label), rng) for label in y])[..., None]
    return Samples(x, y.astype(np.int64), np.full(n, "train"), tuple(f"{i}.png" for i in range(n)))


def test_a_pasted_face_is_surrounded_by_its_border() -> None:
    face = np.random.default_rng(0).integers(60, 200, (48, 48), np.uint8)
    scene = paste_face(face, 96, (100, 50), (240, 320))
    assert scene.shape == (240, 320) and scene.dtype == np.uint8
    large = cv2.resize(face, (96, 96), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(scene[50:146, 100:196], large)
    assert (scene[:50, 100:196] == large[0]).all() and (scene[50:146, 196:] == large[:, -1:]).all()
    assert (scene[146:, :100] == large[-1, 0]).all()


@pytest.mark.parametrize(("size_px", "xy"), [(300, (0, 0)), (100, (-1, 0)), (100, (0, 141)), (100, (221, 0))])
def test_a_face_that_does_not_fit_is_refused(size_px: int, xy: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=f"a face of {size_px} px at .* does not fit into a 320×240 scene"):
        paste_face(np.zeros((48, 48), np.uint8), size_px, xy, (240, 320))


def test_a_stratified_draw_has_the_classes_shares() -> None:
    y = np.repeat([0, 1, 2], [600, 300, 100])
    rows = stratified_rows(y, 100, seed=0)
    assert len(set(rows.tolist())) == 100 and np.abs(np.bincount(y[rows]) - [60, 30, 10]).max() <= 1
    assert np.array_equal(rows, stratified_rows(y, 100, seed=0))
    assert not np.array_equal(rows, stratified_rows(y, 100, seed=1))
    assert sorted(stratified_rows(y, 5000, seed=0)) == list(range(1000))


@pytest.mark.parametrize("size_px", [60, 480, (50, 320)])
def test_every_scene_holds_its_face(size_px: int | tuple[int, int]) -> None:
    part = samples()
    shown = list(scenes(part, 30, size_px, seed=0))
    low, high = size_px if isinstance(size_px, tuple) else (size_px, size_px)
    assert len(shown) == 30 and all(low <= scene.size_px <= high for scene in shown)
    for scene in shown:
        (x, y), side = scene.xy, scene.size_px
        whole = cv2.resize(part.x[scene.row, :, :, 0], (side, side), interpolation=cv2.INTER_CUBIC)
        assert scene.gray.shape == SCENE and np.array_equal(scene.gray[y : y + side, x : x + side], whole)


def test_faces_are_the_same_at_every_size_and_sizes_are_log_uniform() -> None:
    part = samples(400)
    near, far, mixed = (list(scenes(part, 400, size_px, seed=3)) for size_px in (240, 60, (50, 320)))
    assert [s.row for s in near] == [s.row for s in far] == [s.row for s in mixed]
    assert np.mean([s.size_px < 126 for s in mixed]) == pytest.approx(0.5, abs=0.08), (
        "the middle of 50 and 320 by ratio"
    )
    assert [s.size_px for s in mixed] == [s.size_px for s in scenes(part, 400, (50, 320), seed=3)]


@pytest.mark.parametrize(
    ("box", "counts"),
    [
        ((100, 100, 180, 180), True),
        ((130, 120, 140, 140), True),
        ((160, 220, 60, 40), False),
        ((300, 90, 180, 180), False),
    ],
)
def test_a_face_is_found_when_it_overlaps_the_true_square(box: tuple[int, int, int, int], counts: bool) -> None:
    class Two:
        name = "two"

        def detect(self, gray: np.ndarray) -> list[Face]:  # noqa: ARG002 - the protocol's signature
            return [Face((0, 0, 50, 50), 0.95), Face(box, 0.9)]

    found = find_pasted_face(Scene(0, np.zeros(SCENE, np.uint8), (100, 100), 180), Two())
    assert (found is not None) == counts and (found is None or found.xywh == box)
