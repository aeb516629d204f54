"""What a device reports of each class, and the scores of images with a clear majority of votes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from convert.data.ferplus import COLUMNS, majority_labels
from convert.evaluate.reported_labels import CLEAR_SHARE, NOT_COUNTED, ReportingRule, clear_majority, reported_by_class
from fer_edge.bundle import Bundle
from fer_edge.certainty import NEVER

LABELS = ("angry", "happy", "neutral")
ROOT = Path(__file__).parents[2]
PAGES_WITH_CLEAR_FACES = (
    "README.md",
    "models/README.md",
    "models/edge-mixed/report/votes/report.md",
    "models/edge/report/votes/report.md",
    "models/edge-votes/report/report.md",
    "device/README.md",
    "docs/pages/privacy.md",
)
RULE = ReportingRule(1.0, (0.8, 0.5, 0.0))


def logits(*probabilities: tuple[float, float, float]) -> np.ndarray:
    return np.log(np.array(probabilities, np.float32))


def test_a_label_is_reported_from_its_own_threshold_on() -> None:
    faces = logits((0.9, 0.05, 0.05), (0.7, 0.2, 0.1), (0.3, 0.6, 0.1), (0.3, 0.3, 0.4))
    assert RULE.reported(faces).tolist() == [0, -1, 1, 2]


def test_a_label_that_is_never_reported_leaves_unsure() -> None:
    assert ReportingRule(1.0, (NEVER, 0.0, 0.0)).reported(logits((0.999, 0.0005, 0.0005))).tolist() == [-1]


def test_the_temperature_is_applied_before_the_threshold() -> None:
    face = logits((0.9, 0.05, 0.05))
    assert RULE.reported(face).tolist() == [0]
    assert ReportingRule(3.0, RULE.thresholds).reported(face).tolist() == [-1]


def test_the_shares_of_a_class_sum_to_one_and_name_the_commonest_mistake() -> None:
    angry, happy, neutral = reported_by_class(np.array([2, 2, 0, 1, -1, 2, 0]), np.array([2, 2, 2, 2, 2, 2, 0]), LABELS)
    assert (neutral.n, neutral.right, neutral.unsure, neutral.wrong) == (6, 0.5, 1 / 6, 1 / 3)
    assert neutral.most_often == "angry"  # of equals, the first label
    assert (angry.right, angry.most_often) == (1.0, None)
    assert (happy.n, happy.right, happy.most_often) == (0, None, None)


def test_only_images_on_which_the_votes_agree_are_clear() -> None:
    votes = np.zeros((3, 8), np.float32)
    votes[:, 0] = [CLEAR_SHARE, 0.69, 0.0]
    votes[:, 1] = [0.3, 0.31, 0.0]  # no usable votes on the third
    faces = logits((0.9, 0.05, 0.05), (0.1, 0.8, 0.1), (0.1, 0.8, 0.1))
    found = clear_majority(faces, np.array([0, 0, 0]), votes, LABELS, RULE)
    assert found and (found.scores.n, found.scores.accuracy.value) == (1, 1.0)
    assert found.reported and found.reported[0].right == 1.0
    assert clear_majority(faces[1:], np.array([0, 0]), votes[1:], LABELS, None) is None


def test_votes_that_do_not_count_are_not_in_the_share_and_each_page_says_so() -> None:
    """Half of the raters say neutral, and the image is clear: two votes are single ones, and three for unknown."""
    votes = np.array([[{"neutral": 5, "anger": 1, "sadness": 1, "unknown": 3}.get(name, 0) for name in COLUMNS]])
    assert majority_labels(votes).shares.max() == 1.0 >= CLEAR_SHARE
    for page in PAGES_WITH_CLEAR_FACES:
        text = (ROOT / page).read_text()
        counted = (
            "[how votes are counted](docs/pages/privacy.md)"
            if page == "README.md"
            else NOT_COUNTED.removesuffix(" count")
        )
        assert counted in " ".join(text.split()), page
        assert "votes that count" in text and "% of the raters' votes" not in text, page


@pytest.mark.parametrize("name", ["edge-mixed", "edge"])
def test_the_default_and_edge_have_the_figures_of_their_own_thresholds(name: str) -> None:
    folder = Path(__file__).parents[2] / "models" / name
    report = json.loads((folder / "report" / "votes" / "report.json").read_text())
    rule = ReportingRule.of(Bundle.load(folder))
    for row, threshold in zip(report["clear"]["reported"], rule.thresholds, strict=True):
        assert math.isclose(row["right"] + row["unsure"] + row["wrong"], 1, abs_tol=1e-5)
        assert threshold != NEVER or row["right"] == 0
