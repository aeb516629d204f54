"""Evaluation from the command line: each kind of model on class trees and on the real set, and every rejected input."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builders import class_tree, training_history
from classifiers import int8_tflite

from convert.data.loader import load
from convert.evaluate.__main__ import SHEET, main
from convert.evaluate.evaluator import _in_training, evaluate
from convert.parity.__main__ import main as parity_main
from convert.quantize.__main__ import main as quantize_main
from convert.sources.opened_model import open_named
from convert.tflite.keras_export import float_tflite, load_keras
from convert.tflite.tensorflow_output import quiet_tensorflow
from convert.train.networks import Network, build_network
from fer_edge.bundle_files import sha256_of
from fer_edge.classifier import RAW_RANGE, Classifier
from fer_edge.labels import LABELS
from fer_edge.shipped_bundles import shipped_path

EVEN = dict.fromkeys(LABELS, 6)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small network as tiny.keras, tiny.tflite and tiny-int8.tflite."""
    import keras

    folder = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(2)
    model = build_network(Network(stem=4, widths=(4, 8), dense=16))
    model.save(folder / "tiny.keras")
    (folder / "tiny.tflite").write_bytes(float_tflite(model))
    images = np.random.default_rng(0).integers(0, 256, (20, 48, 48), dtype=np.uint8)
    (folder / "tiny-int8.tflite").write_bytes(int8_tflite(model, images, RAW_RANGE))
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All classes in all parts; two test images of angry are in the training part too, one of them as fear."""
    root = class_tree(tmp_path_factory.mktemp("tree"), {"train": EVEN, "validation": EVEN, "test": EVEN})
    shutil.copy(root / "test/angry/0000.png", root / "train/angry/again.png")
    shutil.copy(root / "test/angry/0001.png", root / "train/fear/again.png")
    return root


def report_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """The report that the command prints as JSON."""
    capsys.readouterr()
    assert main([str(a) for a in (*arguments, "--json")]) == 0
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    return values


@pytest.mark.parametrize("name", ["tiny.keras", "tiny.tflite", "tiny-int8.tflite"])
def test_every_kind_of_model_is_scored_as_it_runs(
    name: str, models: Path, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = report_of(capsys, models / name, "--data", tree)
    test = load(tree).part("test")
    content = float_tflite(load_keras(models / name)) if name.endswith("keras") else (models / name).read_bytes()
    predicted = Classifier(content).logits(test.x[..., 0]).argmax(1)
    scores = values["scores"]
    assert scores["n"] == 42
    assert scores["accuracy"]["value"] == pytest.approx(np.mean(predicted == test.y), abs=1e-6)
    assert np.array_equal(np.sum(scores["confusion"], 0), np.bincount(predicted, minlength=7))
    assert [c["support"] for c in scores["classes"]] == [6] * 7
    assert values["data"]["counts"] == {"train": 44, "validation": 42, "test": 42}
    subject = values["subject"]
    assert (subject["file"], subject["sha256"]) == (name, sha256_of(models / name))
    assert ("int8" in subject["dtypes"], "float32" in subject["dtypes"]) == ("int8" in name, "int8" not in name)
    cost = values["cost"]
    assert cost["multiply_adds"] == 48 * 48 * 9 * (4 + 2 * 16) + 24 * 24 * (32 + 9 * 32 + 9 * 64) + 8 * 16 + 16 * 7
    assert cost["tflite_bytes"] == len(content) and 0 < cost["ms_low"] <= cost["ms_median"] <= cost["ms_high"]


def test_the_unseen_scores_leave_out_images_of_the_training_part(
    models: Path, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = report_of(capsys, models / "tiny.tflite", "--data", tree)
    assert values["unseen"]["n"] == 40 and values["unseen_why"].startswith("2 of these images")
    assert [c["support"] for c in values["unseen"]["classes"]] == [4] + [6] * 6
    assert report_of(capsys, models / "tiny.tflite", "--data", tree, "--split", "validation")["unseen"]["n"] == 42


@pytest.mark.parametrize(("part", "n"), [("train", 44), ("all", 128)])
def test_the_training_part_has_no_unseen_scores(
    part: str, n: int, models: Path, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = report_of(capsys, models / "tiny.tflite", "--data", tree, "--split", part)
    assert values["scores"]["n"] == n and values["unseen"] is None
    assert values["unseen_why"].endswith("is not known."), "nothing tells what the model was trained on"
    found, note = _in_training(load(tree), part, True)
    assert found is None and "training part itself" in note


def test_a_tree_without_parts_is_split_and_absent_classes_have_no_scores(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = class_tree(tmp_path, {"": {"happy": 40, "sad": 20}})
    (root / "sad").rename(root / "Sadness")
    big = cv2.resize(cv2.imread(str(root / "happy/0000.png")), (130, 90))  # colour, and not square
    cv2.imwrite(str(root / "happy/0000.png"), big)
    values = report_of(capsys, models / "tiny-int8.tflite", "--data", root, "--seed", "7")
    assert values["scores"]["n"] == 6 and "drawn 80/10/10" in values["data"]["split_rule"]
    assert values["data"]["seed"] == 7 and "seed 7" in values["data"]["split_rule"]
    assert values["scores"]["absent"] == ["angry", "disgust", "fear", "neutral", "surprise"]
    by_label = {c["label"]: c for c in values["scores"]["classes"]}
    assert by_label["angry"] == {
        "label": "angry",
        "support": 0,
        "precision": None,
        "recall": None,
        "f1": None,
        "auc": None,
    }
    assert (by_label["happy"]["support"], by_label["sad"]["support"]) == (4, 2)
    assert main([str(models / "tiny-int8.tflite"), "--data", str(root)]) == 0
    text = capsys.readouterr().out
    assert "No image of angry, disgust, fear, neutral, surprise" in text
    assert "No published figures" in text and "published, n" not in text


def test_scores_follow_the_order_of_the_labels(models: Path, tree: Path) -> None:
    reversed_labels = tuple(reversed(LABELS))
    model = open_named(models / "tiny.tflite")
    plain, _ = evaluate(model, tree)
    other, _ = evaluate(
        replace(model, source=replace(model.source, labels=reversed_labels)), tree
    )  # other labels, same outputs
    assert [c.label for c in other.scores.classes] == list(reversed_labels)
    assert np.array_equal(np.array(other.scores.confusion)[::-1], plain.scores.confusion)


def test_the_labels_of_a_file_can_be_given(models: Path, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = models / "tiny.tflite"
    plain = report_of(capsys, file, "--data", tree)
    other = report_of(capsys, file, "--data", tree, "--labels", ",".join(reversed(LABELS)))
    assert [row["label"] for row in other["scores"]["classes"]] == list(reversed(LABELS))
    assert other["scores"]["confusion"][::-1] == plain["scores"]["confusion"]


@pytest.mark.parametrize(
    ("model", "labels", "message"),
    [
        ("tiny.tflite", "sad,sad", "not all different names"),
        ("tiny.tflite", "sad,happy", "7 classes, but there are 2 labels"),
        ("", "sad,happy", "a bundle has labels of its own"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    model: str, labels: str, message: str, models: Path, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = models / model if model else shipped_path("nano")
    assert main([str(path), "--data", str(tree), "--labels", labels]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "model", "remedy"),
    [
        (main, "tiny.tflite", "name the folders as the labels, or give --labels in the order of the outputs"),
        (main, "", "name the folders as the labels"),
        (parity_main, "", "name the folders as the labels"),
        (quantize_main, "tiny.tflite", "name the folders as the labels, or give --labels in the order of the outputs"),
        (quantize_main, "tiny.keras", "name the folders as the labels, or give --labels in the order of the outputs"),
    ],
)
def test_a_set_of_other_classes_is_refused_with_an_option_that_the_command_has(
    command: Callable[[list[str]], int],
    model: str,
    remedy: str,
    models: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = class_tree(tmp_path, {"": {"happy": 3, "sad": 3}})
    for old, new in (("happy", "alert"), ("sad", "drowsy")):
        (root / old).rename(root / new)
    path = models / model if model else shipped_path("nano")
    words = ["--model", str(path)] if command is quantize_main else [str(path)]
    assert command([*words, "--data", str(root)]) == 2
    assert capsys.readouterr().err.endswith(f"; its classes are alert, drowsy; {remedy}\n")


def test_the_input_range_of_a_file_can_be_given(models: Path, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = report_of(capsys, models / "tiny.tflite", "--data", tree, "--input-range", "-1,1")
    test = load(tree).part("test")
    classifier = Classifier((models / "tiny.tflite").read_bytes(), input_range=(-1.0, 1.0))
    predicted = classifier.logits(test.x[..., 0]).argmax(1)
    assert np.array_equal(np.sum(values["scores"]["confusion"], 0), np.bincount(predicted, minlength=7))


@pytest.mark.parametrize("images", ["--data", "--pictures"])
def test_an_input_range_of_a_bundle_is_refused(images: str, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(shipped_path("nano")), images, str(tree), "--input-range", "0,1"]) == 2
    assert "a bundle has an input range of its own" in capsys.readouterr().err


@pytest.mark.parametrize("runtime", ["litert", "tensorflow"])
def test_the_runtime_kernels_and_threads_can_be_chosen(
    runtime: str, models: Path, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = models / "tiny-int8.tflite"
    values = report_of(capsys, file, "--data", tree, "--runtime", runtime, "--kernels", "reference", "--threads", "2")
    assert values["subject"]["runtime"].startswith(f"{runtime} ") and values["subject"]["kernels"] == "reference"
    assert values["scores"]["n"] == 42


def test_a_report_written_into_a_trainings_folder_replaces_only_its_own_files(
    models: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(models / "tiny.keras", run / "model.keras")
    training_history().write(run / "history.json")
    (run / "report.md").write_text("old")
    values = report_of(capsys, run, "--data", tree, "--out", run)  # a training's folder, and the report into it
    assert values["subject"]["name"] == "run"
    assert values["history"]["best_epoch"] == 3 and "seconds" not in values["history"]["epochs"][0]
    figures = ["figure-2-training.png", "figure-3-confusion.png", "figure-4-roc.png"]
    wanted = {"model.keras", "history.json", "report.json", "report.md", *figures}
    assert {p.name for p in run.iterdir()} == wanted  # no figure 1 unless asked, nothing half written
    assert json.loads((run / "report.json").read_text()) == values
    text = (run / "report.md").read_text()
    assert text.startswith("# run on the test part of") and all(f"({name})" in text for name in figures)
    for name in figures:
        image = cv2.imread(str(run / name))
        assert image.shape[0] > 400 and image.std() > 5


def test_sample_images_are_written_only_with_their_option(
    models: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "folder"
    assert main([str(models / "tiny.tflite"), "--data", str(tree), "--out", str(out), "--samples"]) == 0
    assert (out / SHEET).exists() and not (out / "figure-2-training.png").exists()
    assert "shows people" in capsys.readouterr().err
    assert SHEET not in (out / "report.md").read_text()


def test_the_shipped_bundle_is_scored_on_real_faces(
    bundle_path: Path, fer2013: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On 300 validation images, and the training images that 8 of them are copies of: one labelled path for all."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(fer2013) as archive, zipfile.ZipFile(tmp_path / "some.zip", "w") as some:
        names = sorted(archive.namelist())
        held = [n for n in names if "/PublicTest_" in n]
        picked = [held[i] for i in rng.permutation(len(held))[:300]]
        for name in picked:
            some.writestr(name, archive.read(name))
        for i, name in enumerate(picked[:8]):
            folder = Path(name).parent.name
            some.writestr(f"train/{folder}/Training_{i}.jpg", archive.read(name))
    values = report_of(capsys, bundle_path, "--data", tmp_path / "some.zip", "--split", "validation")
    assert values["scores"]["n"] == 300 and values["unseen"]["n"] <= 292
    arguments = (bundle_path, "--data", tmp_path / "some.zip", "--split", "validation")
    stated = report_of(capsys, *arguments, "--prior", "neutral=0.5")
    assert stated["reported_prior"] == "neutral=0.5" and stated["scores"] == values["scores"]
    (before,), (after,) = ([row for row in v["reported"] if row["label"] == "neutral"] for v in (values, stated))
    assert after["right"] > before["right"] and after["unsure"] < before["unsure"]
    assert values["subject"]["kind"] == "bundle" and "float32" not in values["subject"]["dtypes"]
    assert values["scores"]["accuracy"]["value"] > 1 / 7
    samples = load(tmp_path / "some.zip").part("validation")
    predicted = Classifier(bundle_path / "model.tflite").logits(samples.x[..., 0]).argmax(1)
    assert values["scores"]["accuracy"]["value"] == pytest.approx(np.mean(predicted == samples.y), abs=1e-6)


def dense(outputs: int, activation: str | None = None, channels: int = 1) -> Callable[[Path], list[str]]:
    """Writes a float TFLite of one dense layer, and names it."""

    def write(folder: Path) -> list[str]:
        import keras
        import tensorflow as tf

        pixels = keras.Input((48, 48, channels))
        x = keras.layers.Rescaling(1 / 255)(pixels)
        model = keras.Model(pixels, keras.layers.Dense(outputs, activation=activation)(keras.layers.Flatten()(x)))
        with quiet_tensorflow():
            content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
        (folder / "dense.tflite").write_bytes(content)
        return [str(folder / "dense.tflite")]

    return write


@pytest.mark.parametrize("suffix", [".keras", ".tflite"])
def test_a_model_that_ends_in_a_softmax_has_the_scores_of_its_logits(
    suffix: str, models: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    model = load_keras(models / "tiny.keras")
    with_softmax = keras.Model(model.input, keras.layers.Softmax()(model.output))
    path = tmp_path / f"softmax{suffix}"
    if suffix == ".keras":
        with_softmax.save(path)
    else:
        path.write_bytes(float_tflite(with_softmax))
    of_probabilities = report_of(capsys, path, "--data", tree)["scores"]
    of_logits = report_of(capsys, models / f"tiny{suffix}", "--data", tree)["scores"]
    assert of_probabilities == of_logits


def file(name: str, content: bytes) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        (folder / name).write_bytes(content)
        return [str(folder / name)]

    return write


def with_broken_history(folder: Path) -> list[str]:
    (folder / "history.json").write_text('{"epochs": [{"epoch": 1}]}')
    return ["TINY", "--history", str(folder / "history.json")]


@pytest.mark.parametrize(
    ("arrange", "code", "says"),
    [
        (lambda f: [str(f / "none.keras")], 2, "does not exist"),
        (lambda f: [str(f / "none")], 2, "does not exist"),
        (file("model.onnx", b"x"), 2, "not a model that can be read"),
        (file("model.keras", b"x"), 2, "cannot be loaded as a Keras 3 model"),
        (file("model.tflite", b"TFL3 or so it says"), 5, "model.tflite is not a TFLite file"),
        (file("model.tflite", b""), 5, "model.tflite is not a TFLite file"),
        (dense(7, channels=2), 5, "not one square gray image"),
        (dense(5), 2, "has 5 classes, but there are 7 labels"),
        (lambda f: [str(f)], 2, "is not a bundle"),
        (lambda f: ["TINY", "--data", str(f / "nothing")], 2, "nothing"),
        (lambda f: ["TINY", "--data", str(f)], 2, "is not a data set"),
        (
            lambda f: ["TINY", "--data", str(class_tree(f / "t", {"train": EVEN, "validation": EVEN}))],
            2,
            "no image in its test part; its parts are train 42, validation 42, test 0",
        ),
        (lambda _: ["TINY", "--samples"], 2, "name a folder with --out"),
        (lambda f: ["TINY", "--out", *file("out", b"")(f)], 2, "is a file"),
        (lambda _: ["TINY", "--runtime", "onnx"], 2, "there is no runtime “onnx”"),
        (lambda _: ["TINY", "--detector", "haar"], 2, "--detector: only with --pictures"),
        (lambda _: ["TINY", "--prior", "neutral=0.5"], 2, "tiny.tflite is not a bundle; name a bundle's folder"),
        (lambda _: [str(shipped_path("nano")), "--prior", "joy=0.3"], 2, "the prior names “joy”; the bundle's labels"),
        (lambda _: ["TINY", "--threads", "0"], 2, "must be 1 to 64, not 0"),
        (lambda f: ["TINY", "--history", str(f / "none.json")], 2, "cannot be read"),
        (with_broken_history, 2, "not a history of `python -m convert.train`"),
    ],
)
def test_bad_input_is_rejected_with_one_sentence(
    arrange: Callable[[Path], list[str]],
    code: int,
    says: str,
    models: Path,
    tree: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [str(models / "tiny.tflite") if a == "TINY" else a for a in arrange(tmp_path)]
    if "--data" not in arguments:
        arguments += ["--data", str(tree)]
    capsys.readouterr()
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    last = err.strip().splitlines()[-1]
    assert last.startswith("fer-edge: ") and says in last


@pytest.mark.parametrize("arguments", [["m.keras"], ["m.keras", "--data", "d", "--split", "both"]])
def test_missing_data_or_an_unknown_part_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
