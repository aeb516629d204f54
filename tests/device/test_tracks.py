"""Which face is which: by where it is, each once, the surest pair first."""

from __future__ import annotations

import itertools

import pytest

from device.vision.tracks import Track, apart, largest_first, matched
from fer_edge.faces import Face
from fer_edge.zoomed import Square, overlap


def track(number: int, head: Square, seen_ns: int = 5, frames: int = 0) -> Track:
    return Track(number, Face((*head[:2], head[2], head[2]), 0.9), head, seen_ns, frames=frames)


@pytest.mark.parametrize(
    ("tracks", "faces", "expected"),
    [
        ([], [], {}),
        ([(0, 0, 100)], [], {}),
        ([], [(0, 0, 100)], {}),
        ([(0, 0, 100)], [(30, 0, 100)], {0: 0}),
        ([(0, 0, 100)], [(70, 0, 100)], {}),  # 30 of 170
        ([(0, 0, 100)], [(0, 0, 300)], {}),  # a ninth
        ([(0, 0, 100), (200, 0, 100)], [(210, 0, 100), (10, 0, 100)], {0: 1, 1: 0}),
        ([(0, 0, 100)], [(40, 0, 100), (10, 0, 100)], {0: 1}),  # the nearer one
        ([(0, 0, 100), (20, 0, 100)], [(15, 0, 100)], {1: 0}),  # one face is not two
        ([(0, 0, 100), (40, 0, 100)], [(30, 0, 100), (70, 0, 100)], {1: 0}),  # the surest pair; what is left lies apart
    ],
)
def test_matched(tracks: list[Square], faces: list[Square], expected: dict[int, int]) -> None:
    assert matched(tracks, faces) == expected


def test_overlap_is_the_same_both_ways_and_between_0_and_1() -> None:
    squares = [(x, y, side) for x, y, side in itertools.product((-40, 0, 35), (0, 20), (1, 50, 90))]
    for a, b in itertools.product(squares, squares):
        assert 0 <= overlap(a, b) == overlap(b, a) <= 1
        assert (overlap(a, b) == 1) == (a == b)


def test_two_tracks_on_one_face_become_the_older() -> None:
    both = [track(7, (0, 0, 100)), track(3, (10, 0, 100)), track(9, (200, 0, 100))]
    assert [kept.id for kept in apart(both)] == [3, 9]
    remembered = track(3, (10, 0, 100), seen_ns=1)
    assert [kept.id for kept in apart([both[0], remembered])] == [3, 7], (
        "one of them was not seen just now: a place only"
    )


def test_the_largest_first_and_of_two_alike_the_one_that_was_read_before() -> None:
    small, large, alike = track(1, (0, 0, 50), frames=9), track(2, (0, 0, 100), frames=9), track(3, (0, 0, 110))
    assert [t.id for t in largest_first([small, large, alike])] == [2, 3, 1]
    assert [t.id for t in largest_first([track(1, (0, 0, 100), frames=9), track(2, (0, 0, 130))])] == [2, 1]
