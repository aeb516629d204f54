"""Averages that forget by time, labels that stay until another is clearly ahead, and `unsure` with its reason."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from device.vision.smoothing import LabelSpace, SmoothedLabel, SmoothingRules, smooth
from fer_edge.classifier import softmax
from fer_edge.quality import Quality

LABELS = ("happy", "sad", "neutral")
SPACE = LabelSpace(LABELS, 1.0)
ALWAYS = (0.0, 0.0, 0.0)  # each label is reported at any probability
GOOD = Quality(1.0, "dark")
RULES = SmoothingRules(half_life_s=0.4, min_dwell_s=0.5, unsure_below=ALWAYS, min_quality=0.5)


def says(label: str, strength: float = 3.0) -> np.ndarray:
    """Logits float32 (3,) for a label."""
    return np.float32(strength) * np.eye(3, dtype=np.float32)[LABELS.index(label)]


def steadies(
    rows: Sequence[np.ndarray],
    fps: float = 10.0,
    rules: SmoothingRules = RULES,
    quality: Sequence[Quality] | None = None,
) -> list[SmoothedLabel]:
    """The smoothed label after each row of logits, one row per frame."""
    smoothed: list[SmoothedLabel] = []
    for number, row in enumerate(rows):
        rated = quality[number] if quality else GOOD
        before = smoothed[-1] if smoothed else None
        smoothed.append(smooth(before, row, rated, round(number * 1e9 / fps), SPACE, rules))
    return smoothed


def labels(smoothed: Sequence[SmoothedLabel]) -> list[str]:
    return [one.label for one in smoothed]


def test_the_reason_is_that_of_the_frames_that_limit_the_mean() -> None:
    """A frame of full quality has a reason too, which limits nothing."""
    quality = [Quality(0.0, "turned")] * 6 + [GOOD] * 12
    found = steadies([says("happy")] * len(quality), quality=quality)
    unsure = [one for one in found if one.label == "unsure"]
    assert len(unsure) > 6 and {one.why for one in unsure} == {"turned"} and found[-1].label == "happy"
    quality = [GOOD] * 6 + [Quality(0.0, "blurred")] * 6
    assert steadies([says("happy")] * 12, quality=quality)[-1].why == "blurred"


def test_the_first_frame_is_not_smoothed() -> None:
    (one,) = steadies([says("sad", 1.0)])
    assert (one.label, one.why) == ("sad", "") and np.allclose(one.probs, softmax(says("sad", 1.0)))
    assert one.probs.dtype == np.float32


@pytest.mark.parametrize("fps", [2.0, 5.0, 10.0, 30.0])
def test_the_half_life_is_independent_of_the_frame_rate(fps: float) -> None:
    """After long agreement, the average of the old and the new lies halfway a half-life after a change."""
    rules = SmoothingRules(1.0, 0.0, ALWAYS, 0.0)
    smoothed = steadies([says("happy")] * round(20 * fps) + [says("sad")] * round(fps), fps, rules)
    mean = smoothed[-1].logits / smoothed[-1].weight
    assert mean[0] == pytest.approx(1.5, abs=0.02) and mean[1] == pytest.approx(1.5, abs=0.02)


def test_without_a_half_life_frames_are_not_smoothed() -> None:
    rows = [says("happy"), says("sad"), says("neutral", 0.1)]
    smoothed = steadies(rows, rules=SmoothingRules(0.0, 0.0, ALWAYS, 0.0))
    assert all(np.allclose(one.probs, softmax(row)) for one, row in zip(smoothed, rows, strict=True))
    assert labels(smoothed) == ["happy", "sad", "sad"], "but a tie in all but name does not move it"


def test_two_frames_of_another_label_change_nothing() -> None:
    rows = [says("happy")] * 10 + [says("sad")] * 2 + [says("happy")] * 10
    assert set(labels(steadies(rows))) == {"happy"}


def test_flicker_between_two_labels_is_one_label() -> None:
    rows = [says("happy", 1.2), says("sad", 1.0)] * 50
    assert set(labels(steadies(rows))) == {"happy"}


def test_a_real_change_appears_within_half_a_second() -> None:
    shown_labels = labels(steadies([says("happy")] * 30 + [says("sad")] * 30))
    assert shown_labels[:30] == ["happy"] * 30 and set(shown_labels[35:]) == {"sad"}
    assert sum(a != b for a, b in itertools.pairwise(shown_labels)) == 1


def test_a_label_stays_for_its_dwell_time() -> None:
    rules = SmoothingRules(0.0, 0.5, ALWAYS, 0.0)
    shown_labels = labels(steadies([says("happy")] * 10 + [says("sad"), says("neutral")] * 10, rules=rules))
    changes = [n for n, (a, b) in enumerate(itertools.pairwise(shown_labels), 1) if a != b]
    assert changes and min(b - a for a, b in itertools.pairwise(changes)) >= 5


def test_no_probable_label_is_unsure_with_a_reason() -> None:
    rules = SmoothingRules(0.4, 0.0, (0.6,) * 3, 0.5)
    smoothed = steadies([says("happy")] * 10 + [says("happy", 0.1)] * 20 + [says("happy")] * 20, rules=rules)
    shown_labels = labels(smoothed)
    assert (
        shown_labels[0] == shown_labels[9] == "happy" and shown_labels[29] == "unsure" and shown_labels[-1] == "happy"
    )
    assert smoothed[29].why == "confidence" and smoothed[-1].why == ""
    assert sum(a != b for a, b in itertools.pairwise(shown_labels)) == 2


def test_each_label_has_its_own_threshold() -> None:
    rules = SmoothingRules(0.0, 0.0, (0.3, 0.9, float("inf")), 0.0)
    shown = labels(
        steadies([says("happy", 1.0), says("sad", 1.0), says("sad", 6.0), says("neutral", 9.0)], rules=rules)
    )
    assert shown == ["happy", "unsure", "sad", "unsure"]


def test_a_threshold_near_one_can_be_reached_from_unsure() -> None:
    rules = SmoothingRules(0.0, 0.0, (0.98, 0.98, 0.98), 0.0)
    assert labels(steadies([says("happy", 1.0), says("happy", 9.0)], rules=rules)) == ["unsure", "happy"]


def test_hysteresis_prevents_flicker_at_the_threshold() -> None:
    rng = np.random.default_rng(0)
    rows = [says("happy", float(1.1 + rng.normal(0, 0.15))) for _ in range(200)]
    below = float(softmax(says("happy", 1.1)).max())
    unsmoothed_unsure = [float(softmax(row).max()) < below for row in rows]
    shown_labels = labels(steadies(rows, rules=SmoothingRules(0.4, 0.5, (below,) * 3, 0.0)))
    assert sum(a != b for a, b in itertools.pairwise(unsmoothed_unsure)) > 60
    assert sum(a != b for a, b in itertools.pairwise(shown_labels)) <= 4


@pytest.mark.parametrize("why", ["dark", "blurred", "tiny", "turned"])
def test_poor_quality_is_unsure_until_it_recovers(why: str) -> None:
    bad = Quality(0.1, why)
    quality = [GOOD] * 10 + [bad] * 20 + [GOOD] * 20
    smoothed = steadies([says("happy")] * 50, quality=quality)
    assert [smoothed[n].label for n in (9, 25, 49)] == ["happy", "unsure", "happy"]
    assert smoothed[25].why == why and smoothed[49].why == ""


def test_a_poor_frame_has_less_weight() -> None:
    rows = [says("happy")] * 5 + [says("sad", 6.0)] * 3
    poor = steadies(
        rows, quality=[GOOD] * 5 + [Quality(0.1, "blurred")] * 3, rules=SmoothingRules(0.4, 0.0, ALWAYS, 0.0)
    )
    assert poor[-1].label == "happy"
    assert steadies(rows, rules=SmoothingRules(0.4, 0.0, ALWAYS, 0.0))[-1].label == "sad"


def test_time_that_does_not_advance_is_accepted() -> None:
    one = smooth(None, says("happy"), GOOD, 5, SPACE, RULES)
    two = smooth(one, says("happy"), GOOD, 5, SPACE, RULES)
    three = smooth(two, says("happy"), GOOD, 0, SPACE, RULES)
    assert labels([one, two, three]) == ["happy"] * 3 and np.isfinite(three.probs).all()
