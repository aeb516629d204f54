"""Bundles made of a small network that is trained here on rendered bars: quantized, compared with float, and written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import SMALL_NETWORK, samples_csv

from convert.bundle.from_float import make_bundle
from convert.data.samples import Samples, held_out
from convert.parity.__main__ import main as parity_main
from convert.parity.comparison import ConversionOptions, compare_on_samples
from convert.parity.parity_report import read_parity
from convert.parity.runtime_logits import logits_on_runtime
from convert.parity.verdict import LOGITS_ONLY
from convert.quantize.__main__ import main as quantize_main
from convert.quantize.calibration_set import calibration_set
from convert.quantize.full_integer import quantize_graph
from convert.quantize.synthetic_images import SyntheticImages, synthesize
from convert.sources.checks import require_int8
from convert.sources.model_source import ModelSource
from convert.sources.opened_model import open_float_of_bundle
from convert.tflite.graph import Graph
from convert.tflite.inspection import operator_types
from convert.tflite.keras_export import float_tflite, load_keras
from convert.train.history import TrainingHistory
from convert.train.networks import build_network
from convert.train.presets import PRESETS
from convert.train.trainer import train
from fer_edge.bundle import Bundle
from fer_edge.bundle_files import sha256_of
from fer_edge.classifier import Classifier
from fer_edge.errors import BundleRefused, NotEnoughData, ParityFailed, UsageError
from fer_edge.thresholds import Thresholds


@pytest.fixture(scope="module")
def bundle_folder(trained: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle quantized with data."""
    out = tmp_path_factory.mktemp("quantized") / "bundle"
    assert quantize_main(["--model", str(trained), "--data", str(data), "--out", str(out), "--name", "bars"]) == 0
    return out


def test_a_bundle_made_with_data_passes_and_its_report_can_be_measured_again(
    bundle_folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Bundle.load(bundle_folder)
    assert bundle.name == "bars"
    content = bundle.model.read_bytes()
    assert {d for op in operator_types(Graph(content)) for d in op.dtypes} <= {"int8", "int32"}
    assert bundle.spec.quantization.input == ("int8", 1.0, -128)
    calibration = json.loads((bundle_folder / "calibration.json").read_text())
    assert calibration["images"] == len(calibration["files"]) == 350 and calibration["seed"] == 0

    thresholds, confidence = bundle.spec.thresholds, read_parity(bundle_folder).confidence
    assert confidence is not None and confidence.labels is not None and thresholds == confidence.thresholds
    assert thresholds.labels is not None and thresholds.labels.prior == ("neutral", 0.7)
    assert "| label | reported from |" in (bundle_folder / "CARD.md").read_text()
    counts, fingerprint = bundle.spec.provenance.train_counts, bundle.spec.provenance.data
    assert counts is not None and list(counts) == list(bundle.labels)
    assert fingerprint is not None and sum(counts.values()) == fingerprint.train

    capsys.readouterr()
    assert parity_main([str(bundle_folder), "--data", str(data), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == json.loads((bundle_folder / "parity.json").read_text()), "the same report from the bundle alone"
    assert again["verdict"] == "pass" and again["parts"]["together"]["n"] == 280
    assert set(again["parts"]) == {"validation", "test", "together"}
    card = (bundle_folder / "CARD.md").read_text()
    assert f"{again['parts']['test']['accuracy']['int8'] * 100:.2f}" in card
    assert "Other weights: what their makers state" in card, (
        "the licence of the shipped weights is not that of a user's own"
    )


def test_without_data_accuracy_is_not_judged(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = load_keras(trained / "model.keras")
    calibrate, loss = synthesize(model, 32, 60, seed=0)
    check, _ = synthesize(model, 32, 60, seed=1)
    _, before = synthesize(model, 32, 1, seed=0)
    assert loss < 0.7 * before, "the images come nearer to the training statistics"
    assert calibrate.dtype == np.uint8 and not np.array_equal(calibrate, check)

    folder = tmp_path / "float"
    folder.mkdir()
    (folder / "float.keras").write_bytes((trained / "model.keras").read_bytes())
    settings = {"seed": 0, "steps": 60, "loss": loss}
    SyntheticImages(calibrate, check, sha256_of(folder / "float.keras"), settings).save(folder / "synthetic.npz")
    out = tmp_path / "bundle-bars"
    assert quantize_main(["--model", str(folder), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "accuracy not judged" in text and "Not measured" in text
    report = json.loads((out / "parity.json").read_text())
    assert report["parts"] == {} and report["logits"]["n"] == 32
    assert parity_main([str(out)]) == 0


def test_images_of_a_neighbouring_model_are_left_out_where_there_are_data(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(trained / "model.keras", tmp_path / "model.keras")
    empty = np.zeros((1, 48, 48), np.uint8)
    settings = {"seed": 0, "steps": 1, "loss": 1.0}
    SyntheticImages(empty, empty, "0" * 64, settings).save(tmp_path / "synthetic.npz")
    arguments = ["--model", str(tmp_path / "model.keras"), "--data", str(data), "--compare", "one"]
    assert quantize_main([*arguments, "--out", str(tmp_path / "bundle")]) == 0
    assert "was made for another model" in (told := capsys.readouterr().err) and "it is left out" in told
    assert not (tmp_path / "bundle/synthetic.npz").exists()


def test_a_report_on_other_runtimes_replaces_that_of_the_bundle(
    bundle_folder: Path, data: Path, tmp_path: Path
) -> None:
    mine = Path(shutil.copytree(bundle_folder, tmp_path / "mine"))
    (mine / "report").mkdir()
    (mine / "report" / "note.md").write_text("stays")
    assert len(Bundle.load(mine).spec.runtimes) == 2
    for prior in (["--threshold-prior", "neutral=0.3"], []):  # without the argument, that of the bundle stays
        assert parity_main([str(mine), "--data", str(data), "--compare", "one", "--write", *prior]) == 0
        thresholds = Bundle.load(mine).spec.thresholds
        assert thresholds.labels is not None and thresholds.labels.prior == ("neutral", 0.3)
    again = Bundle.load(mine)
    assert len(again.spec.runtimes) == len(json.loads((mine / "parity.json").read_text())["runtimes"]) == 1
    assert again.model.read_bytes() == (bundle_folder / "model.tflite").read_bytes()
    assert (mine / "report" / "note.md").read_text() == "stays" and "builtin" not in (mine / "CARD.md").read_text()


def test_layers_left_in_float_are_recorded_and_their_cost_is_printed(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mixed"
    arguments = ["--model", str(trained), "--data", str(data), "--out", str(out), "--keep-float", "dense_2, mean_1"]
    assert quantize_main(arguments) == 0
    assert "dense_2, mean_1 in float: " in capsys.readouterr().err
    bundle = Bundle.load(out)
    assert bundle.spec.quantization.scheme == "int8 and float32"
    mixed = bundle.spec.provenance.calibration.mixed_precision
    assert mixed is not None and mixed.layers == ("dense_2", "mean_1")
    assert "int8 except dense_2, mean_1 in float" in (out / "CARD.md").read_text()
    assert quantize_main([*arguments[:-1], "conv_99"]) == 2
    printed = capsys.readouterr().err
    assert "no layer conv_99; its layers are conv_1" in printed and "quantizing" not in printed, "before the work"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--refine-ranges", "--weight-rounding", "error"],
            "--weight-rounding error, --refine-ranges: for a model that is",
        ),
        (["--keep-float", "conv_1"], "--keep-float: for a model that is quantized here"),
        (["--margins", "margins.toml"], "--margins: for a comparison with a float model; name it with --float"),
        (["--float-range", "0,1"], "--float-range: of the float model that --float names"),
    ],
)
def test_options_without_effect_on_a_tflite_are_refused(
    arguments: list[str], says: str, bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    model = ["--model", str(bundle_folder / "model.tflite"), "--labels", ",".join(Bundle.load(bundle_folder).labels)]
    assert quantize_main([*model, "--out", str(out), *arguments]) == 2
    assert says in capsys.readouterr().err and not out.exists()


@pytest.mark.parametrize("command", [quantize_main, parity_main])
def test_a_prior_without_faces_to_choose_thresholds_on_is_refused(
    command: Callable[[list[str]], int],
    trained: Path,
    bundle_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "bundle"
    model = ["--model", str(trained), "--out", str(out)] if command is quantize_main else [str(bundle_folder)]
    assert command([*model, "--threshold-prior", "neutral=0.4"]) == 2
    assert (
        "--threshold-prior is for thresholds, which are chosen on a data set; name the set" in capsys.readouterr().err
    )
    assert not out.exists()


def test_a_damaged_model_fails_and_the_old_bundle_stays(
    bundle_folder: Path, data: Path, bars: Samples, tmp_path: Path
) -> None:
    """Weights of the last layer that are 5 % off change hardly a label, but the slope of the logits."""
    before = {p.name: p.read_bytes() for p in bundle_folder.iterdir()}
    model = load_keras(bundle_folder / "float.keras")
    dense = model.layers[-2]
    dense.set_weights([w * 1.05 for w in dense.get_weights()])
    damaged = quantize_graph(Graph(float_tflite(model)), calibration_set(bars).x).to_bytes()
    bundle = Bundle.load(bundle_folder)
    float_model = open_float_of_bundle(bundle).classifier()
    int8_logits = logits_on_runtime(Classifier(damaged), held_out(bars)[0])
    report = compare_on_samples(float_model, [int8_logits], bars, bundle.labels)
    assert not report.passed and "slope" in report.failures[0]
    assert report.logits.agreement > 0.97
    # One channel a thousand times too wide, and the weights that read it as much too narrow, are the same float model, but
    # leave int8 no steps for the other channels.
    wide = load_keras(bundle_folder / "float.keras")
    norm = [layer for layer in wide.layers if "batch_norm" in layer.name][1]
    conv = [layer for layer in wide.layers if layer.name.startswith("conv2d")][2]
    gamma, beta, *moving = norm.get_weights()
    (kernel,) = conv.get_weights()
    gamma[0], beta[0], kernel[:, :, 0] = gamma[0] * 1e3, abs(beta[0]) * 1e3 + 1e3, kernel[:, :, 0] * 1e-3
    norm.set_weights([gamma, beta, *moving])
    conv.set_weights([kernel])
    wide.save(tmp_path / "wide.keras")
    with pytest.raises(ParityFailed, match="saturated"):
        make_bundle(ModelSource.find(tmp_path / "wide.keras"), bundle_folder, ConversionOptions(data))
    assert {p.name: p.read_bytes() for p in bundle_folder.iterdir()} == before
    assert [p.name for p in bundle_folder.parent.iterdir()] == [bundle_folder.name]


def test_operators_left_in_float_are_refused() -> None:
    import keras

    gray = keras.Input((16, 16, 1))
    x = keras.layers.Flatten()(gray)
    model = keras.Model(gray, keras.layers.Dense(7)(x))
    with pytest.raises(ParityFailed, match="floating point"):
        require_int8(Graph(float_tflite(model)))


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        (["--model", "nowhere.keras"], UsageError, "does not exist"),
        (["--model", "{here}"], UsageError, "holds no float model"),
        (["--model", "{here}/x.h5"], UsageError, "cannot be loaded as a Keras 3 model"),
        (["--model", "{here}/x.onnx"], UsageError, "not a model that can be read"),
        (["--model", "{here}/broken.keras"], UsageError, "broken.keras"),
        (["--model", "{trained}", "--data", "{here}/nothing"], UsageError, "nothing"),
        (["--model", "{three}"], UsageError, "3 classes"),
        (["--model", "{stale}"], BundleRefused, "another model"),
        (["--model", "{incomplete}"], UsageError, "it has no “network”"),
        (["--model", "{trained}", "--out", "{here}"], UsageError, "not a bundle"),
        (
            ["--model", "{trained}", "--name", "../../evil"],
            UsageError,
            "the bundle's name is '../../evil', not a name that",
        ),
        (["--model", "{trained}", "--name", "a\nb\x1b[31m"], UsageError, r"the bundle's name is 'a\nb\x1b[31m', not"),
        (["--model", "{here}/.net.keras"], UsageError, "name is '.net', not a name that a file can have"),
        (["--model", "{here}/a\nb.keras", "--name", "ab"], UsageError, r"file, 'a\nb.keras', cannot be printed"),
    ],
)
def test_bad_input_is_one_sentence_and_no_bundle(
    arguments: list[str],
    error: type[UsageError],
    word: str,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "x.h5").write_bytes(b"")
    (tmp_path / "x.onnx").write_bytes(b"")
    for broken in ("broken.keras", ".net.keras", "a\nb.keras"):
        (tmp_path / broken).write_bytes(b"PK\x03\x04")
    three, stale = tmp_path / "three.keras", tmp_path / "stale"
    build_network(replace(SMALL_NETWORK, classes=3)).save(three)
    stale.mkdir()
    build_network(SMALL_NETWORK).save(stale / "model.keras")
    SyntheticImages(
        np.zeros((1, 48, 48), np.uint8), np.zeros((1, 48, 48), np.uint8), "0" * 64, {"seed": 0, "steps": 1, "loss": 1.0}
    ).save(stale / "synthetic.npz")
    out = tmp_path / "out"
    incomplete = tmp_path / "incomplete"
    incomplete.mkdir()
    (incomplete / "model.keras").write_bytes((trained / "model.keras").read_bytes())
    row = {"epoch": 1, "loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    (incomplete / "history.json").write_text(json.dumps({"epochs": [row], "best_epoch": 1}))
    filled = [
        a.format(here=tmp_path, trained=trained, three=three, stale=stale, incomplete=incomplete) for a in arguments
    ]
    assert quantize_main(["--out", str(out), *filled]) == error.exit_code
    message = capsys.readouterr().err
    assert word in message and "Traceback" not in message
    assert not out.exists()


def test_parity_refuses_too_few_images(
    bundle_folder: Path, bars: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = np.r_[np.arange(350), np.arange(350, 400)]
    small = Samples(bars.x[few], bars.y[few], bars.split[few], tuple(bars.source[i] for i in few))
    assert parity_main([str(bundle_folder), "--data", str(samples_csv(small, tmp_path))]) == NotEnoughData.exit_code
    assert "50 images" in capsys.readouterr().err
    assert parity_main([str(bundle_folder)]) == NotEnoughData.exit_code, "this bundle has no synthetic images"


def test_calibration_images_are_a_stratified_sample_of_the_training_part(bars: Samples) -> None:
    calibration = calibration_set(bars, per_class=10, seed=0)
    rows = list(calibration.origin.indices)
    part = bars.part("train")
    assert np.bincount(part.y[rows]).tolist() == [10] * 7
    assert np.array_equal(calibration.x, part.x[rows, :, :, 0])
    assert calibration_set(bars, per_class=10, seed=0).origin == calibration.origin
    assert list(calibration_set(bars, per_class=10, seed=1).origin.indices) != rows


def test_training_stops_when_validation_no_longer_improves(bars: Samples, tmp_path: Path) -> None:
    recipe = replace(PRESETS["paper"], epochs=30, batch=70, learning_rate=1e-9, early_stopping=2)
    few = bars.take(np.r_[np.arange(70), np.arange(350, 420)])
    history = train(few, tmp_path, SMALL_NETWORK, recipe)
    assert len(history.epochs) == history.best_epoch + 2 < 30
    assert TrainingHistory.read(tmp_path / "history.json") == history


def test_a_report_without_thresholds_does_not_replace_one_that_has_them(
    bundle_folder: Path, bars: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The device would refuse the bundle: its thresholds would not be those of its report."""
    mine = Path(shutil.copytree(bundle_folder, tmp_path / "mine"))
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    for data in ([], ["--data", str(samples_csv(few(bars, 60), tmp_path))]):
        assert parity_main([str(mine), "--compare", "one", "--write", *data]) == 2
        assert "were chosen on data, and --write would replace their report" in capsys.readouterr().err
        assert {path.name: path.read_bytes() for path in mine.iterdir()} == before


def few(bars: Samples, validation: int) -> Samples:
    """The training images, and so many of the validation part."""
    return bars.take(np.r_[np.arange(350), 350 + np.arange(validation)])


def test_a_small_set_calibrates_and_its_logits_are_judged(
    trained: Path, bars: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The missing images are counted before the quantization, and the threshold of `unsure` is a default."""
    out, data = tmp_path / "out", samples_csv(few(bars, 60), tmp_path)
    assert quantize_main(["--model", str(trained), "--data", str(data), "--out", str(out), "--compare", "one"]) == 0
    errors = capsys.readouterr().err
    counted = "accuracy is not judged: that takes 100 held-out images, the validation and test parts hold 60, so 40 are"
    assert errors.index(counted) < errors.index("quantizing ")
    assert "warning: the logits pass, but 60 images are too few to judge accuracy on" in errors
    bundle, report = Bundle.load(out), read_parity(out)
    assert bundle.spec.provenance.calibration.kind == "training images"
    assert report.verdict == LOGITS_ONLY and report.logits.n == 60 and not report.parts
    assert bundle.spec.thresholds == Thresholds(1.0, 0.57, None, True), "halfway between 1/7 and 1"
    assert "from a probability of 0.57, a default for this number of classes" in (out / "CARD.md").read_text()
    assert parity_main([str(out), "--data", str(data), "--compare", "one"]) == NotEnoughData.exit_code
    assert parity_main([str(out), "--data", str(data), "--compare", "one", "--write"]) == 0, "it was asked to write"
    assert "warning: " in capsys.readouterr().err and Bundle.load(out).spec.thresholds.is_default


def test_a_set_without_held_out_images_is_refused_before_the_work(
    trained: Path, bars: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = samples_csv(bars.take(np.arange(14)), tmp_path)  # two of each class, of which none can be held out
    assert quantize_main(["--model", str(trained), "--data", str(data), "--out", str(tmp_path / "out")]) == 6
    errors = capsys.readouterr().err
    assert "no validation and no test images to compare on" in errors and "quantizing" not in errors


@pytest.mark.parametrize(
    ("has_history", "arguments", "remedy", "absent"),
    [
        (True, (), "train it longer (validation accuracy ", ("--input-range", "--data")),
        (False, (), "name the range of pixels it was trained on (--input-range)", ("--data",)),
        (False, ("--input-range", "0,255"), "(--input-range) if that is not 0 to 255, or train it longer", ("--data",)),
    ],
)
def test_a_model_of_one_class_gets_the_remedies_that_are_left(
    has_history: bool,
    arguments: tuple[str, ...],
    remedy: str,
    absent: tuple[str, ...],
    trained: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = build_network(SMALL_NETWORK)
    last = [layer for layer in model.layers if layer.get_weights()][-1]
    kernel, bias = (np.asarray(value) for value in last.get_weights())
    last.set_weights([kernel * 0, np.eye(len(bias))[3]])
    model.save(tmp_path / "model.keras")
    if has_history:
        (tmp_path / "history.json").write_bytes((trained / "history.json").read_bytes())
    command = ["--model", str(tmp_path / "model.keras"), "--data", str(data), "--out", str(tmp_path / "out")]
    assert quantize_main([*command, *arguments]) == UsageError.exit_code
    sentence = capsys.readouterr().err
    assert remedy in sentence and not any(word in sentence for word in absent)
