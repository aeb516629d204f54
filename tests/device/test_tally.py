"""Tallies: that every second of a run is in one of three sums, whatever the camera and the loop do."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from builders import reading

from device.output.tally import (
    FrameCounts,
    Tally,
    add_dropped_frame,
    end_tally,
    finish_tally,
    settle_tally,
    start_tally,
    update_tally,
)

S = 1_000_000_000


def balanced(bodies: list[dict[str, Any]], start_s: float, end_s: float) -> None:
    """Checks that minutes follow each other without a hole, and that each second of each is in one sum."""
    at_s = start_s
    for body in bodies:
        assert body["from_mono_s"] == pytest.approx(at_s, abs=0.001)
        parts = body["observed_s"] + body["unavailable_s"] + body["paused_s"]
        assert body["seconds"] == pytest.approx(parts, abs=0.002)
        assert body["face_s"] <= body["observed_s"] + 0.001
        at_s += body["seconds"]
    assert at_s == pytest.approx(end_s, abs=0.001)
    assert all(body["seconds"] == 60 for body in bodies[:-1])


def test_a_tally_of_one_observed_minute() -> None:
    tally, bodies = start_tally(10 * S), []
    for n in range(1, 651):
        faces = (
            [reading("happy")] if n <= 200 else [reading("happy"), reading("sad", steady="unsure")] if n <= 300 else []
        )
        tally, over = update_tally(tally, faces, 10 * S + n * S // 10, FrameCounts(n * 2, {"busy": n}))
        bodies += over
    bodies += finish_tally(tally, 75 * S + S // 2, FrameCounts(1310, {"busy": 650, "unread": 10}))
    balanced(bodies, 10, 75.5)
    minute, rest = bodies
    # before the first frame nobody could look
    assert (minute["observed_s"], minute["unavailable_s"], minute["paused_s"]) == (59.9, 0.1, 0.0)
    assert minute["face_s"] == pytest.approx(29.9)
    assert minute["labels_s"] == {"happy": pytest.approx(29.9), "unsure": 10.0}
    assert minute["faces_max"] == 2
    assert minute["frames"] == {"read": 1200, "processed": 599} and minute["drops"] == {"busy": 600}
    assert rest["frames"] == {"read": 110, "processed": 51} and rest["drops"] == {"busy": 50, "unread": 10}
    assert (rest["seconds"], rest["face_s"], rest["faces_max"]) == (5.5, 0.0, 0)


def dropped(tally: Tally, from_s: float, to_s: float) -> tuple[Tally, list[Any]]:
    """The tally after ten dropped frames a second, and the minutes that ended."""
    bodies: list[Any] = []
    for n in range(round(from_s * 10), round(to_s * 10)):
        tally, over = add_dropped_frame(tally, n * S // 10, FrameCounts(n, {"budget": n - 1}))
        bodies += over
    return tally, bodies


def test_time_in_which_every_frame_was_dropped_is_not_observed() -> None:
    """The minutes are recorded while it lasts."""
    tally, _ = update_tally(start_tally(0), [reading("happy")], S // 10, FrameCounts(1))
    tally, bodies = dropped(tally, 0.2, 200)
    assert len(bodies) == 3 and [body["unavailable_s"] for body in bodies] == [60.0, 60.0, 60.0]
    tally, over = update_tally(tally, [reading("sad")], 200 * S, FrameCounts(2000, {"budget": 1998}))
    rest = finish_tally(tally, 200 * S, FrameCounts(2000, {"budget": 1998}))
    balanced([*bodies, *over, *rest], 0, 200)
    assert rest[-1]["observed_s"] <= 10.1 and set(rest[-1]["labels_s"]) <= {"sad"}


@pytest.mark.parametrize("every_s", [9, 20, 80])
def test_rare_frames_that_come_regularly_are_observed(every_s: int) -> None:
    """A processor that is hot processes one in many; what the camera shows is known as well as at a low frame rate."""
    tally, bodies = update_tally(start_tally(0), [reading("happy")], S // 10, FrameCounts(1))
    for n in range(1, 12):
        tally, over = dropped(tally, (n - 1) * every_s + 0.2, n * every_s)
        bodies += over
        tally, over = update_tally(tally, [reading("happy")], n * every_s * S, FrameCounts(n))
        bodies += over
    bodies += finish_tally(tally, 11 * every_s * S, FrameCounts(11))
    balanced(bodies, 0, 11 * every_s)
    observed_s = sum(body["observed_s"] for body in bodies)
    assert observed_s >= 10 * every_s - 1, "all but the first distance, which is not usual yet"
    assert sum(body["labels_s"].get("happy", 0.0) for body in bodies) == pytest.approx(observed_s, abs=0.2)


def test_frames_that_are_dropped_after_a_pause_prove_that_the_camera_works() -> None:
    tally, _ = update_tally(start_tally(0), [reading("happy")], S, FrameCounts(1))
    tally, _ = settle_tally(tally, S, FrameCounts(1))
    tally, _ = update_tally(tally, None, 31 * S, FrameCounts(1), paused=True)
    tally, _ = dropped(tally, 31.1, 34)
    tally, _ = update_tally(tally, [reading("happy")], 34 * S, FrameCounts(2))
    (body,) = finish_tally(tally, 34 * S, FrameCounts(2))
    assert (body["observed_s"], body["unavailable_s"], body["paused_s"]) == (3.0, 1.0, 30.0)


def test_the_time_before_a_pause_is_not_paused() -> None:
    tally, _ = update_tally(start_tally(0), [reading("happy")], S, FrameCounts(1))
    tally, _ = settle_tally(tally, S + S // 2, FrameCounts(1))
    tally, _ = update_tally(tally, None, 11 * S, FrameCounts(1), paused=True)
    (body,) = finish_tally(tally, 11 * S, FrameCounts(1), paused=True)
    assert (body["observed_s"], body["unavailable_s"], body["paused_s"]) == (0.5, 1.0, 9.5)


def test_a_minute_with_the_time_of_faces_has_their_number() -> None:
    tally, _ = update_tally(start_tally(0, 120.0), [], S, FrameCounts(1))
    tally, (minute,) = update_tally(tally, [reading("happy"), reading("sad")], 62 * S, FrameCounts(2))
    assert minute["face_s"] == 59.0 and minute["faces_max"] == 2


def test_a_tally_can_end_early_and_the_next_one_follows_without_a_hole() -> None:
    tally, bodies = start_tally(10 * S), []
    for n in range(1, 651):
        tally, over = update_tally(tally, [reading("happy")], 10 * S + n * S // 10, FrameCounts(n))
        bodies += over
        if n == 200:
            tally, over = end_tally(tally, FrameCounts(n))
            bodies += over
            assert end_tally(tally, FrameCounts(n)) == (tally, [])
    bodies += finish_tally(tally, 75 * S, FrameCounts(650))
    assert [body["seconds"] for body in bodies] == [20.0, 45.0]
    assert [body["from_mono_s"] for body in bodies] == [10.0, 30.0]
    assert [body["frames"]["processed"] for body in bodies] == [200, 450] and bodies[1]["unavailable_s"] == 0
    assert [body["frames"]["read"] for body in bodies] == [200, 450]


def test_each_minute_has_its_own_counts() -> None:
    """Of faces that were not read, of frames that were not searched, and of the drops whose reason occurred in it."""
    tally, bodies = start_tally(0), []
    for n in range(1, 1801):
        counts = FrameCounts(n, {"busy": min(n, 600), "unread": n}, idle=2 * n, skipped=3 * n)
        tally, over = update_tally(tally, [], n * S // 10, counts)
        bodies += over
    assert [body["frames_idle"] for body in bodies] == [1200] * 3
    assert [body["faces_skipped"] for body in bodies] == [1800] * 3
    assert [body["drops"] for body in bodies] == [{"busy": 600, "unread": 600}, {"unread": 600}, {"unread": 600}]


def test_a_tally_may_have_another_length_one_after_the_other() -> None:
    tally, bodies = start_tally(0, length_s=2.0), []
    for n in range(1, 81):
        tally, over = update_tally(tally, [], n * S // 10, FrameCounts(n))
        bodies += over
    assert [body["seconds"] for body in bodies] == [2.0] * 4


def test_the_time_of_unsure_faces_is_counted_by_its_reason() -> None:
    tally, _ = update_tally(start_tally(0), [], 0, FrameCounts())
    dark = replace(reading("happy", quality=0.2), steady="unsure", why="dark")
    for n in range(1, 31):
        faces = [dark] if n <= 10 else [dark, reading("sad", p=0.4, steady="unsure")] if n <= 20 else []
        tally, _ = update_tally(tally, faces, n * S, FrameCounts(n))
    (body,) = finish_tally(tally, 30 * S, FrameCounts(30))
    assert body["unsure_s"] == {"dark": 20.0, "confidence": 10.0} and body["labels_s"] == {"unsure": 30.0}


def test_counts_that_change_in_place_are_copied() -> None:
    drops: Counter[str] = Counter()
    tally, bodies = start_tally(0), []
    for n in range(1, 1301):
        drops["busy"] += 1
        tally, over = update_tally(tally, [], n * S // 10, FrameCounts(n, drops))
        bodies += over
    assert [body["drops"] for body in bodies] == [{"busy": 600}, {"busy": 600}]


def test_time_without_the_camera_is_unavailable() -> None:
    tally = start_tally(0)
    for n in range(1, 101):
        tally, _ = update_tally(tally, [], n * S // 10, FrameCounts())
    for n in range(1, 41):  # the loop's turns of a quarter second; the camera is away from 10 s on
        tally, _ = update_tally(tally, None, 10 * S + n * S // 4, FrameCounts())
    for n in range(1, 101):
        tally, _ = update_tally(tally, [], 20 * S + n * S // 10, FrameCounts())
    (body,) = finish_tally(tally, 30 * S, FrameCounts())
    balanced([body], 0, 30)
    assert body["observed_s"] == 19.8 and body["unavailable_s"] == pytest.approx(10.2)


@pytest.mark.parametrize(("wait_s", "observed_s"), [(1.9, 3.9), (2.0, 4.0), (2.1, 2.0)])
def test_a_late_frame_counts_as_observed_within_the_patience(wait_s: float, observed_s: float) -> None:
    tally = start_tally(0)
    for at_s in (0.0, 1.0, 2.0, 2.0 + wait_s):
        for turn in range(4):
            tally, _ = update_tally(tally, None, round((at_s - 0.5 + turn / 10) * S), FrameCounts())
        tally, _ = update_tally(tally, [], round(at_s * S), FrameCounts())
    (body,) = finish_tally(tally, round((2.0 + wait_s) * S), FrameCounts())
    assert body["observed_s"] == observed_s and body["unavailable_s"] == pytest.approx(2 + wait_s - observed_s)


def test_a_slow_camera_is_not_unavailable() -> None:
    tally = start_tally(0, patience_s=25.0)
    for n in range(6):
        tally, _ = update_tally(tally, [], n * 10 * S, FrameCounts())
    (body,) = finish_tally(tally, 50 * S, FrameCounts())
    assert body["observed_s"] == 50.0


def test_the_patience_lasts_beyond_the_first_minute() -> None:
    tally, bodies = start_tally(0, patience_s=25.0), []
    for at_s in (*range(0, 121, 10), 144):
        tally, over = update_tally(tally, [], at_s * S, FrameCounts())
        bodies += over
    bodies += finish_tally(tally, 144 * S, FrameCounts())
    assert [body["observed_s"] for body in bodies] == [60.0, 60.0, 24.0]


@pytest.mark.parametrize("step_s", [2.5, 5.0])
def test_frames_that_are_always_far_apart_are_not_late(step_s: float) -> None:
    tally = start_tally(0)
    for n in range(8):
        tally, _ = update_tally(tally, [reading("happy")], round(n * step_s * S), FrameCounts())
        for turn in range(1, 10):
            tally, _ = update_tally(tally, None, round((n + turn / 10) * step_s * S), FrameCounts())
    (body,) = finish_tally(tally, round(7.9 * step_s * S), FrameCounts())
    assert body["labels_s"] == {"happy": pytest.approx(6 * step_s)}, "but for the first gap"


def test_frames_that_are_always_far_apart_are_not_late_after_a_minute_either() -> None:
    tally, bodies = start_tally(0), []
    for n in range(37):
        tally, over = update_tally(tally, [], n * 5 * S, FrameCounts())
        bodies += over
        for turn in range(1, 10):
            tally, over = update_tally(tally, None, n * 5 * S + turn * S // 2, FrameCounts())
            bodies += over
    assert [body["unavailable_s"] for body in bodies] == [5.0, 0.0, 0.0]


def test_time_between_processed_frames_is_observed_while_dropped_ones_arrive() -> None:
    """Every 16th of two frames a second is processed: as slow as heat makes a run of `fps` 2."""
    tally, bodies = start_tally(0), []
    for n in range(1, 241):
        at_ns, counts = n * S // 2, FrameCounts(n)
        for turn in (1, 2):
            tally, over = update_tally(tally, None, at_ns - turn * S // 8, counts)
            bodies += over
        if n % 16 == 1:
            tally, over = update_tally(tally, [reading("happy")], at_ns, counts)
        else:
            tally, over = add_dropped_frame(tally, at_ns, counts)
        bodies += over
    for n in range(1, 241):  # the camera is away
        tally, over = update_tally(tally, None, (240 + n) * S // 2, FrameCounts(240))
        bodies += over
    bodies += finish_tally(tally, 240 * S, FrameCounts(240))
    balanced(bodies, 0, 240)
    labels_s = sum(body["labels_s"].get("happy", 0.0) for body in bodies)
    assert labels_s == pytest.approx(112) == sum(body["observed_s"] for body in bodies)
    assert sum(body["frames"]["read"] for body in bodies) == 240


def test_a_stall_between_dropped_frames_is_unavailable() -> None:
    tally, _ = update_tally(start_tally(0), [], 0, FrameCounts())
    for at_s in (0.5, 1.0, 1.5, 4.5, 5.0):
        tally, _ = add_dropped_frame(tally, round(at_s * S), FrameCounts())
    tally, _ = update_tally(tally, [], 6 * S, FrameCounts())
    (body,) = finish_tally(tally, 6 * S, FrameCounts())
    assert (body["unavailable_s"], body["observed_s"]) == (4.5, 1.5)


def test_paused_time_is_counted_over_hours() -> None:
    tally, bodies = start_tally(0), []
    for n in range(1, 51):
        tally, over = update_tally(tally, [], n * S // 10, FrameCounts())
    for n in range(1, 4 * 7200 + 1):
        tally, over = update_tally(tally, None, 5 * S + n * S // 4, FrameCounts(), paused=True)
        bodies += over
    tally, over = update_tally(tally, [], 7206 * S, FrameCounts())
    bodies += finish_tally(tally, 7206 * S, FrameCounts())
    balanced(bodies, 0, 7206)
    assert sum(body["paused_s"] for body in bodies) == pytest.approx(7200)
    assert sum(body["observed_s"] for body in bodies) == pytest.approx(5.9)


def test_a_run_that_starts_paused_is_paused_and_not_unavailable() -> None:
    tally = start_tally(0)
    for n in range(1, 41):
        tally, _ = update_tally(tally, None, n * S // 4, FrameCounts(), paused=True)
    (body,) = finish_tally(tally, 12 * S, FrameCounts(), paused=True)
    assert (body["paused_s"], body["unavailable_s"], body["observed_s"]) == (12.0, 0.0, 0.0)


@pytest.mark.parametrize(("silent_s", "unavailable_s"), [(1.5, 0.0), (10.0, 10.0)])
def test_a_run_that_ends_without_a_picture_was_unavailable_at_the_end(silent_s: float, unavailable_s: float) -> None:
    tally, _ = update_tally(start_tally(0), [], 0, FrameCounts())
    tally, _ = update_tally(tally, [], S, FrameCounts())
    (body,) = finish_tally(tally, round((1 + silent_s) * S), FrameCounts())
    assert body["unavailable_s"] == unavailable_s and body["observed_s"] == 1 + silent_s - unavailable_s


def test_a_suspended_machine_records_each_minute() -> None:
    tally, _ = update_tally(start_tally(0), [], S, FrameCounts())
    tally, bodies = update_tally(tally, [], 601 * S, FrameCounts())
    assert len(bodies) == 10
    balanced([*bodies, *finish_tally(tally, 601 * S, FrameCounts())], 0, 601)
    assert sum(body["unavailable_s"] for body in bodies) == 600.0


def test_an_older_frame_subtracts_no_time() -> None:
    tally, _ = update_tally(start_tally(0), None, 10 * S, FrameCounts())
    tally, _ = update_tally(tally, [], 9 * S, FrameCounts())
    tally, _ = update_tally(tally, [], 11 * S, FrameCounts())
    (body,) = finish_tally(tally, 11 * S, FrameCounts())
    assert (body["unavailable_s"], body["observed_s"]) == (10.0, 1.0)


def test_an_empty_run_has_no_tally() -> None:
    assert finish_tally(start_tally(5), 5, FrameCounts()) == []


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_every_second_is_accounted_for(seed: int) -> None:
    rng, now_ns, bodies = random.Random(seed), 7 * S, []
    tally: Tally = start_tally(now_ns)
    read = processed = 0
    for _ in range(3000):
        now_ns += round(rng.choice([0.01, 0.1, 0.25, 3.0, 90.0 if rng.random() < 0.1 else 0.1]) * S)
        what = rng.choice(["frame", "frame", "face", "turn", "pause"])
        seen = {"frame": [], "face": [reading("sad")]}.get(what)
        read += rng.randrange(3)
        processed += seen is not None
        tally, over = update_tally(tally, seen, now_ns, FrameCounts(read), paused=what == "pause")
        bodies += over
    bodies += finish_tally(tally, now_ns, FrameCounts(read))
    balanced(bodies, 7, now_ns / 1e9)
    assert sum(body["frames"]["read"] for body in bodies) == read
    assert sum(body["frames"]["processed"] for body in bodies) == processed
