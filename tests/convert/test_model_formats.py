"""Bundles made of Keras, HDF5, SavedModel and TFLite files, compared and run; and models that are rejected."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import write_image
from classifiers import LABELS, as_input, bar_classifier, bar_tree, bars, int8_tflite

from convert.bundle.from_float import make_bundle
from convert.data.loader import load
from convert.parity.__main__ import main as parity_main
from convert.parity.comparison import ConversionOptions
from convert.parity.reference_free_report import ReferenceFreeReport
from convert.parity.reports import read_report
from convert.quantize.__main__ import main as quantize_main
from convert.sources.model_source import ModelSource
from convert.tflite.fixed_batch import with_batch_of_one
from convert.tflite.flatbuffer import serialize, tflite_schema
from convert.tflite.graph import Graph
from convert.tflite.inspection import operator_types
from convert.tflite.keras_export import float_tflite
from convert.tflite.op_versions import one_operator
from convert.tflite.tensorflow_output import quiet_tensorflow
from convert.thresholds import fit_thresholds
from convert.thresholds import main as thresholds_main
from fer_edge.bundle import Bundle
from fer_edge.classifier import softmax
from fer_edge.errors import BundleRefused, FerEdgeError, NotEnoughData, ParityFailed, UsageError
from fer_edge.thresholds import StatedPrior

NAMES = ",".join(LABELS)
HALF = (-1.0, 1.0)


@dataclass(frozen=True)
class Models:
    """One network in many files: its Keras model for three channels from −1 to 1, ending in a softmax."""

    model: Any
    folder: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    model = bar_classifier(HALF, 3, "activation")
    x, _ = bars(15, seed=5)
    with quiet_tensorflow():
        model.save(folder / "net.keras")
        model.save(folder / "net.h5")
        model.export(folder / "exported", verbose=False)
    (folder / "int8.tflite").write_bytes(int8_tflite(model, x, HALF))
    (folder / "eight.tflite").write_bytes(int8_tflite(model, x, HALF, batch=8))
    gray = bar_classifier((0.0, 1.0))
    with quiet_tensorflow():
        gray.save(folder / "gray.keras")
    (folder / "float.tflite").write_bytes(float_tflite(gray))
    return Models(model, folder)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bars in class folders: 40 of each to train on, 60 and 60 to evaluate on."""
    counts = {"train": 40, "validation": 60, "test": 60}
    return bar_tree(tmp_path_factory.mktemp("tree"), {part: dict.fromkeys(LABELS, n) for part, n in counts.items()})


def bundle_of(out: Path, *arguments: str | Path) -> Bundle:
    """The bundle that the command makes; it must exit with 0."""
    assert quantize_main([*map(str, arguments), "--labels", NAMES, "--out", str(out)]) == 0
    return Bundle.load(out)


def keras_probabilities(models: Models, faces: np.ndarray) -> np.ndarray:
    """Keras's own output for faces, given in the range and channels that the network expects."""
    return np.asarray(models.model(as_input(faces, HALF, 3)))


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "exported"])
def test_a_float_model_is_quantized_to_int8_for_raw_pixels(
    name: str, models: Models, tree: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    bundle = bundle_of(out, "--model", models / name, "--input-range", "-1,1", "--data", tree)
    spec = bundle.spec
    assert bundle.labels == LABELS and bundle.side == 24
    assert spec.quantization.scheme == "int8" and spec.output.kind == "logits"
    assert spec.quantization.input == ("int8", 1.0, -128)
    assert spec.input.range == (0, 255) and spec.input.channels == 1
    assert "SOFTMAX" not in spec.operators.versions
    assert {"litert 2.3.0", "tflite-runtime 2.14.0"} <= set(spec.operators.supported_by)
    assert [row.runtime for row in spec.runtimes] == ["litert", "litert"]
    assert spec.provenance.source.file == name
    assert (out / ("float.tflite" if name == "exported" else "float.keras")).is_file()
    assert json.loads((out / "parity.json").read_text())["verdict"] == "pass"
    test = load(tree, 24, classes=LABELS).part("test")
    faces, expected = test.x[..., 0], keras_probabilities(models, test.x[..., 0])
    logits = bundle.classifier.logits(faces)
    assert np.mean(logits.argmax(1) == expected.argmax(1)) >= 0.99 and np.mean(logits.argmax(1) == test.y) > 0.95
    np.testing.assert_allclose(softmax(logits), expected, atol=0.05)


def test_a_bundle_predicts_runs_and_is_made_again_from_its_own_float_model(
    models: Models, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], blazeface: object
) -> None:
    """It uses its own labels; parity on it prints the report that it stores."""
    from fer_edge.cli import main

    bundle_of(tmp_path / "first", "--model", models / "net.keras", "--input-range", "-1,1", "--data", tree)
    faces, y = bars(1, seed=9)
    for face, label in zip(faces, y, strict=True):
        capsys.readouterr()
        path = write_image(tmp_path / "face.png", face)
        assert main(["predict", "--crop", "--json", "--bundle", str(tmp_path / "first"), str(path)]) == 0
        (reading,) = json.loads(capsys.readouterr().out)["faces"]
        assert reading["label"] == LABELS[label] and set(reading["p"]) == set(LABELS)
    arguments = ["--camera", "synthetic", "--duration", "1", "--json", "--log", str(tmp_path / "log")]
    assert main(["run", "--bundle", str(tmp_path / "first"), *arguments]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "reading" in [event["kind"] for event in events]
    again = bundle_of(tmp_path / "second", "--model", tmp_path / "first", "--data", tree)
    assert again.model.read_bytes() == (tmp_path / "first" / "model.tflite").read_bytes()
    assert parity_main([str(tmp_path / "first"), "--data", str(tree), "--json"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed[printed.index("\n{") :]) == json.loads((tmp_path / "first" / "parity.json").read_text())


def test_without_data_the_model_is_calibrated_on_images_synthesized_from_it(
    models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_of(tmp_path / "bundle", "--model", models / "net.h5", "--input-range", "-1,1")
    assert "accuracy not judged" in capsys.readouterr().out
    assert bundle.spec.provenance.calibration.kind == "synthetic images"
    faces, y = bars(20, seed=11)
    assert np.mean(bundle.classify(faces).argmax(1) == y) > 0.95


def test_a_float_tflite_is_compared_with_its_keras_model(models: Models, tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    arguments = ["--model", models / "float.tflite", "--input-range", "0,1", "--float", models / "gray.keras"]
    bundle = bundle_of(out, *arguments, "--data", tree)
    assert bundle.model.read_bytes() == (models / "float.tflite").read_bytes(), "as it is"
    assert bundle.spec.quantization.scheme == "float32" and bundle.spec.input.range == (0, 1)
    report = json.loads((out / "parity.json").read_text())
    assert report["verdict"] == "pass" and report["logits"]["rms"] < 1e-4
    card = (out / "CARD.md").read_text()
    assert "used as it is" in card and "gray.keras" in card and "pixels 0 to 255 as 0 to 1" in card
    faces, y = bars(20, seed=11)
    assert np.mean(bundle.classify(faces).argmax(1) == y) > 0.95


@pytest.mark.parametrize(("name", "compared"), [("int8.tflite", True), ("int8.tflite", False), ("eight.tflite", False)])
def test_an_int8_tflites_input_range_and_probabilities_are_recognised(
    name: str, compared: bool, models: Models, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    more = ["--float", models / "net.keras", "--float-range", "-1,1"] if compared else []
    more += ["--threshold-prior", "data"]
    bundle = bundle_of(out, "--model", models / name, "--data", tree, *more)
    spec, report = bundle.spec, json.loads((out / "parity.json").read_text())
    printed = capsys.readouterr().out
    assert spec.input.range == (-1, 1) and spec.input.channels == 3
    assert spec.output.kind == "probabilities" and spec.quantization.scheme == "int8"
    faces, _ = bars(20, seed=11)
    np.testing.assert_allclose(bundle.classify(faces), keras_probabilities(models, faces), atol=0.03)
    assert np.array_equal(
        bundle.classify(faces[:3]), bundle.make_classifier().probabilities(faces[:3], bundle.temperature)
    )
    card = (out / "CARD.md").read_text()
    data = load(tree, 24, classes=LABELS)
    assert spec.thresholds == fit_thresholds(bundle, data, None).thresholds, "fitted on what the device gives"
    if compared:
        assert report["verdict"] == "pass" and report["logits"]["n"] == 360
        assert "net.keras" in card
        return
    assert report["verdict"] == "not compared with a float model" and report["not_measured"]
    assert report["parts"]["test"]["accuracy"]["value"] > 0.95
    for text in (card, printed):
        assert "not compared with a float model" in text and "what quantization changed" in text
    assert "no float model" in card and spec.provenance.float_sha256 is None
    assert [row.agreement for row in spec.runtimes] == [None, None]


def test_thresholds_of_a_tflite_file_without_a_float_model_are_fitted_again(
    models: Models, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_of(tmp_path / "bundle", "--model", models / "int8.tflite", "--data", tree)
    made = read_report(bundle.path)
    assert thresholds_main([str(bundle.path), "--data", str(tree), "--threshold-prior", "up=0.5"]) == 0
    fitted, report = Bundle.load(bundle.path).spec.thresholds, read_report(bundle.path)
    assert fitted.labels and fitted.labels.prior == StatedPrior("up", 0.5)
    assert isinstance(report, ReferenceFreeReport) and report.confidence and report.confidence.thresholds == fitted
    assert replace(report, confidence=made.confidence) == made, "nothing else in it changes"
    assert "not compared with a float model" in (bundle.path / "CARD.md").read_text()


def test_without_data_and_float_model_the_report_lists_the_runtimes_that_ran_it(models: Models, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", "--model", models / "float.tflite", "--input-range", "0,1")
    report = json.loads((bundle.path / "parity.json").read_text())
    assert report["parts"] == {} and "accuracy" in report["not_measured"]
    assert set(report["runtimes"]) == {c for c in bundle.spec.golden.runtimes if "litert" in c and "reference" not in c}


def test_a_file_for_eight_images_at_a_time_becomes_one_for_one_image(models: Models) -> None:
    graph = Graph((models / "eight.tflite").read_bytes())
    single = with_batch_of_one(graph, models / "eight.tflite")
    assert single.shape(single.inputs[0]) == (1, 24, 24, 3) and graph.shape(graph.inputs[0]) == (8, 24, 24, 3)
    computed = {t for op in single.operators for t in op.outputs}
    assert {single.shape(t)[0] for t in computed} == {1}, "costs are of one image"
    assert [op.name for op in operator_types(single)] == [op.name for op in operator_types(graph)]
    one = Graph((models / "int8.tflite").read_bytes())
    assert with_batch_of_one(one, models / "int8.tflite") is one


# Models that are rejected. Each function writes a model, perhaps a data set, and returns the command's arguments.

Rejected = Callable[[Models, Path, Path], list[str]]


def arguments(*words: str) -> Rejected:
    """These arguments; MODELS, TREE and HERE are replaced with folders."""

    def write(models: Models, tree: Path, here: Path) -> list[str]:
        places = {"MODELS": models.folder, "TREE": tree, "HERE": here}
        return [next((a.replace(k, str(v)) for k, v in places.items() if k in a), a) for a in words]

    return write


def keras_model(change: Callable[[Any], Any], *words: str) -> Rejected:
    """A Keras classifier of raw gray, edited by `change`."""

    def write(models: Models, tree: Path, here: Path) -> list[str]:
        model = bar_classifier()
        model = change(model) or model
        with quiet_tensorflow():
            model.save(here / "net.keras")
        return arguments("--model", "HERE/net.keras", *words)(models, tree, here)

    return write


def edited(name: str, change: Callable[[Graph], None], *words: str) -> Rejected:
    """One of the TFLite files, its graph edited by `change`."""

    def write(models: Models, tree: Path, here: Path) -> list[str]:
        graph = Graph((models / name).read_bytes())
        change(graph)
        (here / "net.tflite").write_bytes(serialize(graph.model))
        return arguments("--model", "HERE/net.tflite", *words)(models, tree, here)

    return write


def with_floor(model: Any) -> Any:
    import keras

    return keras.Model(model.input, keras.ops.floor(model.output))


def with_nan_weight(model: Any) -> None:
    kernel, bias = model.layers[-1].get_weights()
    kernel[3, 1] = np.nan
    model.layers[-1].set_weights([kernel, bias])


def always_the_same_label(model: Any) -> None:
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, np.add(bias, [0, 1000, 0])])


def with_custom_operator(graph: Graph) -> None:
    code = graph.model.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = 32  # CUSTOM
    code.customCode = b"FlexErfinv"


def with_newer_operator(graph: Graph) -> None:
    graph.model.operatorCodes[0].version = 31


def with_infinite_weight(graph: Graph) -> None:
    weights = next(i for i in range(len(graph.subgraph.tensors)) if graph.is_constant(i) and graph.is_float(i))
    buffer = graph.model.buffers[graph.tensor(weights).buffer]
    values = np.array(buffer.data, np.uint8).view(np.float32)
    values[0] = np.inf
    buffer.data = values.view(np.uint8)


def with_narrow_logits(graph: Graph) -> None:
    """Logits of an eighth of their range, without the softmax: as if calibrated on images without contrast."""
    logits = graph.operators[-1].inputs[0]
    quantization = graph.tensor(logits).quantization
    quantization.scale = quantization.scale / 8
    graph.subgraph.outputs = [logits]
    del graph.subgraph.operators[-1]


def truncated(models: Models, tree: Path, here: Path) -> list[str]:
    (here / "net.tflite").write_bytes((models / "int8.tflite").read_bytes()[:2000])
    return ["--model", str(here / "net.tflite")]


def one_training_class(models: Models, tree: Path, here: Path) -> list[str]:
    counts = {"train": {"up": 9}, "validation": dict.fromkeys(LABELS, 5), "test": dict.fromkeys(LABELS, 5)}
    return ["--model", str(models / "net.h5"), "--data", str(bar_tree(here / "one", counts))]


def fixed_batch(models: Models, tree: Path, here: Path) -> list[str]:
    import keras

    entry = keras.Input(batch_shape=(8, 24, 24, 1))
    end = keras.layers.Dense(3)(keras.ops.reshape(entry, (8, -1)))
    with quiet_tensorflow():
        keras.Model(entry, end).save(here / "net.keras")
    return ["--model", str(here / "net.keras")]


def float_model_of_another_side(models: Models, tree: Path, here: Path) -> list[str]:
    with quiet_tensorflow():
        bar_classifier(side=28).save(here / "larger.keras")
    return arguments("--model", "MODELS/float.tflite", "--float", "HERE/larger.keras")(models, tree, here)


@pytest.mark.parametrize(
    ("write", "error", "says"),
    [
        (
            arguments("--model", "MODELS/net.h5", "--labels", "yes,no"),
            UsageError,
            "has 3 classes, but there are 2 labels (yes, no)",
        ),
        (
            arguments("--model", "MODELS/float.tflite", "--labels", "yes,no"),
            UsageError,
            "name its labels with --labels",
        ),
        (arguments("--model", "MODELS/net.h5", "--labels", "a,b,a"), UsageError, "not all different names"),
        (keras_model(with_floor, "--data", "TREE"), ParityFailed, "operators are still in floating point: FLOOR;"),
        (keras_model(with_nan_weight, "--data", "TREE"), UsageError, "weights that are not finite numbers"),
        (keras_model(always_the_same_label, "--data", "TREE"), UsageError, "labels all 120 images “up”"),
        (fixed_batch, UsageError, "save it with a batch of any size"),
        (one_training_class, NotEnoughData, "all calibration images are of one class, up;"),
        (arguments("--model", "MODELS/exported"), NotEnoughData, "give a data set with --data"),
        (
            arguments("--model", "MODELS/net.h5", "--float", "MODELS/net.keras"),
            UsageError,
            "--float is for an existing .tflite",
        ),
        (edited("int8.tflite", with_custom_operator), UsageError, "that TFLite does not have: FlexErfinv;"),
        (
            edited("int8.tflite", with_newer_operator),
            UsageError,
            "litert 2.3.0 lacks CONV_2D version 31 (it has 8); tflite-runtime",
        ),
        (edited("float.tflite", with_infinite_weight), UsageError, "weights that are not finite numbers"),
        (edited("int8.tflite", with_narrow_logits, "--data", "TREE"), ParityFailed, "is saturated: on"),
        (
            arguments("--model", "MODELS/net.h5", "--runtimes", "tflite 1.0", "--data", "TREE"),
            UsageError,
            "known runtimes are litert",
        ),
        (arguments("--model", "MODELS/int8.tflite", "--input-range", "0,255"), UsageError, "of 256 gray levels"),
        (
            arguments("--model", "MODELS/int8.tflite", "--input-range", "0,1"),
            UsageError,
            "distinguishes 128 of 256 gray levels",
        ),
        (arguments("--model", "MODELS/float.tflite", "--float", "MODELS/none.keras"), UsageError, "does not exist"),
        (float_model_of_another_side, UsageError, "takes 24 px and"),
        (truncated, BundleRefused, "net.tflite is damaged"),
    ],
)
def test_a_rejected_model_leaves_no_bundle_and_one_sentence(
    write: Rejected,
    error: type[FerEdgeError],
    says: str,
    models: Models,
    tree: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = write(models, tree, tmp_path)
    out = tmp_path / "bundle"
    assert quantize_main(["--labels", NAMES, "--out", str(out), *words]) == error.exit_code
    (message,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fer-edge: ")]
    assert says in message
    assert not out.exists()


def test_a_wrong_input_range_is_rejected_by_the_models_answers(models: Models, tree: Path, tmp_path: Path) -> None:
    """A float file does not state its range; with one that is far off the network gives one label for everything."""
    with pytest.raises(UsageError, match="name the range of pixels it was trained on"):
        source = ModelSource.find(models / "float.tflite", labels=LABELS, input_range=(400.0, 401.0))
        make_bundle(source, tmp_path / "bundle", ConversionOptions(data=tree))


@pytest.mark.parametrize("text", ["1", "1,0", "x,y", "0,inf"])
def test_a_malformed_input_range_is_a_usage_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        quantize_main(["--input-range", text])
    assert caught.value.code == 2 and "--input-range" in capsys.readouterr().err


def test_an_operator_that_one_claimed_runtime_lacks_is_rejected_with_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the option that claims fewer runtimes."""
    (tmp_path / "net.tflite").write_bytes(one_operator(tflite_schema().BuiltinOperator.CONV_2D, 8))
    assert quantize_main(["--model", str(tmp_path / "net.tflite")]) == 2
    assert (
        "tflite-runtime 2.14.0 lacks CONV_2D version 8 (it has 7); `--runtimes 'litert 2.3.0'`"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--model", "MODELS/int8.tflite", "--float", "MODELS/net.keras", "--float-range", "-1,1"],
        ["--model", "MODELS/float.tflite", "--input-range", "0,1", "--float", "MODELS/float.tflite"],
        ["--model", "MODELS/exported", "--input-range", "-1,1"],
    ],
)
def test_parity_on_a_bundle_prints_the_report_that_it_stores(
    words: list[str], models: Models, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever kind of file its float model was."""
    out = tmp_path / "bundle"
    bundle_of(out, *arguments(*words, "--data", "TREE")(models, tree, tmp_path))
    capsys.readouterr()
    assert parity_main([str(out), "--data", str(tree), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((out / "parity.json").read_text())


def test_parity_on_a_bundle_without_a_float_model_is_rejected(
    models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_of(tmp_path / "bundle", "--model", models / "float.tflite", "--input-range", "0,1")
    assert parity_main([str(bundle.path)]) == 2
    assert "made without a float model" in capsys.readouterr().err
