"""A training's batches: the same from any worker, every image once an epoch, and a teacher's answers beside the labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import training_history

from convert.train.augmentation import Augmentation
from convert.train.batches import Batches, EpochPlan, TrainingImages
from convert.train.class_shares import shares_of
from convert.train.distillation import Teachers
from convert.train.networks import Network, build_network
from convert.train.presets import PRESETS, Recipe
from convert.train.weight_averaging import AVERAGE_EVERY_STEPS, WeightAverage
from fer_edge.errors import UsageError
from fer_edge.labels import LABELS

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (50, 48, 48, 1)).astype(np.uint8)
Y = RNG.integers(0, 7, 50)
SMALL = Network(stem=4, widths=(8,), strides=(2,), block_dropout=0.0, dense=0, head_dropout=0.0)
PLAIN = Recipe(batch=16)


def plan(recipe: Recipe, epoch: int, y: np.ndarray = Y, classes: int = 7) -> EpochPlan:
    return EpochPlan(TrainingImages.of(X, y, classes, recipe), recipe, epoch)


def batches(
    recipe: Recipe, epoch: int, teachers: Teachers | None = None, y: np.ndarray = Y, classes: int = 7
) -> Batches:
    return Batches(plan(recipe, epoch, y, classes), teachers)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "teacher.keras"
    build_network(SMALL).save(path)
    return path


def test_an_epoch_has_every_image_once_in_an_order_of_its_own() -> None:
    first, second = (batches(PLAIN, epoch) for epoch in (0, 1))
    assert len(first) == 4
    seen = np.concatenate([first[i][0] for i in range(4)])
    assert seen.shape == (64, 48, 48, 1) and seen.dtype == np.float32, "all batches are full"
    assert sorted(seen[:50].sum((1, 2, 3))) == sorted(X.astype(np.float32).sum((1, 2, 3)))
    np.testing.assert_array_equal(seen[50:], seen[:14], "the last one with the first images")
    assert not np.array_equal(first[0][0], second[0][0])
    targets = np.concatenate([first[i][1] for i in range(4)])
    np.testing.assert_array_equal(targets.argmax(1), Y[first.plan.order])
    np.testing.assert_array_equal(targets.max(1), 1)


def test_a_batch_depends_only_on_seed_epoch_and_number() -> None:
    recipe = replace(PRESETS["edge"], batch=16)
    forward, backward = batches(recipe, 40), batches(recipe, 40)
    late = backward[3]  # drawn first
    for i in range(3):
        forward[i]
    for in_order, first in zip(forward[3], late, strict=True):
        np.testing.assert_array_equal(in_order, first)
    assert not np.array_equal(batches(replace(recipe, seed=1), 40)[3][1], late[1])


def test_images_grow_and_the_last_epochs_have_no_mixup() -> None:
    recipe = replace(
        PRESETS["edge-short"], batch=16, epochs=20, label_smoothing=0.0, progressive_sides=((0.4, 32), (0.7, 40))
    )
    sides = [batches(recipe, epoch)[0][0].shape[1] for epoch in range(20)]
    assert sides == [32] * 8 + [40] * 6 + [48] * 6
    blended = [bool((batches(recipe, epoch)[0][1].max(1) < 1).any()) for epoch in range(20)]
    assert blended == [True] * 17 + [False] * 3


def test_the_last_epochs_erase_nothing() -> None:
    recipe = replace(PLAIN, augmentation=Augmentation(erasing=1.0), epochs=20, unmixed_final_share=0.15)
    erased = [bool(plan(recipe, epoch).drawn(0)[0].erased[:, 2].all()) for epoch in range(20)]
    assert erased == [True] * 17 + [False] * 3
    assert not plan(recipe, 19).drawn(0)[0].erased.any()


def test_full_class_balance_gives_each_class_the_same_weight() -> None:
    y = np.array([0] * 40 + [1] * 10)
    epoch = batches(replace(PLAIN, class_balance=1.0), 0, y=y, classes=2)
    weights = np.concatenate([epoch[i][2] for i in range(4)])[:50]
    labels = y[epoch.plan.order[:50]]
    assert weights[labels == 0].sum() == pytest.approx(weights[labels == 1].sum())
    assert weights.mean() == pytest.approx(1)


def test_a_teacher_is_evaluated_on_the_views_of_a_batch(teacher: Path) -> None:
    recipe = replace(PRESETS["edge"], batch=16, progressive_sides=(), temperature=2.0, teachers_see="views")
    x, y = batches(recipe, 0, teachers=Teachers([teacher], "float32", recipe, X, LABELS))[0]
    assert y.shape == (16, 14)
    model = build_network(SMALL)
    model.load_weights(teacher)
    odds = np.exp(np.asarray(model(x)) / 2.0)
    np.testing.assert_allclose(y[:, 7:], odds / odds.sum(1, keepdims=True), atol=1e-5)


def test_repeated_views_have_cached_probabilities(teacher: Path) -> None:
    recipe = replace(PRESETS["nano"], batch=16, draws=3)
    teachers = Teachers([teacher], "float32", recipe, X, LABELS)
    first, other = (batches(recipe, epoch, teachers=teachers)[0] for epoch in (0, 1))
    assert not np.array_equal(first[0], other[0])
    models, teachers.models = teachers.models, []  # cached probabilities need no model
    again = batches(recipe, 3, teachers=teachers)[0]
    for repeated, original in zip(again, first, strict=True):
        np.testing.assert_array_equal(repeated, original)
    teachers.models = models
    fresh = batches(recipe, 3, teachers=Teachers([teacher], "float32", recipe, X, LABELS))[0]
    np.testing.assert_allclose(fresh[1], first[1], atol=1e-6)


def test_a_teacher_is_evaluated_once_on_an_image_and_its_mirror_image(teacher: Path) -> None:
    recipe = replace(PLAIN, temperature=1.0, teachers_see="images")
    teachers = Teachers([teacher, teacher], "float32", recipe, X, LABELS)
    epoch = batches(recipe, 0, teachers=teachers)
    own = (teachers.probabilities(X.astype(np.float32)) + teachers.probabilities(X[:, :, ::-1].astype(np.float32))) / 2
    np.testing.assert_allclose(epoch[0][1][:, 7:], own[epoch.plan.order[:16]], atol=1e-5)


def test_several_teachers_answer_with_the_mean_of_their_probabilities(teacher: Path, tmp_path: Path) -> None:
    build_network(SMALL).save(tmp_path / "other.keras")
    x, recipe = X.astype(np.float32), replace(PLAIN, teachers_see="views", temperature=1.0)
    one, other, both = (
        Teachers(paths, "float32", recipe, X, LABELS).probabilities(x)
        for paths in ([teacher], [tmp_path / "other.keras"], [teacher, tmp_path / "other.keras"])
    )
    assert not np.allclose(one, other, atol=1e-3)
    np.testing.assert_allclose(both, (one + other) / 2, atol=1e-6)


def test_a_teacher_that_does_not_fit_is_refused(teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"takes 48 px and has 7 classes.*48 px and 3 classes"):
        Teachers([teacher], "float32", PLAIN, X, LABELS[:3])
    (tmp_path / "no.keras").write_bytes(b"none")
    with pytest.raises(UsageError, match=r"no\.keras cannot be loaded as a Keras 3 model"):
        Teachers([tmp_path / "no.keras"], "float32", PLAIN, X, LABELS)


def test_a_teacher_of_more_classes_answers_for_the_students(teacher: Path, tmp_path: Path) -> None:
    """Leaving out a logit scales the other probabilities up."""
    build_network(replace(SMALL, classes=8)).save(tmp_path / "model.keras")
    eight = ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    training_history(eight).write(tmp_path / "history.json")
    recipe = replace(PLAIN, teachers_see="views")
    seven = Teachers([tmp_path / "model.keras"], "float32", recipe, X, LABELS).probabilities(X.astype(np.float32))
    whole = Teachers([tmp_path / "model.keras"], "float32", recipe, X, eight).probabilities(X.astype(np.float32))
    left = np.delete(whole, 1, axis=1)
    np.testing.assert_allclose(seven, left / left.sum(1, keepdims=True), atol=1e-5)
    with pytest.raises(UsageError, match="does not know the student's classes bored"):
        Teachers([tmp_path / "model.keras"], "float32", recipe, X, ("happy", "bored"))


def test_a_teacher_whose_classes_are_in_another_order_answers_in_the_students(tmp_path: Path) -> None:
    build_network(SMALL).save(tmp_path / "model.keras")
    training_history(LABELS[::-1]).write(tmp_path / "history.json")
    recipe = replace(PLAIN, teachers_see="views")
    x = X.astype(np.float32)
    own = Teachers([tmp_path / "model.keras"], "float32", recipe, X, LABELS[::-1]).probabilities(x)
    answers = Teachers([tmp_path / "model.keras"], "float32", recipe, X, LABELS).probabilities(x)
    np.testing.assert_allclose(answers, own[:, ::-1], atol=1e-6)
    assert not np.allclose(answers, own, atol=1e-3)


def test_half_of_the_soft_labels_are_votes_where_there_are_some() -> None:
    votes = np.tile(np.eye(7, dtype=np.float32)[3], (50, 1))
    votes[0] = 0
    labels = TrainingImages.of(X, Y, 7, replace(PLAIN, targets="both"), votes).labels
    np.testing.assert_array_equal(labels[0], np.eye(7)[Y[0]])
    np.testing.assert_array_equal(labels[1:], (np.eye(7)[Y[1:]] + votes[1:]) / 2)


def test_shares_of_other_classes_keep_their_sum() -> None:
    shares = np.array([[0.2, 0.3, 0.5], [0, 1, 0], [0, 0, 0]], np.float32)
    np.testing.assert_allclose(shares_of(shares, "abc", "ca"), [[5 / 7, 2 / 7], [0, 0], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(shares_of(shares, "abc", "abx")[0], [0.4, 0.6, 0], atol=1e-6)


def test_the_average_follows_the_weights_with_its_decay() -> None:
    model = build_network(SMALL)
    average = WeightAverage(model, 0.9)
    ones = [np.ones_like(w) for w in model.get_weights()]
    model.set_weights(ones)
    average.update()
    for weights in average.weights():
        np.testing.assert_allclose(weights, 1, rtol=1e-6, err_msg="the untrained weights leave no trace")
    model.set_weights([w * 3 for w in ones])
    for _ in range(40):
        average.update()
    assert average.weights()[0].max() == pytest.approx(3, abs=1e-3)
    before = average.weights()[0].max()
    model.set_weights([w * 5 for w in ones])
    average.update()
    share = 1 - 0.9**AVERAGE_EVERY_STEPS
    assert average.weights()[0].max() == pytest.approx(before + share * (5 - before), rel=1e-5)
    assert WeightAverage(model, 0.0).weights()[0].max() == 5
