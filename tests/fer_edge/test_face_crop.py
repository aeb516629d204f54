"""The crop: what is cut, what is repeated, how it is shrunk and turned, and where a mapping moves it."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.bundle import Bundle
from fer_edge.detection.types import Face
from fer_edge.errors import UsageError
from fer_edge.face_crop import (
    CropMapping,
    crop_square,
    crop_whole_image,
    cut_square,
    eye_tilt_rad,
    face_crop,
    frame_crop,
)
from fer_edge.synthetic_face import face_box, face_frame

NOISE = np.random.default_rng(0).integers(0, 256, (240, 320), np.uint8)
EYES = ((100.0, 80.0), (130.0, 80.0))  # level


def test_a_square_of_the_models_size_is_copied_unchanged() -> None:
    crop = face_crop(NOISE, (100, 60, 48, 48))
    assert crop.dtype == np.uint8 and np.array_equal(crop, NOISE[60:108, 100:148])
    crop[:] = 0
    assert NOISE[60:108, 100:148].any(), "the crop is no view of the frame"


def test_a_large_square_is_shrunk_by_area() -> None:
    crop = face_crop(NOISE, (10, 20, 192, 192))
    means = NOISE[20:212, 10:202].reshape(48, 4, 48, 4).mean((1, 3))
    assert np.abs(crop - means).max() <= 0.5


def test_an_enlarged_square_stays_within_its_range() -> None:
    small = face_crop(NOISE, (100, 100, 12, 12))
    part = NOISE[100:112, 100:112]
    assert small.shape == (48, 48) and small.min() >= part.min() and small.max() <= part.max()
    assert abs(small.mean() - part.mean()) < 3


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
        ((10, 20, 100, 100), CropMapping(), (10, 20, 100)),
        ((10, 20, 100, 80), CropMapping(), (10, 10, 100)),  # the longer side, around the same centre
        ((10, 20, 80, 100), CropMapping(), (0, 20, 100)),
        ((10, 20, 100, 100), CropMapping(scale=1.5), (-15, -5, 150)),
        ((10, 20, 100, 100), CropMapping(dx=0.1, dy=-0.2), (20, 0, 100)),
        ((10, 20, 100, 100), CropMapping(2.0, 0.1, -0.1), (-20, -50, 200)),  # shifts are in sides of the mapped square
        ((10, 20, 1, 1), CropMapping(scale=0.1), (10, 20, 1)),  # never without area
    ],
)
def test_a_mapping_moves_and_scales_the_square(
    xywh: tuple[int, int, int, int], mapping: CropMapping, expected: tuple[int, int, int]
) -> None:
    assert crop_square(xywh, mapping) == expected
    x, y, side = expected
    assert np.array_equal(face_crop(NOISE, xywh, 48, mapping), face_crop(NOISE, (x, y, side, side), 48))


def test_a_whole_image_of_the_models_size_is_unchanged() -> None:
    face = NOISE[:48, :48]
    assert np.array_equal(crop_whole_image(face), face)
    assert crop_whole_image(NOISE, 64).shape == (64, 64)


def test_without_rotation_the_pixels_are_the_stored_ones() -> None:
    """Bundles name these crops by PREPROCESS_ID and hold their hashes; eyes alone change nothing."""
    boxes = [(100, 60, 48, 48), (10, 20, 192, 170), (-20, -9, 60, 60), (290, 200, 77, 80), (5, 5, 23, 31)]
    boxes += [(-40, 30, 300, 150)]
    mappings = [CropMapping(), CropMapping(1.259, 0.009, -0.053), CropMapping(0.5, -0.1, 0.2)]
    for side, expected in ((48, "407d0e85416bfcfa"), (64, "28f1e553604c12d7")):
        crops = [face_crop(NOISE, box, side, mapping, EYES) for box in boxes for mapping in mappings]
        assert hashlib.sha256(b"".join(crop.tobytes() for crop in crops)).hexdigest()[:16] == expected


def test_a_mapping_that_grows_adds_a_share_of_the_frames_longer_side() -> None:
    mapping = CropMapping(1.5, grow=0.05)
    assert crop_square((10, 20, 100, 100), mapping, (240, 320)) == crop_square((10, 20, 100, 100), mapping, (320, 240))
    assert crop_square((10, 20, 100, 100), mapping, (240, 320)) == (-23, -13, 166)
    assert np.array_equal(face_crop(NOISE, (10, 20, 100, 100), 48, mapping), cut_square(NOISE, (-23, -13, 166), 48))


def test_the_tilt_of_the_eyes() -> None:
    assert eye_tilt_rad(((10.0, 20.0), (30.0, 20.0))) == 0
    assert eye_tilt_rad(((10.0, 20.0), (30.0, 40.0))) == pytest.approx(np.pi / 4), "the right one is lower"
    assert eye_tilt_rad(((10.0, 20.0), (10.0, 20.0))) == 0


@pytest.mark.parametrize("size", [30, 48, 100, 101])
def test_a_tiny_rotation_hardly_changes_the_crop(size: int) -> None:
    """So the turned square lies where the upright one does, to a fraction of a pixel."""
    smooth = cv2.GaussianBlur(NOISE, (0, 0), 4)
    for at in ((60, 50, size), (-size // 2, -size // 3, size)):
        upright, turned = (cut_square(smooth, at, 48, turn_rad).astype(int) for turn_rad in (0.0, 1e-4))
        assert np.abs(upright - turned).max() <= 2


@pytest.mark.parametrize("side", [48, 192])
def test_a_quarter_turn_is_exact(side: int) -> None:
    crop = cut_square(NOISE, (60, 40, 96), side, np.pi / 2)
    changed = np.abs(crop.astype(int) - np.rot90(cut_square(NOISE, (60, 40, 96), side)))
    assert changed[1:-1, 1:-1].max() <= 1  # on the rim, enlarging looks beyond the square or repeats it


@pytest.mark.parametrize("degrees", [-15, 15])
@pytest.mark.parametrize(("level", "left"), [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)])
def test_a_tilted_face_comes_out_level(degrees: int, level: float, left: float) -> None:
    frame, box = face_frame(1.7), face_box(1.7)
    centre = (box[0] + box[2] / 2, box[1] + box[3] / 2)
    matrix = cv2.getRotationMatrix2D((centre[0] - 0.5, centre[1] - 0.5), -degrees, 1)  # counter-clockwise positive
    tilted = cv2.warpAffine(frame, matrix, frame.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    reach = np.deg2rad(degrees)
    eyes = tuple((centre[0] + s * np.cos(reach), centre[1] + s * np.sin(reach)) for s in (-40, 40))
    assert len(eyes) == 2
    crop = face_crop(tilted, box, 96, CropMapping(level=level), eyes)
    upright = face_crop(frame, box, 96).astype(int)
    y, x = np.mgrid[:96, :96] - 47.5
    inside = np.hypot(x, y) < 44

    def unlike(angle: float) -> float:
        turned = cv2.warpAffine(crop, cv2.getRotationMatrix2D((47.5, 47.5), angle, 1), (96, 96))
        return float(np.abs(turned - upright)[inside].mean())

    remains = min(np.arange(-20, 20.5, 0.5), key=unlike)  # how far it must be turned back
    assert remains == pytest.approx(left * degrees, abs=2)


def test_a_turned_square_outside_the_frame_is_an_error() -> None:
    with pytest.raises(UsageError, match="outside the 320×240 frame"):
        face_crop(NOISE, (320, 0, 48, 48), 48, CropMapping(level=1.0), ((0, 0), (5, 5)))


@pytest.mark.parametrize("corner", [(319, 0), (0, 239), (-959, 0), (0, -959)])
def test_a_large_square_with_one_row_or_column_of_the_frame_is_cut(corner: tuple[int, int]) -> None:
    crop, side_px = frame_crop(NOISE, (*corner, 960, 960))
    assert crop.shape == (48, 48) and side_px == 960


@pytest.mark.parametrize("corner", [(320, 0), (0, 240), (-960, 0), (0, -960)])
def test_a_large_square_outside_the_frame_is_an_error_with_the_frames_own_numbers(corner: tuple[int, int]) -> None:
    left, top = corner
    with pytest.raises(UsageError, match=rf"of 960 px at \({left}, {top}\) lies outside the 320×240 frame"):
        frame_crop(NOISE, (left, top, 960, 960))


@pytest.mark.parametrize("mapping", [CropMapping(), CropMapping(1.1, 0.01, -0.05, 0.03, 0.5)])
def test_a_mapping_comes_back_from_json(mapping: CropMapping) -> None:
    assert CropMapping(**json.loads(json.dumps(asdict(mapping)))) == mapping
    assert CropMapping(**{"scale": 1.2, "dx": 0.1, "dy": 0.0}) == CropMapping(1.2, 0.1, 0.0, 0.0, 0.0), (
        "as older bundles have it"
    )


def test_a_bundle_whose_mapping_levels_turns_its_crops(tmp_path: Path, bundle_path: Path) -> None:
    folder = shutil.copytree(bundle_path, tmp_path / "bundle")
    spec = json.loads((folder / "bundle.json").read_text())
    mapping = CropMapping(1.1, level=1.0)
    spec["input"]["mappings"] = {"theirs": asdict(mapping)}
    (folder / "bundle.json").write_text(json.dumps(spec))
    bundle = Bundle.load(folder)
    assert bundle.mapping("theirs") == mapping
    frame, box = face_frame(1.7), face_box(1.7)
    level, tilted = (
        bundle.classify_faces(frame, [Face(box, 0.9, eyes)], "theirs") for eyes in (EYES, ((0.0, 0.0), (9.0, 4.0)))
    )
    assert np.array_equal(level, bundle.classify(face_crop(frame, box, bundle.side, mapping)[None]))
    assert not np.array_equal(level, tilted)


@pytest.mark.parametrize("size", [30, 60, 97, 150, 191, 192, 230, 330])
@pytest.mark.parametrize("degrees", [-35, 8, 20])
def test_a_turned_square_is_the_mean_of_what_lies_in_it(size: int, degrees: int) -> None:
    """However many pixels it has, as sampled sixteen times as densely as the crop, each way."""
    turn, at, side, dense = np.deg2rad(degrees), (60, 30, size), 48, 16
    smooth = cv2.GaussianBlur(
        cv2.copyMakeBorder(NOISE, 0, 160, 0, 160, cv2.BORDER_REFLECT), (0, 0), max(1.5, size / 60)
    )
    smooth = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)
    step = size / (side * dense)
    along = (np.arange(side * dense, dtype=np.float32) + 0.5) * step - size / 2
    u, v = np.meshgrid(along, along)
    x = at[0] + size / 2 - 0.5 + np.cos(turn) * u - np.sin(turn) * v
    y = at[1] + size / 2 - 0.5 + np.sin(turn) * u + np.cos(turn) * v
    found = cv2.remap(
        smooth, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    expected = found.reshape(side, dense, side, dense).mean((1, 3))
    off = np.abs(cut_square(smooth, at, side, turn) - expected)[2:-2, 2:-2]
    assert off.mean() < 1.5 and off.max() < 12


def test_a_turned_square_at_the_frames_edge_repeats_the_border() -> None:
    frame = np.full((300, 300), 50, np.uint8)
    frame[:, :60] = 200  # a turned square reaches further than an upright one
    for left in (-215, -100):
        crop = cut_square(frame, (left, 40, 220), 48, 0.2)
        assert (crop[:, :3] == 200).all(), left
    assert (cut_square(frame, (-219, 40, 220), 48, 0.2) == 200).all(), "of a strip one pixel wide too"
