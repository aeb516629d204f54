"""Signs of a wrong order of labels, of another range of pixels, and of a model that answers with one class or by chance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from classifiers import LABELS, SIDE, bar_classifier, bar_tree, bars, int8_tflite

from convert.bundle.from_float import make_bundle
from convert.bundle.from_tflite import draft_from_tflite
from convert.evaluate.__main__ import main as evaluate_main
from convert.evaluate.plausibility import better_order, doubts
from convert.parity.comparison import ConversionOptions
from convert.parity.reports import read_report
from convert.quantize.__main__ import main as quantize_main
from convert.report.parity_page import page
from convert.report.parity_table import report_table
from convert.sources.model_source import ModelSource
from convert.tflite.keras_export import float_tflite
from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.errors import UsageError
from fer_edge.labels import LABELS as EXPRESSIONS

SEVEN = len(EXPRESSIONS)
CSV_ORDER = [0, 1, 2, 3, 5, 6, 4]  # of FER2013's CSV: sad, surprise, neutral at the end


def answers(n: int, accuracy: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true classes, int64 (n,), of a classifier of the seven that is so often right."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, SEVEN, n)
    return np.where(rng.random(n) < accuracy, y, rng.integers(0, SEVEN, n)), y


def one_hot(predicted: np.ndarray) -> np.ndarray:
    return np.eye(SEVEN)[predicted]


def test_the_order_of_the_models_own_training_is_found() -> None:
    predicted, y = answers(700, 0.6)
    outputs = np.argsort(CSV_ORDER)[predicted]  # the model's outputs are in the CSV's order
    (found,) = [line for line in doubts(one_hot(outputs), y, EXPRESSIONS) or () if "--labels" in line]
    assert found.endswith("--labels angry,disgust,fear,happy,sad,surprise,neutral (of `python -m convert.quantize`)")


@pytest.mark.parametrize(("n", "accuracy"), [(7000, 0.6), (7000, 0.1), (200, 0.6)])
def test_labels_in_their_own_order_are_not_doubted(n: int, accuracy: float) -> None:
    predicted, y = answers(n, accuracy)
    assert better_order(predicted, y, SEVEN) is None
    assert doubts(one_hot(predicted), y, EXPRESSIONS) is None


def test_the_order_of_random_answers_is_left_alone() -> None:
    """Of 5,040 orders one always fits better than the given one; that is chance."""
    for seed in range(20):
        predicted, y = answers(500, 0.0, seed)
        assert better_order(predicted, y, SEVEN) is None


def test_an_accuracy_of_chance_is_told() -> None:
    y, predicted = np.repeat(np.arange(SEVEN), 70), np.tile(np.arange(SEVEN), 70)
    (found,) = doubts(one_hot(predicted), y, EXPRESSIONS) or ()
    assert found.startswith("the accuracy, 14.3 % (11.5 to 17.7) on 490 images, is not above the 14.3 % of a guess")


def test_an_output_of_a_class_without_images_keeps_its_label() -> None:
    """A set of neutral faces only that are often read as sad is a weak model, and no other order."""
    y = np.repeat([3, 4], 200)
    predicted = np.concatenate([np.full(200, 3), np.full(150, 5), np.full(50, 4)])
    assert better_order(predicted, y, SEVEN) is None


def test_a_model_of_one_answer_is_told_and_no_order_is_made_of_it() -> None:
    _, y = answers(700, 1.0)
    y[:200] = 3  # the most frequent class, which an order could give to the one answer
    (chance, one) = doubts(one_hot(np.full(700, 5)), y, EXPRESSIONS) or ()
    assert "is not above the 14.3 % of a guess" in chance and one == "100.0 % of the answers are “sad”"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": 20, "validation": 30, "test": 30}
    return bar_tree(tmp_path_factory.mktemp("tree"), {part: dict.fromkeys(LABELS, n) for part, n in counts.items()})


def test_the_labels_to_be_used_stand_in_the_report(tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    with quiet_tensorflow():
        path.write_bytes(float_tflite(bar_classifier((0.0, 1.0))))
    source = ModelSource.find(path, labels=("up", "right", "left"), input_range=(0.0, 1.0))
    report = draft_from_tflite(source, None, tmp_path, ConversionOptions(tree, runtimes="one")).report
    assert "--labels left,up,right" in (report.doubts or ())[-1] and "--input-range" not in str(report.doubts)
    assert all(f"**Doubtful**: {doubt}" in report_table(report) for doubt in report.doubts or ())


def test_the_range_to_be_used_stands_in_the_reports_the_bundle_and_its_page(tree: Path, tmp_path: Path) -> None:
    """A network for pixels from 0 to 255 is said to take 0 to 110, with which 86 % of its answers are right."""
    with quiet_tensorflow():
        (tmp_path / "net.tflite").write_bytes(float_tflite(bar_classifier()))
        bar_classifier().save(tmp_path / "net.keras")
    options = ConversionOptions(tree, runtimes="one")
    source = ModelSource.find(tmp_path / "net.tflite", labels=LABELS, input_range=(0.0, 110.0))
    report = draft_from_tflite(source, None, tmp_path, options).report
    assert "with 0 to 110: --input-range 0,255" in (report.doubts or ())[-1]
    source = ModelSource.find(tmp_path / "net.keras", labels=LABELS, input_range=(0.0, 110.0))
    bundle, compared = make_bundle(source, tmp_path / "bundle", options)
    assert "with 0 to 110: --input-range 0,255" in (compared.doubts or ())[-1]
    assert read_report(bundle.path) == compared and f"**Doubtful**: {compared.doubts[-1]}" in report_table(compared)
    assert f"<li>Doubtful: {compared.doubts[-1]}.</li>" in page(bundle)


def test_a_conversion_prints_the_range_to_be_used(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Keras file for pixels from 0 to 1, to which all of 0 to 255 is one white; its labels stand in another order too."""
    import keras

    entry = keras.Input((SIDE, SIDE, 1))
    with quiet_tensorflow():
        network = keras.Model(entry, bar_classifier((0.0, 1.0))(keras.layers.ReLU(max_value=1.0)(entry)))
        network.save(tmp_path / "net.keras")
    source = ModelSource.find(tmp_path / "net.keras", labels=("up", "right", "left"))
    with pytest.raises(UsageError, match="labels all 60 images"):
        make_bundle(source, tmp_path / "out", ConversionOptions(tree))
    assert "% with 0 to 255: --input-range 0,1 --labels left,up,right\n" in capsys.readouterr().err


@pytest.fixture(scope="module")
def of_zero_to_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Keras model for pixels from 0 to 1, to which all above is white, and TensorFlow's int8 file of it."""
    import keras

    folder, entry = tmp_path_factory.mktemp("range"), keras.Input((SIDE, SIDE, 1))
    with quiet_tensorflow():
        network = keras.Model(entry, bar_classifier((0.0, 1.0))(keras.layers.ReLU(max_value=1.0)(entry)))
        network.save(folder / "net.keras")
    (folder / "net.tflite").write_bytes(int8_tflite(network, bars(20, seed=3)[0], (0.0, 1.0)))
    return folder


def test_a_float_model_is_given_the_range_that_the_int8_file_states(
    of_zero_to_one: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", str(of_zero_to_one / "net.tflite"), "--float", str(of_zero_to_one / "net.keras")]
    words += ["--labels", ",".join(LABELS), "--data", str(tree), "--compare", "one", "--threshold-prior", "data"]
    assert quantize_main([*words, "--out", str(tmp_path / "out"), "--json"]) == 0
    shown = capsys.readouterr()
    assert "net.keras is given pixels from 0 to 1 too; --float-range says otherwise" in shown.err
    report = json.loads(shown.out)
    assert report["logits"]["slope"] == pytest.approx(1, abs=0.1) and not report.get("doubts")


def test_a_wrong_range_of_the_float_model_is_told_by_its_own_option(
    of_zero_to_one: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ModelSource.find(of_zero_to_one / "net.tflite", labels=LABELS)
    against = ModelSource.find(of_zero_to_one / "net.keras", labels=LABELS, input_range=(0.0, 255.0))
    report = draft_from_tflite(source, against, tmp_path, ConversionOptions(tree, runtimes="one")).report
    doubt = (report.doubts or ())[-1]
    assert doubt.startswith("of net.keras, with pixels from 0 to 1 ") and doubt.endswith(": --float-range 0,1")
    assert f"doubtful: {doubt}" in capsys.readouterr().err and not report.passed


def test_an_evaluation_takes_the_range_that_it_advises(
    of_zero_to_one: Path, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(of_zero_to_one / "net.keras"), "--labels", ",".join(LABELS), "--data", str(tree), "--json"]
    assert evaluate_main(words) == 0
    advised = json.loads(capsys.readouterr().out)["doubts"][-1].rpartition(": ")[2]
    assert advised == "--input-range 0,1"
    assert evaluate_main([*words, *advised.split()]) == 0
    report = json.loads(capsys.readouterr().out)
    assert not report.get("doubts") and report["scores"]["accuracy"]["value"] > 0.9
