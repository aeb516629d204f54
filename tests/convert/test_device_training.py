"""Training in one compiled step on a device: the same views, losses and averages as with views from the host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from convert.data.ferplus import FERPLUS_LABELS
from convert.data.samples import Samples
from convert.train.augmentation import draw_mixing, draw_views, render_views
from convert.train.batches import TrainingImages
from convert.train.class_shares import shares_of
from convert.train.device_training import DeviceLoop, TrainingStep
from convert.train.device_views import mix_on_device, render_views_on_device, view_inputs
from convert.train.distillation import Teachers
from convert.train.loops import HostLoop, TrainingLoop
from convert.train.loss import TargetColumns, training_loss
from convert.train.networks import Network, build_network, heads_of, weights_of_heads
from convert.train.optimizer import make_optimizer
from convert.train.presets import DEVICE_AUGMENTATION, Recipe
from convert.train.trainer import train
from fer_edge.errors import UsageError
from fer_edge.labels import LABELS

# TensorFlow 2.21 crashes in the gradient of a strided convolution of fewer channels
SMALL = Network(stem=16, widths=(16,), strides=(2,), block_dropout=0.0, dense=0, head_dropout=0.0)
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 7, 64)
VOTES = RNG.dirichlet(np.ones(8), 64).astype(np.float32)
VOTES[::5] = 0  # not usable
# smooth, as faces are: what is left of a difference is rounding, not the slope of noise
X = np.stack(
    [
        127.5 + 120 * np.sin(np.mgrid[:48, :48][0] * a + b) * np.cos(np.mgrid[:48, :48][1] * c)
        for a, b, c in RNG.uniform(0.05, 0.3, (64, 3))
    ]
).astype(np.uint8)[..., None]
FULL = Recipe(
    epochs=4,
    batch=16,
    optimizer="sgd",
    learning_rate=0.05,
    schedule="cosine",
    warmup=0.5,
    weight_decay=1e-3,
    label_smoothing=0.1,
    mixup=0.2,
    mixed_share=0.5,
    unmixed_final_share=0.25,
    class_balance=0.25,
    averaging=0.9,
    augmentation=DEVICE_AUGMENTATION,
    teacher_share=0.7,
    temperature=2.0,
    votes_weight=0.5,
)


@pytest.mark.parametrize("side", [None, 32])
def test_the_device_computes_the_views_of_opencv(side: int | None) -> None:
    """But for OpenCV's rounding: of positions to 1/32 px, and of pixels to whole levels, twice where they are blurred."""
    views = draw_views(64, 48, replace(DEVICE_AUGMENTATION, blur=0.5, erasing=0.5), np.random.default_rng(1), side)
    mixing = draw_mixing(64, 0.4, np.random.default_rng(2), 0.5)
    inputs = {name: keras.ops.convert_to_tensor(a) for name, a in view_inputs(views, mixing).items()}
    on_host = render_views(X, views)
    on_device = render_views_on_device(keras.ops.convert_to_tensor(X), inputs, side or 48)
    difference = np.abs(keras.ops.convert_to_numpy(on_device) - on_host)
    assert difference.mean() < 0.5 and difference.max() < 5
    labels = np.eye(64, dtype=np.float32)
    blended = keras.ops.convert_to_numpy(mix_on_device(keras.ops.convert_to_tensor(labels), inputs))
    np.testing.assert_allclose(blended, mixing.apply(on_host, labels)[1], atol=1e-6)
    assert 0.2 < (mixing.share < 1).mean() < 0.8, "half of them are blended"


def loops(tmp_path: Path, recipe: Recipe) -> list[TrainingLoop]:
    """The same network, images and teacher, trained by both loops."""
    network = replace(SMALL, votes=8)
    keras.utils.set_random_seed(1)
    teacher = tmp_path / "teacher.keras"
    build_network(SMALL).save(teacher)
    weights = build_network(network).get_weights()
    made: list[TrainingLoop] = []
    for kind in (HostLoop, DeviceLoop):
        model = build_network(replace(network, side=None) if recipe.progressive_sides else network)
        model.set_weights(weights)
        images = TrainingImages.of(X, Y, 7, recipe, VOTES)
        teachers = Teachers([teacher], "float32", recipe, X, LABELS)
        made.append(kind(model, make_optimizer(recipe, 4), images, recipe, teachers))
    return made


@pytest.mark.parametrize("progressive", [False, True])
def test_both_loops_train_the_same(tmp_path: Path, progressive: bool) -> None:
    """With teachers that see the views, and with growing images and teachers that saw each image once."""
    growing = replace(FULL, teachers_see="images", progressive_sides=((0.5, 32),))
    host, device = loops(tmp_path, growing if progressive else FULL)
    for epoch in (0, 3):
        (loss, accuracy), (device_loss, device_accuracy) = (one.train_epoch(epoch, []) for one in (host, device))
        assert device_loss == pytest.approx(loss, rel=2e-3), epoch
        assert device_accuracy == pytest.approx(accuracy, abs=0.04), epoch


def test_the_device_averages_the_weights_each_step(tmp_path: Path) -> None:
    recipe = replace(FULL, averaging=0.5, epochs=1)
    device = loops(tmp_path, recipe)[1]
    assert isinstance(device, DeviceLoop)
    seen: list[list[np.ndarray]] = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:  # noqa: ARG002
            seen.append(device.model.get_weights())

    device.train_epoch(0, [Watch()])
    expected = seen[0]  # the weights after the last of four steps join the average in the next call
    for n, weights in enumerate(seen[1:3], 2):
        share = max(0.5, 1 / n)
        expected = [mean + share * (new - mean) for mean, new in zip(expected, weights, strict=True)]
    for mean, own in zip(device.averaged_weights(), expected, strict=True):
        np.testing.assert_allclose(mean, own, atol=1e-5)


def test_a_resumed_device_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    recipe = replace(FULL, epochs=3, teachers_see="images", progressive_sides=((0.4, 32),))
    whole, half, resumed = (loops(tmp_path, recipe)[1] for _ in range(3))
    for epoch in range(3):
        whole.train_epoch(epoch, [])
        if epoch < 2:
            half.train_epoch(epoch, [])
    resumed.load(half.state())
    resumed.train_epoch(2, [])
    for array, expected in zip(resumed.state(), whole.state(), strict=True):
        np.testing.assert_allclose(array, expected, atol=1e-6)


def test_unusable_votes_do_not_count() -> None:
    columns = TargetColumns(7, 8)
    loss = training_loss(columns, Recipe(votes_weight=1.0))
    plain = training_loss(TargetColumns(7), Recipe())
    images = TrainingImages.of(X, Y, 7, Recipe(), VOTES)
    targets = images.targets()
    assert targets.shape == (64, columns.width) and not targets[::5, columns.votes_count].any()
    logits = RNG.normal(size=(64, 15)).astype(np.float32)
    with_votes, without = (
        keras.ops.convert_to_numpy(f(keras.ops.convert_to_tensor(t), keras.ops.convert_to_tensor(z)))
        for f, t, z in ((loss, targets, logits), (plain, targets[:, :7], logits[:, :7]))
    )
    np.testing.assert_allclose(with_votes[::5], without[::5], rtol=1e-5)
    assert (np.delete(with_votes - without, np.s_[::5]) > 0.1).all()


def test_the_teachers_are_not_trained() -> None:
    teacher, student = build_network(SMALL), build_network(SMALL)
    step = TrainingStep(student, [teacher], FULL, 48)
    own = {id(v) for v in student.trainable_variables}
    assert {id(v) for v in step.trainable_variables} == own


def two_headed_samples() -> Samples:
    split = np.array(["train"] * 48 + ["validation"] * 16)
    return Samples(X, Y.astype(np.int64), split, tuple(map(str, range(64))), votes=VOTES)


@pytest.mark.parametrize("on_device", [False, True])
def test_a_second_head_is_saved_as_a_model_of_its_own(tmp_path: Path, on_device: bool) -> None:
    recipe = replace(FULL, epochs=1, teacher_share=0.0)
    network = replace(SMALL, votes=8)
    train(two_headed_samples(), tmp_path / "run", network, recipe, on_device=on_device)
    labels, votes = (keras.models.load_model(tmp_path / "run" / name) for name in ("model.keras", "votes/model.keras"))
    assert labels.output_shape == (None, 7) and votes.output_shape == (None, 8)
    for own, other in zip(labels.get_weights()[:-2], votes.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(own, other)
    both = build_network(network)
    both.set_weights([*labels.get_weights(), *votes.get_weights()[-2:]])
    logits = both.predict(X[:4].astype(np.float32), verbose=0)
    np.testing.assert_allclose(logits[:, :7], labels.predict(X[:4].astype(np.float32), verbose=0), atol=1e-5)
    np.testing.assert_allclose(logits[:, 7:], votes.predict(X[:4].astype(np.float32), verbose=0), atol=1e-5)
    assert [build_network(head).output_shape[1] for head in heads_of(network)] == [7, 8]
    for model, own in zip((labels, votes), weights_of_heads(both.get_weights(), 2), strict=True):
        for weight, expected in zip(model.get_weights(), own, strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_votes_can_be_the_labels(tmp_path: Path) -> None:
    recipe = replace(FULL, epochs=1, teacher_share=0.0, targets="votes", votes_weight=0.0)
    usable = two_headed_samples().take(np.flatnonzero(VOTES.sum(1)))
    assert usable.votes is not None
    labelled = replace(usable, y=usable.votes.argmax(1).astype(np.int64), labels=FERPLUS_LABELS)
    history = train(labelled, tmp_path / "run", replace(SMALL, classes=8), recipe)
    assert len(history.labels) == 8
    images = TrainingImages.of(labelled.x, labelled.y, 8, recipe, labelled.votes)
    np.testing.assert_array_equal(images.targets(), labelled.votes)


def test_votes_can_be_the_labels_of_fewer_classes(tmp_path: Path) -> None:
    recipe = replace(FULL, epochs=1, teacher_share=0.0, targets="votes", votes_weight=0.0)
    samples = two_headed_samples()
    assert samples.votes is not None
    seven = [FERPLUS_LABELS.index(label) for label in LABELS]
    usable = replace(samples.take(np.flatnonzero(samples.votes[:, seven].sum(1))), labels=LABELS)
    history = train(usable, tmp_path / "run", SMALL, recipe)
    assert history.labels == LABELS and history.votes is not None


def test_a_run_is_not_resumed_with_other_votes(tmp_path: Path) -> None:
    samples = replace(two_headed_samples(), labels=LABELS)
    recipe = replace(FULL, epochs=2, teacher_share=0.0, targets="both", votes_weight=0.0, schedule="constant")
    train(samples, tmp_path / "run", SMALL, replace(recipe, epochs=1))
    assert samples.votes is not None
    other = replace(samples, votes=samples.votes[::-1].copy())
    with pytest.raises(UsageError, match="belongs to another run: votes is"):
        train(other, tmp_path / "run", SMALL, recipe, resume=True)
    assert train(samples, tmp_path / "run", SMALL, recipe, resume=True).last_epoch == 2


def test_labels_and_votes_judge_an_epoch_together(tmp_path: Path) -> None:
    samples = replace(two_headed_samples(), labels=LABELS)
    recipe = replace(FULL, epochs=1, teacher_share=0.0, targets="both", votes_weight=0.0)
    history = train(samples, tmp_path / "run", SMALL, recipe)
    validation = samples.part("validation")
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    answers = model.predict(validation.x.astype(np.float32), verbose=0).argmax(1)
    votes = shares_of(validation.votes, FERPLUS_LABELS, LABELS)
    is_label = answers == validation.y
    worth = np.where(votes.any(1), (is_label + votes[np.arange(len(answers)), answers]) / 2, is_label)
    assert history.best.val_score == pytest.approx(worth.mean(), abs=1e-6)
    assert history.best.val_accuracy == is_label.mean() != worth.mean()


def test_the_score_chooses_the_epoch_and_stops_a_run_with_both_targets(tmp_path: Path) -> None:
    samples = replace(two_headed_samples(), labels=LABELS)
    recipe = replace(FULL, epochs=6, teacher_share=0.0, targets="both", votes_weight=0.0, early_stopping=1)
    history = train(samples, tmp_path / "run", SMALL, replace(recipe, schedule="constant"))
    scores = [row.val_score for row in history.epochs]
    assert None not in scores and history.best_epoch == 1 + int(np.argmax(scores))
    assert len(scores) == min(6, history.best_epoch + 1)


def test_votes_that_are_missing_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="learns people's votes; give their file with --votes"):
        train(replace(two_headed_samples(), votes=None), tmp_path / "run", replace(SMALL, votes=8), FULL)
