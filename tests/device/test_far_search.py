"""Tiles of a large frame: which there are, when each is searched, and what becomes of far faces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from device.config import Settings
from device.vision import motion_gate, search
from device.vision.far_search import FRAMES_PER_TILE, FarState, next_tiles
from device.vision.search import FoundFaces, SearchState
from fer_edge.detection.boxes import Square, square_iou
from fer_edge.detection.registry import find_detector
from fer_edge.detection.tiles import far_tiles
from fer_edge.detection.two_stage import NAME, TwoStageDetector
from fer_edge.detection.types import Face
from fer_edge.errors import UsageError

HD, SMALL = (1080, 1920), (540, 960)
STILL = np.zeros((motion_gate.HEIGHT, motion_gate.WIDTH), np.bool_)


@pytest.mark.parametrize(
    ("shape", "far_px", "any_tiles"),
    [((480, 640), 90, False), ((480, 640), 40, True), (HD, 300, False), (HD, 40, True)],
)
def test_there_are_tiles_only_where_the_frame_is_larger_than_the_networks_view(
    shape: tuple[int, int], far_px: int, any_tiles: bool
) -> None:
    assert bool(far_tiles(shape, far_px)) == any_tiles


@pytest.mark.parametrize("shape", [HD, (720, 1280), (1920, 1080), (2160, 3840)])
@pytest.mark.parametrize("far_px", [30, 40, 60, 90])
def test_each_face_lies_wholly_in_a_tile_of_its_level(shape: tuple[int, int], far_px: int) -> None:
    tiles = far_tiles(shape, far_px)
    smallest = min(side for *_, side in tiles)
    rng = np.random.default_rng(0)
    for _ in range(200):
        x, y = rng.integers(0, shape[1] - far_px), rng.integers(0, shape[0] - far_px)
        assert any(
            side == smallest and left <= x and x + far_px <= left + side and top <= y and y + far_px <= top + side
            for left, top, side in tiles
        )


def turns(frames: int, changed: np.ndarray = STILL, busy: bool = False) -> list[tuple[Square, ...]]:
    """The tiles that are searched in each of so many frames of 1080p at 10 frames a second."""
    far, gray, searched = None, np.zeros(HD, np.uint8), []
    for number in range(frames):
        far, tiles = next_tiles(far, gray, 90, changed, number * 10**8, busy, at_once=False)
        searched.append(tiles)
    return searched


def test_each_tile_is_searched_once_and_one_in_three_frames() -> None:
    tiles = far_tiles(HD, 90)
    searched = turns(FRAMES_PER_TILE * (len(tiles) + 5))
    when = [number for number, one in enumerate(searched) if one]
    assert all(len(one) <= 1 for one in searched) and np.diff(when).min() == FRAMES_PER_TILE
    assert sorted(one[0] for one in searched if one) == sorted(tiles), "nothing changes, so none is searched again"
    assert not any(turns(20, busy=True)), "not in a frame that is searched as a whole"


def test_the_tile_in_which_something_changed_comes_first() -> None:
    changed = STILL.copy()
    changed[20:, :4] = True
    (first,) = turns(1, changed)[0]
    assert first[0] == 0 and first[1] + first[2] == HD[0]


def test_a_recordings_new_scene_is_searched_in_all_tiles() -> None:
    far, tiles = next_tiles(None, np.zeros(HD, np.uint8), 90, STILL, 0, busy=True, at_once=True)
    assert tiles == far_tiles(HD, 90) and far.left == ()
    again, tiles = next_tiles(far, np.zeros(HD, np.uint8), 60, STILL, 10**8, busy=False, at_once=False)
    assert again.far_px == 60 and len(tiles) == 1, "another setting begins anew"
    assert FarState.of((480, 640), 90, 0).tiles == ()


class OnlyFar(TwoStageDetector):
    """A detector that sees faces, each at a place, only in tiles and when they are followed."""

    def __init__(self, real: TwoStageDetector, *places: tuple[int, int, int]) -> None:
        super().__init__(real.searcher, real.refiner)
        self.places = list(places)
        self.tiles = 0

    def search(self, gray: np.ndarray, near: bool = True) -> list[Face]:  # noqa: ARG002
        return []

    def search_near(self, gray: np.ndarray) -> list[Face]:  # noqa: ARG002
        return []

    def search_tile(self, gray: np.ndarray, tile: Square) -> list[Face]:  # noqa: ARG002
        self.tiles += 1
        return [self._face(at) for at in self.places if square_iou(at, tile) > 0 and self._lies_in(at, tile)]

    def refine(self, gray: np.ndarray, around: Square) -> Face | None:  # noqa: ARG002
        return next((self._face(at) for at in self.places if square_iou(at, around) > 0.2), None)

    def _face(self, at: tuple[int, int, int]) -> Face:
        return Face((at[0], at[1], at[2], at[2]), 0.8, detector=NAME, second_score=0.8)

    def _lies_in(self, at: Square, tile: Square) -> bool:
        return all(tile[axis] <= at[axis] and at[axis] + at[2] <= tile[axis] + tile[2] for axis in (0, 1))


@pytest.fixture(scope="module")
def real(blazeface: object) -> TwoStageDetector:
    detector = find_detector()
    assert isinstance(detector, TwoStageDetector)
    return detector


def looked(detector: OnlyFar, frames: int, settings: Settings, is_recording: bool = False) -> Iterator[FoundFaces]:
    """What is found in each of so many gray frames of 960×540, in whose lower left corner something moves."""
    state = SearchState(is_recording=is_recording)
    for number in range(frames):
        gray = np.full(SMALL, 120, np.uint8)
        gray[450:, :150] = 60 if number // 2 % 2 else 180
        state = search.advance(state, motion_gate.thumbnail(gray), gray.shape, number * 10**8)
        state, found = search.find_faces(state, detector, gray, settings)
        yield found


FAR = Settings(far_px=30, max_faces=1)


def test_without_the_setting_no_tile_is_searched(real: TwoStageDetector) -> None:
    detector = OnlyFar(real, (450, 250, 35))
    assert not any(found.tracks for found in looked(detector, 30, Settings())) and detector.tiles == 0


def test_far_faces_are_found_one_after_the_other_followed_and_counted(real: TwoStageDetector) -> None:
    detector = OnlyFar(real, (50, 480, 35), (450, 250, 35), (850, 50, 33))
    found = list(looked(detector, 400, FAR))
    first = next(number for number, one in enumerate(found) if one.tracks)
    assert first <= 12, "where something moves comes first"
    assert len(found[-1].tracks) == 1 and found[-1].skipped == 2
    assert all(len(one.tracks) == 1 for one in found[first:]), "each frame from then on"
    assert detector.tiles <= 400 // FRAMES_PER_TILE + 1


def test_a_far_face_that_left_is_no_longer_counted(real: TwoStageDetector) -> None:
    detector = OnlyFar(real, (450, 250, 35), (50, 480, 33))
    counts = []
    for number, found in enumerate(looked(detector, 500, FAR)):
        if number == 300:
            detector.places.pop()  # in the corner where something moves
        counts.append(len(found.tracks) + found.skipped)
    assert set(counts[250:300]) == {2} and set(counts[350:]) == {1}


def test_the_first_picture_of_a_recording_shows_all_far_faces(real: TwoStageDetector) -> None:
    detector = OnlyFar(real, (50, 480, 35), (450, 250, 35), (850, 50, 33))
    (found,) = looked(detector, 1, FAR, is_recording=True)
    assert len(found.tracks) == 1 and found.skipped == 2


def test_a_face_of_less_than_a_model_can_read_is_refused() -> None:
    with pytest.raises(UsageError, match="far_px must be 16 or more, not 8"):
        Settings(far_px=8)
