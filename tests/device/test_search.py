"""When the whole picture is searched and what is followed in between, with the real detectors on drawn faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from fakes import FixedFaces

from device.config import Settings
from device.vision import motion_gate, search
from device.vision.search import FoundFaces, SearchState
from fer_edge.detection.boxes import square_iou
from fer_edge.detection.registry import find_detector
from fer_edge.detection.two_stage import TwoStageDetector
from fer_edge.detection.types import Detector, Face
from fer_edge.synthetic_face import face_box, face_frame

WALL = np.full((480, 640), 120, np.uint8)
Picture = Callable[[int], np.ndarray]


@pytest.fixture(scope="module")
def zoomed(blazeface: object) -> Detector:
    detector = find_detector()
    assert isinstance(detector, TwoStageDetector)
    return detector


def head(px: int, at_s: float = 3.0) -> np.ndarray:
    """A drawn head with what is around it: uint8 (3 px, 3 px), the face `px` px a side in the middle."""
    x, y, side, _ = face_box(at_s)
    wide = cv2.copyMakeBorder(face_frame(at_s), side, side, side, side, cv2.BORDER_REPLICATE)
    part = wide[y : y + 3 * side, x : x + 3 * side]
    return cv2.resize(part, (3 * px, 3 * px), interpolation=cv2.INTER_AREA)


def room(*faces: tuple[int, int, int], wall: np.ndarray = WALL) -> np.ndarray:
    """A wall with heads: each (x, y) of the face's middle and its side in px."""
    picture = wall.copy()
    for x, y, px in faces:
        part = head(px)[px // 2 : -px // 2, px // 2 : -px // 2]
        picture[y - px : y - px + 2 * px, x - px : x - px + 2 * px] = part[: 2 * px, : 2 * px]
    return picture


def always(gray: np.ndarray) -> Picture:
    """The same picture in every frame."""
    return lambda _: gray


def looked(
    detector: Detector, picture: Picture, frames: int, settings: Settings | None = None, fps: float = 10.0
) -> Iterator[FoundFaces]:
    """What is found in each of so many frames."""
    state = SearchState()
    for number in range(frames):
        gray = picture(number)
        state = search.advance(state, motion_gate.thumbnail(gray), gray.shape, round(number * 1e9 / fps))
        state, found = search.find_faces(state, detector, gray, settings or Settings())
        yield found


def searches(found: list[FoundFaces]) -> list[int]:
    return [number for number, one in enumerate(found) if one.searched]


def flicker(number: int, gray: np.ndarray) -> np.ndarray:
    """The picture with something in a corner that never stops moving, far from any face."""
    gray = gray.copy()
    gray[400:480, 540:640] = 60 if number % 2 else 200
    return gray


def test_an_empty_still_room_is_searched_once(zoomed: Detector) -> None:
    found = list(looked(zoomed, always(WALL), 95))
    assert searches(found) == [0] and not any(one.tracks for one in found)


def test_motion_in_an_empty_room_is_searched_at_the_allowed_rate(zoomed: Detector) -> None:
    found = list(looked(zoomed, lambda n: flicker(n // 4, WALL), 60, Settings(search_s=0.5)))
    gaps = np.diff(searches(found))
    assert gaps.min() >= 5 and len(gaps) >= 6


@pytest.mark.parametrize("px", [60, 90, 140, 180])
@pytest.mark.parametrize("somebody_there", [False, True])
def test_a_new_face_is_seen_within_half_a_second(zoomed: Detector, px: int, somebody_there: bool) -> None:
    """Whether the room was empty or somebody in it is followed, at 10 frames a second."""
    first_face = [(120, 160, 80)] if somebody_there else []
    arrives = 23
    found = list(looked(zoomed, lambda n: room(*first_face, *([(450, 240, px)] if n >= arrives else [])), arrives + 20))
    seen = [number for number, one in enumerate(found) if len(one.tracks) == len(first_face) + 1]
    assert seen and arrives <= seen[0] <= arrives + 5
    assert seen == list(range(seen[0], arrives + 20)), "and in each frame from then on"
    newest = max(found[-1].tracks, key=lambda track: track.id)
    assert square_iou(newest.head, (450 - px // 2, 240 - px // 2, px)) > 0.4


def test_following_a_face_needs_few_searches(zoomed: Detector) -> None:
    """Ten times as dear as following, a search may come every tenth frame at most for the two to cost alike."""
    still = list(looked(zoomed, lambda n: face_frame(n / 10), 200))
    assert all(len(one.tracks) == 1 and one.tracks[0].id == 1 for one in still)
    assert len(searches(still)) <= 200 / 20 + 2, "its own body is not worth a look"
    busy = list(looked(zoomed, lambda n: flicker(n // 2, face_frame(n / 10)), 200))
    assert all(len(one.tracks) == 1 for one in busy)
    assert len(searches(busy)) <= 200 / 12 + 3, "however much changes beside it"


def test_a_predictable_face_is_detected_in_every_other_frame(zoomed: Detector) -> None:
    looks = 0

    class Counting(TwoStageDetector):
        def refine(self, gray: np.ndarray, around: tuple[int, int, int]) -> Face | None:
            nonlocal looks
            looks += 1
            return super().refine(gray, around)

    assert isinstance(zoomed, TwoStageDetector)
    found = list(looked(Counting(zoomed.searcher, zoomed.refiner), lambda n: room((150 + 4 * n, 240, 120)), 60))
    assert all([track.id for track in one.tracks] == [1] for one in found)
    middles = [one.tracks[0].head[0] + one.tracks[0].head[2] / 2 for one in found]
    assert np.abs(np.diff(middles, n=2)).max() < 0.08 * 120, "without a jump"
    assert 25 <= looks <= 42
    looks = 0
    results = list(
        looked(Counting(zoomed.searcher, zoomed.refiner), lambda n: WALL if n >= 31 else room((300, 240, 120)), 40)
    )
    assert not any(one.tracks for one in results[31:]), "a face that has left has no track"


def test_a_walking_person_keeps_one_track(zoomed: Detector) -> None:
    found = list(looked(zoomed, lambda n: room((100 + 7 * n, 240, 90)), 60))
    assert all([track.id for track in one.tracks] == [1] for one in found)
    middles = [one.tracks[0].head[0] + one.tracks[0].head[2] / 2 for one in found]
    assert np.abs(np.array(middles) - (100 + 7 * np.arange(60))).max() < 15


def test_a_briefly_hidden_face_keeps_its_track(zoomed: Detector) -> None:
    def picture(number: int) -> np.ndarray:
        gray = room((300, 240, 120))
        if 20 <= number < 25:
            gray[150:330, 200:400] = 150
        return gray

    found = list(looked(zoomed, picture, 40))
    assert [len(one.tracks) for one in found[20:25]] == [0] * 5
    assert found[19].tracks[0].id == 1
    back = next(number for number in range(25, 40) if found[number].tracks)
    assert back <= 28 and found[back].tracks[0].id == 1


def test_a_face_that_comes_back_late_gets_a_new_track(zoomed: Detector) -> None:
    found = list(looked(zoomed, lambda n: WALL if 20 <= n < 45 else room((300, 240, 120)), 60))
    assert not any(one.tracks for one in found[20:45])
    assert {track.id for one in found[:20] for track in one.tracks} == {1}
    assert {track.id for one in found[45:] for track in one.tracks} == {2}
    assert found[49].tracks, "half a second after it came back"


def test_the_largest_faces_are_read_and_the_others_counted(zoomed: Detector) -> None:
    sizes = (50, 104, 56, 98, 60, 84)
    faces = [(110 + 200 * (n % 3), 120 + 220 * (n // 3), px) for n, px in enumerate(sizes)]
    found = list(looked(zoomed, always(room(*faces)), 30, Settings(max_faces=3)))
    for one in found:
        assert len(one.tracks) == 3 and one.skipped == 3
        middles = [(track.head[0] + track.head[2] / 2, track.head[1] + track.head[2] / 2) for track in one.tracks]
        expected = [faces[sizes.index(px)][:2] for px in (104, 98, 84)]
        assert np.abs(np.array(middles) - expected).max() < 20
    assert len({track.id for one in found for track in one.tracks}) == 3, "always the same ones"
    everybody = list(looked(zoomed, always(room(*faces)), 3, Settings(max_faces=8)))
    assert [len(one.tracks) for one in everybody] == [6] * 3 and everybody[-1].skipped == 0


def test_two_passing_faces_never_share_a_track(zoomed: Detector) -> None:
    found = list(looked(zoomed, lambda n: room((100 + 8 * n, 150, 80), (540 - 8 * n, 330, 100)), 50))
    for one in found:
        assert len({track.id for track in one.tracks}) == len(one.tracks) <= 2
    assert sum(len(one.tracks) == 2 for one in found) >= 45
    assert {track.id for track in found[-1].tracks} == {track.id for track in found[0].tracks} == {1, 2}


def test_a_face_found_only_by_search_stays_while_nothing_moves() -> None:
    class OnlyFar(TwoStageDetector):
        def refine(self, gray: np.ndarray, around: tuple[int, int, int]) -> Face | None:  # noqa: ARG002
            return None

    two_stage = find_detector()
    assert isinstance(two_stage, TwoStageDetector)
    found = list(
        looked(
            OnlyFar(two_stage.searcher, two_stage.refiner), always(room((300, 240, 120))), 50, Settings(begin_score=0.0)
        )
    )
    assert all([track.id for track in one.tracks] == [1] for one in found)
    assert searches(found) == [0], "and costs no further search"


def test_a_single_network_detector_searches_each_changed_frame() -> None:
    fixed = FixedFaces(Face((100, 100, 80, 80), 0.9))
    still = list(looked(fixed, always(WALL), 20))
    assert searches(still) == [0] and all(len(one.tracks) == 1 for one in still)
    moving = list(looked(fixed, lambda n: face_frame(n / 2), 20))
    assert searches(moving) == list(range(20)) and {t.id for one in moving for t in one.tracks} == {1}
    empty = list(looked(FixedFaces(), always(WALL), 20))
    assert searches(empty) == [0]


def test_min_score_applies_to_both_networks(zoomed: Detector) -> None:
    assert not any(one.tracks for one in looked(zoomed, lambda n: face_frame(n / 10), 5, Settings(min_score=0.999)))


class Scored(TwoStageDetector):
    """A detector whose networks give one face in the middle these scores; a refiner's score of 0 means that it finds none."""

    def __init__(self, real: TwoStageDetector, searched: float, refined: float) -> None:
        super().__init__(real.searcher, real.refiner)
        self.searched, self.refined = searched, refined
        self.near_searches = 0

    def search(self, gray: np.ndarray, near: bool = True) -> list[Face]:  # noqa: ARG002
        return [Face((240, 180, 110, 110), self.searched, detector="blazeface-back")] if self.searched else []

    def search_near(self, gray: np.ndarray) -> list[Face]:  # noqa: ARG002
        self.near_searches += 1
        return []

    def refine(self, gray: np.ndarray, around: tuple[int, int, int]) -> Face | None:  # noqa: ARG002
        return Face((240, 180, 100, 100), self.refined, detector=self.name) if self.refined else None


@pytest.mark.parametrize(
    ("searched", "refined", "begin_score", "begins"),
    [
        (0.8, 0.7, None, True),
        (0.62, 0.6, None, True),
        (0.6, 0.55, None, False),  # together less than .59
        (0.68, 0.0, None, False),  # a texture that one network takes for a face
        (0.75, 0.0, None, True),
        (0.8, 0.7, 0.8, False),
        (0.95, 0.0, 0.4, True),
    ],
)
def test_a_track_begins_with_the_mean_of_both_scores(
    zoomed: Detector, searched: float, refined: float, begin_score: float | None, begins: bool
) -> None:
    assert isinstance(zoomed, TwoStageDetector)
    detector = Scored(zoomed, searched, refined)
    found = list(looked(detector, always(WALL), 3, Settings(begin_score=begin_score)))
    assert [bool(one.tracks) for one in found] == [begins] * 3


def test_a_known_face_is_kept_with_a_lower_score_than_it_began_with(zoomed: Detector) -> None:
    assert isinstance(zoomed, TwoStageDetector)
    detector, seen = Scored(zoomed, 0.8, 0.8), []
    state = SearchState()
    for number in range(30):
        if number == 10:
            detector.searched, detector.refined = 0.5, 0.51
        gray = flicker(number, WALL)
        state = search.advance(state, motion_gate.thumbnail(gray), gray.shape, number * 10**8)
        state, found = search.find_faces(state, detector, gray, Settings())
        seen.append([track.id for track in found.tracks])
    assert seen == [[1]] * 30


@pytest.mark.parametrize("shape", [(240, 320), (960, 1280)])
def test_a_frame_of_another_size_is_another_scene(shape: tuple[int, int], zoomed: Detector) -> None:
    """A folder may hold one picture in two sizes: their thumbnails are equal, the places of faces are not."""
    state, gray = SearchState(), face_frame(2.0)
    for number in range(2):
        state = search.advance(state, motion_gate.thumbnail(gray), gray.shape, number * 10**8)
        state, found = search.find_faces(state, zoomed, gray, Settings())
    assert found.tracks
    other = cv2.resize(gray, shape[::-1])
    state = search.advance(state, motion_gate.thumbnail(other), other.shape, 2 * 10**8)
    assert state.tracks == ()
    state, found = search.find_faces(state, zoomed, other, Settings())
    assert found.searched and all(track.face.xywh[0] + track.face.xywh[2] <= shape[1] for track in found.tracks)


def close_up(px: int) -> np.ndarray:
    """A head so near that its face, `px` px a side, reaches beyond the frame's edges: uint8 (480, 640)."""
    part = cv2.resize(head(px), (3 * px, 3 * px))
    middle, down = part.shape[1] // 2, part.shape[0] // 2
    return np.ascontiguousarray(part[down - 240 : down + 240, middle - 320 : middle + 320])


def test_a_face_that_fills_the_frame_is_found_and_followed(zoomed: Detector) -> None:
    class Farsighted(TwoStageDetector):
        def search(self, gray: np.ndarray, near: bool = True) -> list[Face]:  # noqa: ARG002
            return []

    assert isinstance(zoomed, TwoStageDetector)
    gray = close_up(400)
    found = list(looked(Farsighted(zoomed.searcher, zoomed.refiner), lambda n: WALL if n < 12 else gray, 30))
    first = next(number for number in range(30) if found[number].tracks)
    assert 12 <= first <= 15 and all([track.id for track in one.tracks] == [1] for one in found[first:])


def test_a_near_search_follows_a_large_change_only_and_delays_the_next_search(zoomed: Detector) -> None:
    assert isinstance(zoomed, TwoStageDetector)
    small = Scored(zoomed, 0.0, 0.0)
    found = list(looked(small, lambda n: flicker(n // 4, WALL), 60, fps=100))
    assert small.near_searches == 1, "the first picture"
    large = Scored(zoomed, 0.0, 0.0)
    looped = list(looked(large, lambda n: np.roll(face_frame(n / 100), 3 * n, axis=1), 300, fps=100))
    assert large.near_searches == len(searches(looped)), "each search"
    assert np.diff(searches(looped)).min() >= 34, "0.3 s, and the time of the near search"
    assert np.diff(searches(found)).min() >= 30
