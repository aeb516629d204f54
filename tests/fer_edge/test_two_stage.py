"""Faces searched far and drawn near: where it looks, whose box it takes, and what a bundle makes of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.bundle import Bundle
from fer_edge.detection.download import detectors_folder
from fer_edge.detection.registry import find_detector
from fer_edge.detection.two_stage import (
    NAME,
    Square,
    TwoStageDetector,
    face_square,
    search_view,
    square_iou,
)
from fer_edge.detection.types import Face, largest_first
from fer_edge.face_crop import crop_square, cut_square, subsample_square
from fer_edge.reader import Reader
from fer_edge.synthetic_face import face_box, face_frame


@pytest.fixture(scope="module")
def zoomed(blazeface: object) -> TwoStageDetector:
    detector = find_detector(NAME)
    assert isinstance(detector, TwoStageDetector)
    return detector


def shrunk(at_s: float, share: float, place: tuple[int, int]) -> tuple[np.ndarray, Square]:
    """The drawn picture at `share` of its size somewhere on a wall, and the square of its face."""
    picture, (x, y, side, _) = face_frame(at_s), face_box(at_s)
    small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    wall, (left, top) = np.full((480, 640), 110, np.uint8), place
    wall[top : top + small.shape[0], left : left + small.shape[1]] = small
    return wall, (round(left + x * share), round(top + y * share), round(side * share))


@pytest.mark.parametrize("share", [1.0, 0.7, 0.5, 0.4])
@pytest.mark.parametrize("place", [(0, 0), (190, 140)])
def test_the_box_lies_on_near_and_far_faces(zoomed: TwoStageDetector, share: float, place: tuple[int, int]) -> None:
    if share == 1 and place != (0, 0):
        place = (0, 0)
    gray, true = shrunk(3.0, share, place)
    (face,) = zoomed.detect(gray)
    assert face.detector == NAME and square_iou(face_square(face, gray.shape), true) > 0.5
    assert face.eyes is not None and face.nose is not None
    x, y, w, h = face.xywh
    assert all(
        x - w / 4 <= px <= x + w * 1.25 and y - h / 4 <= py <= y + h * 1.25 for px, py in (*face.eyes, face.nose)
    )


def test_the_short_range_network_alone_misses_far_faces(zoomed: TwoStageDetector) -> None:
    gray, _ = shrunk(3.0, 0.4, (190, 140))
    assert zoomed.refiner.detect(gray) == []


@pytest.mark.parametrize("scale", [2, 3, 6])
def test_a_large_frame_gives_the_same_boxes_in_its_own_grid(zoomed: TwoStageDetector, scale: int) -> None:
    gray, box = face_frame(3.0), face_box(3.0)
    large = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    for detect in (zoomed.detect, lambda picture: [zoomed.refine(picture, _times(box, picture.shape[0] / 480))]):
        (small,), (same,) = detect(gray), detect(large)
        assert small is not None and same is not None
        assert np.abs(np.array(same.xywh) / scale - small.xywh).max() < 4
        assert np.abs(np.array(same.eyes) / scale - small.eyes).max() < 3


def _times(box: tuple[int, int, int, int], scale: float) -> Square:
    return round(box[0] * scale), round(box[1] * scale), round(box[2] * scale)


@pytest.mark.parametrize("size", [300, 383, 384, 900, 1800])
@pytest.mark.parametrize("turn", [0.0, 0.3])
@pytest.mark.parametrize("corner", [(900, 500), (-200, -100), (2900, 1500)])
def test_a_subsampled_square_gives_the_same_crop(size: int, turn: float, corner: tuple[int, int]) -> None:
    large = cv2.resize(face_frame(3.0), (3840, 2160), interpolation=cv2.INTER_LINEAR)
    at = (*corner, size)
    part, there = subsample_square(large, at)
    assert (part is large) == (size < 384) and (size < 384 or 192 <= there[2] < 384)
    difference = cut_square(part, there, 48, turn).astype(int) - cut_square(large, at, 48, turn)
    assert np.abs(difference).mean() < 1.5, "of 255 levels"


@pytest.mark.parametrize(
    ("around", "expected"),
    [
        ((200, 150, 100), (150, 100, 200)),
        ((0, 0, 100), (0, 0, 200)),  # moved into the frame, where nothing is black
        ((560, 400, 100), (440, 280, 200)),
        ((-60, 200, 100), (0, 150, 200)),
        ((100, 100, 300), (0, 10, 600)),  # wider than the frame is high: black above or below
    ],
)
def test_the_view_is_twice_as_wide_and_in_the_frame_where_it_fits(around: Square, expected: Square) -> None:
    left, top, side = search_view(around, (480, 640))
    if side > 480:
        assert (left, side) == (expected[0] if expected[0] + side <= 640 else 640 - side, 600)
        assert top == round(around[1] + around[2] / 2 - side / 2)
    else:
        assert (left, top, side) == expected


def test_a_face_beside_the_square_is_not_taken_for_it(zoomed: TwoStageDetector) -> None:
    gray, box = face_frame(3.0), face_box(3.0)
    there = (box[0], box[1], box[2])
    assert zoomed.refine(gray, there) is not None
    beside = (box[0] - round(0.9 * box[2]), box[1], box[2])
    assert zoomed.refine(gray, beside) is None
    assert zoomed.refine(np.full_like(gray, 120), there) is None
    assert zoomed.refine(gray, (box[0] + 9, box[1] - 7, round(box[2] * 1.2))) is not None


def test_the_searchers_box_is_used_where_the_refiner_finds_nothing(zoomed: TwoStageDetector) -> None:
    class Blind(TwoStageDetector):
        def refine(self, gray: np.ndarray, around: Square) -> Face | None:  # noqa: ARG002
            return None

    (face,) = Blind(zoomed.searcher, zoomed.refiner).detect(face_frame(3.0))
    assert face.detector == "blazeface-back"
    assert face.xywh == zoomed.searcher.detect(face_frame(3.0))[0].xywh


def test_each_box_is_cropped_by_the_mapping_of_its_detector(zoomed: TwoStageDetector, bundle_path: Path) -> None:
    bundle, gray = Bundle.load(bundle_path), face_frame(3.0)
    (near,), (far,) = zoomed.detect(gray), zoomed.search(gray)
    assert (near.detector, far.detector) == (NAME, "blazeface-back")
    for face in (near, far):
        size = crop_square(face.xywh, bundle.mapping(face.detector), gray.shape)[2]
        assert size == pytest.approx(face_box(3.0)[2], rel=0.2)
    assert np.array_equal(bundle.crop(gray, far, NAME), bundle.crop(gray, far, "blazeface-back"))
    assert not np.array_equal(bundle.crop(gray, far, NAME), bundle.crop(gray, near, NAME))


def test_predict_and_the_loop_give_the_same(bundle_path: Path, blazeface: object) -> None:
    bundle = Bundle.load(bundle_path)
    gray, true = shrunk(3.0, 0.4, (190, 140))
    (prediction,) = Reader(bundle).read(gray)
    assert prediction.face is not None and square_iou(face_square(prediction.face, gray.shape), true) > 0.5


def test_without_the_searcher_the_refiner_is_used_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blazeface: object
) -> None:
    shutil.copy(detectors_folder() / "face_detection_short_range.tflite", tmp_path)
    monkeypatch.setenv("FER_EDGE_DETECTORS", str(tmp_path))
    assert find_detector().name == "blazeface-short-range"


def test_two_faces_are_sorted_by_size(zoomed: TwoStageDetector) -> None:
    gray = shrunk(3.0, 0.45, (0, 120))[0]
    other, _ = shrunk(3.0, 0.6, (250, 100))
    gray[:, 290:] = other[:, 290:]
    faces = largest_first(zoomed.detect(gray))
    assert len(faces) == 2 and faces[0].xywh[0] > faces[1].xywh[0]
