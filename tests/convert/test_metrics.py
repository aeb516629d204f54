"""The metrics: tiny cases worked by hand, scikit-learn on larger ones, and what happens where a class has no image."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from convert.evaluate.metrics import AverageScores, roc_curves, score
from fer_edge.labels import LABELS

ABC = ("a", "b", "c")


def saying(given: list[int], classes: int = 3) -> np.ndarray:
    """Logits that give these labels."""
    return np.eye(classes, dtype=np.float32)[given] * 4


def random_logits(n: int, classes: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits with some skill, and the labels: each class occurs."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.choice(classes, n - classes, p=rng.dirichlet(np.full(classes, 3.0)))])
    return (rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[y]).astype(np.float32), y


def test_the_metrics_of_five_images_counted_by_hand() -> None:
    s = score(saying([0, 1, 1, 1, 0]), np.array([0, 0, 1, 1, 2]), ABC)
    assert s.confusion == ((1, 1, 0), (0, 2, 0), (1, 0, 0))
    assert s.normalised() == [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    a, b, c = s.classes
    assert [x.support for x in s.classes] == [2, 2, 1]
    assert (a.precision, a.recall, a.f1) == (0.5, 0.5, 0.5)
    assert (b.precision, b.recall, b.f1) == pytest.approx((2 / 3, 1, 0.8))
    assert (c.precision, c.recall, c.f1) == (0, 0, 0)  # never given: precision 0, as the published table has it
    assert s.micro == AverageScores(0.6, 0.6, 0.6)
    assert (s.macro.precision, s.macro.recall, s.macro.f1) == pytest.approx((7 / 18, 0.5, 1.3 / 3))
    assert (s.weighted.precision, s.weighted.recall, s.weighted.f1) == pytest.approx((7 / 15, 0.6, 0.52))
    assert s.balanced_accuracy.value == 0.5
    # Wilson for 3 of 5: (p + z²/2n ± z√(p(1−p)/n + z²/4n²)) / (1 + z²/n), z = 1.96
    assert (s.accuracy.value, s.accuracy.low, s.accuracy.high) == pytest.approx((0.6, 0.2307, 0.8824), abs=1e-4)


def test_auc_by_hand_counts_ties_half() -> None:
    margins = np.array([2.0, 1.0, 1.0, 0.0], np.float32)  # of class a over b
    s = score(np.stack([margins, np.zeros(4, np.float32)], 1), np.array([0, 1, 0, 1]), ("a", "b"))
    assert [c.auc for c in s.classes] == [0.875, 0.875]  # of 4 pairs 3 in order and 1 tied


def test_auc_ranks_images_whose_probability_saturates() -> None:
    logits = np.array([[90.0, 0.0], [50.0, 0.0]], np.float32)
    p = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum(1, keepdims=True)
    assert p[0, 0] == p[1, 0] == 1
    assert score(logits, np.array([0, 1]), ("a", "b")).classes[0].auc == 1


def test_the_metrics_agree_with_scikit_learn() -> None:
    logits, y = random_logits(600)
    s, given = score(logits, y, LABELS), logits.argmax(1)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(1, keepdims=True)
    assert s.accuracy.value == metrics.accuracy_score(y, given)
    assert s.balanced_accuracy.value == pytest.approx(metrics.balanced_accuracy_score(y, given))
    assert s.macro_auc is not None
    assert s.macro_auc.value == pytest.approx(metrics.roc_auc_score(y, p, multi_class="ovr", average="macro"))
    report = metrics.classification_report(y, given, target_names=LABELS, output_dict=True, zero_division=0)
    for c in s.classes:
        row = report[c.label]
        assert (c.precision, c.recall, c.f1, c.support) == pytest.approx(
            (row["precision"], row["recall"], row["f1-score"], row["support"])
        )
    for ours, name in ((s.macro, "macro avg"), (s.weighted, "weighted avg")):
        row = report[name]
        assert (ours.precision, ours.recall, ours.f1) == pytest.approx(
            (row["precision"], row["recall"], row["f1-score"])
        )
    assert np.array_equal(s.confusion, metrics.confusion_matrix(y, given))
    assert np.allclose(s.normalised(), metrics.confusion_matrix(y, given, normalize="true"))


def test_classes_without_images_have_no_scores_and_count_in_no_mean() -> None:
    logits, y = random_logits(400)
    rows = (y == 3) | (y == 5)
    s = score(logits[rows], y[rows], LABELS)
    assert s.absent == ("angry", "disgust", "fear", "neutral", "surprise")
    for c in s.classes:
        figures = (c.precision, c.recall, c.f1, c.auc)
        assert all(v is None for v in figures) if c.label in s.absent else all(v is not None for v in figures)
    happy, sad = s.classes[3], s.classes[5]
    assert s.balanced_accuracy.value == pytest.approx(np.mean([happy.recall, sad.recall]))
    assert s.macro.f1 == pytest.approx(np.mean([happy.f1, sad.f1]))
    assert s.macro_auc is not None and s.macro_auc.value == pytest.approx(np.mean([happy.auc, sad.auc]))
    assert s.micro.recall == s.accuracy.value  # images given an absent label are wrong, not forgotten
    assert s.normalised()[0] == [None] * 7
    assert list(roc_curves(logits[rows], y[rows], LABELS).tpr) == ["happy", "sad"]


def test_a_set_with_one_class_has_no_auc() -> None:
    s = score(saying([1, 1, 0]), np.array([1, 1, 1]), ABC)
    assert s.macro_auc is None and s.classes[1].auc is None
    assert s.classes[1].recall == pytest.approx(2 / 3)
    drawn = roc_curves(saying([1, 1, 0]), np.array([1, 1, 1]), ABC)
    assert drawn.tpr == {} and drawn.macro == ()


def test_a_set_of_one_image_has_scores() -> None:
    s = score(saying([2]), np.array([2]), ABC)
    assert (s.n, s.accuracy.value, s.balanced_accuracy.value) == (1, 1, 1)
    assert s.accuracy.low is not None and 0.2 < s.accuracy.low < 0.21  # Wilson: 1 / (1 + z²)


def test_intervals_repeat_and_depend_on_the_seed() -> None:
    logits, y = random_logits(300)
    first, again, other = (score(logits, y, LABELS, draws=300, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.macro_auc != other.macro_auc


@pytest.mark.parametrize("n", [600, 24_000])  # the second is drawn in several blocks
def test_bootstrap_is_as_wide_as_theory_says(n: int) -> None:
    rng = np.random.default_rng(1)
    y = np.arange(n) % 2
    right = rng.random(n) < 0.7
    s = score(saying(np.where(right, y, 1 - y).tolist(), 2), y, ("a", "b"), draws=800)
    low, high = s.balanced_accuracy.low, s.balanced_accuracy.high
    assert low is not None and high is not None and low < s.balanced_accuracy.value < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.7 * 0.3 / n), rel=0.15)


def test_the_bootstrap_of_the_auc_agrees_with_plain_resampling() -> None:
    logits, y = random_logits(250, classes=3, seed=4)
    s = score(logits, y, ABC, draws=1000)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(1, keepdims=True)
    rng = np.random.default_rng(9)
    draws = []
    for _ in range(400):
        rows = rng.integers(0, len(y), len(y))
        draws.append(np.mean([metrics.roc_auc_score(y[rows] == k, p[rows, k]) for k in range(3)]))
    assert s.macro_auc is not None
    assert (s.macro_auc.low, s.macro_auc.high) == pytest.approx(np.quantile(draws, (0.025, 0.975)), abs=0.012)


def test_the_area_under_the_stored_curve_is_the_auc() -> None:
    logits, y = random_logits(2000)
    s, drawn = score(logits, y, LABELS, draws=50), roc_curves(logits, y, LABELS)
    for c in s.classes:
        assert np.trapezoid(drawn.tpr[c.label], drawn.fpr) == pytest.approx(c.auc, abs=0.01)
        assert drawn.tpr[c.label][-1] == 1 and min(np.diff(drawn.tpr[c.label])) >= 0
    assert s.macro_auc is not None and np.trapezoid(drawn.macro, drawn.fpr) == pytest.approx(
        s.macro_auc.value, abs=0.01
    )
