"""Which face is which: by where it is, each once, the surest pair first."""

from __future__ import annotations

import itertools

import pytest

from device.vision.tracks import (
    MAX_PREDICTED_S,
    Track,
    largest_first,
    match_squares,
    predict,
    with_detection,
    without_duplicates,
)
from fer_edge.detection.boxes import Square, square_iou
from fer_edge.detection.types import Face


def track(number: int, head: Square, seen_ns: int = 5, readings: int = 0) -> Track:
    return Track(number, Face((*head[:2], head[2], head[2]), 0.9), head, seen_ns, readings=readings)


@pytest.mark.parametrize(
    ("tracks", "faces", "expected"),
    [
        ([], [], {}),
        ([(0, 0, 100)], [], {}),
        ([], [(0, 0, 100)], {}),
        ([(0, 0, 100)], [(30, 0, 100)], {0: 0}),
        ([(0, 0, 100)], [(66, 0, 100)], {0: 0}),  # 34 of 166 are .205
        ([(0, 0, 100)], [(67, 0, 100)], {}),  # 33 of 167 are .198
        ([(0, 0, 100)], [(0, 0, 300)], {}),  # a ninth
        ([(0, 0, 100), (200, 0, 100)], [(210, 0, 100), (10, 0, 100)], {0: 1, 1: 0}),
        ([(0, 0, 100)], [(40, 0, 100), (10, 0, 100)], {0: 1}),  # the nearer one
        ([(0, 0, 100), (20, 0, 100)], [(15, 0, 100)], {1: 0}),  # one face is not two
        ([(0, 0, 100), (40, 0, 100)], [(30, 0, 100), (70, 0, 100)], {1: 0}),  # the surest pair; what is left lies apart
    ],
)
def test_tracks_are_matched_to_faces_by_overlap(
    tracks: list[Square], faces: list[Square], expected: dict[int, int]
) -> None:
    assert match_squares(tracks, faces) == expected


def test_iou_is_symmetric_and_between_0_and_1() -> None:
    squares = [(x, y, side) for x, y, side in itertools.product((-40, 0, 35), (0, 20), (1, 50, 90))]
    for a, b in itertools.product(squares, squares):
        assert 0 <= square_iou(a, b) == square_iou(b, a) <= 1
        assert (square_iou(a, b) == 1) == (a == b)


def test_of_two_tracks_on_one_face_the_older_stays() -> None:
    both = [track(7, (0, 0, 100)), track(3, (10, 0, 100)), track(9, (200, 0, 100))]
    assert [remaining.id for remaining in without_duplicates(both)] == [3, 9]
    remembered = track(3, (10, 0, 100), seen_ns=1)
    assert [remaining.id for remaining in without_duplicates([both[0], remembered])] == [3, 7], (
        "one of them was not seen just now: a place only"
    )


@pytest.mark.parametrize(
    ("apart_px", "readings", "left"),
    [
        (33, 9, [3]),  # 67 of 133: one moved onto the face of the other
        (34, 9, [3, 7]),  # two faces that pass each other
        (34, 0, [3]),  # a new one on a face that is followed
        (53, 0, [3]),  # 47 of 153
        (54, 0, [3, 7]),  # a new face beside it
    ],
)
def test_two_faces_that_were_read_may_come_nearer_than_a_new_one(apart_px: int, readings: int, left: list[int]) -> None:
    both = [track(7, (apart_px, 0, 100), readings=readings), track(3, (0, 0, 100), readings=9)]
    assert [remaining.id for remaining in without_duplicates(both)] == left


def test_the_largest_first_and_of_similar_ones_the_followed_one() -> None:
    small, large, alike = track(1, (0, 0, 50), readings=9), track(2, (0, 0, 100), readings=9), track(3, (0, 0, 110))
    assert [t.id for t in largest_first([small, large, alike])] == [2, 3, 1]
    assert [t.id for t in largest_first([track(1, (0, 0, 100), readings=9), track(2, (0, 0, 130))])] == [2, 1]


SHAPE = (480, 640)


def at(head: Square) -> Face:
    x, y, side = head
    eyes = ((x + side * 0.3, y + side * 0.4), (x + side * 0.7, y + side * 0.4))
    return Face((x, y, side, side), 0.9, eyes, (x + side / 2, y + side * 0.6))


def walked(*heads: Square, every_s: float = 0.1) -> Track:
    """A track that was drawn at each of the heads in turn."""
    now = Track(1, at(heads[0]), heads[0], 0)
    for number, head in enumerate(heads, 1):
        now = with_detection(now, at(head), head, round(number * every_s * 1e9))
    return now


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        ([(100, 100, 100)], None),  # seen once: nobody knows where it goes
        ([(100, 100, 100), (100, 100, 100)], (100, 100)),
        ([(100, 100, 100), (103, 101, 100)], (106, 102)),  # it goes on as it went
        ([(100, 100, 100), (110, 100, 100)], None),  # it was not to be foreseen
        ([(100, 100, 100), (110, 100, 100), (120, 100, 100)], (130, 100)),
        ([(100, 100, 100), (110, 100, 100), (110, 100, 100)], None),  # it stopped
        ([(100, 100, 100), (97, 97, 106)], (97, 97)),  # comes nearer, slowly: the middle stays
        ([(100, 100, 100), (90, 90, 120)], None),
        ([(534, 100, 100), (537, 100, 100)], (540, 100)),
        ([(530, 100, 100), (536, 100, 100), (542, 100, 100)], None),  # beyond the edge
        ([(6, 100, 100), (3, 100, 100)], (0, 100)),
        ([(5, 100, 100), (2, 100, 100)], None),
        ([(100, 6, 100), (100, 3, 100)], (100, 0)),
        ([(100, 5, 100), (100, 2, 100)], None),
        ([(100, 374, 100), (100, 377, 100)], (100, 380)),
        ([(100, 375, 100), (100, 378, 100)], None),
    ],
)
def test_the_predicted_position_of_a_face(heads: list[Square], expected: tuple[int, int] | None) -> None:
    track = walked(*heads)
    now_ns = track.seen_ns + 100_000_000
    now = predict(track, now_ns, SHAPE)
    if expected is None:
        assert now is None
        return
    assert now is not None and now.head[:2] == expected and now.head[2] == heads[-1][2]
    assert now.seen_ns == now_ns and now.detected_ns == track.detected_ns
    x, y = expected[0] - heads[-1][0], expected[1] - heads[-1][1]
    assert now.face.xywh[:2] == expected and now.face.eyes is not None and track.face.eyes is not None
    moved = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(track.face.eyes, now.face.eyes, strict=True)]
    assert moved == [(pytest.approx(x), pytest.approx(y))] * 2, "the eyes with it"
    assert now.face.nose is not None and track.face.nose is not None
    assert now.face.nose == (pytest.approx(track.face.nose[0] + x), pytest.approx(track.face.nose[1] + y))


def test_a_face_is_not_predicted_for_longer_than_the_maximum() -> None:
    track = walked((100, 100, 100), (104, 100, 100), (108, 100, 100))
    held = [n for n in range(1, 12) if predict(track, track.seen_ns + n * 33_000_000, SHAPE)]
    assert held == list(range(1, int(MAX_PREDICTED_S / 0.033) + 1))
    now = predict(track, track.seen_ns + 50_000_000, SHAPE)
    assert now is not None and now.head[0] == 110
    then = predict(now, track.seen_ns + 100_000_000, SHAPE)
    assert then is not None and then.head[0] == 112, "a frame that was not looked at leads on to the next"


def test_a_velocity_needs_detections_close_in_time() -> None:
    assert not walked((100, 100, 100), (101, 100, 100), (102, 100, 100), every_s=0.6).predictable


@pytest.mark.parametrize("passed_ns", [0, 600_000_000])
def test_a_face_is_not_predicted_by_a_velocity_from_another_time(passed_ns: int) -> None:
    """A second detection in one frame gives no velocity, and one after a while none that may still hold."""
    before = walked((100, 100, 100), (103, 100, 100), (106, 100, 100))
    assert before.predictable and before.velocity[0] == pytest.approx(30)
    head = (109, 100, 100)
    now = with_detection(before, at(head), head, before.seen_ns + passed_ns)
    assert (now.velocity, now.predictable) == ((0.0, 0.0), False)
