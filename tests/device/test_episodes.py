"""Episodes: what opens one, what ends it, and what it says, step by step."""

from __future__ import annotations

from typing import Any

import pytest
from builders import reading

from device.output.episodes import (
    NO_EPISODES,
    EpisodeRules,
    OpenEpisodes,
    add_dropped_frame,
    close_episodes,
    update_episodes,
)

LABELS = ("happy", "sad", "neutral")
RULES = EpisodeRules(hold_s=0.5, away_s=1.0, longest_s=600.0)


def play(
    script: str, rules: EpisodeRules = RULES, state: OpenEpisodes = NO_EPISODES, first: int = 0
) -> tuple[OpenEpisodes, list[dict[str, Any]]]:
    """The state and the bodies after one frame for each letter, a tenth of a second each: h, s or n, . for no face."""
    bodies = []
    for place, letter in enumerate(script, first):
        seen = [reading(label) for label in LABELS if label.startswith(letter)]
        state, ended = update_episodes(state, seen, place * 100_000_000, rules)
        bodies += ended
    return state, bodies


@pytest.mark.parametrize(
    ("script", "episodes"),
    [
        ("", []),
        ("hhhhh", []),  # 0.4 s: not held
        ("hhhhhh", [("happy", 0.0, 0.5, 6, "end")]),
        ("hhhhhhhhsssssshhh", [("happy", 0.0, 0.7, 8, "changed"), ("sad", 0.8, 1.3, 6, "end")]),
        ("hhhhhhhhshhhsshhh", [("happy", 0.0, 1.6, 14, "end")]),  # flicker neither ends nor makes one
        ("hhhhhhhhsnsnsnhh", [("happy", 0.0, 1.5, 10, "end")]),  # nothing held in its place
        ("hhhhhhhh.........hh", [("happy", 0.0, 1.8, 10, "end")]),  # the detector missed it for 0.9 s
        ("hhhhhhhh............", [("happy", 0.0, 0.7, 8, "left")]),
        ("hhhhhhhh............hhhhhh", [("happy", 0.0, 0.7, 8, "left"), ("happy", 2.0, 2.5, 6, "end")]),
        ("shshshshshsh", []),
        ("hhh...sssssss", [("sad", 0.6, 1.2, 7, "end")]),  # the first was too short to count
    ],
)
def test_scripted_readings_make_the_expected_episodes(
    script: str, episodes: list[tuple[str, float, float, int, str]]
) -> None:
    state, bodies = play(script)
    bodies += close_episodes(state, "end")
    assert [(b["label"], b["start_mono_s"], b["end_mono_s"], b["frames"], b["ended"]) for b in bodies] == episodes
    assert all(b["dwell_s"] == pytest.approx(b["end_mono_s"] - b["start_mono_s"]) for b in bodies)


def test_an_episode_ends_once_the_next_label_has_held() -> None:
    state, bodies = play("hhhhhhhhsssss")
    assert bodies == []
    _, bodies = play("s", state=state, first=13)
    assert [b["label"] for b in bodies] == ["happy"]


def test_a_stall_between_frames_does_not_count_as_dwell() -> None:
    state, bodies = play("hhhhhhhh")
    state, bodies = update_episodes(state, [reading("happy")], 5_000_000_000, RULES)
    assert [(b["end_mono_s"], b["ended"]) for b in bodies] == [(0.7, "left")]
    assert close_episodes(state, "end") == [], "what begins then must hold by itself"


@pytest.mark.parametrize("step_s", [1.1, 1.6, 3.2, 8.0])
def test_a_face_stays_the_same_however_far_apart_frames_are(step_s: float) -> None:
    state, bodies = NO_EPISODES, list[Any]()
    for place in range(60):
        state, ended = update_episodes(state, [reading("happy")], round(place * step_s * 1e9), EpisodeRules())
        bodies += ended
    bodies += close_episodes(state, "end")
    assert sum(body["frames"] for body in bodies) >= 59, "the usual gap is known from the second frame on"
    assert {body["ended"] for body in bodies} <= {"long", "end"}
    state, bodies = update_episodes(state, [], round(60 * step_s * 1e9), EpisodeRules())
    assert bodies == []
    _, bodies = update_episodes(state, [], round(61 * step_s * 1e9), EpisodeRules())
    assert [body["ended"] for body in bodies] == ["left"], "two frames did not show it"


def test_frames_further_apart_than_ten_seconds_show_other_faces() -> None:
    state = NO_EPISODES
    for place in range(10):
        state, _ = update_episodes(state, [reading("happy")], place * 11_000_000_000, EpisodeRules())
    assert close_episodes(state, "end") == []


@pytest.mark.parametrize(("stall_s", "episodes"), [(0.0, 1), (0.7, 1), (1.5, 2)])
def test_a_face_stays_while_frames_are_dropped_and_not_while_none_arrive(stall_s: float, episodes: int) -> None:
    """Ten frames a second arrive, of which every 20th is processed, as while the processor is hot; once none arrives."""
    state, bodies, mono_s = NO_EPISODES, list[Any](), 0.0
    for place in range(200):
        mono_s += stall_s if place == 110 else 0.1
        if place % 20:
            state = add_dropped_frame(state, round(mono_s * 1e9))
            continue
        state, ended = update_episodes(state, [reading("happy")], round(mono_s * 1e9), EpisodeRules())
        bodies += ended
    bodies += close_episodes(state, "end")
    assert len(bodies) == episodes and sum(body["frames"] for body in bodies) == 10


def test_probabilities_and_quality_are_means_over_its_frames() -> None:
    state: OpenEpisodes = NO_EPISODES
    for place, (p, quality) in enumerate([(0.6, 0.2), (0.8, 0.4), (1.0, 0.6)]):
        state, _ = update_episodes(state, [reading("sad", p=p, quality=quality)], place * 500_000_000, RULES)
    state, _ = update_episodes(state, [reading("happy", p=1.0, quality=0.0)], 1_600_000_000, RULES)
    (body,) = close_episodes(state, "lost")
    assert body["p"] == pytest.approx([0.1, 0.8, 0.1], abs=1e-4)
    assert (body["quality"], body["frames"], body["ended"], body["track"]) == (0.4, 3, "lost", 1)


def test_a_long_expression_is_split_into_episodes() -> None:
    rules = EpisodeRules(hold_s=0.5, longest_s=10.0)
    state, bodies = play("h" * 351, rules)
    bodies += close_episodes(state, "end")
    assert [(b["start_mono_s"], b["end_mono_s"], b["ended"]) for b in bodies] == [
        (0.0, 10.0, "long"), (10.0, 20.0, "long"), (20.0, 30.0, "long"), (30.0, 35.0, "end"),
    ]  # fmt: skip
    assert sum(b["frames"] for b in bodies) == 351


def test_an_episode_without_a_frame_is_not_recorded() -> None:
    state, bodies = play("h" * 101, EpisodeRules(hold_s=0.5, longest_s=10.0))
    assert len(bodies) == 1 and close_episodes(state, "end") == []


def test_abstention_ends_an_episode_and_is_none_itself() -> None:
    state: OpenEpisodes = NO_EPISODES
    bodies = []
    for place in range(30):
        seen = reading("happy") if place < 10 else reading("happy", p=0.4, steady="unsure")
        state, ended = update_episodes(state, [seen], place * 100_000_000, RULES)
        bodies += ended
    assert [(b["label"], b["end_mono_s"], b["ended"]) for b in bodies] == [("happy", 0.9, "unsure")]
    assert close_episodes(state, "end") == []


def test_faces_have_their_own_episodes() -> None:
    state: OpenEpisodes = NO_EPISODES
    for place in range(10):
        seen = [reading("happy", 7), reading("sad", 8)]
        state, bodies = update_episodes(state, seen if place % 2 else seen[::-1], place * 100_000_000, RULES)
        assert bodies == []
    assert sorted((b["track"], b["label"]) for b in close_episodes(state, "pause")) == [(7, "happy"), (8, "sad")]


def test_faces_without_a_track_are_ordered_by_size() -> None:
    state: OpenEpisodes = NO_EPISODES
    for place in range(10):
        seen = [reading("happy", None, side=200), reading("sad", None, side=50)]
        state, _ = update_episodes(state, seen if place % 2 else seen[::-1], place * 100_000_000, RULES)
    closed = [(b["track"], b["label"], b["frames"]) for b in close_episodes(state, "end")]
    assert closed == [(None, "happy", 10), (None, "sad", 10)]


def test_an_update_does_not_modify_its_input() -> None:
    state, _ = play("hhhhhh")
    before = close_episodes(state, "end")
    update_episodes(state, [reading("sad")], 700_000_000, RULES)
    update_episodes(state, [], 9_000_000_000, RULES)
    assert close_episodes(state, "end") == before


def test_new_rules_apply_from_the_next_frame() -> None:
    """As after a SIGHUP."""
    state, _ = play("hhhh")
    assert close_episodes(state, "end") == []
    state, _ = play("h", EpisodeRules(hold_s=0.2), state, first=4)
    assert [b["frames"] for b in close_episodes(state, "end")] == [5]
