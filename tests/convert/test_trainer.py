"""Training: an interrupted run ends where an uninterrupted one does, to the last bit; and what else a run promises."""

from __future__ import annotations

import errno
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import SMALL_NETWORK

from convert.data.samples import Samples
from convert.tflite.keras_export import load_keras
from convert.train import trainer
from convert.train.__main__ import main, make_parser
from convert.train.checkpoints import save_checkpoint
from convert.train.distillation import Teachers
from convert.train.hardware import bfloat16_is_fast, dtype_policies, has_accelerator
from convert.train.history import OffsetsRecord, TrainingHistory
from convert.train.networks import NETWORKS, build_network
from convert.train.presets import PRESETS
from convert.train.run_folder import held_run, require_resumable
from convert.train.trainer import load_initial_weights, train
from fer_edge.errors import UsageError
from fer_edge.labels import LABELS

ROOT = Path(__file__).parents[2]


def bar_images(root: Path, training: int) -> Path:
    """So many training and 70 validation images in class folders: a bright bar at an angle of the class's own, in noise."""
    rng = np.random.default_rng(0)
    for split, n in (("train", training), ("validation", 70), ("test", 14)):
        for i in range(n):
            k = i % len(LABELS)
            image = rng.normal(110, 30, (48, 48))
            angle = np.pi * k / len(LABELS)
            cv2.line(image, (24, 24), (int(24 + 20 * np.cos(angle)), int(24 + 20 * np.sin(angle))), 230, 4)
            folder = root / split / LABELS[k]
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{i:04d}.png"), np.clip(image, 0, 255).astype(np.uint8))
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bar_images` of 512 training images."""
    return bar_images(tmp_path_factory.mktemp("bars"), 512)


def command(data: Path, out: Path, *more: str) -> list[str]:
    fixed = ["--precision", "float32", "--threads", "1", "--epochs", "2", "--seed", "3"]
    return [sys.executable, "-m", "convert.train", "--data", str(data), "--out", str(out), *fixed, *more]


def state(out: Path) -> tuple[dict[str, np.ndarray], list[dict[str, float]]]:
    with np.load(out / "checkpoint.npz") as saved:
        arrays = {name: saved[name] for name in saved.files if name != "history"}
        history = json.loads(str(saved["history"]))
    return arrays, [{k: v for k, v in row.items() if k != "seconds"} for row in history["epochs"]]


@pytest.mark.parametrize(("preset", "images"), [("paper", 96), ("nano-short", 144)])
def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(preset: str, images: int, tmp_path: Path) -> None:
    """An epoch of paper is one batch, for its network is slow; one of nano-short is two, the second not full.

    nano-short has a schedule, an average of the weights, weights of the classes, repeated views and, here, a teacher.
    """
    uninterrupted, killed = tmp_path / "uninterrupted", tmp_path / "killed"
    tree = bar_images(tmp_path / "bars", images)
    more = ["--preset", preset]
    if preset == "nano-short":
        teacher = tmp_path / "teacher.keras"
        build_network(replace(NETWORKS["nano"], widths=(8,), strides=(2,))).save(teacher)
        more += ["--teacher", str(teacher)]
    subprocess.run(command(tree, uninterrupted, *more), cwd=ROOT, check=True, capture_output=True)

    wanted = command(tree, killed, *more)
    first = subprocess.Popen(wanted, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not (killed / "history.json").exists():  # the last file of an epoch
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(state(killed)[1]) == 1, "it was to be killed in its second epoch"
    subprocess.run([*wanted, "--resume"], cwd=ROOT, check=True, capture_output=True)

    (expected, epochs), (resumed, resumed_epochs) = state(uninterrupted), state(killed)
    assert resumed_epochs == epochs and len(epochs) == 2
    assert expected.keys() == resumed.keys() and len(resumed) > 49
    for name, array in expected.items():
        assert np.array_equal(array, resumed[name]), name

    # what it leaves behind: a float32 model that loads without this project, nothing half-written
    script = (
        "import keras, sys, numpy as np; m = keras.models.load_model(sys.argv[1]); "
        "assert {w.dtype for w in m.weights} == {'float32'}; print(m.predict(np.full((1,48,48,1), 9.), verbose=0).shape)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script, str(killed / "model.keras")],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert loaded.stdout.strip() == "(1, 7)"
    assert not list(killed.glob(".*partial*"))


def test_short_epochs_share_a_checkpoint_and_the_best_model_is_kept(
    bars: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, recipe = bars.take(np.r_[0:42, 350:378]), replace(PRESETS["paper"], epochs=4, batch=14, learning_rate=3e-3)
    written: list[int] = []

    def save(history: TrainingHistory, state: list[np.ndarray], path: str) -> None:
        written.append(history.last_epoch)
        save_checkpoint(history, state, path)

    monkeypatch.setattr(trainer, "save_checkpoint", save)
    runs = {}
    for every_s in (0.0, 3600.0):
        monkeypatch.setattr(trainer, "CHECKPOINT_EVERY_S", every_s)
        runs[every_s] = train(few, tmp_path / str(every_s), SMALL_NETWORK, recipe)
    assert written == [1, 2, 3, 4, 1, 4]
    assert runs[0.0].best_epoch == runs[3600.0].best_epoch
    each, shared = (load_keras(tmp_path / name / "model.keras").get_weights() for name in ("0.0", "3600.0"))
    for a, b in zip(each, shared, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    assert runs[0.0].framework and "Keras" in runs[0.0].framework and runs[0.0].hardware


def test_a_run_records_the_outside_labels_of_its_teacher(bars: Samples, trained: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    shutil.copytree(trained, teacher)
    history = replace(TrainingHistory.read(trained / "history.json"), outside_labels="votes of ten people")
    history.write(teacher / "history.json")
    recipe = replace(PRESETS["paper"], epochs=1, batch=70, teacher_share=0.5)
    for folder, expected in ((teacher, "through a teacher: votes of ten people"), (trained, None)):
        run = train(bars, tmp_path / f"run-{folder.name}", SMALL_NETWORK, recipe, teachers=[folder / "model.keras"])
        assert run.outside_labels == expected
    replace(history, outside_labels="through a teacher: votes of ten people; other labels").write(
        teacher / "history.json"
    )
    both = [teacher / "model.keras", trained / "model.keras"]
    run = train(bars, tmp_path / "run-both", SMALL_NETWORK, recipe, teachers=both, init=both[0])
    assert run.outside_labels == "; ".join(
        f"through a teacher and the initial model: {source}" for source in ("votes of ten people", "other labels")
    )


def test_a_folder_holds_one_run_at_a_time(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with held_run(tmp_path / "run", resume=False):
        assert main(["--data", str(tree), "--out", str(tmp_path / "run")]) == 2
        assert f"another training writes into {tmp_path / 'run'}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists(), "nothing was written"
    assert main(["--data", str(tree), "--out", str(tmp_path / "a/b"), "--learning-rate", "-1"]) == 2
    assert not (tmp_path / "a").exists()


def test_a_first_checkpoint_that_fails_leaves_no_model(
    bars: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command can be given again, once there is room."""
    recipe = replace(PRESETS["paper"], epochs=1, batch=14)
    few = bars.take(np.r_[0:14, 350:378])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(trainer, "save_checkpoint", full)
        train(few, tmp_path / "run", SMALL_NETWORK, recipe)
    assert list((tmp_path / "run").iterdir()) == []
    (tmp_path / "run" / "model.keras").write_bytes(b"of a run that was killed just then")
    with pytest.raises(UsageError, match="holds a model and no checkpoint"):
        require_resumable(tmp_path / "run")


def test_teachers_may_be_named_one_by_one() -> None:
    args = make_parser("train").parse_args(["--data", "a", "--out", "b", "--teacher", "c", "d", "--teacher", "e"])
    assert list(map(str, args.teacher)) == ["c", "d", "e"]
    assert make_parser("train").parse_args(["--data", "a", "--out", "b"]).teacher == []


@pytest.mark.parametrize("name", ["model.keras", "float.keras", "bundle.json", "history.json"])
def test_a_run_replaces_no_model(name: str, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even that with which it begins."""
    (tmp_path / name).write_bytes(b"years of work")
    assert main(["--data", str(tree), "--out", str(tmp_path), "--epochs", "1"]) == 2
    assert f"holds {name}, which a run there would replace; name another --out" in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == b"years of work"


def test_a_run_whose_model_is_missing_or_was_changed_is_not_resumed(
    tree: Path, bars: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = replace(PRESETS["paper"], epochs=1, batch=70)
    train(bars, tmp_path / "run", SMALL_NETWORK, recipe)
    (tmp_path / "run/model.keras").rename(tmp_path / "model.keras")
    with pytest.raises(UsageError, match=r"model\.keras is missing, which has the best epoch of the run"):
        train(bars, tmp_path / "run", SMALL_NETWORK, replace(recipe, epochs=2), resume=True)
    (tmp_path / "model.keras").rename(tmp_path / "run/model.keras")
    history = TrainingHistory.read(tmp_path / "run/history.json")
    changed = replace(
        history, offsets=OffsetsRecord("validation", 1.0, dict.fromkeys(LABELS, 0.0), (0.5, 0.5), (0.5, 0.5))
    )
    changed.write(tmp_path / "run/history.json")
    assert main(["--data", str(tree), "--out", str(tmp_path / "run"), "--resume"]) == 2
    assert "was changed by `python -m convert.logit_adjustment` after the training" in capsys.readouterr().err


def test_a_teacher_that_returns_probabilities_is_understood(bars: Samples, trained: Path, tmp_path: Path) -> None:
    """Taken for logits, its answers are nearly the same for every class."""
    import keras

    logits = load_keras(trained / "model.keras")
    keras.Model(logits.inputs, keras.layers.Softmax()(logits.output)).save(tmp_path / "softmax.keras")
    recipe = replace(PRESETS["paper"], teacher_share=0.5, temperature=2.0)
    x = bars.x[:32]
    expected, found = (
        Teachers([path], "float32", recipe, x, LABELS).probabilities(x.astype(np.float32))
        for path in (trained / "model.keras", tmp_path / "softmax.keras")
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_teacher_that_guesses_is_named(
    bars: Samples, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The order of a model's classes is not in its file: in another order its answers are wrong."""
    import keras

    part = bars.part("train")
    logits = load_keras(trained / "model.keras")
    order = np.roll(np.arange(len(LABELS)), 1)
    keras.Model(logits.inputs, keras.ops.take(logits.output, order, axis=-1)).save(tmp_path / "shifted.keras")
    recipe = replace(PRESETS["paper"], teacher_share=0.5)
    paths = [trained / "model.keras", tmp_path / "shifted.keras"]
    Teachers(paths, "float32", recipe, part.x, LABELS).notice_guesses(part.x, part.y)
    printed = capsys.readouterr().err
    assert printed.count("doubtful") == 1
    assert re.search(r"the teacher \S*shifted\.keras is right on \d+ of \d+ training images.*--labels", printed)


def test_teachers_run_in_their_own_precision(bars: Samples, trained: Path, tmp_path: Path) -> None:
    recipe = replace(PRESETS["paper"], epochs=1, batch=70, teacher_share=0.5)
    teachers = [trained / "model.keras"]
    runs = {
        policy: train(bars, tmp_path / str(policy), SMALL_NETWORK, recipe, teachers=teachers, teachers_policy=policy)
        for policy in (None, "float32", "mixed_bfloat16")
    }
    assert {run.policy for run in runs.values()} == {"float32"}
    assert [run.teachers_policy for run in runs.values()] == ["float32", "float32", "mixed_bfloat16"]
    losses = [run.epochs[0].loss for run in runs.values()]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[2] == pytest.approx(losses[0], rel=1e-2) and abs(losses[2] / losses[0] - 1) > 1e-6
    assert train(bars, tmp_path / "alone", SMALL_NETWORK, recipe, teachers_policy="float32").teachers_policy is None


def test_a_separable_network_trains_in_float32_on_a_processor_and_its_teachers_in_what_is_fast() -> None:
    fast = "mixed_bfloat16" if bfloat16_is_fast() else "float32"
    assert not has_accelerator(), "the tests run on a processor"
    assert dtype_policies(separable=True) == ("float32", fast)
    assert dtype_policies(separable=False) == (fast, fast)
    for given in ("float32", "mixed_bfloat16"):
        assert dtype_policies(separable=True, precision=given) == dtype_policies(False, given) == (given, given)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--data", "{tree}", "--resume"], "nothing to resume"),
        (["--data", "{tree}", "--out", "{tree}/train/happy/0003.png"], "is a file"),
        (["--data", "{tree}", "--out", "{damaged}", "--resume"], "is damaged"),
        (["--data", "{tree}", "--teacher", "{tree}"], "holds no float model"),
        (["--data", "{tree}", "--init", "{damaged}/no.keras"], "no.keras"),
        (["--data", "{tree}", "--learning-rate", "-1"], "--learning-rate must be a positive number, not -1"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: list[str], word: str, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "checkpoint.npz").write_bytes(b"PK cut off")
    filled = [a.format(tree=tree, damaged=damaged) for a in arguments]
    code = main(["--out", str(tmp_path / "out"), *filled])
    assert code == 2
    assert word in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "bad",
    [["--epochs", "0"], ["--epochs", "many"], ["--early-stopping", "-1"], ["--seed", "-1"], ["--seed", "4294967296"]],
)
def test_numbers_out_of_range_are_refused(bad: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["--data", "x", "--out", "y", *bad])
    assert exited.value.code == 2
    assert bad[1] in capsys.readouterr().err


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "checkpoint.npz").write_bytes(b"")
    assert main(["--data", "x", "--out", str(tmp_path)]) == 2
    assert "--resume" in capsys.readouterr().err


def test_a_run_starts_from_another_runs_weights(bars: Samples, trained: Path, tmp_path: Path) -> None:
    reached = TrainingHistory.read(trained / "history.json").best.val_accuracy
    gentle = replace(PRESETS["paper"], epochs=1, batch=70, learning_rate=1e-6)
    history = train(bars, tmp_path, SMALL_NETWORK, gentle, init=trained / "model.keras")
    assert history.epochs[0].val_accuracy > reached - 0.1
    assert history.init and history.init.history and not history.teachers


def test_an_epoch_of_few_steps_is_averaged(bars: Samples, trained: Path, tmp_path: Path) -> None:
    recipe = replace(PRESETS["paper"], epochs=2, batch=256, learning_rate=0.01, averaging=0.8)
    history = train(bars, tmp_path, SMALL_NETWORK, recipe, init=trained / "model.keras")
    assert history.epochs[0].val_loss != history.epochs[1].val_loss


def test_initial_weights_need_the_same_network_except_for_the_classes(trained: Path) -> None:
    four = build_network(replace(SMALL_NETWORK, classes=4))
    untrained = four.get_weights()
    load_initial_weights(trained / "model.keras", four, LABELS[:4])
    assert not np.array_equal(four.get_weights()[0], untrained[0])
    np.testing.assert_array_equal(four.get_weights()[-1], untrained[-1])
    with pytest.raises(UsageError, match="another network"):
        load_initial_weights(trained / "model.keras", build_network(replace(SMALL_NETWORK, widths=(8, 24))), LABELS)


def test_a_last_layer_of_other_classes_is_a_new_one_even_if_there_are_as_many(trained: Path, tmp_path: Path) -> None:
    others = tuple(f"class {number}" for number in range(len(LABELS)))
    for labels, is_kept in ((LABELS, True), (others, False), (LABELS[::-1], False)):
        model = build_network(SMALL_NETWORK)
        untrained = model.get_weights()
        load_initial_weights(trained / "model.keras", model, labels)
        assert not np.array_equal(model.get_weights()[0], untrained[0])
        assert np.array_equal(model.get_weights()[-2], untrained[-2]) is not is_kept
    # a file without labels beside it: as many classes count as the same
    shutil.copy(trained / "model.keras", tmp_path / "model.keras")
    model = build_network(SMALL_NETWORK)
    untrained = model.get_weights()
    load_initial_weights(tmp_path / "model.keras", model, others)
    assert not np.array_equal(model.get_weights()[-2], untrained[-2])
